//! Tombstones: what is left of a purged execution for a while.

use std::time::Duration;

use keystep::execution::{ExecutionRecord, State};
use keystep::store::{Acquired, Begun, Confirm, Confirmed, How, Signalled, Store, Then};

use super::signal::{send, signal_of};
use crate::Harness;
use crate::fixture::{
    DAY, HOUR, acquire_of, assert_near, assert_unchanged, begin, begin_of, cancelled, ended, fail, find,
    payload, progress, record, restart, step_name, succeed, undone, win, write,
};

/// Purges under this many executions at most, remembering them for ten days.
async fn purge<S: Store>(store: &S, limit: u32) -> u32 {
    let purged = store.purge(limit, Some(10 * DAY)).await;
    purged.expect("purged")
}

fn assert_tombstone(before: &ExecutionRecord, after: &ExecutionRecord) {
    assert!(after.purged && after.is_expired());
    assert_eq!((after.state, after.generation), (before.state, before.generation));
    assert_eq!((after.id, &after.key), (before.id, &before.key));
    assert_eq!((after.run, after.claim), (before.run, before.claim));
    assert_eq!(after.input_hash, before.input_hash);
    assert_eq!((&after.output, &after.failure), (&None, &None), "no payloads");
    assert_near(after.expires_in, Some(10 * DAY), "remembered so long");
}

pub async fn a_purge_can_leave_a_tombstone<S: Store>(harness: Harness<S>) {
    for (text, then) in [
        ("succeeded", succeed(0)),
        ("failed", fail()),
        ("undone", undone()),
        ("cancelled", cancelled()),
    ] {
        let fence = ended(&*harness.here, text, then).await;
        let before = record(&*harness.here, fence.execution).await;
        harness.clock.advance(DAY + HOUR);
        assert_eq!(purge(&*harness.there, 10).await, 1, "{text}");
        assert_eq!(purge(&*harness.here, 10).await, 0, "{text}: it is purged");
        let after = record(&*harness.here, fence.execution).await;
        assert_tombstone(&before, &after);
        match begin(&*harness.there, &begin_of(text)).await {
            Begun::Exists(found) => assert_tombstone(&before, &found),
            Begun::Started(_) => panic!("the key is remembered"),
        }
        let left = harness.there.load(fence.execution, fence.run).await;
        let left = left.expect("answered");
        assert!(
            left.is_none_or(|left| left.input.is_empty() && left.checkpoints.is_empty()),
            "{text}: nothing is left of input and steps"
        );
    }
}

pub async fn a_tombstone_goes_with_a_later_purge<S: Store>(harness: Harness<S>) {
    for remembered_too in [Some(10 * DAY), None] {
        let fence = ended(&*harness.here, "k", succeed(0)).await;
        harness.clock.advance(DAY + HOUR);
        assert_eq!(purge(&*harness.there, 10).await, 1);
        harness.clock.advance(10 * DAY - HOUR);
        let early = harness.there.purge(10, remembered_too).await;
        assert_eq!(early.expect("purged"), 0, "an hour early");
        assert!(find(&*harness.here, fence.execution).await.is_some());
        harness.clock.advance(2 * HOUR);
        let over = harness.there.purge(10, remembered_too).await;
        assert_eq!(over.expect("purged"), 1);
        assert_eq!(find(&*harness.here, fence.execution).await, None);
        let Begun::Started(fence) = begin(&*harness.here, &begin_of("k")).await else {
            panic!("the key is free")
        };
        write(fence)
            .step(0, "first")
            .then(Then::Fail {
                failure: payload("no"),
                tries: keystep::store::Tries::default(),
                retention: Some(Duration::ZERO),
                yields: false,
            })
            .written(&*harness.here)
            .await;
        harness.clock.advance(HOUR);
        let purged = harness.here.purge(10, None).await;
        assert_eq!(purged.expect("purged"), 1);
    }
}

pub async fn a_purge_that_remembers_takes_at_most_its_limit<S: Store>(harness: Harness<S>) {
    for number in 0..10 {
        ended(&*harness.here, &format!("k{number}"), succeed(0)).await;
    }
    harness.clock.advance(DAY + HOUR);
    let mut counts = Vec::new();
    for limit in [0, 4, 4, 4, 4] {
        counts.push(purge(&*harness.there, limit).await);
    }
    assert_eq!(counts, [0, 4, 4, 2, 0]);
}

pub async fn a_remembered_key_can_be_used_anew<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", succeed(0)).await;
    harness.clock.advance(DAY + HOUR);
    assert_eq!(purge(&*harness.there, 10).await, 1);
    let tombstone = record(&*harness.here, old.execution).await;
    let (won, fence) = win(&*harness.here, &acquire_of(tombstone.seen(), restart())).await;
    assert_eq!((won.generation, won.purged), (2, false));
    assert_eq!((won.state, won.expires_in), (State::Running, None));
    let anew = progress(&*harness.there, won.id, won.run).await;
    assert_eq!((anew.input, anew.checkpoints), (payload("new input"), vec![]));
    harness.clock.advance(20 * DAY);
    assert_eq!(purge(&*harness.there, 10).await, 0, "it is not finished");
    write(fence)
        .step(0, "anew")
        .then(succeed(0))
        .written(&*harness.there)
        .await;
    let found = record(&*harness.here, old.execution).await;
    assert_eq!(found.output, Some(payload("anew")));
    assert!(!found.is_expired());
}

pub async fn a_tombstone_is_taken_by_a_restart_only<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", fail()).await;
    let seen = record(&*harness.here, fence.execution).await.seen();
    harness.clock.advance(DAY + HOUR);
    assert_eq!(purge(&*harness.there, 10).await, 1);
    let before = record(&*harness.here, fence.execution).await;
    for how in [
        How::Resume { keep_tries: true },
        How::Resume { keep_tries: false },
        How::TakeOver,
    ] {
        // It looks as it was seen, but there is nothing to go on with.
        let acquired = harness.here.acquire(acquire_of(seen, how)).await;
        assert_eq!(acquired.expect("answered"), Acquired::Lost);
    }
    let after = record(&*harness.there, fence.execution).await;
    assert_unchanged(&before, &after, "lost");
    let (won, _fence) = win(&*harness.there, &acquire_of(seen, restart())).await;
    assert_eq!((won.generation, won.purged), (2, false));
}

pub async fn a_tombstone_takes_no_late_write<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", succeed(0)).await;
    let sent = signal_of(fence, "paid", "1");
    harness.clock.advance(DAY + HOUR);
    assert_eq!(purge(&*harness.there, 10).await, 1);
    assert_eq!(send(&*harness.here, sent).await, Signalled::Gone);
    let late = write(fence).step(1, "late").send(&*harness.here).await;
    assert_eq!(late, keystep::store::Verdict::Fenced);
    let question = Confirm {
        fence,
        step: step_name(0),
        write_id: keystep::execution::WriteId::fresh(),
    };
    let confirmed = harness.here.confirm(question).await.expect("answered");
    assert_eq!(confirmed, Confirmed::Fenced);
}
