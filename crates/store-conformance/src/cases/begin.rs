//! Begin: one start for each key, whoever asks and however often.

use std::time::Duration;

use keystep::execution::{Claim, ExecutionId, Fence, State, WorkerId};
use keystep::store::{Begin, Begun, How, Shapes, Store, Wanted};

use crate::Harness;
use crate::fixture::{
    DAY, HOUR, all_at_once, assert_near, assert_unchanged, begin, begin_of, ended, fail, payload, progress,
    record, restart, start, started, succeed, take, write,
};

pub async fn a_begun_key_is_running_in_generation_one_and_epoch_one<S: Store>(harness: Harness<S>) {
    let wanted = begin_of("k");
    let fence = start(&*harness.here, &wanted).await;
    assert_eq!(fence.execution, wanted.id);
    assert_eq!(fence.run, wanted.run);
    assert_eq!(
        fence.claim,
        Claim {
            epoch: 1,
            token: wanted.token
        }
    );
    let record = record(&*harness.there, wanted.id).await;
    assert_eq!(record.id, ExecutionId::of(&wanted.key));
    assert_eq!(record.key, *wanted.key);
    assert_eq!(record.run, wanted.run);
    assert_eq!(record.generation, 1);
    assert_eq!(record.state, State::Running);
    assert_eq!(record.claim, fence.claim);
    assert_eq!(record.owner, Some(wanted.owner));
    assert_eq!(record.plan, wanted.plan);
    assert_eq!(record.shape, wanted.shape);
    assert_eq!(record.input_hash, wanted.input_hash);
    assert_eq!((record.tries, record.tries_seq, record.lost), (0, 0, 0));
    assert_eq!((&record.failure, &record.output), (&None, &None));
    assert_eq!(
        (record.parked, record.waits_for, record.wake_in),
        (None, None, None)
    );
    assert_eq!((record.cancel, record.parent, record.purged), (None, None, false));
    assert_eq!((record.finished_at, record.expires_in), (None, None));
    assert_eq!(record.acquired_at, record.created_at);
    let progress = progress(&*harness.there, wanted.id, wanted.run).await;
    assert_eq!(progress.input, wanted.input);
    assert_eq!(progress.checkpoints, []);
}

pub async fn a_second_begin_answers_the_execution_that_is_there<S: Store>(harness: Harness<S>) {
    let first = begin_of("k");
    start(&*harness.here, &first).await;
    let before = record(&*harness.here, first.id).await;
    for store in [&harness.here, &harness.there] {
        let second = Begin {
            input: payload("another input"),
            ..begin_of("k")
        };
        match begin(&**store, &second).await {
            Begun::Exists(found) => assert_unchanged(&before, &found, "the answer shows the first begin"),
            Begun::Started(_) => panic!("the key was started a second time"),
        }
    }
    let after = record(&*harness.there, first.id).await;
    assert_unchanged(&before, &after, "a second begin changes nothing");
    let input = progress(&*harness.here, first.id, first.run).await.input;
    assert_eq!(input, first.input, "nor the input");
}

pub async fn a_begin_sent_again_is_started_and_changes_nothing<S: Store>(harness: Harness<S>) {
    let wanted = begin_of("k");
    let fence = start(&*harness.here, &wanted).await;
    let before = record(&*harness.here, wanted.id).await;
    for store in [&harness.here, &harness.there] {
        assert_eq!(begin(&**store, &wanted).await, Begun::Started(fence));
        let after = record(&**store, wanted.id).await;
        assert_unchanged(&before, &after, "the answer to the first send was lost");
    }
}

pub async fn a_begin_sent_again_after_a_takeover_has_not_started<S: Store>(harness: Harness<S>) {
    let wanted = begin_of("k");
    start(&*harness.here, &wanted).await;
    let (taken, _) = take(&*harness.there, wanted.id, How::TakeOver).await;
    match begin(&*harness.here, &wanted).await {
        Begun::Exists(found) => assert_eq!(found.claim, taken.claim),
        Begun::Started(_) => panic!("the claim of this begin is gone"),
    }
}

pub async fn a_begin_of_a_finished_key_answers_its_outcome<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", succeed(0)).await;
    let before = record(&*harness.here, fence.execution).await;
    match begin(&*harness.there, &begin_of("k")).await {
        Begun::Exists(found) => {
            assert_eq!(found.output, Some(payload("first")));
            assert_unchanged(&before, &found, "a replay reads");
        }
        Begun::Started(_) => panic!("a finished key was started again"),
    }
    let after = record(&*harness.here, fence.execution).await;
    assert_unchanged(&before, &after, "a replay writes nothing");
}

pub async fn a_begin_of_an_expired_key_leaves_the_recycling_to_the_caller<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", succeed(0)).await;
    harness.clock.advance(DAY + HOUR);
    match begin(&*harness.there, &begin_of("k")).await {
        Begun::Exists(found) => {
            assert!(found.is_expired(), "its retention has ended");
            assert_eq!(found.run, fence.run);
            assert_near(found.expires_in, Some(std::time::Duration::ZERO), "expired");
        }
        Begun::Started(_) => panic!("the old row is still there"),
    }
}

pub async fn of_many_begins_of_one_key_exactly_one_is_started<S: Store>(harness: Harness<S>) {
    started(&*harness.here, "another key, so that the plan is there").await;
    for round in 0..4 {
        let text = format!("k{round}");
        let answers = all_at_once(64, |number| {
            let store = [&harness.here, &harness.there][number % 2].clone();
            let wanted = begin_of(&text);
            async move { (store.begin(wanted.clone()).await, wanted) }
        })
        .await;
        let mut fences: Vec<Fence> = Vec::new();
        let mut found = Vec::new();
        for (answer, wanted) in answers {
            match answer.expect("every caller gets an answer") {
                Begun::Started(fence) => {
                    assert_eq!((fence.run, fence.claim.token), (wanted.run, wanted.token));
                    fences.push(fence);
                }
                Begun::Exists(record) => found.push(record),
            }
        }
        assert_eq!(fences.len(), 1, "owners of one key");
        assert_eq!(found.len(), 63);
        for record in found {
            assert_eq!((record.run, record.claim), (fences[0].run, fences[0].claim));
        }
    }
}

pub async fn many_keys_begun_twice_at_once_are_each_started_once<S: Store>(harness: Harness<S>) {
    started(&*harness.here, "another key, so that the plan is there").await;
    const KEYS: usize = 150;
    // One process goes up and the other down: row locks in the order of arrival would deadlock.
    let answers = all_at_once(2 * KEYS, |number| {
        let (store, place) = match number % 2 {
            0 => (harness.here.clone(), number / 2),
            _ => (harness.there.clone(), KEYS - 1 - number / 2),
        };
        let wanted = begin_of(&format!("k{place}"));
        async move { (place, store.begin(wanted).await) }
    })
    .await;
    let mut starts = vec![0; KEYS];
    for (place, answer) in answers {
        if let Begun::Started(_) = answer.expect("every caller gets an answer") {
            starts[place] += 1;
        }
    }
    assert_eq!(starts, vec![1; KEYS], "starts of each key");
}

pub async fn a_late_begin_of_a_dead_worker_is_an_orphan<S: Store>(harness: Harness<S>) {
    let zombie = super::liveness::registered(&*harness.here).await;
    assert!(harness.there.bury(zombie, 0).await.expect("buried"));
    let wanted = Begin {
        owner: zombie,
        ..begin_of("k")
    };
    let fence = start(&*harness.here, &wanted).await;
    let orphans = harness
        .there
        .orphans(Wanted {
            shapes: Shapes::Only(vec![wanted.shape]),
            limit: 10,
        })
        .await
        .expect("looked");
    assert_eq!(orphans.len(), 1, "it is not stranded");
    assert_eq!((orphans[0].id, orphans[0].claim), (wanted.id, fence.claim));
}

pub async fn a_begin_needs_no_registered_worker<S: Store>(harness: Harness<S>) {
    let wanted = Begin {
        owner: WorkerId(i64::MAX),
        ..begin_of("k")
    };
    start(&*harness.here, &wanted).await;
    let found = record(&*harness.there, wanted.id).await;
    assert_eq!(found.owner, Some(WorkerId(i64::MAX)));
}

pub async fn the_age_of_a_run_is_counted_from_its_begin<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", fail()).await;
    harness.clock.advance(3 * HOUR);
    let found = record(&*harness.there, fence.execution).await;
    assert_near(Some(found.age), Some(3 * HOUR), "it began then");
    let (won, resumed) = take(
        &*harness.there,
        fence.execution,
        How::Resume { keep_tries: false },
    )
    .await;
    assert_near(Some(won.age), Some(3 * HOUR), "the same run");
    write(resumed).then(fail()).written(&*harness.here).await;
    let (won, _) = take(&*harness.there, fence.execution, restart()).await;
    assert_near(Some(won.age), Some(Duration::ZERO), "a new run");
}
