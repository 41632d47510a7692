//! What does a wish to cancel do to an execution that runs, here or in another process? The step hears it,
//! and nothing further begins; what was done is undone if that is wished.

use std::time::Duration;

use keystep::execution::CancelWish;
use keystep::{
    AfterFailure, Execution, OnDuplicate, Retry, RunError, Schema, State, StepContext, StepError, StepResult,
    WorkerOptions,
};

use super::bodies::{does, undoes};
use super::town::{KEY, Notes, Process, Town, id_in, note, quick, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

/// Does `a`, whose undo is noted, and then what `long` does.
pub(super) fn with_long<F, Fut>(long: F) -> Schema<u64, u64>
where
    F: Fn(StepContext, u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<u64>> + Send + 'static,
{
    Schema::new("test.cancel")
        .step("a", does("a"))
        .undo(undoes("a"))
        .step("long", long)
        .step("c", does("c"))
        .build()
}

pub(super) const UNDO_A: &str = "undo a 2 attempt 1";

pub(super) async fn is_cancelled<G: Ground>(
    town: &Town<G>,
    process: &Process,
    schema: &Schema<u64, u64>,
) -> Execution {
    let execution = process.until_is(schema, State::Cancelled).await;
    assert_eq!(execution.cancel, None, "the wish is done");
    let told = process
        .run(schema, KEY, 1)
        .on_duplicate(OnDuplicate::Attach)
        .await;
    assert!(matches!(told, Err(RunError::Cancelled { .. })), "{told:?}");
    assert_eq!(town.notes.count("c"), 0, "no further step began");
    execution
}

/// Notes that it is dropped.
struct Dropped(Notes);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.take_down("dropped");
    }
}

/// Waits for ever, and does not listen.
pub(super) async fn deaf(cx: StepContext, _n: u64) -> StepResult<u64> {
    let _dropped = Dropped(cx.get::<Notes>()?.as_ref().clone());
    note(&cx, "long")?;
    std::future::pending().await
}

/// Waits until it is cancelled, and then ends in its own way.
async fn listening(cx: StepContext, _n: u64) -> StepResult<u64> {
    note(&cx, "long")?;
    cx.cancelled().await;
    note(&cx, "heard")?;
    Err("it was cancelled".into())
}

pub async fn a_step_that_listens_ends_in_its_own_way_whatever_its_retries<G: Ground>(ground: G) {
    for retry in [Retry::none(), Retry::default()] {
        let town = Town::on(ground.clone()).await;
        let schema: Schema<u64, u64> = Schema::new("test.cancel")
            .step("long", listening)
            .retry(retry)
            .step("c", does("c"))
            .build();
        let patient = WorkerOptions {
            cancel_grace: Duration::from_secs(3600),
            ..quick()
        };
        let here = town
            .process_with(|builder| builder.schema(schema.clone()).worker(patient))
            .await;
        let anew = here
            .run(&schema, KEY, 1)
            .after_failure(AfterFailure::Restart)
            .submit();
        let call = anew.await.expect("it begins");
        town.noted("long", 1).await;
        assert_eq!(here.cancel(id_in(&schema), CancelWish::Stop).await, Ok(()));
        let told = soon(call.wait()).await;
        assert!(matches!(told, Err(RunError::Cancelled { .. })), "{told:?}");
        is_cancelled(&town, &here, &schema).await;
        town.notes.are(&["long", "heard"]);
        here.shutdown().await;
    }
}

pub async fn a_step_that_does_not_listen_is_dropped_after_the_grace<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = with_long(deaf);
    let slow = WorkerOptions {
        cancel_grace: Duration::from_secs(60),
        ..quick()
    };
    let here = town
        .process_with(|builder| builder.schema(schema.clone()).worker(slow))
        .await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    let wished = town.clock.elapsed();
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Stop).await, Ok(()));
    let until_then = async {
        while here.read(&schema).await.state == State::Running {
            let early = town.clock.elapsed() - wished < Duration::from_secs(60);
            assert!(
                !early || town.notes.count("dropped") == 0,
                "the grace was not over"
            );
            town.clock.advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(until_then).await;
    is_cancelled(&town, &here, &schema).await;
    town.notes.are(&["a", "long", "dropped"]);
}

pub async fn an_output_that_comes_within_the_grace_is_recorded_and_nothing_further_begins<G: Ground>(
    ground: G,
) {
    let town = Town::on(ground).await;
    let schema = with_long(|cx: StepContext, n: u64| async move {
        note(&cx, "long")?;
        cx.cancelled().await;
        Ok(n)
    });
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Stop).await, Ok(()));
    let cancelled = is_cancelled(&town, &here, &schema).await;
    assert!(
        cancelled.steps.iter().any(|step| step.name == "long"),
        "{cancelled:?}"
    );
}

pub async fn a_wish_of_another_process_is_seen_and_what_was_done_is_undone<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = with_long(listening);
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    assert_eq!(there.cancel(id_in(&schema), CancelWish::Undo).await, Ok(()));
    is_cancelled(&town, &there, &schema).await;
    town.notes.are(&["a", "long", "heard", UNDO_A]);
}

pub async fn a_wish_to_stop_undoes_nothing<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = with_long(listening);
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Stop).await, Ok(()));
    is_cancelled(&town, &here, &schema).await;
    town.notes.are(&["a", "long", "heard"]);
}

pub async fn an_undo_of_what_was_cancelled_keeps_the_pauses_of_its_retry<G: Ground>(ground: G) {
    is_undone_after_two_pauses(ground, Duration::from_secs(120), 0).await;
}

pub async fn an_undo_of_what_was_cancelled_is_put_down_until_its_next_try<G: Ground>(ground: G) {
    is_undone_after_two_pauses(ground, Duration::ZERO, 2).await;
}

/// The pauses are a minute long; its owner holds it for so long, or puts it down so often.
async fn is_undone_after_two_pauses<G: Ground>(ground: G, hold: Duration, put_down: i64) {
    let town = Town::on(ground).await;
    let minutely = Retry::attempts(3)
        .first_delay(Duration::from_secs(60))
        .growth(1.0)
        .hold(hold);
    let clock = town.clock.clone();
    let schema: Schema<u64, u64> = Schema::new("test.cancel")
        .step("a", does("a"))
        .undo(move |cx: StepContext, _output: u64| {
            let at = clock.elapsed().as_secs();
            async move {
                note(&cx, format!("at {at}"))?;
                match cx.attempt() {
                    3 => Ok(()),
                    _ => Err("the partner is down".into()),
                }
            }
        })
        .undo_retry(minutely)
        .step("long", listening)
        .step("c", does("c"))
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Undo).await, Ok(()));
    soon(async {
        while here.read(&schema).await.state != State::Cancelled {
            town.clock.advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let claim = here.read(&schema).await.epoch;
    assert_eq!(claim, 1 + put_down, "acquired anew after each pause");
    let times = town.notes.all();
    let times = times
        .iter()
        .filter_map(|note| note.strip_prefix("at ")?.parse::<u64>().ok());
    let times: Vec<u64> = times.collect();
    assert_eq!(times.len(), 3, "{times:?}");
    // The upper half of a minute.
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 29), "{times:?}");
}

pub async fn a_wish_does_not_end_an_undo_that_is_under_way<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let schema: Schema<u64, u64> = Schema::new("test.cancel")
        .step("a", does("a"))
        .undo(move |cx: StepContext, _output: u64| {
            let gate = at.clone();
            async move {
                gate.pass().await;
                note(&cx, "undone")
            }
        })
        .step("b", |_cx: StepContext, _n: u64| async move {
            Err(StepError::terminal("it is not possible"))
        })
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Stop).await, Ok(()));
    gate.open();
    let undone = here.until_is(&schema, State::Undone).await;
    assert_eq!(undone.cancel, None);
    town.notes.are(&["a", "undone"]);
}

pub async fn a_wish_after_the_end_is_refused_and_changes_nothing<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.cancel").step("a", does("a")).build();
    let here = town.process(&schema).await;
    let unknown = here.cancel(id_in(&schema), CancelWish::Stop).await;
    assert!(matches!(unknown, Err(RunError::Invalid(_))), "{unknown:?}");
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(2));
    let late = here.cancel(id_in(&schema), CancelWish::Undo).await;
    assert!(matches!(late, Err(RunError::Invalid(_))), "{late:?}");
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(2));
    assert_eq!(here.read(&schema).await.state, State::Succeeded);
}

pub async fn a_wish_while_the_last_step_is_being_recorded_comes_too_late<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.cancel").step("a", does("a")).build();
    let here = town.process(&schema).await;
    let held = here.holds_commit(1);
    here.begin(&schema).await;
    soon(held.arrived(1)).await;
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Stop).await, Ok(()));
    held.open();
    let done = here.until_is(&schema, State::Succeeded).await;
    assert_eq!(done.cancel, None);
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(2));
}

pub async fn a_cancelled_key_is_used_anew_only_when_asked_and_without_the_old_wish<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = with_long(|cx: StepContext, n: u64| async move {
        note(&cx, "long")?;
        if cx.generation() == 1 {
            cx.cancelled().await;
        }
        Ok(n)
    });
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Stop).await, Ok(()));
    let cancelled = is_cancelled(&town, &here, &schema).await;
    let resumed = here.resume(cancelled.id).await;
    assert!(matches!(resumed, Err(RunError::Invalid(_))), "{resumed:?}");
    let resumed = here
        .run(&schema, KEY, 1)
        .after_failure(AfterFailure::Resume)
        .await;
    assert!(matches!(resumed, Err(RunError::Cancelled { .. })), "{resumed:?}");
    let anew = here
        .run(&schema, KEY, 1)
        .after_failure(AfterFailure::Restart)
        .await;
    assert_eq!(anew, Ok(3));
    town.notes.are(&["a", "long", "a", "long", "c"]);
}
