//! What becomes of what was done, when a later step fails for good? It is undone, the last step first,
//! whoever dies meanwhile; and what can not be undone waits for a person.

use std::time::Duration;

use futures::future::BoxFuture;
use keystep::{
    AfterFailure, FailureKind, Retry, RunError, Schema, SchemaBuilder, State, StepContext, StepError,
    StepResult, WaitReason,
};

use super::bodies::{does, fails, undoes, waits_at};
use super::town::{KEY, Notes, Process, Town, note, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

const UNDONE: [&str; 5] = ["a", "b", "c", "undo b 3 attempt 1", "undo a 2 attempt 1"];

/// Does `a` and `b`, and fails at `c`; the undo of `b` as said.
pub(super) fn failing(
    undo_b: impl Fn(StepContext, u64) -> BoxFuture<'static, StepResult<()>> + Send + Sync + 'static,
    retry: Retry,
) -> Schema<u64, u64> {
    a_and_b(undo_b, retry).step("c", fails("c")).build()
}

fn a_and_b(
    undo_b: impl Fn(StepContext, u64) -> BoxFuture<'static, StepResult<()>> + Send + Sync + 'static,
    retry: Retry,
) -> SchemaBuilder<u64, u64, u64> {
    Schema::new("test.undo")
        .step("a", does("a"))
        .undo(undoes("a"))
        .step("between", |_cx: StepContext, n: u64| async move { Ok(n) })
        .step("b", does("b"))
        .undo(undo_b)
        .undo_retry(retry)
}

/// An undo of `b` that fails so often, in this way.
pub(super) fn fails_first(
    times: usize,
    error: fn() -> StepError,
) -> impl Fn(StepContext, u64) -> BoxFuture<'static, StepResult<()>> {
    move |cx, _output| {
        Box::pin(async move {
            note(&cx, "undo b")?;
            if cx.get::<Notes>()?.count("undo b") <= times {
                return Err(error());
            }
            Ok(())
        })
    }
}

pub(super) fn again() -> StepError {
    StepError::retry("the partner is down")
}

pub(super) async fn is_undone(process: &Process, schema: &Schema<u64, u64>) {
    process.until_is(schema, State::Undone).await;
    let Err(RunError::Undone(failure)) = process.run(schema, KEY, 1).await else {
        panic!("it is undone")
    };
    assert_eq!(
        (failure.step.as_str(), failure.kind),
        ("c", FailureKind::Terminal)
    );
    assert_eq!(
        failure.code.as_deref(),
        Some("impossible"),
        "the failure that came first"
    );
}

pub async fn a_final_failure_undoes_what_was_done_the_last_step_first_and_each_once<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = failing(undoes("b"), Retry::default());
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    assert!(matches!(told, Err(RunError::Undone(_))), "{told:?}");
    is_undone(&here, &schema).await;
    town.notes.are(&UNDONE);
    let there = town.process(&schema).await;
    is_undone(&there, &schema).await;
    town.notes.are(&UNDONE);
}

pub async fn what_dies_at_any_write_is_undone_whole_by_the_next_owner<G: Ground>(ground: G) {
    // `a`, `between`, `b`, that it is undone, the undo of `b`, that of `a` with the end.
    for nth in 1..=6 {
        let town = Town::on(ground.clone()).await;
        let schema = failing(undoes("b"), Retry::default());
        let key = format!("dies at write {nth}");
        let here = town.process(&schema).await;
        let held = here.holds_commit(nth);
        drop(
            here.run(&schema, key.as_str(), 1)
                .submit()
                .await
                .expect("it begins"),
        );
        soon(held.arrived(1)).await;
        town.kill(&here).await;
        let there = town.process(&schema).await;
        let told = soon(there.run(&schema, key.as_str(), 1).into_future()).await;
        assert!(matches!(told, Err(RunError::Undone(_))), "{told:?}");
        let once = |what: &str| town.notes.count(what) == 1;
        let notes = town.notes.all();
        // What was under way happened again, and nothing else.
        let repeated = ["a", "between", "b", "c", "b", "a"][nth as usize - 1];
        for (step, undo) in [("a", "undo a 2 attempt 1"), ("b", "undo b 3 attempt 1")] {
            assert!(nth <= 3 && repeated == step || once(step), "{notes:?}");
            assert!(nth > 4 && repeated == step || once(undo), "{notes:?}");
        }
        let last = |what: &str| notes.iter().rposition(|note| note.starts_with(what));
        assert!(last("undo b") < last("undo a"), "{notes:?}");
        held.open();
        there.shutdown().await;
    }
}

pub async fn an_undo_whose_owner_dies_in_it_is_done_again_and_those_before_it_are_not<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let schema: Schema<u64, u64> = Schema::new("test.undo")
        .step("a", does("a"))
        .undo(move |cx: StepContext, _output: u64| {
            let gate = at.clone();
            async move {
                note(&cx, format!("undo a attempt {}", cx.attempt()))?;
                gate.pass().await;
                Ok(())
            }
        })
        .step("b", does("b"))
        .undo(undoes("b"))
        .step("c", fails("c"))
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    town.kill(&here).await;
    let there = town.process(&schema).await;
    soon(gate.arrived(2)).await;
    gate.open();
    is_undone(&there, &schema).await;
    let undo_b = "undo b 3 attempt 1";
    town.notes
        .are(&["a", "b", "c", undo_b, "undo a attempt 1", "undo a attempt 2"]);
}

pub async fn an_undo_that_fails_is_tried_again_as_its_own_retry_says<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let soon_again = Retry::attempts(3).first_delay(Duration::from_millis(2));
    let schema = failing(fails_first(2, again), soon_again);
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    assert!(matches!(told, Err(RunError::Undone(_))), "{told:?}");
    is_undone(&here, &schema).await;
    assert_eq!(town.notes.count("undo b"), 3);
}

pub async fn an_undo_whose_next_try_is_far_away_is_put_down_and_goes_on_then<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let later = Retry::attempts(2)
        .first_delay(Duration::from_secs(60))
        .hold(Duration::ZERO);
    let schema = failing(fails_first(1, again), later);
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    let Err(RunError::Waiting {
        reason: WaitReason::Retry,
        failure: Some(failure),
        ..
    }) = told
    else {
        panic!("{told:?}")
    };
    assert_eq!(failure.step, "b");
    town.clock.advance(Duration::from_secs(60));
    is_undone(&here, &schema).await;
    assert_eq!(town.notes.count("undo b"), 2);
}

pub async fn used_up_tries_undo_nothing_and_the_next_call_resumes<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = a_and_b(undoes("b"), Retry::default())
        .step("c", |cx: StepContext, n: u64| async move {
            note(&cx, "c")?;
            match cx.get::<Notes>()?.count("c") {
                1 => Err("the partner is down".into()),
                _ => Ok(n),
            }
        })
        .retry(Retry::none())
        .build();
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    assert!(
        matches!(&told, Err(RunError::Failed(failure)) if failure.kind == FailureKind::Exhausted),
        "{told:?}"
    );
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(3));
    town.notes.are(&["a", "b", "c", "c"]);
}

pub async fn what_was_undone_runs_again_only_as_a_new_generation<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = failing(undoes("b"), Retry::default());
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    is_undone(&here, &schema).await;
    let resumed = here
        .run(&schema, KEY, 1)
        .after_failure(AfterFailure::Resume)
        .await;
    assert!(matches!(resumed, Err(RunError::Undone(_))), "{resumed:?}");
    let by_hand = here.resume(here.read(&schema).await.id).await;
    assert!(matches!(by_hand, Err(RunError::Invalid(_))), "{by_hand:?}");
    let anew = here
        .run(&schema, KEY, 1)
        .after_failure(AfterFailure::Restart)
        .await;
    assert!(matches!(anew, Err(RunError::Undone(_))), "{anew:?}");
    assert_eq!(here.read(&schema).await.generation, 2);
    town.notes.are(&[UNDONE, UNDONE].concat());
}

pub async fn an_undo_sends_a_key_of_its_own_in_each_attempt<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    gate.open();
    let schema: Schema<u64, u64> = Schema::new("test.undo")
        .step("a", |cx: StepContext, n: u64| async move {
            note(&cx, cx.idempotency_key())?;
            Ok(n)
        })
        .undo(|cx: StepContext, _n: u64| async move {
            note(&cx, cx.idempotency_key())?;
            match cx.attempt() {
                1 => Err("the partner is down".into()),
                _ => Ok(()),
            }
        })
        .undo_retry(Retry::attempts(2).first_delay(Duration::from_millis(1)))
        .step("b", waits_at(&gate, "b"))
        .step("c", fails("c"))
        .build();
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    is_undone(&here, &schema).await;
    let mut keys = town.notes.all();
    keys.retain(|note| note.len() > 1);
    assert_eq!(keys.len(), 3);
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[1], keys[2]);
}
