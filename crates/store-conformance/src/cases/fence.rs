//! The fence: who does not own an execution now writes nothing for it.

use std::sync::Arc;

use keystep::execution::{ExecutionRecord, Fence, RunId};
use keystep::store::{How, Progress, Store, StoreError, Then, Verdict};
use uuid::Uuid;

use crate::Harness;
use crate::fixture::{
    HOUR, all_at_once, assert_unchanged, begin_of, ended, every_end, every_how, find, progress, record,
    started, succeed, take, wait, write,
};

/// What must not change while refused writes arrive.
async fn look<S: Store>(store: &S, fence: Fence) -> (ExecutionRecord, Progress) {
    let record = record(store, fence.execution).await;
    let progress = progress(store, record.id, record.run).await;
    (record, progress)
}

/// Sends every kind of write under this fence and asserts that each is refused and changes nothing.
async fn assert_fenced<S: Store>(harness: &Harness<S>, fence: Fence, why: &str) {
    let before = look(&*harness.here, fence).await;
    let mut thens = every_end();
    thens.push(Then::Continue);
    for then in thens {
        for store in [&harness.here, &harness.there] {
            let bare = write(fence).then(then.clone());
            let step = bare.clone().step(5, "late");
            for refused in [bare, step] {
                assert_eq!(refused.send(&**store).await, Verdict::Fenced, "{why}: {then:?}");
            }
        }
    }
    let after = look(&*harness.there, fence).await;
    assert_unchanged(&before.0, &after.0, why);
    assert_eq!(before.1.checkpoints, after.1.checkpoints, "{why}");
}

pub async fn a_lost_claim_refuses_the_commit<S: Store>(harness: Harness<S>) {
    for (number, how) in every_how().into_iter().enumerate() {
        let old = started(&*harness.here, &format!("k{number}")).await;
        write(old).step(0, "first").written(&*harness.here).await;
        let (_, fence) = take(&*harness.there, old.execution, how.clone()).await;
        assert_fenced(&harness, old, &format!("lost by {how:?}")).await;
        write(fence).step(1, "second").written(&*harness.there).await;
    }
}

pub async fn an_epoch_without_its_token_is_no_fence<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let mut other = fence;
    other.claim.token = Uuid::new_v4();
    assert_fenced(&harness, other, "an epoch used twice after a failover").await;
    write(fence).step(0, "first").written(&*harness.here).await;
}

pub async fn a_token_with_another_epoch_is_no_fence<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    for epoch in [0, 2, i64::MAX] {
        let mut other = fence;
        other.claim.epoch = epoch;
        assert_fenced(&harness, other, "another epoch").await;
    }
}

pub async fn a_claim_with_another_run_is_no_fence<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let other = Fence {
        run: RunId::fresh(),
        ..fence
    };
    assert_fenced(&harness, other, "another run").await;
}

pub async fn an_execution_that_is_not_running_refuses_a_new_write<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = ended(&*harness.here, &format!("k{number}"), then.clone()).await;
        assert_fenced(&harness, fence, &format!("ended by {then:?}")).await;
    }
}

pub async fn an_execution_that_is_not_there_refuses_the_commit<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let other = Fence {
        execution: begin_of("never begun").id,
        ..fence
    };
    let refused = write(other).step(0, "first").then(succeed(0));
    assert_eq!(refused.send(&*harness.here).await, Verdict::Fenced);
    assert_eq!(find(&*harness.there, other.execution).await, None);
}

pub async fn a_fenced_write_of_a_recorded_step_is_fenced<S: Store>(harness: Harness<S>) {
    let old = started(&*harness.here, "k").await;
    write(old).step(0, "first").written(&*harness.here).await;
    take(&*harness.there, old.execution, How::TakeOver).await;
    let late = write(old).step(0, "another first").then(succeed(0));
    assert_eq!(
        late.send(&*harness.here).await,
        Verdict::Fenced,
        "who is not the owner must stop, whatever else is true"
    );
}

pub async fn an_owner_that_came_back_writes_only_under_its_new_claim<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", wait(HOUR)).await;
    let (_, again) = take(&*harness.here, fence.execution, How::Resume { keep_tries: true }).await;
    assert_fenced(&harness, fence, "the claim of before the wait").await;
    write(again).step(1, "second").written(&*harness.here).await;
}

pub async fn a_takeover_and_commits_at_once_never_both_win<S: Store>(harness: Harness<S>) {
    for round in 0..20 {
        let old = started(&*harness.here, &format!("k{round}")).await;
        let seen = record(&*harness.here, old.execution).await.seen();
        // Sixteen steps of the old owner, and in the middle of them somebody takes over.
        let answers = all_at_once(17, |number| {
            let store = Arc::clone([&harness.here, &harness.there][number % 2]);
            async move {
                if number == 8 {
                    let wanted = crate::fixture::acquire_of(seen, How::TakeOver);
                    let (won, _) = crate::fixture::win(&*store, &wanted).await;
                    // A load after the takeover is what the new owner goes on from.
                    let found = progress(&*store, won.id, won.run).await;
                    return Err(found.checkpoints.len());
                }
                let sent = write(old).step(i32::try_from(number).expect("small"), "x");
                Ok(sent.send(&*store).await)
            }
        })
        .await;
        let mut written = 0;
        let mut loaded = 0;
        for answer in answers {
            match answer {
                Ok(Verdict::Written) => written += 1,
                Ok(Verdict::Fenced) => {}
                Ok(other) => panic!("each step is sent once: {other:?}"),
                Err(count) => loaded = count,
            }
        }
        let there = progress(&*harness.here, old.execution, old.run).await;
        assert_eq!(there.checkpoints.len(), written, "acknowledged is there");
        assert_eq!(loaded, written, "nothing appears after the takeover's load");
    }
}

pub async fn a_finish_and_a_takeover_at_once_never_both_win<S: Store>(harness: Harness<S>) {
    for round in 0..30 {
        let old = started(&*harness.here, &format!("k{round}")).await;
        let seen = record(&*harness.here, old.execution).await.seen();
        let answers = all_at_once(2, |number| {
            let (here, there) = (Arc::clone(&harness.here), Arc::clone(&harness.there));
            async move {
                if number == 0 {
                    let finish = write(old).step(0, "first").then(succeed(0));
                    finish.send(&*here).await == Verdict::Written
                } else {
                    let wanted = crate::fixture::acquire_of(seen, How::TakeOver);
                    let answer = there.acquire(wanted).await.expect("answered");
                    answer != keystep::store::Acquired::Lost
                }
            }
        })
        .await;
        let winners = answers.into_iter().filter(|won| *won).count();
        assert_eq!(winners, 1, "the finish or the takeover");
    }
}

pub async fn a_write_under_another_server_start_is_refused_as_restarted<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    if fence.incarnation == 0 {
        // A restarted server can not have lost acknowledged writes here: there is one start only.
        let (_, next) = take(&*harness.there, fence.execution, How::TakeOver).await;
        assert_eq!(next.incarnation, 0, "granted by every acquisition");
        write(next).step(0, "first").written(&*harness.here).await;
        return;
    }
    write(fence).step(0, "first").written(&*harness.here).await;
    let before = look(&*harness.here, fence).await;
    let stale = Fence {
        incarnation: fence.incarnation - 1,
        ..fence
    };
    for then in [Then::Continue, succeed(0)] {
        let refused = write(stale).step(1, "second").then(then);
        for store in [&harness.here, &harness.there, &harness.here] {
            let answer = store.commit(refused.commit()).await;
            assert!(
                matches!(answer, Err(StoreError::Restarted)),
                "for as long as it is sent: {answer:?}"
            );
        }
    }
    let after = look(&*harness.there, fence).await;
    assert_unchanged(&before.0, &after.0, "refused");
    assert_eq!(before.1.checkpoints, after.1.checkpoints, "refused");
    let (_, next) = take(&*harness.here, fence.execution, How::TakeOver).await;
    assert_eq!(next.incarnation, fence.incarnation, "of the server as it is");
    write(next).step(1, "second").written(&*harness.here).await;
}
