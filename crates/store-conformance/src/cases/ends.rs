//! Ends of an ownership: what callers and people see of a wait, an undone run, a cancelled one.

use std::time::Duration;

use keystep::execution::{State, WaitReason};
use keystep::store::{How, Store, Then, Tries};

use super::due::due_ids;
use crate::Harness;
use crate::fixture::{
    DAY, HOUR, assert_near, cancelled, ended, payload, record, started, take, undone, wait, write,
};

pub async fn a_wait_shows_its_reason<S: Store>(harness: Harness<S>) {
    let reasons = [
        WaitReason::Retry,
        WaitReason::Timer,
        WaitReason::Signal,
        WaitReason::Child,
    ];
    for reason in reasons {
        for failure in [None, Some(payload("busy"))] {
            let text = format!("{} {}", reason.as_str(), failure.is_some());
            let fence = started(&*harness.here, &text).await;
            let then = Then::Wait {
                delay: Some(HOUR),
                reason,
                failure: failure.clone(),
                tries: Tries { seq: 3, count: 1 },
                signals: None,
                wish: None,
            };
            write(fence).then(then).written(&*harness.here).await;
            let found = record(&*harness.there, fence.execution).await;
            assert_eq!((found.state, found.waits_for), (State::Waiting, Some(reason)));
            assert_eq!((found.parked, &found.failure), (None, &failure));
            assert_near(found.wake_in, Some(HOUR), &text);
            let (won, _) = take(&*harness.there, fence.execution, How::TakeOver).await;
            assert_eq!((won.waits_for, won.failure, won.wake_in), (None, None, None));
            assert_eq!((won.tries_seq, won.tries), (3, 1));
        }
    }
}

pub async fn a_wait_without_a_wake_up_is_never_due<S: Store>(harness: Harness<S>) {
    let then = Then::Wait {
        delay: None,
        reason: WaitReason::Child,
        failure: None,
        tries: Tries::default(),
        signals: None,
        wish: None,
    };
    let fence = ended(&*harness.here, "k", then).await;
    let other = ended(&*harness.here, "another", wait(HOUR)).await;
    harness.clock.advance(400 * DAY);
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!((found.state, found.wake_in), (State::Waiting, None));
    assert_eq!(due_ids(&*harness.there).await, [other.execution]);
    take(&*harness.there, fence.execution, How::Resume { keep_tries: true }).await;
}

pub async fn an_undone_run_shows_the_failure_that_came_first<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", undone()).await;
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!((found.state, found.owner), (State::Undone, None));
    assert_eq!(
        (found.failure, found.output),
        (Some(payload("no such card")), None)
    );
    assert_eq!((found.wake_in, found.waits_for, found.parked), (None, None, None));
    assert_near(found.expires_in, Some(DAY), "the retention");
    assert!(found.finished_at.is_some());
}

pub async fn a_cancelled_run_is_finished_without_a_failure<S: Store>(harness: Harness<S>) {
    let waited = ended(&*harness.here, "k", wait(HOUR)).await;
    let (_, fence) = take(&*harness.here, waited.execution, How::Resume { keep_tries: true }).await;
    write(fence).then(cancelled()).written(&*harness.here).await;
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!((found.state, found.owner), (State::Cancelled, None));
    assert_eq!((found.failure, found.output), (None, None));
    assert_eq!((found.wake_in, found.cancel), (None, None));
    assert_near(found.expires_in, Some(DAY), "the retention");
    assert!(found.finished_at.is_some());
    harness.clock.advance(2 * DAY);
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!(found.expires_in, Some(Duration::ZERO), "over");
    assert_eq!(due_ids(&*harness.there).await, [], "a finished run is never due");
}
