//! Commit: a checkpoint and a change of state, together or not at all.

use std::sync::Arc;
use std::time::Duration;

use keystep::execution::{CheckpointRecord, ParkReason, State, WaitReason, WorkerId};
use keystep::store::{Enlisted, How, Store, StoreError, Then, Tries, Verdict};

use crate::Harness;
use crate::fixture::{
    DAY, HOUR, all_at_once, assert_near, assert_unchanged, ended, every_end, park, payload, progress, record,
    started, succeed, take, wait, write,
};

pub async fn a_checkpoint_keeps_everything_it_was_given<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let before = record(&*harness.here, fence.execution).await;
    let mut sent = write(fence).step(3, "result");
    sent.worker = WorkerId(i64::MAX);
    let new = sent.checkpoint.as_mut().expect("just set");
    (new.attempt, new.lost) = (7, 2);
    sent.written(&*harness.here).await;
    let found = progress(&*harness.there, fence.execution, fence.run).await;
    let [checkpoint] = &found.checkpoints[..] else {
        panic!("one step was recorded: {found:?}");
    };
    let expected = CheckpointRecord {
        step: "step_3".into(),
        seq: 3,
        epoch: 1,
        worker: WorkerId(i64::MAX),
        write_id: sent.write_id,
        attempt: 7,
        lost: 2,
        output: payload("result"),
        at: checkpoint.at,
    };
    assert_eq!(*checkpoint, expected);
    assert!(checkpoint.at >= before.acquired_at, "by the same clock");
    let after = record(&*harness.there, fence.execution).await;
    assert_unchanged(&before, &after, "it goes on under the same claim");
}

pub async fn written_means_that_everybody_can_read_it<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    for seq in 0..20 {
        write(fence).step(seq, "x").written(&*harness.here).await;
        let found = progress(&*harness.there, fence.execution, fence.run).await;
        let last = found.checkpoints.last().map(|step| step.seq);
        assert_eq!(last, Some(seq), "acknowledged, so it is there");
    }
    write(fence).then(succeed(19)).written(&*harness.here).await;
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!(found.state, State::Succeeded);
}

pub async fn success_gives_the_output_of_the_last_step<S: Store>(harness: Harness<S>) {
    let merged = ended(&*harness.here, "with its last checkpoint", succeed(0)).await;
    let apart = started(&*harness.here, "apart from it").await;
    write(apart).step(0, "first").written(&*harness.here).await;
    write(apart).step(1, "second").written(&*harness.here).await;
    write(apart).then(succeed(0)).written(&*harness.here).await;
    for fence in [merged, apart] {
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.state, State::Succeeded);
        assert_eq!(found.output, Some(payload("first")));
        assert_eq!((found.owner, found.failure.as_ref()), (None, None));
        assert_eq!((found.wake_in, found.parked), (None, None));
        assert_eq!(found.claim, fence.claim, "the claim of the last owner");
        assert_near(found.expires_in, Some(DAY), "the retention");
        let finished_at = found.finished_at.expect("finished");
        assert!(finished_at >= found.acquired_at);
    }
}

pub async fn failure_gives_its_payload_and_the_tries<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let then = Then::Fail {
        failure: payload("declined"),
        tries: Tries { seq: 4, count: 9 },
        retention: Some(HOUR),
        yields: false,
    };
    write(fence).then(then).written(&*harness.here).await;
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!(found.state, State::Failed);
    assert_eq!((found.owner, found.output.as_ref()), (None, None));
    assert_eq!(found.failure, Some(payload("declined")));
    assert_eq!((found.tries_seq, found.tries), (4, 9));
    assert_near(found.expires_in, Some(HOUR), "the retention");
    assert!(found.finished_at.is_some() && found.wake_in.is_none());
}

pub async fn a_wait_is_due_after_its_delay<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let then = Then::Wait {
        delay: Some(3 * HOUR),
        reason: WaitReason::Retry,
        failure: Some(payload("busy")),
        tries: Tries { seq: 2, count: 5 },
        signals: None,
        wish: None,
    };
    write(fence).then(then).written(&*harness.here).await;
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!((found.state, found.owner), (State::Waiting, None));
    assert_eq!(found.failure, Some(payload("busy")));
    assert_eq!((found.tries_seq, found.tries), (2, 5));
    assert_eq!((found.finished_at, found.expires_in), (None, None));
    assert_near(found.wake_in, Some(3 * HOUR), "the delay");
    harness.clock.advance(HOUR);
    let found = record(&*harness.there, fence.execution).await;
    assert_near(found.wake_in, Some(2 * HOUR), "an hour later");
    harness.clock.advance(3 * HOUR);
    let found = record(&*harness.here, fence.execution).await;
    assert_eq!(found.wake_in, Some(Duration::ZERO), "due");
}

pub async fn a_park_shows_its_reason<S: Store>(harness: Harness<S>) {
    let reasons = [
        ParkReason::Unreadable,
        ParkReason::UnknownShape,
        ParkReason::LostTooOften,
        ParkReason::InDoubt,
        ParkReason::UndoFailed,
    ];
    for (number, reason) in reasons.into_iter().enumerate() {
        for failure in [None, Some(payload("why"))] {
            let text = format!("k{number} {}", failure.is_some());
            let fence = started(&*harness.here, &text).await;
            let then = Then::Park {
                reason,
                failure: failure.clone(),
                wish: None,
            };
            write(fence).then(then).written(&*harness.here).await;
            let found = record(&*harness.there, fence.execution).await;
            assert_eq!((found.state, found.owner), (State::Parked, None));
            assert_eq!((found.parked, &found.failure), (Some(reason), &failure));
            assert_eq!((found.wake_in, found.expires_in), (None, None));
            assert_eq!(found.finished_at, None);
        }
    }
}

pub async fn a_release_is_due_at_once_and_uses_nothing_up<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", wait(HOUR)).await;
    take(&*harness.here, fence.execution, How::Resume { keep_tries: true }).await;
    let (before, fence) = take(&*harness.here, fence.execution, How::TakeOver).await;
    write(fence).then(Then::Release).written(&*harness.here).await;
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!((found.state, found.owner), (State::Ready, None));
    assert_eq!(found.wake_in, Some(Duration::ZERO));
    assert_eq!((found.tries, found.tries_seq), (before.tries, before.tries_seq));
    assert_eq!((found.lost, found.failure.as_ref()), (before.lost, None));
    assert_eq!(super::due::due_ids(&*harness.there).await, [fence.execution]);
}

pub async fn a_new_checkpoint_changes_no_counter<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", wait(HOUR)).await;
    let (_, fence) = take(&*harness.here, fence.execution, How::Resume { keep_tries: true }).await;
    let before = record(&*harness.here, fence.execution).await;
    write(fence).step(1, "second").written(&*harness.here).await;
    let after = record(&*harness.there, fence.execution).await;
    assert_unchanged(&before, &after, "counting is the engine's part");
}

pub async fn a_step_recorded_by_another_write_exists<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let first = write(fence).step(0, "first");
    first.written(&*harness.here).await;
    let before = record(&*harness.here, fence.execution).await;
    let steps = progress(&*harness.here, fence.execution, fence.run).await;
    let mut thens = every_end();
    thens.push(Then::Continue);
    for then in thens {
        for store in [&harness.here, &harness.there] {
            let second = write(fence).step(0, "second").then(then.clone());
            let verdict = second.send(&**store).await;
            assert_eq!(verdict, Verdict::Exists(first.write_id), "{then:?}");
        }
    }
    let after = record(&*harness.there, fence.execution).await;
    assert_unchanged(&before, &after, "neither the state");
    let now = progress(&*harness.there, fence.execution, fence.run).await;
    assert_eq!(steps.checkpoints, now.checkpoints, "nor the checkpoint");
}

pub async fn a_step_recorded_before_a_takeover_exists_for_the_next_owner<S: Store>(harness: Harness<S>) {
    let old = started(&*harness.here, "k").await;
    let first = write(old).step(0, "first");
    first.written(&*harness.here).await;
    let (_, fence) = take(&*harness.there, old.execution, How::TakeOver).await;
    let again = write(fence).step(0, "again").then(succeed(0));
    assert_eq!(again.send(&*harness.there).await, Verdict::Exists(first.write_id));
    write(fence).then(succeed(0)).written(&*harness.there).await;
    let found = record(&*harness.here, old.execution).await;
    assert_eq!(found.output, Some(payload("first")), "the first result stands");
}

pub async fn steps_of_one_position_or_output_are_told_apart_by_name<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let names = [
        "step",
        "Step",
        "step ",
        "s\u{301}tep",
        "ś",
        "s\u{301}",
        "☂/1",
        "'\"--",
    ];
    for name in names {
        let one = write(fence).named_step(name, 0, payload(name));
        one.written(&*harness.here).await;
    }
    let found = progress(&*harness.there, fence.execution, fence.run).await;
    for name in names {
        let one = found.checkpoints.iter().find(|step| step.step == name);
        assert_eq!(one.map(|step| &step.output), Some(&payload(name)));
    }
    assert_eq!(found.checkpoints.len(), names.len());
}

pub async fn one_step_sent_by_many_writes_at_once_is_written_once<S: Store>(harness: Harness<S>) {
    for round in 0..5 {
        let fence = started(&*harness.here, &format!("k{round}")).await;
        // Through one handle, so that they meet in one batch where there are batches.
        let answers = all_at_once(32, |number| {
            let store = Arc::clone(&harness.here);
            let sent = write(fence).step(0, &format!("of {number}"));
            async move { (sent.send(&*store).await, sent) }
        })
        .await;
        let written: Vec<_> = answers
            .iter()
            .filter(|(verdict, _)| *verdict == Verdict::Written)
            .collect();
        assert_eq!(written.len(), 1, "one of them is written");
        let winner = &written[0].1;
        for (verdict, sent) in &answers {
            if sent.write_id != winner.write_id {
                assert_eq!(*verdict, Verdict::Exists(winner.write_id));
            }
        }
        let found = progress(&*harness.there, fence.execution, fence.run).await;
        let output = winner.checkpoint.as_ref().map(|step| &step.output);
        assert_eq!(Some(&found.checkpoints[0].output), output);
        assert_eq!(found.checkpoints.len(), 1);
    }
}

pub async fn many_steps_of_one_owner_at_once_are_all_written<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let answers = all_at_once(64, |number| {
        let store = Arc::clone(&harness.here);
        let sent = write(fence).step(i32::try_from(number).expect("small"), "x");
        async move { sent.send(&*store).await }
    })
    .await;
    assert_eq!(answers, vec![Verdict::Written; 64]);
    let found = progress(&*harness.there, fence.execution, fence.run).await;
    let order: Vec<i32> = found.checkpoints.iter().map(|step| step.seq).collect();
    assert_eq!(order, (0..64).collect::<Vec<i32>>());
}

pub async fn a_park_leaves_the_checkpoints<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", park(ParkReason::LostTooOften)).await;
    let found = progress(&*harness.there, fence.execution, fence.run).await;
    assert_eq!(found.checkpoints.len(), 1, "a person resumes where it stopped");
}

/// A transaction of nobody: what a step would bring that mixed up two stores.
fn stray_transaction() -> Enlisted {
    Enlisted {
        instance: uuid::Uuid::new_v4(),
        transaction: Box::new("not a transaction of any store"),
    }
}

pub async fn a_transaction_of_another_store_is_rejected_and_nothing_written<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let mut commit = write(fence).step(0, "first").then(succeed(0)).commit();
    commit.enlisted = Some(stray_transaction());
    let answer = harness.here.commit(commit).await;
    assert!(
        matches!(answer, Err(StoreError::Rejected(_))),
        "the engine must learn that trying again does not help: {answer:?}"
    );
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!(found.state, State::Running);
    let steps = progress(&*harness.there, fence.execution, fence.run).await;
    assert_eq!(steps.checkpoints, []);
    write(fence)
        .step(0, "first")
        .then(succeed(0))
        .written(&*harness.here)
        .await;
}
