//! Who starts a key when several begin it, or when it goes away at that moment? One of them, and the
//! others get the row.

use keystep::execution::{ExecutionRecord, State, WorkerId};
use keystep::store::Begun;

use super::acts::{Told, row};
use super::batches::begins_in_one_batch;
use super::stage::{Gate, Stage, orders, orders_of_equals};
use crate::common::*;

const OWNER: WorkerId = WorkerId(1);

fn met(told: &Told) -> &ExecutionRecord {
    match told {
        Told::Begun(Begun::Exists(record)) => record,
        other => panic!("it should have met the row, but: {other:?}"),
    }
}

#[tokio::test]
async fn in_every_order_one_of_two_begins_starts_and_the_other_gets_its_row() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    for order in orders_of_equals(2, 3) {
        let key = format!("{order:?}");
        let wanted = [begin_of(&key, OWNER), begin_of(&key, OWNER)];
        let cast = vec![
            (&one, one.begins(wanted[0].clone())),
            (&two, two.begins(wanted[1].clone())),
        ];
        let told = stage.play(&order, cast).await;
        let winner = usize::from(!told[0].started());
        assert!(told[winner].started(), "nobody started it in {order:?}");
        let met = met(&told[1 - winner]);
        assert_eq!(met.claim.token, wanted[winner].token, "in {order:?}");
    }
}

#[tokio::test]
async fn in_every_order_one_of_three_begins_starts_and_the_others_get_its_row() {
    let mut stage = Stage::new().await;
    let cast = [
        stage.player("one").await,
        stage.player("two").await,
        stage.player("three").await,
    ];
    for order in orders_of_equals(3, 2) {
        let key = format!("{order:?}");
        let wanted: Vec<_> = cast.iter().map(|_player| begin_of(&key, OWNER)).collect();
        let acts = cast.iter().zip(&wanted);
        let acts = acts.map(|(player, begin)| (player, player.begins(begin.clone())));
        let told = stage.play(&order, acts.collect()).await;
        let winners: Vec<usize> = (0..3).filter(|player| told[*player].started()).collect();
        assert_eq!(winners.len(), 1, "started it in {order:?}");
        for loser in (0..3).filter(|player| *player != winners[0]) {
            let token = met(&told[loser]).claim.token;
            assert_eq!(token, wanted[winners[0]].token, "in {order:?}");
        }
    }
}

#[tokio::test]
async fn a_begin_whose_snapshot_is_older_than_the_winner_gets_its_row_all_the_same() {
    let mut stage = Stage::new().await;
    let (early, late) = (stage.player("early").await, stage.player("late").await);
    stage.close(&early, Gate::Begin).await;
    let begin = early.asked(early.begins(begin_of("a", OWNER)));
    stage.arrives(&begin, Gate::Begin).await;
    let fence = started(&late.store, "a").await;
    stage.open(&early, Gate::Begin).await;
    assert_eq!(met(&begin.answer().await).claim, fence.claim);
}

/// A batch is not sent again as one begin is.
#[tokio::test]
async fn a_batch_of_begins_whose_snapshot_is_older_than_the_winner_gets_its_row_all_the_same() {
    let mut stage = Stage::new().await;
    let (early, late) = (stage.player("early").await, stage.player("late").await);
    stage.close(&early, Gate::BeginHi).await;
    let [other, hi] = begins_in_one_batch(&mut stage, &early, ["other", "hi"]).await;
    stage.arrives(&hi, Gate::BeginHi).await;
    let fence = started(&late.store, "hi").await;
    stage.open(&early, Gate::BeginHi).await;
    assert_eq!(met(&hi.answer().await).claim, fence.claim);
    assert!(other.answer().await.started());
}

#[tokio::test]
async fn in_every_order_a_begin_that_meets_a_purge_gets_the_old_row_or_starts_anew() {
    let mut stage = Stage::new().await;
    let (caller, purger) = (stage.player("caller").await, stage.player("purger").await);
    for order in orders(&[3, 3]) {
        let fence = expired(&mut stage, &caller, &format!("{order:?}")).await;
        let wanted = begin_of(&format!("{order:?}"), OWNER);
        let cast = vec![
            (&caller, caller.begins(wanted.clone())),
            (&purger, purger.purges()),
        ];
        let told = stage.play(&order, cast).await;
        assert_eq!(told[1], Told::Purged(1), "in {order:?}");
        if told[0].started() {
            let now = row(&caller.store, &fence).await;
            let anew = (now.claim.token, now.run, now.state);
            assert_eq!(anew, (wanted.token, wanted.run, State::Running), "in {order:?}");
        } else {
            let met = met(&told[0]);
            let old = (met.run, met.state, met.output.clone());
            assert_eq!(
                old,
                (fence.run, State::Succeeded, Some(payload("output"))),
                "in {order:?}"
            );
        }
    }
}

#[tokio::test]
async fn in_every_order_a_begin_that_meets_a_finish_gets_the_run_or_its_output() {
    let mut stage = Stage::new().await;
    let (caller, owner) = (stage.player("caller").await, stage.player("owner").await);
    for order in orders(&[3, 4]) {
        let key = format!("{order:?}");
        let fence = started(&owner.store, &key).await;
        let cast = vec![
            (&caller, caller.begins(begin_of(&key, OWNER))),
            (&owner, owner.commits(record(fence, "one", 0, succeed("one")))),
        ];
        let told = stage.play(&order, cast).await;
        let met = met(&told[0]);
        match met.state {
            State::Running => assert_eq!(met.output, None, "in {order:?}"),
            State::Succeeded => assert_eq!(met.output, Some(payload("output")), "in {order:?}"),
            other => panic!("{other:?} in {order:?}"),
        }
    }
}

/// A finished execution whose retention is over.
pub(crate) async fn expired(
    stage: &mut Stage,
    player: &super::stage::Player,
    key: &str,
) -> keystep::execution::Fence {
    let fence = started(&player.store, key).await;
    let finish = player.commits(record(fence, "one", 0, succeed("one"))).await;
    assert_eq!(finish, Told::Verdict(keystep::store::Verdict::Written));
    stage.expire(&fence).await;
    fence
}
