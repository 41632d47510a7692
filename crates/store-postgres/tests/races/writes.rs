//! What becomes of two writes of one owner that meet? The same write happens once; of two for one step
//! the second learns of the first.

use keystep::execution::State;
use keystep::store::{Commit, NewMessage, Store, Then, Verdict};
use uuid::Uuid;

use super::acts::{Told, recorded, row};
use super::stage::{Stage, orders_of_equals};
use crate::common::*;

#[tokio::test]
async fn in_every_order_the_same_write_sent_twice_is_written_once_and_both_are_told() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    for then in [Then::Continue, succeed("one")] {
        for order in orders_of_equals(2, 3) {
            let fence = started(&one.store, &format!("{then:?} {order:?}")).await;
            let write = record(fence, "one", 0, then.clone());
            let cast = vec![(&one, one.commits(again(&write))), (&two, two.commits(write))];
            let told = stage.play(&order, cast).await;
            let written = Told::Verdict(Verdict::Written);
            assert_eq!(told, [written.clone(), written], "in {order:?}");
            assert_eq!(recorded(&one.store, &fence).await, 1, "in {order:?}");
            assert_eq!(row(&one.store, &fence).await.state, then.state(), "in {order:?}");
        }
    }
}

#[tokio::test]
async fn in_every_order_the_second_write_of_a_step_learns_of_the_first() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    for order in orders_of_equals(2, 3) {
        let fence = started(&one.store, &format!("{order:?}")).await;
        let writes = [(); 2].map(|()| record(fence, "one", 0, Then::Continue));
        let ids = writes.each_ref().map(|write| write.write_id);
        let [first, second] = writes;
        let cast = vec![(&one, one.commits(first)), (&two, two.commits(second))];
        let told = stage.play(&order, cast).await;
        let winner = usize::from(told[0] != Told::Verdict(Verdict::Written));
        assert_eq!(told[winner], Told::Verdict(Verdict::Written), "in {order:?}");
        let exists = Told::Verdict(Verdict::Exists(ids[winner]));
        assert_eq!(told[1 - winner], exists, "in {order:?}");
        assert_eq!(recorded(&one.store, &fence).await, 1, "in {order:?}");
    }
}

#[tokio::test]
async fn the_same_write_sent_twice_at_once_is_written_once() {
    let stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    let fence = started(&one.store, "a").await;
    let write = record(fence, "one", 0, succeed("one"));
    // The first two meet in one lane.
    let (a, b, c) = tokio::join!(
        one.commits(again(&write)),
        one.commits(again(&write)),
        two.commits(write)
    );
    for told in [a, b, c] {
        assert_eq!(told, Told::Verdict(Verdict::Written));
    }
    assert_eq!(row(&one.store, &fence).await.state, State::Succeeded);
}

#[tokio::test]
async fn a_step_that_appears_after_the_snapshot_is_never_overwritten_nor_finished_over() {
    let mut stage = Stage::new().await;
    let owner = stage.player("owner").await;
    let fence = started(&owner.store, "a").await;
    let (schema, run) = (stage.schema.clone(), fence.run);
    let mut other = session().await;
    // Not a thing that an owner does: another write of the same claim, without the row's lock.
    sql(
        &mut other,
        format!(
            "BEGIN; INSERT INTO {schema}.checkpoints VALUES \
             ('{run}', '{run}', 1, 1, now(), 0, 1, 0, 'one', 'other')"
        ),
    )
    .await;
    let write = owner.asked(owner.commits(record(fence, "one", 0, succeed("one"))));
    stage.is_held_up(&write).await;
    sql(&mut other, "COMMIT").await;
    let told = write.answer().await;
    assert!(
        matches!(told, Told::Verdict(Verdict::Exists(by)) if by.0 == run.0),
        "{told:?}"
    );
    let found = owner.store.find(vec![fence.execution]).await.expect("found");
    assert_eq!(found[0].state, State::Running, "the state did not change either");
}

#[tokio::test]
async fn in_every_order_a_write_with_messages_that_is_sent_twice_leaves_them_once_and_in_order() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    for order in orders_of_equals(2, 3) {
        let fence = started(&one.store, &format!("{order:?}")).await;
        let message = |topic: &str| NewMessage {
            id: Uuid::new_v4(),
            topic: topic.into(),
            payload: payload("message"),
        };
        let write = Commit {
            messages: vec![message("first"), message("second")],
            ..record(fence, "one", 0, Then::Continue)
        };
        let cast = vec![(&one, one.commits(again(&write))), (&two, two.commits(write))];
        let told = stage.play(&order, cast).await;
        let written = Told::Verdict(Verdict::Written);
        assert!(told.iter().all(|told| *told == written), "{told:?} in {order:?}");
        let messages = one.store.outbox(Vec::new(), 10).await.expect("an answer");
        let topics: Vec<_> = messages.iter().map(|message| message.topic.as_str()).collect();
        assert_eq!(topics, ["first", "second"], "in {order:?}");
        let delivered = messages.iter().map(|message| message.id).collect();
        one.store.delivered(delivered).await.expect("an answer");
    }
}
