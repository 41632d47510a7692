//! Is a wish to cancel ever lost? One that comes at the moment at which its owner ends otherwise: parks it,
//! puts it down, lets it fail.

use futures::future::join;
use keystep::execution::CancelWish;
use keystep::store::{Shapes, Store, Wanted};
use keystep::{Limits, Retry, RunError, Schema, State, StepContext, StepError, Verified};

use super::bodies::{does, undoes, waits_at};
use super::cancel::{UNDO_A, deaf, is_cancelled, with_long};
use super::town::{HOUR, KEY, Process, Town, id_in, in_doubt, note, soon};
use crate::faulty::{Call, Fault, Gate};
use crate::under_faults::Ground;

/// Whether it is due, for whoever knows its shape.
async fn is_due<G: Ground>(town: &Town<G>, schema: &Schema<u64, u64>) -> bool {
    let wanted = Wanted {
        shapes: Shapes::Only(vec![schema.shape()]),
        limit: 10,
    };
    let due = town.store.due(wanted).await.expect("an answer");
    due.iter().any(|seen| seen.id == id_in(schema))
}

/// Wants the story's key cancelled while a commit of its owner waits at the gate, and lets that go on.
async fn wished_at(gate: &Gate, by: &Process, schema: &Schema<u64, u64>, wish: CancelWish) {
    soon(gate.arrived(1)).await;
    assert_eq!(by.cancel(id_in(schema), wish).await, Ok(()));
    gate.open();
}

pub async fn a_wish_just_before_a_failure_that_could_be_resumed_comes_first<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.cancel")
        .step("a", does("a"))
        .undo(undoes("a"))
        .step("long", |_cx: StepContext, _n: u64| async move {
            Err(StepError::retry("the partner is down"))
        })
        .retry(Retry::none())
        .step("c", does("c"))
        .build();
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    // The output of `a` is the first commit, the failure the second one.
    let gate = here.holds_commit(2);
    let call = here.run(&schema, KEY, 1).into_future();
    let wished = wished_at(&gate, &there, &schema, CancelWish::Undo);
    let (told, ()) = soon(join(call, wished)).await;
    assert!(matches!(told, Err(RunError::Cancelled { .. })), "{told:?}");
    is_cancelled(&town, &there, &schema).await;
    town.notes.are(&["a", UNDO_A]);
}

pub async fn what_an_attempt_is_known_not_to_have_done_is_kept_when_a_wish_comes_first<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.cancel")
        .step("a", does("a"))
        .undo(undoes("a"))
        .step("pay", |cx: StepContext, _n: u64| async move {
            note(&cx, "pay")?;
            Err::<u64, _>(StepError::not_done("the queue is full"))
        })
        .at_most_once()
        .retry(Retry::none())
        .step("c", does("c"))
        .build();
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    // `a`, the announcement, and the failure together with what is known of it.
    let gate = here.holds_commit(3);
    here.begin(&schema).await;
    wished_at(&gate, &there, &schema, CancelWish::Undo).await;
    is_cancelled(&town, &there, &schema).await;
    town.notes.are(&["a", "pay", UNDO_A]);
}

/// A payment of unknown effect, with a verify that gives these answers.
fn paying(answers: &'static [Verified<u64>]) -> Schema<u64, u64> {
    Schema::new("test.cancel")
        .step("pay", |cx: StepContext, _n: u64| async move {
            note(&cx, "pay")?;
            Err::<u64, _>("the connection broke".into())
        })
        .at_most_once()
        .verify(move |cx: StepContext, _n: u64| async move {
            note(&cx, "verify")?;
            let asked = cx.get::<super::town::Notes>()?.count("verify");
            Ok(answers[asked - 1].clone())
        })
        .undo(undoes("pay"))
        .step("c", does("c"))
        .build()
}

pub async fn a_wish_just_before_it_is_parked_in_doubt_has_it_verified_once_more<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = paying(&[Verified::Unknown, Verified::Done(7)]);
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    // The announcement is the first commit.
    let gate = here.holds_commit(2);
    here.begin(&schema).await;
    wished_at(&gate, &there, &schema, CancelWish::Undo).await;
    is_cancelled(&town, &there, &schema).await;
    town.notes
        .are(&["pay", "verify", "verify", "undo pay 7 attempt 1"]);
}

pub async fn what_stays_in_doubt_under_a_wish_is_left_to_a_person<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = paying(&[Verified::Unknown, Verified::Unknown]);
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    let gate = here.holds_commit(2);
    here.begin(&schema).await;
    wished_at(&gate, &there, &schema, CancelWish::Stop).await;
    let again = |execution: &keystep::Execution| execution.epoch == 2 && execution.state == State::Parked;
    there.until(&schema, again).await;
    let parked = in_doubt(&there, &schema).await;
    assert_eq!(parked.cancel, Some(CancelWish::Stop));
    assert!(!is_due(&town, &schema).await, "it was taken up for the wish");
    town.notes.are(&["pay", "verify", "verify"]);
}

pub async fn a_wish_just_before_it_is_parked_as_unreadable_stops_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = with_long(deaf);
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    town.noted("long", 1).await;
    // A deploy that forgot that the types changed.
    let retyped: Schema<u64, u64> = Schema::new("test.cancel")
        .step("a", |_cx: StepContext, n: u64| async move { Ok(n.to_string()) })
        .step("long", |_cx: StepContext, text: String| async move { Ok(text) })
        .step("c", |_cx: StepContext, text: String| async move {
            Ok(text.len() as u64)
        })
        .build();
    let there = town.process(&retyped).await;
    let gate = there.holds_commit(1);
    town.kill(&here).await;
    wished_at(&gate, &there, &retyped, CancelWish::Stop).await;
    is_cancelled(&town, &there, &retyped).await;
}

/// Takes its only allowed owner along, before there is anything to go on with.
async fn killed_once<G: Ground>(town: &Town<G>, schema: &Schema<u64, u64>) -> (Process, Process) {
    let limits = Limits {
        lost_owners: 1,
        ..Limits::default()
    };
    let start = || town.process_with(|builder| builder.schema(schema.clone()).limits(limits));
    let (here, there) = (start().await, start().await);
    here.begin(schema).await;
    town.noted("long", 1).await;
    (here, there)
}

fn only_long() -> Schema<u64, u64> {
    Schema::new("test.cancel")
        .step("long", deaf)
        .step("c", does("c"))
        .build()
}

pub async fn a_wish_just_before_it_is_parked_as_lost_too_often_is_acted_on<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, only_long());
    let (here, there) = killed_once(&town, &schema).await;
    let gate = there.holds_commit(1);
    town.kill(&here).await;
    wished_at(&gate, &there, &schema, CancelWish::Undo).await;
    is_cancelled(&town, &there, &schema).await;
    assert_eq!(town.notes.count("long"), 1);
}

pub async fn what_was_lost_too_often_under_a_wish_is_cancelled_and_not_parked<G: Ground>(ground: G) {
    let (town, schema, blind) = (Town::on(ground).await, only_long(), Gate::closed());
    let (here, there) = killed_once(&town, &schema).await;
    // Its owner does not look for wishes.
    here.faults
        .script_each(&[Call::Cancels], Fault::HoldBefore(blind.clone()));
    assert_eq!(there.cancel(id_in(&schema), CancelWish::Stop).await, Ok(()));
    town.kill(&here).await;
    let over = |execution: &keystep::Execution| execution.state != State::Running;
    let over = there.until(&schema, over).await;
    assert_eq!((over.state, over.parked), (State::Cancelled, None));
    assert_eq!(town.notes.count("long"), 1);
}

pub async fn a_wish_just_before_an_undo_is_parked_has_it_tried_once_more<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.cancel")
        .step("a", does("a"))
        .undo(|cx: StepContext, _output: u64| async move {
            note(&cx, "undo")?;
            match cx.get::<super::town::Notes>()?.count("undo") {
                1 => Err(StepError::terminal("the partner is down")),
                _ => Ok(()),
            }
        })
        .step("b", |_cx: StepContext, _n: u64| async move {
            Err::<u64, _>(StepError::terminal("it is not possible"))
        })
        .build();
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    // `a`, why it is undone, parked.
    let gate = here.holds_commit(3);
    here.begin(&schema).await;
    wished_at(&gate, &there, &schema, CancelWish::Stop).await;
    // It had failed before anybody wanted it cancelled.
    there.until_is(&schema, State::Undone).await;
    town.notes.are(&["a", "undo", "undo"]);
}

/// A payment whose verify has to wait for an hour once.
fn verified_in_an_hour(gate: &Gate) -> Schema<u64, u64> {
    Schema::new("test.cancel")
        .step("pay", waits_at(gate, "pay"))
        .at_most_once()
        .verify(|cx: StepContext, _n: u64| async move {
            note(&cx, "verify")?;
            match cx.get::<super::town::Notes>()?.count("verify") {
                1 => Err(StepError::retry_after("the bank is closed", HOUR)),
                _ => Ok(Verified::Done(7)),
            }
        })
        .undo(undoes("pay"))
        .step("c", does("c"))
        .build()
}

pub async fn a_verify_that_is_put_down_under_a_wish_keeps_its_pause<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema = verified_in_an_hour(&gate);
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(gate.arrived(1)).await;
    assert_eq!(here.cancel(id_in(&schema), CancelWish::Undo).await, Ok(()));
    let waiting = here.until_is(&schema, State::Waiting).await;
    assert_eq!(waiting.cancel, Some(CancelWish::Undo));
    assert!(!is_due(&town, &schema).await, "not before the bank opens");
    town.clock.advance(HOUR / 2);
    assert!(!is_due(&town, &schema).await, "not before the bank opens");
    town.notes.are(&["pay", "verify"]);
    town.clock.advance(HOUR);
    is_cancelled(&town, &here, &schema).await;
    town.notes
        .are(&["pay", "verify", "verify", "undo pay 7 attempt 1"]);
}

pub async fn a_wish_while_a_verify_is_put_down_has_it_asked_at_once<G: Ground>(ground: G) {
    let (town, in_pay) = (Town::on(ground).await, Gate::closed());
    let schema = verified_in_an_hour(&in_pay);
    let here = town.process(&schema).await;
    here.begin(&schema).await;
    soon(in_pay.arrived(1)).await;
    let there = town.process(&schema).await;
    // Its next owner does nothing before it has asked.
    let gate = there.holds_commit(1);
    town.kill(&here).await;
    wished_at(&gate, &there, &schema, CancelWish::Undo).await;
    is_cancelled(&town, &there, &schema).await;
    town.notes
        .are(&["pay", "verify", "verify", "undo pay 7 attempt 1"]);
}
