//! Who reads the outbox when several want to? One of them, also when the one before has died.

use keystep::execution::WorkerId;
use keystep::store::Store;

use super::acts::Told;
use super::stage::{Player, Stage, orders_of_equals};
use crate::common::{sql, worker};

#[tokio::test]
async fn in_every_order_one_of_two_relays_leads_an_outbox_that_nobody_has_led() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    let workers = [registered(&one).await, registered(&two).await];
    for order in orders_of_equals(2, 3) {
        let nobody = format!("DELETE FROM {}.relay", stage.schema);
        sql(&mut crate::common::session().await, nobody).await;
        one_leads(&mut stage, &order, [&one, &two], workers).await;
    }
}

#[tokio::test]
async fn in_every_order_one_of_two_relays_follows_a_leader_that_has_died() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    let workers = [registered(&one).await, registered(&two).await];
    let before = stage.player("before").await;
    for order in orders_of_equals(2, 4) {
        let nobody = format!("DELETE FROM {}.relay", stage.schema);
        sql(&mut crate::common::session().await, nobody).await;
        let leader = registered(&before).await;
        assert!(before.store.lead(leader).await.expect("an answer"));
        before.store.retire(leader).await.expect("retired");
        one_leads(&mut stage, &order, [&one, &two], workers).await;
    }
}

async fn one_leads(stage: &mut Stage, order: &[usize], relays: [&Player; 2], workers: [WorkerId; 2]) {
    let cast = relays.iter().zip(workers);
    let cast = cast.map(|(relay, worker)| (*relay, relay.leads(worker)));
    let told = stage.play(order, cast.collect()).await;
    let leads = |told: &Told| *told == Told::Leads(true);
    assert_eq!(
        told.iter().filter(|told| leads(told)).count(),
        1,
        "{told:?} in {order:?}"
    );
    // It stays so when they ask again.
    for ((relay, worker), told) in relays.iter().zip(workers).zip(&told) {
        let again = relay.store.lead(worker).await.expect("an answer");
        assert_eq!(again, leads(told), "in {order:?}");
    }
}

async fn registered(player: &Player) -> WorkerId {
    let me = worker();
    player.store.register(me.clone()).await.expect("registered");
    me.worker
}
