//! Describe and clock: what a store says of itself.

use std::time::Duration;

use keystep::store::{Store, Then};

use crate::Harness;
use crate::fixture::{HOUR, ended, record, started};

pub async fn a_handle_describes_itself_the_same_way_always<S: Store>(harness: Harness<S>) {
    let first = harness.here.describe();
    assert!(!first.kind.is_empty(), "lists and logs need a word");
    started(&*harness.here, "k").await;
    assert_eq!(harness.here.describe(), first);
    let other = harness.there.describe();
    assert_ne!(other.instance, first.instance, "each handle is its own");
    assert_eq!(
        (other.kind, other.durable, other.reach, other.transactions),
        (first.kind, first.durable, first.reach, first.transactions)
    );
}

pub async fn all_times_follow_the_shared_clock<S: Store>(harness: Harness<S>) {
    let before = started(&*harness.here, "before").await;
    harness.clock.advance(24 * HOUR);
    for store in [&harness.here, &harness.there] {
        assert_eq!(store.clock().offset_micros(), 24 * 3_600_000_000);
    }
    let after = ended(&*harness.there, "after", Then::Release).await;
    let before = record(&*harness.here, before.execution).await;
    let after = record(&*harness.here, after.execution).await;
    let apart = after.created_at.duration_since(before.created_at);
    let apart = apart.expect("time goes forward");
    assert!(apart >= 24 * HOUR && apart < 25 * HOUR, "{apart:?}");
    assert_eq!(after.wake_in, Some(Duration::ZERO));
}
