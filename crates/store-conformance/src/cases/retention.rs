//! Retention and purge: how long a key is kept, and what goes when it is over.

use std::time::Duration;

use keystep::store::{Begun, Confirm, Confirmed, How, Store, Then, Tries};

use crate::Harness;
use crate::fixture::{
    DAY, HOUR, MINUTE, all_at_once, assert_near, begin, begin_of, ended, find, one_in_each_state, payload,
    progress, record, restart, started, step_name, take, write,
};

fn succeed_kept(retention: Option<Duration>) -> Then {
    Then::Succeed {
        output_step: step_name(0),
        retention,
    }
}

fn fail_kept(retention: Option<Duration>) -> Then {
    Then::Fail {
        failure: payload("no"),
        tries: Tries::default(),
        retention,
        yields: false,
    }
}

pub async fn a_finished_key_expires_after_its_retention<S: Store>(harness: Harness<S>) {
    for (text, then) in [
        ("succeeded", succeed_kept(Some(DAY))),
        ("failed", fail_kept(Some(DAY))),
    ] {
        let fence = ended(&*harness.here, text, then).await;
        let found = record(&*harness.there, fence.execution).await;
        assert_near(found.expires_in, Some(DAY), text);
        assert!(!found.is_expired());
        harness.clock.advance(DAY - MINUTE);
        let found = record(&*harness.there, fence.execution).await;
        assert!(!found.is_expired(), "{text}: a minute early");
        assert_eq!(harness.there.purge(10, None).await.expect("purged"), 0);
        harness.clock.advance(2 * MINUTE);
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.expires_in, Some(Duration::ZERO), "{text}: over");
        assert!(found.is_expired());
        assert_eq!(harness.there.purge(10, None).await.expect("purged"), 1);
    }
}

pub async fn a_key_kept_for_ever_never_expires<S: Store>(harness: Harness<S>) {
    let kept = [
        ended(&*harness.here, "succeeded", succeed_kept(None)).await,
        ended(&*harness.here, "failed", fail_kept(None)).await,
    ];
    harness.clock.advance(400 * DAY);
    assert_eq!(harness.there.purge(10, None).await.expect("purged"), 0);
    for fence in kept {
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.expires_in, None);
        assert!(!found.is_expired());
    }
}

pub async fn a_retention_of_a_hundred_years_is_kept<S: Store>(harness: Harness<S>) {
    let century = 36_525 * DAY;
    let fence = ended(&*harness.here, "k", succeed_kept(Some(century))).await;
    let found = record(&*harness.there, fence.execution).await;
    assert_near(found.expires_in, Some(century), "a century");
}

pub async fn a_purge_deletes_the_checkpoints_too<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let sent = write(fence).step(0, "first").then(succeed_kept(Some(HOUR)));
    sent.written(&*harness.here).await;
    harness.clock.advance(2 * HOUR);
    assert_eq!(harness.there.purge(10, None).await.expect("purged"), 1);
    for store in [&harness.here, &harness.there] {
        assert_eq!(find(&**store, fence.execution).await, None);
        let load = store.load(fence.execution, fence.run).await;
        assert_eq!(load.expect("answered"), None);
        let question = Confirm {
            fence,
            step: step_name(0),
            write_id: sent.write_id,
        };
        let confirmed = store.confirm(question).await.expect("answered");
        assert_eq!(confirmed, Confirmed::Fenced, "nothing is left of the write");
    }
    // The key is new again, and knows nothing of its former life.
    let again = begin_of("k");
    let Begun::Started(fence) = begin(&*harness.here, &again).await else {
        panic!("the key is free")
    };
    let now = record(&*harness.here, fence.execution).await;
    assert_eq!((now.generation, now.claim.epoch), (1, 1));
    let steps = progress(&*harness.here, fence.execution, fence.run).await;
    assert_eq!(steps.checkpoints, []);
    write(fence).step(0, "anew").written(&*harness.here).await;
}

pub async fn a_purge_touches_only_finished_executions<S: Store>(harness: Harness<S>) {
    let all = one_in_each_state(&*harness.here).await;
    harness.clock.advance(400 * DAY);
    assert_eq!(harness.there.purge(100, None).await.expect("purged"), 4);
    for (state, fence) in all {
        let found = find(&*harness.there, fence.execution).await;
        assert_eq!(found.is_none(), state.is_finished(), "{state:?}");
    }
}

pub async fn a_resumed_failure_is_not_purged<S: Store>(harness: Harness<S>) {
    let resumed = ended(&*harness.here, "resumed", fail_kept(Some(HOUR))).await;
    let again = How::Resume { keep_tries: false };
    take(&*harness.here, resumed.execution, again).await;
    let restarted = ended(&*harness.here, "restarted", fail_kept(Some(HOUR))).await;
    take(&*harness.here, restarted.execution, restart()).await;
    harness.clock.advance(DAY);
    assert_eq!(harness.there.purge(10, None).await.expect("purged"), 0);
}

pub async fn a_purge_deletes_at_most_its_limit<S: Store>(harness: Harness<S>) {
    for number in 0..10 {
        ended(&*harness.here, &format!("k{number}"), succeed_kept(Some(HOUR))).await;
    }
    harness.clock.advance(2 * HOUR);
    let mut counts = Vec::new();
    for limit in [0, 4, 4, 4, 4] {
        counts.push(harness.there.purge(limit, None).await.expect("purged"));
    }
    assert_eq!(counts, [0, 4, 4, 2, 0]);
}

pub async fn purges_at_once_count_each_execution_once<S: Store>(harness: Harness<S>) {
    for number in 0..30 {
        ended(&*harness.here, &format!("k{number}"), succeed_kept(Some(HOUR))).await;
    }
    harness.clock.advance(2 * HOUR);
    let counts = all_at_once(4, |number| {
        let store = [&harness.here, &harness.there][number % 2].clone();
        async move { store.purge(30, None).await.expect("purged") }
    })
    .await;
    let rest = harness.here.purge(30, None).await.expect("purged");
    assert_eq!(counts.iter().sum::<u32>() + rest, 30);
}

pub async fn a_purge_that_meets_callers_leaves_no_half_state<S: Store>(harness: Harness<S>) {
    for round in 0..15 {
        let text = format!("k{round}");
        let old = ended(&*harness.here, &text, succeed_kept(Some(HOUR))).await;
        harness.clock.advance(2 * HOUR);
        let answers = all_at_once(6, |number| {
            let store = [&harness.here, &harness.there][number % 2].clone();
            let wanted = begin_of(&text);
            async move {
                if number == 0 {
                    store.purge(10, None).await.expect("purged");
                    return None;
                }
                Some(store.begin(wanted).await.expect("old or new, but an answer"))
            }
        })
        .await;
        let mut starts = 0;
        for answer in answers.into_iter().flatten() {
            match answer {
                Begun::Started(_) => starts += 1,
                Begun::Exists(found) if found.run == old.run => {
                    assert_eq!(found.output, Some(payload("first")), "the old result");
                }
                Begun::Exists(found) => assert_eq!(found.output, None, "the new run"),
            }
        }
        assert!(starts <= 1, "one new run at most");
        let now = find(&*harness.there, old.execution).await;
        assert_eq!(now.is_some(), starts == 1, "the old row is gone");
    }
}
