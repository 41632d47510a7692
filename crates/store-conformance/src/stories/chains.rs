//! What becomes of executions that call each other in a chain? A cancel goes down to the leaves; a chain that
//! is too long, or closes, is refused.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use keystep::store::StoreError;
use keystep::{
    AfterFailure, CancelWish, FailureKind, RunError, Schema, State, StepContext, StepError, StepResult,
};

use super::calls::{CHILD, assert_fails, both, child, id_of, parent, state_of_child};
use super::town::{KEY, Town, soon};
use crate::faulty::{Call, Fault, Gate};
use crate::under_faults::Ground;

pub async fn a_child_that_is_cancelled_fails_its_parent<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let child = child(Some(&gate));
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    let called = soon(process.run(&parent, KEY, 1).submit())
        .await
        .expect("it begins");
    soon(gate.arrived(1)).await;
    let cancelled = process.cancel(id_of("test.child", CHILD), CancelWish::Stop).await;
    assert_eq!(cancelled, Ok(()));
    assert_fails(
        soon(called.wait()).await,
        "child_cancelled",
        FailureKind::Terminal,
    );
}

pub async fn a_wish_reaches_the_child_although_the_store_was_away_at_first<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let child = child(Some(&gate));
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    let called = soon(process.run(&parent, KEY, 1).submit())
        .await
        .expect("it begins");
    soon(gate.arrived(1)).await;
    for nth in 1..=2 {
        let away = StoreError::Unavailable("by script".into());
        process.faults.script(&[Call::Children], nth, Fault::Refuse(away));
    }
    let cancelled = process.cancel(id_of("test.parent", KEY), CancelWish::Stop).await;
    assert_eq!(cancelled, Ok(()));
    let told = soon(called.wait()).await;
    assert!(matches!(told, Err(RunError::Cancelled { .. })), "{told:?}");
    let cancelled = async {
        while state_of_child(&process, &child).await != State::Cancelled {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(cancelled).await;
}

pub async fn cancelling_a_parent_cancels_what_it_has_called_down_to_the_leaves<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let leaf = child(Some(&gate));
    let calls_the_leaf = leaf.clone();
    let middle: Schema<u64, u64> = Schema::new("test.middle")
        .step("call", move |cx: StepContext, n: u64| {
            let leaf = calls_the_leaf.clone();
            async move { cx.call(&leaf, CHILD, n).await }
        })
        .build();
    let parent = parent(&middle);
    let there = town.process(&leaf).await;
    let here = town
        .process_with(|builder| {
            builder
                .schema(parent.clone())
                .schema(middle.clone())
                .schema(leaf.clone())
        })
        .await;
    let called = soon(here.run(&parent, KEY, 1).submit()).await.expect("it begins");
    soon(gate.arrived(1)).await;
    let cancelled = there.cancel(id_of("test.parent", KEY), CancelWish::Stop).await;
    assert_eq!(cancelled, Ok(()));
    let told = soon(called.wait()).await;
    assert!(matches!(told, Err(RunError::Cancelled { .. })), "{told:?}");
    let all_cancelled = async {
        while state_of_child(&here, &leaf).await != State::Cancelled
            || state_of_child(&here, &middle).await != State::Cancelled
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(all_cancelled).await;
}

/// Calls itself under the next key, until the number is 0; from `closes` on it calls the first key.
fn chain(name: &str, closes: bool) -> Schema<u64, u64> {
    let this = Arc::new(OnceLock::<Schema<u64, u64>>::new());
    let itself = Arc::clone(&this);
    let schema = Schema::new(name)
        .step("call", move |cx: StepContext, n: u64| {
            let itself = Arc::clone(&itself);
            async move {
                let Some(schema) = itself.get() else {
                    return Err(StepError::terminal("it is not built yet"));
                };
                match (n, closes) {
                    (0, true) => cx.call(schema, "3", 3).await,
                    (0, false) => Ok(0),
                    (n, _) => StepResult::Ok(cx.call(schema, (n - 1).to_string(), n - 1).await? + 1),
                }
            }
        })
        .build();
    let _first = this.set(schema.clone());
    schema
}

pub async fn executions_that_would_wait_for_each_other_are_told_so<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = chain("test.cycle", true);
    let process = town.process(&schema).await;
    let told = soon(process.run(&schema, "3", 3).into_future()).await;
    // Each of them hears that the one that it called has failed, and why.
    let Err(RunError::Failed(failure)) = told else {
        panic!("told {told:?}")
    };
    assert!(
        failure.message.contains("calls itself, or one that waits for it"),
        "{failure}"
    );
    let last = process
        .find(&schema, "0")
        .await
        .expect("an answer")
        .expect("it was called");
    let code = last.failure.and_then(|failure| failure.code);
    assert_eq!(code.as_deref(), Some("call_cycle"));
}

pub async fn a_chain_of_sixteen_calls_is_possible_and_a_longer_one_is_refused<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = chain("test.chain", false);
    let process = town.process(&schema).await;
    assert_eq!(soon(process.run(&schema, "16", 16).into_future()).await, Ok(16));
    let long = chain("test.longer", false);
    let process = town.process(&long).await;
    let call = process.run(&long, "17", 17).after_failure(AfterFailure::Replay);
    let told = soon(call.into_future()).await;
    assert!(
        matches!(&told, Err(RunError::Failed(failure)) if failure.message.contains("more than 16")),
        "{told:?}"
    );
    let none = process.find(&long, "0").await;
    assert_eq!(none, Ok(None), "the last one was not begun");
}
