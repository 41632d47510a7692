//! Acquire: one new owner for what was seen, and nothing for those who saw less.

use keystep::execution::{ParkReason, RunId, Seen, State};
use keystep::store::{Acquired, How, Store, Then};
use uuid::Uuid;

use crate::Harness;
use crate::fixture::{
    HOUR, acquire_of, all_at_once, assert_unchanged, ended, every_end, every_how, fail, one_in_each_state,
    park, progress, record, started, take, wait, win, write,
};

pub async fn an_acquisition_makes_the_row_running_under_a_new_claim<S: Store>(harness: Harness<S>) {
    for (state, old) in one_in_each_state(&*harness.here).await {
        let before = record(&*harness.here, old.execution).await;
        let wanted = acquire_of(before.seen(), How::Resume { keep_tries: true });
        let (won, fence) = win(&*harness.there, &wanted).await;
        assert_eq!(won.state, State::Running, "after {state:?}");
        assert_eq!(won.claim.epoch, before.claim.epoch + 1, "one higher");
        assert_eq!(won.claim.token, wanted.token);
        assert_eq!(won.owner, Some(wanted.owner));
        assert_eq!((won.wake_in, won.parked), (None, None), "after {state:?}");
        assert_eq!((won.finished_at, won.expires_in), (None, None));
        assert_eq!((&won.failure, &won.output), (&None, &None));
        assert_eq!((won.run, won.generation), (before.run, before.generation));
        assert_eq!((fence.execution, fence.run), (won.id, won.run));
        assert_eq!(fence.claim, won.claim, "the fence carries the new claim");
        let found = record(&*harness.here, old.execution).await;
        assert_unchanged(&won, &found, "the answer shows the row as it is");
    }
}

pub async fn resuming_keeps_tries_or_sets_them_to_zero<S: Store>(harness: Harness<S>) {
    for (text, keep_tries, expected) in [("kept", true, 2), ("reset", false, 0)] {
        let old = ended(&*harness.here, text, wait(HOUR)).await;
        let (won, _) = take(&*harness.there, old.execution, How::Resume { keep_tries }).await;
        assert_eq!(won.tries, expected, "{text}");
        if keep_tries {
            assert_eq!(won.tries_seq, 1, "and the step they belong to");
        }
        assert_eq!(won.lost, 0);
    }
}

pub async fn a_takeover_counts_a_lost_owner_and_keeps_tries<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", wait(HOUR)).await;
    take(&*harness.here, old.execution, How::Resume { keep_tries: true }).await;
    for lost in 1..=3 {
        let (won, _) = take(&*harness.there, old.execution, How::TakeOver).await;
        assert_eq!((won.lost, won.tries), (lost, 2));
    }
    let (won, _) = take(&*harness.here, old.execution, How::Resume { keep_tries: false }).await;
    assert_eq!((won.lost, won.tries), (3, 0), "losses are not tries");
}

pub async fn an_acquisition_keeps_the_checkpoints_of_the_run<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", Then::Release).await;
    let before = progress(&*harness.here, old.execution, old.run).await;
    for how in [How::TakeOver, How::Resume { keep_tries: false }] {
        let (won, _) = take(&*harness.there, old.execution, how).await;
        let after = progress(&*harness.there, won.id, won.run).await;
        assert_eq!(before.input, after.input);
        assert_eq!(before.checkpoints, after.checkpoints);
    }
}

pub async fn of_many_acquisitions_of_one_row_exactly_one_wins<S: Store>(harness: Harness<S>) {
    for (round, how) in every_how().into_iter().enumerate() {
        let old = ended(&*harness.here, &format!("k{round}"), Then::Release).await;
        let seen = record(&*harness.here, old.execution).await.seen();
        let answers = all_at_once(64, |number| {
            let store = [&harness.here, &harness.there][number % 2].clone();
            let wanted = acquire_of(seen, how.clone());
            async move { (store.acquire(wanted.clone()).await, wanted) }
        })
        .await;
        let mut winners = Vec::new();
        for (answer, wanted) in answers {
            match answer.expect("every caller gets an answer") {
                Acquired::Won { fence, .. } => winners.push((fence, wanted)),
                Acquired::Lost => {}
            }
        }
        assert_eq!(winners.len(), 1, "owners after {how:?}");
        let (fence, wanted) = &winners[0];
        assert_eq!(fence.claim.token, wanted.token);
        let now = record(&*harness.there, old.execution).await;
        assert_eq!((now.claim, now.owner), (fence.claim, Some(wanted.owner)));
        assert_eq!(now.claim.epoch, seen.claim.epoch + 1, "raised once");
    }
}

pub async fn an_acquisition_by_an_older_view_is_lost_and_changes_nothing<S: Store>(harness: Harness<S>) {
    for (state, fence) in one_in_each_state(&*harness.here).await {
        let before = record(&*harness.here, fence.execution).await;
        let seen = before.seen();
        let other_state = match state {
            State::Running => State::Waiting,
            _ => State::Running,
        };
        let mut older = vec![seen; 4];
        older[0].run = RunId::fresh();
        older[1].claim.epoch += 1;
        older[2].claim.token = Uuid::new_v4();
        older[3].state = other_state;
        for view in older {
            for how in every_how() {
                let answer = harness.there.acquire(acquire_of(view, how)).await;
                assert_eq!(answer.expect("answered"), Acquired::Lost, "{view:?}");
            }
        }
        let after = record(&*harness.here, fence.execution).await;
        assert_unchanged(&before, &after, "who lost has changed nothing");
        let input = progress(&*harness.here, fence.execution, fence.run).await;
        assert!(!input.input.is_empty(), "nor the progress");
    }
}

pub async fn an_acquisition_of_a_row_that_moved_on_is_lost<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let seen = record(&*harness.there, fence.execution).await.seen();
        write(fence)
            .step(0, "first")
            .then(then)
            .written(&*harness.here)
            .await;
        let before = record(&*harness.here, fence.execution).await;
        let answer = harness.there.acquire(acquire_of(seen, How::TakeOver)).await;
        assert_eq!(answer.expect("answered"), Acquired::Lost);
        let after = record(&*harness.here, fence.execution).await;
        assert_unchanged(&before, &after, "the owner was faster than the sweep");
    }
}

pub async fn an_acquisition_of_an_execution_that_is_gone_is_lost<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let seen = Seen {
        id: crate::fixture::begin_of("never begun").id,
        ..record(&*harness.here, fence.execution).await.seen()
    };
    for how in every_how() {
        let answer = harness.here.acquire(acquire_of(seen, how)).await;
        assert_eq!(answer.expect("answered"), Acquired::Lost);
    }
    assert_eq!(crate::fixture::find(&*harness.here, seen.id).await, None);
}

pub async fn a_won_acquisition_sent_again_is_won_and_changes_nothing<S: Store>(harness: Harness<S>) {
    for (number, how) in every_how().into_iter().enumerate() {
        let old = ended(&*harness.here, &format!("k{number}"), fail()).await;
        let seen = record(&*harness.here, old.execution).await.seen();
        let wanted = acquire_of(seen, how);
        let (won, fence) = win(&*harness.here, &wanted).await;
        write(fence).step(1, "since").written(&*harness.here).await;
        for store in [&harness.here, &harness.there] {
            let (again, same_fence) = win(&**store, &wanted).await;
            assert_eq!(same_fence, fence, "the same right to write");
            assert_unchanged(&won, &again, "the answer to the first send was lost");
        }
        let steps = progress(&*harness.there, won.id, won.run).await.checkpoints;
        assert!(
            steps.iter().any(|step| step.seq == 1),
            "what the owner has recorded since is still there"
        );
    }
}

pub async fn a_won_acquisition_sent_again_after_the_next_owner_is_lost<S: Store>(harness: Harness<S>) {
    for (number, how) in every_how().into_iter().enumerate() {
        let old = ended(&*harness.here, &format!("k{number}"), Then::Release).await;
        let seen = record(&*harness.here, old.execution).await.seen();
        let wanted = acquire_of(seen, how);
        win(&*harness.here, &wanted).await;
        let (next, _) = take(&*harness.there, old.execution, How::TakeOver).await;
        let answer = harness.here.acquire(wanted).await;
        assert_eq!(answer.expect("answered"), Acquired::Lost);
        let now = record(&*harness.here, old.execution).await;
        assert_unchanged(&next, &now, "the next owner keeps it");
    }
}

pub async fn an_acquisition_ends_a_wait_and_a_park<S: Store>(harness: Harness<S>) {
    for (text, then) in [("waits", wait(HOUR)), ("parked", park(ParkReason::UnknownShape))] {
        let old = ended(&*harness.here, text, then).await;
        let (_, fence) = take(&*harness.there, old.execution, How::Resume { keep_tries: true }).await;
        harness.clock.advance(2 * HOUR);
        let due = super::due::due_ids(&*harness.here).await;
        assert!(!due.contains(&old.execution), "{text}: nobody else is called");
        write(fence).step(1, "on").written(&*harness.there).await;
    }
}
