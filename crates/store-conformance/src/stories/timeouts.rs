//! What may take how long? An attempt of a step, and a run as a whole, waits included. All by a clock that
//! the stories move.

use std::time::Duration;

use keystep::execution::CancelWish;
use keystep::{
    AfterFailure, FailureKind, Retry, RunError, Schema, SchemaStart, SecondSignal, Settlement, State,
    StepContext, StepError, StepResult,
};
use serde_json::json;

use super::bodies::{does, undoes, waits_at};
use super::town::{HOUR, KEY, Process, Town, id_in, in_doubt, note, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

const MINUTE: Duration = Duration::from_secs(60);

/// A schema whose runs may take an hour.
fn hourly() -> SchemaStart {
    Schema::new("test.timeouts").deadline(HOUR)
}

async fn for_ever(cx: StepContext, _n: u64) -> StepResult<u64> {
    note(&cx, "long")?;
    std::future::pending().await
}

/// Waits until the run has failed because it is late.
async fn is_late(process: &Process, schema: &Schema<u64, u64>, state: State) {
    let failed = process.until_is(schema, state).await;
    let failure = failed.failure.expect("a failure");
    assert_eq!(failure.code.as_deref(), Some("deadline_exceeded"), "{failure}");
    assert_eq!(failure.kind, FailureKind::Terminal);
    let told = process.run(schema, KEY, 1).await;
    assert!(
        matches!(&told, Err(RunError::Failed(told) | RunError::Undone(told)) if *told == failure),
        "{told:?}"
    );
}

pub async fn an_attempt_that_takes_too_long_is_dropped_and_tried_again<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.timeouts")
        .step("slow", |cx: StepContext, n: u64| async move {
            note(&cx, "slow")?;
            if cx.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            Ok(n)
        })
        .timeout(HOUR)
        .retry(Retry::attempts(2).first_delay(Duration::from_millis(1)))
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("slow", 1).await;
    town.clock.advance(HOUR - MINUTE);
    assert_eq!(here.read(&schema).await.state, State::Running);
    town.clock.advance(MINUTE);
    here.until_is(&schema, State::Succeeded).await;
    town.notes.are(&["slow", "slow"]);
}

pub async fn a_step_that_always_takes_too_long_uses_its_tries_up<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.timeouts")
        .step("long", for_ever)
        .timeout(Duration::from_millis(5))
        .retry(Retry::attempts(2).first_delay(Duration::from_millis(1)))
        .build();
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    let Err(RunError::Failed(failure)) = told else {
        panic!("{told:?}")
    };
    assert_eq!(
        (failure.code.as_deref(), failure.kind, failure.attempt),
        (Some("timed_out"), FailureKind::Exhausted, 2)
    );
    town.notes.are(&["long", "long"]);
}

pub async fn a_late_run_fails_for_good_inside_a_step_and_what_was_done_is_undone<G: Ground>(ground: G) {
    for retry in [Retry::none(), Retry::default()] {
        let town = Town::on(ground.clone()).await;
        let schema: Schema<u64, u64> = hourly()
            .step("a", does("a"))
            .undo(undoes("a"))
            .step("long", for_ever)
            .retry(retry)
            .build();
        let here = town.process(&schema).await;
        let begun = here
            .run(&schema, KEY, 1)
            .after_failure(AfterFailure::Restart)
            .submit();
        drop(begun.await.expect("it begins"));
        town.noted("long", 1).await;
        town.clock.advance(HOUR);
        is_late(&here, &schema, State::Undone).await;
        town.notes.are(&["a", "long", "undo a 2 attempt 1"]);
        here.shutdown().await;
    }
}

pub async fn a_run_that_waits_for_its_next_try_is_late_when_its_time_is_over<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = hourly()
        .step("long", |_cx: StepContext, _n: u64| async move {
            Err(StepError::retry_after("the partner is closed", 48 * HOUR))
        })
        .build();
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    let Err(RunError::Waiting {
        due_in: Some(due_in), ..
    }) = told
    else {
        panic!("{told:?}")
    };
    assert!(due_in <= HOUR, "{due_in:?}");
    town.clock.advance(HOUR);
    is_late(&here, &schema, State::Failed).await;
}

pub async fn a_run_that_waits_for_a_signal_is_late_when_its_time_is_over<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = hourly()
        .signal("approved", SecondSignal::Refused)
        .step("wait", |cx: StepContext, n: u64| async move {
            let approved: Option<bool> = cx.signal("approved", None).await?;
            Ok(n + u64::from(approved.unwrap_or(false)))
        })
        .build();
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
    town.clock.advance(HOUR);
    is_late(&here, &schema, State::Failed).await;
}

pub async fn the_time_of_a_run_goes_on_when_its_owner_dies<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema: Schema<u64, u64> = hourly().step("long", waits_at(&gate, "long")).build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    town.clock.advance(HOUR - MINUTE);
    town.kill(&here).await;
    let there = town.process(&schema).await;
    soon(gate.arrived(2)).await;
    assert_eq!(
        there.read(&schema).await.state,
        State::Running,
        "there is a minute left"
    );
    town.clock.advance(MINUTE);
    is_late(&there, &schema, State::Failed).await;
}

pub async fn a_new_generation_has_its_whole_time<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = hourly()
        .step("long", |cx: StepContext, n: u64| async move {
            note(&cx, "long")?;
            match cx.generation() {
                1 => std::future::pending().await,
                _ => Ok(n),
            }
        })
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    town.clock.advance(HOUR);
    is_late(&here, &schema, State::Failed).await;
    let resumed = here
        .run(&schema, KEY, 1)
        .after_failure(AfterFailure::Resume)
        .await;
    assert!(
        matches!(resumed, Err(RunError::Failed(_))),
        "it stays late: {resumed:?}"
    );
    let anew = here
        .run(&schema, KEY, 1)
        .after_failure(AfterFailure::Restart)
        .await;
    assert_eq!(anew, Ok(1));
}

pub async fn a_payment_that_is_late_is_in_doubt_first<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema: Schema<u64, u64> = hourly()
        .step("pay", waits_at(&gate, "pay"))
        .at_most_once()
        .undo(undoes("pay"))
        .step("ship", does("ship"))
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    town.clock.advance(HOUR);
    let parked = in_doubt(&here, &schema).await;
    let settled = here
        .settle(parked.id, Settlement::Done(json!(7)), "it was paid")
        .await;
    assert_eq!(settled, Ok(()));
    is_late(&here, &schema, State::Undone).await;
    town.notes.are(&["pay", "undo pay 7 attempt 1"]);
}

pub async fn an_undo_is_given_the_time_it_needs<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let schema: Schema<u64, u64> = hourly()
        .step("a", does("a"))
        .undo(move |cx: StepContext, _output: u64| {
            let gate = at.clone();
            async move {
                gate.pass().await;
                note(&cx, "undone")
            }
        })
        .step("long", for_ever)
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Undo).await, Ok(()));
    soon(gate.arrived(1)).await;
    town.clock.advance(2 * HOUR);
    assert_eq!(here.read(&schema).await.state, State::Running);
    gate.open();
    here.until_is(&schema, State::Cancelled).await;
    town.notes.are(&["a", "long", "undone"]);
}
