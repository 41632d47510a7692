//! Does an atomic schema take effect as a whole or not at all? For stores whose steps can have
//! transactions. Each step books a row under its name; what is booked is seen by others only with the
//! outcome.

use std::time::Duration;

use futures::future::BoxFuture;
use keystep::execution::CancelWish;
use keystep::{
    AfterFailure, FailureKind, OnDuplicate, Retry, RunError, Schema, State, StepContext, StepError,
    StepResult, WaitReason,
};

use super::town::{HOUR, KEY, Notes, Town, book, id_in, note, soon};
use crate::faulty::{Call, Fault, Gate};
use crate::under_faults::Ground;

/// A step that books a row under its name.
fn books<G: Ground>(
    what: &'static str,
) -> impl Fn(StepContext, u64) -> BoxFuture<'static, StepResult<u64>> + use<G> {
    move |cx, n| {
        Box::pin(async move {
            note(&cx, what)?;
            book::<G>(&cx, what).await?;
            Ok(n + 1)
        })
    }
}

/// Books `a`; then what `then` does; then books `c`.
fn whole<G: Ground, F, Fut>(retry: Retry, then: F) -> Schema<u64, u64>
where
    F: Fn(StepContext, u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<u64>> + Send + 'static,
{
    Schema::new("test.atomic")
        .deadline(HOUR)
        .atomic()
        .step("a", books::<G>("a"))
        .step("then", then)
        .retry(retry)
        .step("c", books::<G>("c"))
        .build()
}

async fn is_booked<G: Ground>(town: &Town<G>, wanted: u64) {
    for mark in ["a", "c"] {
        assert_eq!(town.booked(mark).await, wanted, "rows of `{mark}`");
    }
}

/// Does nothing, and needs no transaction.
async fn nothing(cx: StepContext, n: u64) -> StepResult<u64> {
    note(&cx, "then")?;
    Ok(n)
}

fn soon_again(attempts: u32) -> Retry {
    Retry::attempts(attempts).first_delay(Duration::from_millis(1))
}

pub async fn all_steps_take_effect_together_with_the_outcome<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let schema = whole::<G, _, _>(Retry::none(), move |_cx, n| {
        let gate = at.clone();
        async move {
            gate.pass().await;
            Ok(n)
        }
    });
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    is_booked(&town, 0).await;
    gate.open();
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(3));
    is_booked(&town, 1).await;
    town.notes.are(&["a", "c"]);
}

pub async fn a_final_failure_leaves_nothing_behind<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = whole::<G, _, _>(Retry::default(), |cx, _n| async move {
        note(&cx, "then")?;
        Err(StepError::terminal("it is not possible"))
    });
    let here = town.process(&schema).await;
    for _call in 0..2 {
        let told = here.run(&schema, KEY, 1).await;
        assert!(
            matches!(&told, Err(RunError::Failed(failure)) if failure.kind == FailureKind::Terminal),
            "{told:?}"
        );
    }
    is_booked(&town, 0).await;
    town.notes.are(&["a", "then"]);
}

pub async fn an_attempt_that_fails_begins_again_at_the_first_step<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = whole::<G, _, _>(soon_again(3), |cx, n| async move {
        note(&cx, "then")?;
        match cx.get::<Notes>()?.count("then") {
            3 => Ok(n),
            _ => Err("the partner is down".into()),
        }
    });
    let here = town.process(&schema).await;
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(3));
    is_booked(&town, 1).await;
    town.notes.are(&["a", "then", "a", "then", "a", "then", "c"]);
}

pub async fn its_tries_are_bounded_and_the_next_call_begins_anew<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = whole::<G, _, _>(soon_again(2), |cx, n| async move {
        note(&cx, "then")?;
        match cx.get::<Notes>()?.count("then") {
            3 => Ok(n),
            _ => Err("the partner is down".into()),
        }
    });
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    assert!(
        matches!(&told, Err(RunError::Failed(failure)) if failure.kind == FailureKind::Exhausted),
        "{told:?}"
    );
    is_booked(&town, 0).await;
    town.notes.are(&["a", "then", "a", "then"]);
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(3));
    is_booked(&town, 1).await;
}

pub async fn what_waits_for_its_next_try_holds_no_transaction<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = whole::<G, _, _>(Retry::default(), |cx, n| async move {
        note(&cx, "then")?;
        match cx.get::<Notes>()?.count("then") {
            1 => Err(StepError::retry_after("the partner is closed", HOUR / 2)),
            _ => Ok(n),
        }
    });
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    assert!(
        matches!(
            told,
            Err(RunError::Waiting {
                reason: WaitReason::Retry,
                ..
            })
        ),
        "{told:?}"
    );
    is_booked(&town, 0).await;
    town.clock.advance(HOUR / 2);
    here.until_is(&schema, State::Succeeded).await;
    is_booked(&town, 1).await;
    town.notes.are(&["a", "then", "a", "then", "c"]);
}

pub async fn what_dies_before_the_commit_begins_again_and_takes_effect_once<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = whole::<G, _, _>(Retry::none(), nothing);
    let here = town.process(&schema).await;
    let held = here.holds_commit(1);
    here.begin(&schema).await;
    soon(held.arrived(1)).await;
    here.faults.cut_off();
    // The connections of a dead process end, and its transaction with them.
    held.open();
    town.give_up(&here).await;
    let there = town.process(&schema).await;
    there.until_is(&schema, State::Succeeded).await;
    is_booked(&town, 1).await;
    // What the dead one goes on to do reaches nobody.
    assert!(town.notes.count("a") >= 2);
}

pub async fn a_lost_answer_of_the_commit_repeats_nothing<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = whole::<G, _, _>(Retry::none(), nothing);
    let here = town.process(&schema).await;
    here.faults.script(&[Call::Commit], 1, Fault::LoseAnswer);
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(3));
    assert_eq!(here.faults.left(), 0);
    is_booked(&town, 1).await;
    town.notes.are(&["a", "then", "c"]);
}

pub async fn a_wish_to_cancel_it_rolls_it_back<G: Ground>(ground: G) {
    for listens in [true, false] {
        let town = Town::on(ground.clone()).await;
        let schema = whole::<G, _, _>(Retry::default(), move |cx: StepContext, n: u64| async move {
            note(&cx, "then")?;
            cx.cancelled().await;
            if !listens {
                std::future::pending::<()>().await;
            }
            // It ends well, and the wish is seen between the steps.
            Ok(n)
        });
        let here = town.process(&schema).await;
        let begun = here
            .run(&schema, KEY, 1)
            .after_failure(AfterFailure::Restart)
            .submit();
        drop(begun.await.expect("it begins"));
        town.noted("then", 1).await;
        assert_eq!(here.cancel(id_in(&schema), CancelWish::Undo).await, Ok(()));
        here.until_is(&schema, State::Cancelled).await;
        is_booked(&town, 0).await;
        town.notes.are(&["a", "then"]);
        here.shutdown().await;
    }
}

pub async fn a_late_run_is_rolled_back<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let schema = whole::<G, _, _>(Retry::default(), move |_cx, n| {
        let gate = at.clone();
        async move {
            gate.pass().await;
            Ok(n)
        }
    });
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    town.clock.advance(HOUR);
    let failed = here.until_is(&schema, State::Failed).await;
    let code = failed.failure.and_then(|failure| failure.code);
    assert_eq!(code.as_deref(), Some("deadline_exceeded"));
    is_booked(&town, 0).await;
}

pub async fn a_process_that_stops_hands_it_back_whole<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let schema = whole::<G, _, _>(Retry::none(), move |cx, n| {
        let gate = at.clone();
        async move {
            note(&cx, "then")?;
            gate.pass().await;
            Ok(n)
        }
    });
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    soon(here.shutdown()).await;
    is_booked(&town, 0).await;
    gate.open();
    let there = town.process(&schema).await;
    there.until_is(&schema, State::Succeeded).await;
    is_booked(&town, 1).await;
    town.notes.are(&["a", "then", "a", "then", "c"]);
}

pub async fn a_duplicate_is_refused_at_once_while_it_runs<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let schema = whole::<G, _, _>(Retry::none(), move |_cx, n| {
        let gate = at.clone();
        async move {
            gate.pass().await;
            Ok(n)
        }
    });
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    for process in [&here, &there] {
        let refused = process.run(&schema, KEY, 1).on_duplicate(OnDuplicate::Reject);
        let refused = soon(refused.into_future()).await;
        assert!(matches!(refused, Err(RunError::InProgress { .. })), "{refused:?}");
    }
    gate.open();
    there.until_is(&schema, State::Succeeded).await;
    is_booked(&town, 1).await;
}
