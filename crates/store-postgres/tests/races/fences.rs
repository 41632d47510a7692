//! Can a write of an owner and a takeover both happen? Never, in whatever order, and whichever
//! snapshot a statement began with.

use keystep::execution::{Fence, State, WorkerId};
use keystep::store::{Commit, How, Store, StoreError, Then, Verdict};
use sqlx::PgConnection;

use super::acts::{Told, recorded, row};
use super::stage::{Gate, Player, Stage, orders};
use crate::common::*;

#[tokio::test]
async fn in_every_order_a_checkpoint_is_either_loaded_by_the_takeover_or_fenced() {
    let mut stage = Stage::new().await;
    let (owner, taker) = (stage.player("owner").await, stage.player("taker").await);
    for order in orders(&[3, 3]) {
        let fence = started(&owner.store, &format!("checkpoint {order:?}")).await;
        let seen = row(&owner.store, &fence).await.seen();
        let checkpoint = record(fence, "one", 0, Then::Continue);
        let cast = vec![
            (&owner, owner.commits(checkpoint)),
            (&taker, taker.acquires(seen, How::TakeOver)),
        ];
        let told = stage.play(&order, cast).await;
        let there = recorded(&taker.store, &fence).await;
        let (Told::Verdict(verdict), Told::Won(_, progress)) = (&told[0], &told[1]) else {
            panic!("a checkpoint leaves the claim as it was, so the takeover wins: {told:?}");
        };
        let loaded = progress.checkpoints.len();
        match verdict {
            Verdict::Written => assert_eq!((loaded, there), (1, 1), "loaded and there, in {order:?}"),
            Verdict::Fenced => assert_eq!((loaded, there), (0, 0), "loaded and there, in {order:?}"),
            other @ (Verdict::Exists(_) | Verdict::Wished) => panic!("nobody else meets it: {other:?}"),
        }
    }
}

#[tokio::test]
async fn in_every_order_a_finish_and_a_takeover_have_one_winner() {
    let mut stage = Stage::new().await;
    let (owner, taker) = (stage.player("owner").await, stage.player("taker").await);
    for order in orders(&[4, 3]) {
        let fence = started(&owner.store, &format!("{order:?}")).await;
        let seen = row(&owner.store, &fence).await.seen();
        let cast = vec![
            (&owner, owner.commits(record(fence, "one", 0, succeed("one")))),
            (&taker, taker.acquires(seen, How::TakeOver)),
        ];
        let told = stage.play(&order, cast).await;
        let state = row(&owner.store, &fence).await.state;
        let there = recorded(&taker.store, &fence).await;
        match (&told[0], &told[1]) {
            (Told::Verdict(Verdict::Written), Told::Lost) => {
                assert_eq!((state, there), (State::Succeeded, 1), "in {order:?}");
            }
            (Told::Verdict(Verdict::Fenced), Told::Won(_, progress)) => {
                assert_eq!((state, there), (State::Running, 0), "in {order:?}");
                assert_eq!(progress.checkpoints, [], "in {order:?}");
            }
            other => panic!("both or none won: {other:?} in {order:?}"),
        }
    }
}

#[tokio::test]
async fn a_checkpoint_that_meets_an_open_takeover_waits_and_is_fenced() {
    let mut stage = Stage::new().await;
    let (owner, taker) = (stage.player("owner").await, stage.player("taker").await);
    let fence = started(&owner.store, "a").await;
    let seen = row(&owner.store, &fence).await.seen();
    stage.close(&taker, Gate::Commit).await;
    let takeover = taker.asked(taker.acquires(seen, How::TakeOver));
    stage.arrives(&takeover, Gate::Commit).await;

    let write = owner.asked(owner.commits(record(fence, "one", 0, Then::Continue)));
    stage.is_held_up(&write).await;
    stage.open(&taker, Gate::Commit).await;
    assert!(takeover.answer().await.won());
    assert_eq!(write.answer().await, Told::Verdict(Verdict::Fenced));
    assert_eq!(recorded(&owner.store, &fence).await, 0);
}

#[tokio::test]
async fn a_takeover_that_meets_an_open_checkpoint_waits_and_loads_it() {
    let mut stage = Stage::new().await;
    let (owner, taker) = (stage.player("owner").await, stage.player("taker").await);
    let fence = started(&owner.store, "a").await;
    let seen = row(&owner.store, &fence).await.seen();
    stage.close(&owner, Gate::Commit).await;
    let write = owner.asked(owner.commits(record(fence, "one", 0, Then::Continue)));
    stage.arrives(&write, Gate::Commit).await;

    let takeover = taker.asked(taker.acquires(seen, How::TakeOver));
    stage.is_held_up(&takeover).await;
    stage.open(&owner, Gate::Commit).await;
    assert_eq!(write.answer().await, Told::Verdict(Verdict::Written));
    let Told::Won(_, progress) = takeover.answer().await else {
        panic!("the claim is as it was seen");
    };
    assert_eq!(progress.checkpoints.len(), 1, "the new owner sees the step");
}

#[tokio::test]
async fn a_checkpoint_that_meets_an_open_end_of_its_claim_waits_and_is_fenced() {
    let mut stage = Stage::new().await;
    let (owner, late) = (stage.player("owner").await, stage.player("late").await);
    for then in [Then::Release, succeed("none")] {
        let fence = started(&owner.store, &format!("{then:?}")).await;
        let mut end = record(fence, "none", 0, then.clone());
        end.checkpoint = None;
        stage.close(&owner, Gate::Commit).await;
        let end = owner.asked(owner.commits(end));
        stage.arrives(&end, Gate::Commit).await;
        let write = late.asked(late.commits(record(fence, "one", 0, Then::Continue)));
        stage.is_held_up(&write).await;
        stage.open(&owner, Gate::Commit).await;
        assert_eq!(end.answer().await, Told::Verdict(Verdict::Written));
        assert_eq!(
            write.answer().await,
            Told::Verdict(Verdict::Fenced),
            "after {then:?}"
        );
        assert_eq!(recorded(&owner.store, &fence).await, 0);
    }
}

/// After a failover that lost the tail of the log an epoch is used twice; only the token differs.
#[tokio::test]
async fn a_checkpoint_that_meets_an_open_claim_of_its_own_epoch_waits_and_is_fenced() {
    let mut stage = Stage::new().await;
    let owner = stage.player("owner").await;
    let fence = started(&owner.store, "a").await;
    let mut other = session().await;
    let schema = &stage.schema;
    let claim = format!("BEGIN; UPDATE {schema}.executions SET token = gen_random_uuid(), owner = 9");
    sql(&mut other, claim).await;
    let write = owner.asked(owner.commits(record(fence, "one", 0, Then::Continue)));
    stage.is_held_up(&write).await;
    sql(&mut other, "COMMIT").await;
    assert_eq!(write.answer().await, Told::Verdict(Verdict::Fenced));
    assert_eq!(recorded(&owner.store, &fence).await, 0);
}

/// A lane's statement with a begin and a write in it begins with the begin. So it can be stopped when
/// its snapshot is taken, and the row of its write is not locked yet.
async fn with_an_old_snapshot(
    stage: &mut Stage,
    owner: &Player,
    write: Commit,
    meanwhile: impl AsyncFnOnce(),
) -> Told {
    let before = started(&owner.store, "before").await;
    stage.close(owner, Gate::Begin).await;
    let first = owner.commits(record(before, "one", 0, Then::Continue));
    let beside = owner.begins(begin_of("beside", WorkerId(1)));
    let acts = [beside, owner.commits(write)];
    let [beside, write] = stage.in_one_batch(owner, first, acts).await;
    stage.arrives(&beside, Gate::Begin).await;
    meanwhile().await;
    stage.open(owner, Gate::Begin).await;
    assert!(beside.answer().await.started());
    write.answer().await
}

#[tokio::test]
async fn a_checkpoint_whose_snapshot_is_older_than_a_takeover_is_fenced() {
    let mut stage = Stage::new().await;
    let (owner, taker) = (stage.player("owner").await, stage.player("taker").await);
    let fence = started(&owner.store, "a").await;
    let seen = row(&owner.store, &fence).await.seen();
    let write = record(fence, "one", 0, Then::Continue);
    let told = with_an_old_snapshot(&mut stage, &owner, write, async || {
        assert!(taker.acquires(seen, How::TakeOver).await.won());
    })
    .await;
    assert_eq!(told, Told::Verdict(Verdict::Fenced));
    assert_eq!(recorded(&owner.store, &fence).await, 0);
}

#[tokio::test]
async fn a_write_whose_snapshot_is_older_than_its_own_first_send_is_known_as_written() {
    let mut stage = Stage::new().await;
    let (owner, other) = (stage.player("owner").await, stage.player("other").await);
    let fence = started(&owner.store, "a").await;
    let first = record(fence, "one", 0, Then::Continue);
    let told = with_an_old_snapshot(&mut stage, &owner, again(&first), async || {
        assert_eq!(other.commits(first).await, Told::Verdict(Verdict::Written));
        // Also when the execution has ended since, by a later step.
        let last = record(fence, "two", 1, succeed("two"));
        assert_eq!(other.commits(last).await, Told::Verdict(Verdict::Written));
    })
    .await;
    assert_eq!(told, Told::Verdict(Verdict::Written));
    assert_eq!(recorded(&owner.store, &fence).await, 2);
}

#[tokio::test]
async fn a_fence_of_another_start_of_the_server_is_refused_for_as_long_as_it_is_used() {
    let (store, schema) = store().await;
    let fence = started(&store, "a").await;
    let other_start = Fence {
        incarnation: fence.incarnation - 1,
        ..fence
    };
    for _time in 0..2 {
        let write = store.commit(record(other_start, "one", 0, Then::Continue)).await;
        assert!(matches!(write, Err(StoreError::Restarted)), "{write:?}");
    }
    let mut session: PgConnection = session().await;
    let recorded = number(&mut session, format!("SELECT count(*) FROM {schema}.checkpoints")).await;
    assert_eq!(recorded, 0);
    let write = store.commit(record(fence, "one", 0, Then::Continue)).await;
    assert_eq!(write.expect("a verdict"), Verdict::Written);
}
