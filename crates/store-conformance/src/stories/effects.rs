//! How often is a step done? One that is done at most once never again without knowledge, whatever
//! happens inside; any other again, with the same idempotency key.

use std::time::Duration;

use futures::future::BoxFuture;
use keystep::{
    AfterFailure, FailureKind, Retry, RunError, Schema, SchemaBuilder, State, StepContext, StepError,
    StepResult,
};

use super::town::{KEY, Notes, Process, Town, in_doubt, is_in_doubt, marks, note, soon};
use crate::faulty::{Call, Fault, Gate};
use crate::under_faults::Ground;

/// What an attempt of the payment does: which one it is, from 1, is known.
type Does = fn(usize) -> BoxFuture<'static, StepResult<()>>;

/// Pays at most once, as said.
pub(super) fn paying<F>(does: F) -> SchemaBuilder<u64, u64, u64>
where
    F: Fn(usize) -> BoxFuture<'static, StepResult<()>> + Send + Sync + 'static,
{
    Schema::new("test.effects")
        .step("pay", move |cx: StepContext, n: u64| {
            let notes = cx.get::<Notes>().expect("the notes");
            notes.take_down("pay");
            let doing = does(notes.count("pay"));
            async move {
                doing.await?;
                Ok(n + 1)
            }
        })
        .retry(Retry::attempts(3).first_delay(Duration::from_millis(5)))
        .at_most_once()
}

/// The first attempt waits at the gate.
pub(super) fn paying_at(gate: &Gate) -> SchemaBuilder<u64, u64, u64> {
    let gate = gate.clone();
    paying(move |attempt| {
        let gate = gate.clone();
        Box::pin(async move {
            if attempt == 1 {
                gate.pass().await;
            }
            Ok(())
        })
    })
}

pub(super) fn then_ship(builder: SchemaBuilder<u64, u64, u64>) -> Schema<u64, u64> {
    let ship = builder.step("ship", |cx: StepContext, n: u64| async move {
        note(&cx, "ship")?;
        Ok(n * 10)
    });
    ship.build()
}

/// The owner dies inside the payment; gives the process that takes over.
pub(super) async fn killed_at<G: Ground>(town: &Town<G>, schema: &Schema<u64, u64>, gate: &Gate) -> Process {
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
    let schema = then_ship(paying_at(&gate));
    let there = killed_at(&town, &schema, &gate).await;
    let parked = in_doubt(&there, &schema).await;
    assert_eq!(marks(&parked), ["pay::@started/1"]);
    is_in_doubt(&there.run(&schema, KEY, 1).await, "pay");
    there.resume(parked.id).await.expect("an operator resumes");
    let again = there.until(&schema, |execution| {
        execution.state == State::Parked && execution.epoch > parked.epoch
    });
    again.await;
    town.notes.are(&["pay"]);
}

pub async fn what_dies_before_it_has_said_that_it_begins_has_not_begun<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = then_ship(paying(|_| Box::pin(async { Ok(()) })));
    let here = town.process(&schema).await;
    let held = here.holds_commit(1);
    drop(here.run(&schema, KEY, 1).submit().await.expect("it begins"));
    soon(held.arrived(1)).await;
    town.kill(&here).await;
    let there = town.process(&schema).await;
    there.until_is(&schema, State::Succeeded).await;
    held.open();
    town.notes.are(&["pay", "ship"]);
}

pub async fn an_output_that_did_not_arrive_leaves_the_step_in_doubt<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = then_ship(paying(|_| Box::pin(async { Ok(()) })));
    let here = town.process(&schema).await;
    let held = here.holds_commit(2);
    drop(here.run(&schema, KEY, 1).submit().await.expect("it begins"));
    soon(held.arrived(1)).await;
    town.kill(&here).await;
    let there = town.process(&schema).await;
    in_doubt(&there, &schema).await;
    held.open();
    town.notes.are(&["pay"]);
}

pub async fn a_lost_answer_of_the_store_is_no_doubt<G: Ground>(ground: G) {
    for nth in [1, 2] {
        let town = Town::on(ground.clone()).await;
        let schema = then_ship(paying(|_| Box::pin(async { Ok(()) })));
        let here = town.process(&schema).await;
        here.faults.script(&[Call::Commit], nth, Fault::LoseAnswer);
        let key = format!("the answer of commit {nth}");
        assert_eq!(here.run(&schema, key, 1).await, Ok(20));
        assert_eq!(here.faults.left(), 0);
        town.notes.are(&["pay", "ship"]);
        here.shutdown().await;
    }
}

pub async fn an_error_that_says_that_nothing_was_done_is_tried_again_also_by_the_next_owner<G: Ground>(
    ground: G,
) {
    let town = Town::on(ground).await;
    let refused = |attempt| -> BoxFuture<'static, StepResult<()>> {
        Box::pin(async move {
            match attempt {
                1 | 2 => Err(StepError::not_done("the connection was refused")),
                _ => Ok(()),
            }
        })
    };
    let slowly = Retry::attempts(3)
        .first_delay(Duration::from_secs(60))
        .hold(Duration::from_secs(3600));
    let schema = then_ship(paying(refused).retry(slowly));
    let here = town.process(&schema).await;
    drop(here.run(&schema, KEY, 1).submit().await.expect("it begins"));
    here.until(&schema, |execution| {
        marks(execution).contains(&"pay::@not_done/1")
    })
    .await;
    town.kill(&here).await;
    let there = town.process(&schema).await;
    there
        .until(&schema, |execution| {
            marks(execution).contains(&"pay::@not_done/2")
        })
        .await;
    town.clock.advance(Duration::from_secs(3600));
    there.until_is(&schema, State::Succeeded).await;
    town.notes.are(&["pay", "pay", "pay", "ship"]);
}

pub async fn a_terminal_error_leaves_no_doubt<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let declined: Does = |attempt| {
        Box::pin(async move {
            match attempt {
                1 => Err(StepError::terminal("the card was declined").code("card_declined")),
                _ => Ok(()),
            }
        })
    };
    let schema = then_ship(paying(declined));
    let here = town.process(&schema).await;
    let Err(RunError::Failed(failure)) = here.run(&schema, KEY, 1).await else {
        panic!("it is declined")
    };
    assert_eq!(
        (failure.kind, failure.code.as_deref()),
        (FailureKind::Terminal, Some("card_declined"))
    );
    assert_eq!(here.run(&schema, KEY, 1).await, Err(RunError::Failed(failure)));
    town.notes.are(&["pay"]);
    // Somebody who knows another card.
    let resumed = here
        .run(&schema, KEY, 1)
        .after_failure(AfterFailure::Resume)
        .await;
    assert_eq!(resumed, Ok(20));
    town.notes.are(&["pay", "pay", "ship"]);
}

pub async fn any_other_error_a_panic_and_a_timeout_leave_the_step_in_doubt<G: Ground>(ground: G) {
    let cases: [(&str, Does, &str); 3] = [
        (
            "an error",
            |_| Box::pin(async { Err("the connection broke".into()) }),
            "the connection broke",
        ),
        (
            "a panic",
            |_| Box::pin(async { panic!("a bug") }),
            "the step panicked: a bug",
        ),
        (
            "a time-out",
            |_| Box::pin(std::future::pending()),
            "no output within 20ms",
        ),
    ];
    for (what, does, message) in cases {
        let town = Town::on(ground.clone()).await;
        let schema = then_ship(paying(does).timeout(Duration::from_millis(20)));
        let here = town.process(&schema).await;
        let told = here.run(&schema, what, 1).await;
        is_in_doubt(&told, "pay");
        let Err(RunError::Parked {
            failure: Some(failure),
            ..
        }) = told
        else {
            panic!("{told:?}")
        };
        assert_eq!(failure.message, message, "{what}");
        town.notes.are(&["pay"]);
        here.shutdown().await;
    }
}

pub async fn a_process_that_stops_inside_it_leaves_it_in_doubt<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema = then_ship(paying_at(&gate));
    let here = town.process(&schema).await;
    drop(here.run(&schema, KEY, 1).submit().await.expect("it begins"));
    soon(gate.arrived(1)).await;
    soon(here.shutdown()).await;
    let there = town.process(&schema).await;
    in_doubt(&there, &schema).await;
    town.notes.are(&["pay"]);
}

pub async fn a_step_that_is_done_at_most_once_can_not_be_put_down<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.effects")
        .step("pay", |cx: StepContext, n: u64| async move {
            note(&cx, "pay")?;
            cx.sleep("a night", Duration::from_secs(3600)).await?;
            Ok(n)
        })
        .at_most_once()
        .build();
    let here = town.process(&schema).await;
    let told = here.run(&schema, KEY, 1).await;
    is_in_doubt(&told, "pay");
    assert!(told.expect_err("parked").to_string().contains("in_doubt"));
    town.notes.are(&["pay"]);
}

pub async fn every_attempt_of_a_step_sends_the_same_key_and_nothing_else_does<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let failing = |cx: StepContext, n: u64| async move {
        note(&cx, cx.idempotency_key())?;
        note(&cx, cx.idempotency_key_of("part"))?;
        match cx.attempt() {
            1 => Err("the partner is down".into()),
            _ => Ok(n),
        }
    };
    let soon_again = Retry::attempts(2).first_delay(Duration::from_millis(1));
    let schema: Schema<u64, u64> = Schema::new("test.effects")
        .retention(Duration::from_secs(60))
        .step("first", failing)
        .retry(soon_again)
        .step("second", failing)
        .retry(soon_again)
        .build();
    let here = town.process(&schema).await;
    for key in ["one", "another"] {
        assert_eq!(here.run(&schema, key, 1).await, Ok(1));
    }
    town.clock.advance(Duration::from_secs(61));
    assert_eq!(here.run(&schema, "one", 1).await, Ok(1));
    let mut seen = town.notes.all();
    assert_eq!(seen.len(), 3 * 2 * 2 * 2, "runs, steps, attempts, keys");
    for attempts in seen.chunks(4) {
        assert_eq!(attempts[..2], attempts[2..], "the same in each attempt");
    }
    seen.sort();
    seen.dedup();
    assert_eq!(
        seen.len(),
        3 * 2 * 2,
        "and different between runs, steps and parts"
    );
}
