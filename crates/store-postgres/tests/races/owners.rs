//! Who owns a row when several acquire it? One, and nothing is left of what a new generation ends.

use keystep::execution::State;
use keystep::store::{How, Store};

use super::acts::{Told, recorded, restart, row};
use super::begins::expired;
use super::stage::{Gate, Stage, orders, orders_of_equals};
use crate::common::*;

#[tokio::test]
async fn in_every_order_one_of_two_takeovers_wins() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    for order in orders_of_equals(2, 3) {
        let fence = started(&one.store, &format!("{order:?}")).await;
        let seen = row(&one.store, &fence).await.seen();
        let cast = vec![
            (&one, one.acquires(seen, How::TakeOver)),
            (&two, two.acquires(seen, How::TakeOver)),
        ];
        let told = stage.play(&order, cast).await;
        let winners: Vec<_> = told.iter().filter(|told| told.won()).collect();
        let now = row(&one.store, &fence).await;
        assert_eq!(
            (winners.len(), now.claim.epoch, now.lost),
            (1, 2, 1),
            "in {order:?}"
        );
        let Told::Won(record, _) = winners[0] else {
            panic!("a winner")
        };
        assert_eq!(record.claim, now.claim, "in {order:?}");
    }
}

#[tokio::test]
async fn in_every_order_one_of_three_sweeps_takes_the_row() {
    let mut stage = Stage::new().await;
    let sweeps = [
        stage.player("one").await,
        stage.player("two").await,
        stage.player("three").await,
    ];
    for order in orders_of_equals(3, 2) {
        let fence = started(&sweeps[0].store, &format!("{order:?}")).await;
        let seen = row(&sweeps[0].store, &fence).await.seen();
        let cast = sweeps.iter();
        let cast = cast.map(|sweep| (sweep, sweep.acquires(seen, How::TakeOver)));
        let told = stage.play(&order, cast.collect()).await;
        let won = told.iter().filter(|told| told.won()).count();
        let now = row(&sweeps[0].store, &fence).await;
        assert_eq!((won, now.claim.epoch, now.lost), (1, 2, 1), "in {order:?}");
    }
}

#[tokio::test]
async fn in_every_order_one_of_two_who_recycle_an_expired_key_starts_it() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    for order in orders_of_equals(2, 3) {
        let old = expired(&mut stage, &one, &format!("{order:?}")).await;
        let seen = row(&one.store, &old).await.seen();
        let cast = vec![
            (&one, one.acquires(seen, restart())),
            (&two, two.acquires(seen, restart())),
        ];
        let told = stage.play(&order, cast).await;
        let winners: Vec<_> = told.iter().filter(|told| told.won()).collect();
        let now = row(&one.store, &old).await;
        assert_eq!((winners.len(), now.generation), (1, 2), "in {order:?}");
        let Told::Won(record, progress) = winners[0] else {
            panic!("a winner")
        };
        assert_eq!(
            (record.run, &progress.checkpoints),
            (now.run, &vec![]),
            "in {order:?}"
        );
        let of_old = format!(
            "SELECT count(*) FROM {}.checkpoints WHERE run_id = '{}'",
            stage.schema, old.run
        );
        assert_eq!(number(&mut session().await, of_old).await, 0, "in {order:?}");
    }
}

#[tokio::test]
async fn in_every_order_an_expired_key_is_either_recycled_or_purged() {
    let mut stage = Stage::new().await;
    let (caller, purger) = (stage.player("caller").await, stage.player("purger").await);
    for order in orders(&[3, 3]) {
        let old = expired(&mut stage, &caller, &format!("{order:?}")).await;
        let seen = row(&caller.store, &old).await.seen();
        let cast = vec![
            (&caller, caller.acquires(seen, restart())),
            (&purger, purger.purges()),
        ];
        let told = stage.play(&order, cast).await;
        let found = caller.store.find(vec![old.execution]).await.expect("an answer");
        match (&told[0], &told[1]) {
            (Told::Won(record, _), Told::Purged(0)) => {
                assert_eq!(found[0].run, record.run, "in {order:?}");
                assert_eq!(found[0].state, State::Running, "in {order:?}");
            }
            (Told::Lost, Told::Purged(1)) => assert_eq!(found, [], "in {order:?}"),
            other => panic!("recycled and purged: {other:?} in {order:?}"),
        }
        assert_eq!(recorded(&caller.store, &old).await, 0, "in {order:?}");
    }
}

/// Each row is taken once also where the first sweep is stopped with the row in its hands.
#[tokio::test]
async fn a_sweep_that_meets_an_open_takeover_waits_and_loses() {
    let mut stage = Stage::new().await;
    let (first, second) = (stage.player("first").await, stage.player("second").await);
    let fence = started(&first.store, "a").await;
    let seen = row(&first.store, &fence).await.seen();
    stage.close(&first, Gate::Commit).await;
    let open = first.asked(first.acquires(seen, How::TakeOver));
    stage.arrives(&open, Gate::Commit).await;
    let other = second.asked(second.acquires(seen, How::TakeOver));
    stage.is_held_up(&other).await;
    stage.open(&first, Gate::Commit).await;
    assert!(open.answer().await.won());
    assert_eq!(other.answer().await, Told::Lost);
    assert_eq!(
        row(&first.store, &fence).await.claim.epoch,
        2,
        "it was taken once"
    );
}
