//! What does a wish to cancel do to an execution that nobody runs? Waiting, parked, handed back, left by
//! a dead owner, in doubt: it ends, as soon as what must be known first is known.

use std::time::Duration;

use keystep::execution::CancelWish;
use keystep::{RunError, Schema, Settlement, State, StepContext, StepError, Verified, WorkerOptions};
use serde_json::json;

use super::bodies::{does, undoes, waits_at};
use super::cancel::{UNDO_A, deaf, is_cancelled, with_long};
use super::town::{KEY, Process, Town, id_in, in_doubt, is_in_doubt, quick, soon};
use crate::faulty::{Call, Fault, Gate};
use crate::under_faults::Ground;

pub async fn a_wish_is_seen_by_whoever_takes_over_from_a_dead_owner<G: Ground>(ground: G) {
    let (town, blind) = (Town::on(ground).await, Gate::closed());
    let schema = with_long(deaf);
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    // Neither of them looks for wishes.
    for process in [&here, &there] {
        let blind = Fault::HoldBefore(blind.clone());
        process.faults.script_each(&[Call::Cancels], blind);
    }
    here.begin(&schema).await;
    town.noted("long", 1).await;
    assert_eq!(there.cancel(id_in(&schema), CancelWish::Undo).await, Ok(()));
    town.kill(&here).await;
    let goes_on = || town.notes.count("long") > 1;
    let over = there.until(&schema, |execution| execution.state.is_finished() || goes_on());
    over.await;
    assert!(!goes_on(), "the new owner knows of no wish");
    is_cancelled(&town, &there, &schema).await;
    assert_eq!(town.notes.count(UNDO_A), 1);
}

pub async fn what_waits_for_its_next_try_is_cancelled_at_once<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.cancel")
        .step("a", does("a"))
        .undo(undoes("a"))
        .step("long", |_cx: StepContext, _n: u64| async move {
            Err(StepError::retry_after(
                "the partner is closed",
                Duration::from_secs(3600),
            ))
        })
        .step("c", does("c"))
        .build();
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
    assert_eq!(there.cancel(id_in(&schema), CancelWish::Undo).await, Ok(()));
    is_cancelled(&town, &here, &schema).await;
    town.notes.are(&["a", UNDO_A]);
}

pub async fn what_nobody_owns_is_cancelled_by_a_process_that_takes_up_no_work<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = with_long(deaf);
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    soon(here.shutdown()).await;
    let idle = WorkerOptions {
        in_flight: 0,
        ..quick()
    };
    let there = town
        .process_with(|builder| builder.schema(schema.clone()).worker(idle))
        .await;
    there.until_is(&schema, State::Ready).await;
    assert_eq!(there.cancel(id_in(&schema), CancelWish::Undo).await, Ok(()));
    is_cancelled(&town, &there, &schema).await;
    town.notes.are(&["a", "long", "dropped", UNDO_A]);
}

pub async fn what_no_live_process_knows_is_stopped_by_any<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = with_long(deaf);
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    soon(here.shutdown()).await;
    let other: Schema<u64, u64> = Schema::new("test.other").step("a", does("a")).build();
    let stranger = town.process(&other).await;
    assert_eq!(stranger.cancel(id_in(&schema), CancelWish::Stop).await, Ok(()));
    stranger.until_is(&schema, State::Cancelled).await;
    town.notes.are(&["a", "long", "dropped"]);
}

pub async fn what_is_parked_because_it_can_not_be_read_is_stopped<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = with_long(deaf);
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    soon(here.shutdown()).await;
    // A deploy that forgot that the types changed.
    let retyped: Schema<u64, u64> = Schema::new("test.cancel")
        .step("a", |_cx: StepContext, n: u64| async move { Ok(n.to_string()) })
        .step("long", |_cx: StepContext, text: String| async move { Ok(text) })
        .step("c", |_cx: StepContext, text: String| async move {
            Ok(text.len() as u64)
        })
        .build();
    assert_eq!(schema.shape(), retyped.shape());
    let there = town.process(&retyped).await;
    there.until_is(&retyped, State::Parked).await;
    assert_eq!(there.cancel(id_in(&retyped), CancelWish::Stop).await, Ok(()));
    is_cancelled(&town, &there, &retyped).await;
}

/// A payment that is done at most once is cancelled inside, with this wish.
async fn cancelled_in_doubt<G: Ground>(town: &Town<G>, wish: CancelWish) -> (Schema<u64, u64>, Process) {
    let gate = Gate::closed();
    let schema: Schema<u64, u64> = Schema::new("test.cancel")
        .step("a", does("a"))
        .undo(undoes("a"))
        .step("pay", waits_at(&gate, "pay"))
        .at_most_once()
        .undo(undoes("pay"))
        .step("c", does("c"))
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    assert_eq!(here.cancel(id_in(&schema), wish).await, Ok(()));
    let parked = in_doubt(&here, &schema).await;
    assert_eq!(
        parked.cancel,
        Some(wish),
        "it is cancelled as soon as that is known"
    );
    is_in_doubt(&here.run(&schema, KEY, 1).await, "pay");
    (schema, here)
}

pub async fn a_payment_that_was_cancelled_inside_is_settled_first_and_undone_if_it_was_done<G: Ground>(
    ground: G,
) {
    let town = Town::on(ground).await;
    let (schema, here) = cancelled_in_doubt(&town, CancelWish::Undo).await;
    let settled = here
        .settle(id_in(&schema), Settlement::Done(json!(7)), "it was paid")
        .await;
    assert_eq!(settled, Ok(()));
    is_cancelled(&town, &here, &schema).await;
    town.notes.are(&["a", "pay", "undo pay 7 attempt 1", UNDO_A]);
}

pub async fn a_payment_that_was_cancelled_inside_and_not_done_is_not_tried_again<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let (schema, here) = cancelled_in_doubt(&town, CancelWish::Stop).await;
    let settled = here
        .settle(id_in(&schema), Settlement::NotDone, "it was not paid")
        .await;
    assert_eq!(settled, Ok(()));
    is_cancelled(&town, &here, &schema).await;
    town.notes.are(&["a", "pay"]);
}

pub async fn a_payment_that_was_cancelled_inside_is_verified_first<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema: Schema<u64, u64> = Schema::new("test.cancel")
        .step("pay", waits_at(&gate, "pay"))
        .at_most_once()
        .verify(|_cx: StepContext, _n: u64| async move { Ok(Verified::Done(7)) })
        .undo(undoes("pay"))
        .step("c", does("c"))
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Undo).await, Ok(()));
    is_cancelled(&town, &here, &schema).await;
    town.notes.are(&["pay", "undo pay 7 attempt 1"]);
}
