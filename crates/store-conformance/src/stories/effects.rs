//! How often is a step done? At most once where it says so, with whatever may happen inside; otherwise
//! again, with the same idempotency key.

use keystep::{AfterFailure, FailureKind, ParkReason, Retry, RunError, Schema, State};
use keystep::{StepContext, StepError, StepResult, Verified};

use super::town::{KEY, Notes, Process, Town, book, id_in, note, recorded, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

/// Pays at most once, then ships. The payment waits at the gate, if there is one.
fn paying(gate: Option<&Gate>) -> keystep::SchemaBuilder<u64, u64, u64> {
    let gate = gate.cloned();
    Schema::new("test.effects")
        .step("pay", move |cx: StepContext, n: u64| {
            let gate = gate.clone();
            async move {
                note(&cx, "pay")?;
                if let Some(gate) = gate {
                    gate.pass().await;
                }
                Ok(n + 1)
            }
        })
        .at_most_once()
}

fn shipping(builder: keystep::SchemaBuilder<u64, u64, u64>) -> Schema<u64, u64> {
    builder
        .step("ship", |cx: StepContext, n: u64| async move {
            note(&cx, "ship")?;
            Ok(n * 10)
        })
        .build()
}

/// The owner dies inside the payment; gives the process that has taken over.
async fn killed_while_it_pays<G: Ground>(town: &Town<G>, schema: &Schema<u64, u64>, gate: &Gate) -> Process {
    let here = town.process(schema).await;
    let called = here.run(schema, KEY, 1).submit();
    drop(soon(called).await.expect("it begins"));
    soon(gate.arrived(1)).await;
    town.kill(&here).await;
    town.process(schema).await
}

pub async fn what_dies_inside_a_step_that_is_done_at_most_once_is_in_doubt_and_not_tried_again<G: Ground>(
    ground: G,
) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema = shipping(paying(Some(&gate)));
    let there = killed_while_it_pays(&town, &schema, &gate).await;
    let parked = there.until_is(&schema, State::Parked).await;
    assert_eq!(parked.parked, Some(ParkReason::InDoubt));
    assert_eq!(recorded(&parked), ["pay::@started/1"]);
    let told = there.run(&schema, KEY, 1).await;
    assert!(
        matches!(&told, Err(RunError::Parked { reason: ParkReason::InDoubt, failure: Some(failure), .. })
            if failure.step == "pay"),
        "{told:?}"
    );
    town.notes.are(&["pay"]);
}
