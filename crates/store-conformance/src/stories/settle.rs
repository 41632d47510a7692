//! What may a person decide of a step in doubt, and of an undo that fails? Each verdict, stored with its
//! reason before it is acted upon.

use std::time::Duration;

use keystep::{
    FailureKind, Limits, ParkReason, Retry, RunError, Schema, Settlement, State, StepContext, StepError,
    Verified,
};
use serde_json::json;

use super::bodies::{does, undoes};
use super::effects::{killed_at, paying_at, then_ship};
use super::town::{KEY, Process, Town, in_doubt, marks, note, soon};
use super::undo::{again, failing, fails_first, is_undone};
use crate::faulty::Gate;
use crate::under_faults::Ground;

const WHY: &str = "the bank says so";

/// A payment in doubt, whose owner is dead, and the process that has it now.
async fn doubtful<G: Ground>(town: &Town<G>) -> (Schema<u64, u64>, Process) {
    let gate = Gate::closed();
    let schema = then_ship(paying_at(&gate));
    let there = killed_at(town, &schema, &gate).await;
    in_doubt(&there, &schema).await;
    (schema, there)
}

pub async fn what_a_person_knows_to_be_done_goes_on_with_that_output<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let (schema, there) = doubtful(&town).await;
    let id = there.read(&schema).await.id;
    assert_eq!(there.settle(id, Settlement::Done(json!(7)), WHY).await, Ok(()));
    assert_eq!(there.run(&schema, KEY, 1).await, Ok(70));
    town.notes.are(&["pay", "ship"]);
    let done = there.read(&schema).await;
    assert!(marks(&done).contains(&"pay::@settled/1"), "{done:?}");
    town.stores(id, WHY).await;
}

pub async fn an_output_that_is_too_large_is_refused_before_it_is_stored<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, String> = Schema::new("test.settle")
        .step("pay", |_cx: StepContext, _n: u64| async move {
            Err::<String, _>("who knows".into())
        })
        .at_most_once()
        .build();
    let limits = Limits {
        payload_bytes: 100,
        ..Limits::default()
    };
    let process = town
        .process_with(|builder| builder.schema(schema.clone()).limits(limits))
        .await;
    let told = process.run(&schema, KEY, 1).await;
    assert!(matches!(told, Err(RunError::Parked { .. })), "{told:?}");
    let id = process.read(&schema).await.id;
    let settled = process
        .settle(id, Settlement::Done(json!("x".repeat(100))), WHY)
        .await;
    assert!(matches!(settled, Err(RunError::Invalid(_))), "{settled:?}");
    assert_eq!(
        process.settle(id, Settlement::Done(json!("x")), WHY).await,
        Ok(())
    );
    assert_eq!(process.run(&schema, KEY, 1).await, Ok("x".to_owned()));
}

pub async fn what_a_person_knows_not_to_be_done_runs_once_more<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let (schema, there) = doubtful(&town).await;
    let id = there.read(&schema).await.id;
    assert_eq!(there.settle(id, Settlement::NotDone, WHY).await, Ok(()));
    assert_eq!(there.run(&schema, KEY, 1).await, Ok(20));
    town.notes.are(&["pay", "pay", "ship"]);
    town.stores(id, WHY).await;
}

pub async fn what_a_person_lets_fail_is_failed_for_good_and_what_came_before_is_undone<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let schema: Schema<u64, u64> = Schema::new("test.settle")
        .step("reserve", does("reserve"))
        .undo(undoes("reserve"))
        .step("pay", move |_cx: StepContext, n: u64| {
            let gate = at.clone();
            async move {
                gate.pass().await;
                Ok(n)
            }
        })
        .at_most_once()
        .build();
    let there = killed_at(&town, &schema, &gate).await;
    let parked = in_doubt(&there, &schema).await;
    let verdict = Settlement::Failed("the customer has gone".to_owned());
    assert_eq!(there.settle(parked.id, verdict, WHY).await, Ok(()));
    let told = there.run(&schema, KEY, 1).await;
    let Err(RunError::Undone(failure)) = told else {
        panic!("{told:?}")
    };
    assert_eq!(
        (failure.step.as_str(), failure.kind, failure.message.as_str()),
        ("pay", FailureKind::Terminal, "the customer has gone")
    );
    town.notes.are(&["reserve", "undo reserve 2 attempt 1"]);
    town.stores(parked.id, WHY).await;
}

pub async fn a_verdict_that_is_not_about_how_it_is_parked_is_refused<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let (schema, there) = doubtful(&town).await;
    let parked = there.read(&schema).await;
    for verdict in [
        Settlement::UndoAgain,
        Settlement::UndoDone,
        Settlement::UndoSkipped,
    ] {
        let told = there.settle(parked.id, verdict, WHY).await;
        assert!(matches!(told, Err(RunError::Invalid(_))), "{told:?}");
    }
    let told = there
        .settle(parked.id, Settlement::Done(json!("no number")), WHY)
        .await;
    assert!(
        matches!(&told, Err(RunError::Invalid(why)) if why.contains("no output of the step `pay`")),
        "{told:?}"
    );
    let unchanged = there.read(&schema).await;
    assert_eq!(
        (unchanged.epoch, unchanged.parked),
        (parked.epoch, Some(ParkReason::InDoubt))
    );
    assert_eq!(
        there.settle(parked.id, Settlement::Done(json!(7)), WHY).await,
        Ok(())
    );
    there.until_is(&schema, State::Succeeded).await;
    let late = there.settle(parked.id, Settlement::NotDone, WHY).await;
    assert!(matches!(late, Err(RunError::Invalid(_))), "{late:?}");
    town.notes.are(&["pay", "ship"]);
}

pub async fn of_two_verdicts_at_once_one_counts<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let (schema, there) = doubtful(&town).await;
    let another = town.process(&schema).await;
    let id = there.read(&schema).await.id;
    let (one, two) = tokio::join!(
        there.settle(id, Settlement::Done(json!(7)), WHY),
        another.settle(id, Settlement::NotDone, WHY)
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let refused = one.clone().and(two).expect_err("one of them");
    assert!(
        matches!(refused, RunError::InProgress { .. } | RunError::Invalid(_)),
        "{refused:?}"
    );
    there.until_is(&schema, State::Succeeded).await;
    let output = there.run(&schema, KEY, 1).await;
    assert_eq!(output, Ok(if one.is_ok() { 70 } else { 20 }));
    assert_eq!(town.notes.count("pay"), if one.is_ok() { 1 } else { 2 });
}

pub async fn a_verdict_whose_process_dies_before_it_is_stored_is_none<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let (schema, there) = doubtful(&town).await;
    let id = there.read(&schema).await.id;
    let held = there.holds_commit(1);
    assert_eq!(there.settle(id, Settlement::NotDone, WHY).await, Ok(()));
    soon(held.arrived(1)).await;
    town.kill(&there).await;
    let third = town.process(&schema).await;
    in_doubt(&third, &schema).await;
    held.open();
    town.notes.are(&["pay"]);
    assert_eq!(third.settle(id, Settlement::Done(json!(7)), WHY).await, Ok(()));
    assert_eq!(third.run(&schema, KEY, 1).await, Ok(70));
    town.notes.are(&["pay", "ship"]);
}

pub async fn a_verdict_that_is_stored_counts_although_its_process_dies<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let (schema, there) = doubtful(&town).await;
    let id = there.read(&schema).await.id;
    // That it is settled, then the output.
    let held = there.holds_commit(2);
    assert_eq!(there.settle(id, Settlement::Done(json!(7)), WHY).await, Ok(()));
    soon(held.arrived(1)).await;
    town.kill(&there).await;
    let third = town.process(&schema).await;
    third.until_is(&schema, State::Succeeded).await;
    assert_eq!(third.run(&schema, KEY, 1).await, Ok(70));
    town.notes.are(&["pay", "ship"]);
}

pub async fn a_process_that_does_not_know_the_schema_settles_nothing<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let (schema, there) = doubtful(&town).await;
    let other: Schema<u64, u64> = Schema::new("test.other").step("a", does("a")).build();
    let stranger = town.process(&other).await;
    let id = there.read(&schema).await.id;
    let told = stranger.settle(id, Settlement::NotDone, WHY).await;
    assert!(
        matches!(
            told,
            Err(RunError::Parked {
                reason: ParkReason::UnknownShape,
                ..
            })
        ),
        "{told:?}"
    );
    in_doubt(&there, &schema).await;
}

pub async fn what_was_lazy_before_a_step_in_doubt_is_not_done_again<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let schema: Schema<u64, u64> = Schema::new("test.settle")
        .step("price", does("price"))
        .lazy()
        .step("pay", move |cx: StepContext, n: u64| {
            let gate = at.clone();
            async move {
                note(&cx, format!("pay {n}"))?;
                gate.pass().await;
                Ok(n)
            }
        })
        .at_most_once()
        .verify(|cx: StepContext, n: u64| async move {
            note(&cx, format!("verify {n}"))?;
            Ok(Verified::Unknown)
        })
        .build();
    let there = killed_at(&town, &schema, &gate).await;
    let parked = in_doubt(&there, &schema).await;
    assert_eq!(
        there.settle(parked.id, Settlement::Done(json!(7)), WHY).await,
        Ok(())
    );
    assert_eq!(there.run(&schema, KEY, 1).await, Ok(7));
    town.notes.are(&["price", "pay 2", "verify 2"]);
}

/// An undo that fails for good, and what an operator decides.
async fn by_hand<G: Ground>(ground: &G, verdict: Settlement, undone: usize) {
    let town = Town::on(ground.clone()).await;
    let schema = failing(
        fails_first(1, || StepError::terminal("it is closed")),
        Retry::default(),
    );
    let here = town.process(&schema).await;
    let told = here.run(&schema, format!("{verdict:?}"), 1).await;
    let Err(RunError::Parked {
        execution,
        reason: ParkReason::UndoFailed,
        failure: Some(failure),
    }) = told
    else {
        panic!("{told:?}")
    };
    assert_eq!(
        (failure.step.as_str(), failure.message.as_str()),
        ("b", "it is closed")
    );
    assert_eq!(town.notes.count("undo a 2 attempt 1"), 0, "the order is kept");
    let settled = here
        .settle(execution, verdict.clone(), "a person has looked")
        .await;
    assert_eq!(settled, Ok(()));
    let told = here.run(&schema, format!("{verdict:?}"), 1).await;
    assert!(matches!(told, Err(RunError::Undone(_))), "{told:?}");
    assert_eq!(town.notes.count("undo b"), undone, "{verdict:?}");
    assert_eq!(town.notes.count("undo a 2 attempt 1"), 1, "{verdict:?}");
    let stored = here.find_id(execution).await.expect("read").expect("there");
    assert!(marks(&stored).contains(&"b::@undo_settled/1"), "{stored:?}");
    town.stores(execution, "a person has looked").await;
    here.shutdown().await;
}

pub async fn an_undo_that_fails_for_good_waits_for_a_person_whose_verdict_brings_it_on<G: Ground>(ground: G) {
    by_hand(&ground, Settlement::UndoAgain, 2).await;
    by_hand(&ground, Settlement::UndoDone, 1).await;
    by_hand(&ground, Settlement::UndoSkipped, 1).await;
}

pub async fn an_undo_whose_tries_are_used_up_waits_for_a_person<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let twice = Retry::attempts(2).first_delay(Duration::from_millis(1));
    let schema = failing(fails_first(4, again), twice);
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    let mut parked = here.until_is(&schema, State::Parked).await;
    for again in [1, 2] {
        assert_eq!(parked.parked, Some(ParkReason::UndoFailed));
        assert_eq!(town.notes.count("undo b"), 2 * again, "with fresh tries");
        let settled = here
            .settle(parked.id, Settlement::UndoAgain, "the partner is back")
            .await;
        assert_eq!(settled, Ok(()));
        let before = parked.epoch;
        let settled = here.until(&schema, |execution| {
            execution.state == State::Undone || execution.state == State::Parked && execution.epoch > before
        });
        parked = settled.await;
    }
    is_undone(&here, &schema).await;
    assert_eq!(town.notes.count("undo b"), 5);
}
