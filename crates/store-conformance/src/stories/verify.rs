//! Was it done? A step that is done at most once, whose answer was lost, and its verify.

use std::time::Duration;

use futures::future::BoxFuture;
use keystep::{
    Limits, ParkReason, Retry, Schema, SchemaBuilder, State, StepContext, StepError, StepResult, Verified,
};

use super::effects::{killed_at, paying, paying_at, then_ship};
use super::town::{KEY, Notes, Town, in_doubt, is_in_doubt, note, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

/// The verify of the payment: answers as said, when asked so often.
fn verified<F>(builder: SchemaBuilder<u64, u64, u64>, answers: F) -> SchemaBuilder<u64, u64, u64>
where
    F: Fn(usize) -> StepResult<Verified<u64>> + Send + Sync + 'static,
{
    builder.verify(move |cx: StepContext, n: u64| {
        let notes = cx.get::<Notes>().expect("the notes");
        notes.take_down(format!("verify {n}"));
        let answer = answers(notes.count(&format!("verify {n}")));
        async move { answer }
    })
}

pub async fn what_a_verify_finds_done_is_recorded_and_not_tried_again<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema = then_ship(verified(paying_at(&gate), |_| Ok(Verified::Done(7))));
    let there = killed_at(&town, &schema, &gate).await;
    there.until_is(&schema, State::Succeeded).await;
    assert_eq!(
        there.run(&schema, KEY, 1).await,
        Ok(70),
        "with the output that was found"
    );
    town.notes.are(&["pay", "verify 1", "ship"]);
}

pub async fn what_a_verify_finds_not_done_runs_once_more<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    // A loss is no try of the step: it has this one left.
    let builder = paying_at(&gate).retry(Retry::none());
    let schema = then_ship(verified(builder, |_| Ok(Verified::NotDone)));
    let there = killed_at(&town, &schema, &gate).await;
    there.until_is(&schema, State::Succeeded).await;
    assert_eq!(there.run(&schema, KEY, 1).await, Ok(20));
    town.notes.are(&["pay", "verify 1", "pay", "ship"]);
}

pub async fn what_a_verify_does_not_know_stays_in_doubt_until_it_does<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let answers = |asked| {
        Ok(match asked {
            1 => Verified::Unknown,
            _ => Verified::Done(7),
        })
    };
    let schema = then_ship(verified(paying_at(&gate), answers));
    let there = killed_at(&town, &schema, &gate).await;
    let parked = in_doubt(&there, &schema).await;
    is_in_doubt(&there.run(&schema, KEY, 1).await, "pay");
    town.notes.are(&["pay", "verify 1"]);
    there.resume(parked.id).await.expect("resumed");
    there.until_is(&schema, State::Succeeded).await;
    town.notes.are(&["pay", "verify 1", "verify 1", "ship"]);
}

pub async fn a_verify_that_fails_is_asked_as_often_as_the_step_is_tried<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let fails = |asked| Err(StepError::retry(format!("no answer to question {asked}")));
    let schema = then_ship(verified(paying_at(&gate), fails));
    let there = killed_at(&town, &schema, &gate).await;
    let parked = in_doubt(&there, &schema).await;
    let failure = parked.failure.expect("the last one");
    assert_eq!(failure.message, "no answer to question 3");
    town.notes.are(&["pay", "verify 1", "verify 1", "verify 1"]);
}

pub async fn an_error_of_unknown_effect_is_verified_before_it_is_tried_again<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let breaks = |attempt| -> BoxFuture<'static, StepResult<()>> {
        Box::pin(async move {
            match attempt {
                1 | 2 => Err("the connection broke".into()),
                _ => Ok(()),
            }
        })
    };
    let schema = then_ship(verified(paying(breaks), |asked| {
        Ok(match asked {
            1 => Verified::NotDone,
            _ => Verified::Done(7),
        })
    }));
    let here = town.process(&schema).await;
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(70));
    town.notes.are(&["pay", "verify 1", "pay", "verify 1", "ship"]);
}

pub async fn a_verify_is_given_the_key_of_its_step<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.verify")
        .step("pay", |cx: StepContext, _n: u64| async move {
            note(&cx, cx.idempotency_key())?;
            Err("the connection broke".into())
        })
        .at_most_once()
        .verify(|cx: StepContext, n: u64| async move {
            note(&cx, cx.idempotency_key())?;
            Ok(Verified::Done(n))
        })
        .build();
    let here = town.process(&schema).await;
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(1));
    let keys = town.notes.all();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

pub async fn a_step_that_kills_each_owner_is_parked_although_it_did_nothing<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let at = gate.clone();
    let kills = move |_| -> BoxFuture<'static, StepResult<()>> {
        let gate = at.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(())
        })
    };
    let schema = then_ship(verified(paying(kills), |_| Ok(Verified::NotDone)));
    let limits = Limits {
        lost_owners: 3,
        ..Limits::default()
    };
    let start = || town.process_with(|builder| builder.schema(schema.clone()).limits(limits));
    let mut owner = start().await;
    drop(owner.run(&schema, KEY, 1).submit().await.expect("it begins"));
    for loss in 1..=3 {
        soon(gate.arrived(loss)).await;
        town.kill(&owner).await;
        owner = start().await;
    }
    let parked = owner.until_is(&schema, State::Parked).await;
    assert_eq!(parked.parked, Some(ParkReason::LostTooOften));
    assert_eq!(town.notes.count("pay"), 3);
}

pub async fn a_verify_whose_owner_dies_is_asked_again<G: Ground>(ground: G) {
    let (town, in_pay, in_verify) = (Town::on(ground).await, Gate::closed(), Gate::closed());
    let gate = in_verify.clone();
    let builder = paying_at(&in_pay).verify(move |cx: StepContext, _n: u64| {
        let gate = gate.clone();
        async move {
            note(&cx, "verify")?;
            gate.pass().await;
            Ok(Verified::Done(7))
        }
    });
    let schema = then_ship(builder);
    let second = killed_at(&town, &schema, &in_pay).await;
    soon(in_verify.arrived(1)).await;
    town.kill(&second).await;
    let third = town.process(&schema).await;
    soon(in_verify.arrived(2)).await;
    in_verify.open();
    tokio::time::timeout(Duration::from_secs(60), third.until_is(&schema, State::Succeeded))
        .await
        .expect("in time");
    assert_eq!(third.run(&schema, KEY, 1).await, Ok(70));
    assert_eq!(town.notes.count("pay"), 1);
}
