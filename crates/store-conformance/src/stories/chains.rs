//! What becomes of executions that call each other in a chain? A cancel goes down to the leaves; a chain that
//! is too long, or closes, is refused.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use keystep::store::StoreError;
use keystep::{
    AfterFailure, CancelWish, Failure, FailureKind, Retry, RunError, Schema, SecondSignal, SignalSent, State,
    StepContext, StepError, StepResult,
};

use super::calls::{CHILD, assert_fails, both, child, id_of, parent, state_of_child};
use super::town::{KEY, Process, Town, note, soon};
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

pub async fn a_child_whose_begin_is_on_its_way_when_its_parent_is_cancelled_does_nothing<G: Ground>(
    ground: G,
) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let child = child(None);
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    // The parent's own begin is the first one.
    process
        .faults
        .script(&[Call::Begin], 2, Fault::HoldBefore(gate.clone()));
    cancelled_at(&process, &parent, &gate).await;
    assert_eq!(process.find(&child, CHILD).await, Ok(None), "it has not begun");
    gate.open();
    until_child_is_cancelled(&process, &child).await;
    town.notes.are(&["call"]);
}

pub async fn a_child_that_is_being_resumed_when_its_parent_is_cancelled_does_nothing<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let child: Schema<u64, u64> = Schema::new("test.child")
        .step("work", |cx: StepContext, _n: u64| async move {
            note(&cx, "work")?;
            Err::<u64, _>(StepError::retry("down"))
        })
        .retry(Retry::none())
        .build();
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    let told = process.run(&parent, KEY, 1).await;
    assert_fails(told, "child_failed", FailureKind::Exhausted);
    // The next call resumes the parent, which resumes the child.
    process
        .faults
        .script(&[Call::Acquire], 2, Fault::HoldBefore(gate.clone()));
    cancelled_at(&process, &parent, &gate).await;
    gate.open();
    until_child_is_cancelled(&process, &child).await;
    town.notes.are(&["call", "work", "call"]);
}

/// Calls the parent, and cancels it while it waits at the gate.
async fn cancelled_at(process: &Process, parent: &Schema<u64, u64>, gate: &Gate) {
    let called = soon(process.run(parent, KEY, 1).submit())
        .await
        .expect("it begins");
    soon(gate.arrived(1)).await;
    let cancelled = process.cancel(id_of("test.parent", KEY), CancelWish::Stop).await;
    assert_eq!(cancelled, Ok(()));
    let told = soon(called.wait()).await;
    assert!(matches!(told, Err(RunError::Cancelled { .. })), "{told:?}");
}

async fn until_child_is_cancelled(process: &Process, child: &Schema<u64, u64>) {
    let cancelled = async {
        loop {
            let found = process.find(child, CHILD).await.expect("an answer");
            if found.is_some_and(|found| found.state == State::Cancelled) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(cancelled).await;
}

/// Each number calls the next one of three, the last one the first, when the gate is open.
fn ring(gate: &Gate) -> Schema<u64, u64> {
    let this = Arc::new(OnceLock::<Schema<u64, u64>>::new());
    let (itself, gate) = (Arc::clone(&this), gate.clone());
    let schema = Schema::new("test.ring")
        .step("call", move |cx: StepContext, n: u64| {
            let (itself, gate) = (Arc::clone(&itself), gate.clone());
            async move {
                let Some(schema) = itself.get() else {
                    return Err(StepError::terminal("it is not built yet"));
                };
                gate.pass().await;
                let next = (n + 1) % 3;
                cx.call(schema, next.to_string(), next).await
            }
        })
        .build();
    let _first = this.set(schema.clone());
    schema
}

pub async fn executions_that_were_begun_apart_and_wait_for_each_other_are_told_so<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema = ring(&gate);
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    let mut calls = Vec::new();
    for (n, process) in [(0_u64, &here), (1, &there), (2, &here)] {
        let call = process.run(&schema, n.to_string(), n).submit();
        calls.push(soon(call).await.expect("it begins"));
    }
    soon(gate.arrived(3)).await;
    gate.open();
    for call in calls {
        let Err(RunError::Failed(failure)) = soon(call.wait()).await else {
            panic!("nobody can have an outcome")
        };
        assert_ring(&failure);
    }
}

pub async fn one_that_was_put_down_for_another_is_not_called_by_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let waits = Arc::new(OnceLock::<Schema<u64, u64>>::new());
    let called_back = Arc::clone(&waits);
    let child: Schema<u64, u64> = Schema::new("test.child")
        .signal("go", SecondSignal::Refused)
        .step("work", move |cx: StepContext, n: u64| {
            let parent = called_back.get().cloned();
            async move {
                let _go: Option<u64> = cx.signal("go", None).await?;
                match parent {
                    Some(parent) => cx.call(&parent, KEY, n).await,
                    None => Err(StepError::terminal("it is not built yet")),
                }
            }
        })
        .build();
    let parent = parent(&child);
    let _first = waits.set(parent.clone());
    let process = town.process_with(both(&parent, &child)).await;
    // Each is begun by somebody else.
    let told = process.run(&child, CHILD, 1).await;
    assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
    let told = process.run(&parent, KEY, 1).await;
    assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
    let sent = process.signal(&child, CHILD, "go", &5_u64).await;
    assert_eq!(sent, Ok(SignalSent::Stored));
    let failed = process.until_is(&parent, State::Failed).await;
    assert_ring(&failed.failure.expect("why"));
}

/// Some execution was told that it would wait for itself: this one, or one that it had called.
#[track_caller]
fn assert_ring(failure: &Failure) {
    let said = failure.message.contains("calls itself, or one that waits for it");
    assert!(said, "{failure}");
}

pub async fn two_that_wait_for_the_same_one_are_no_ring<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let child = child(Some(&gate));
    let parent = parent(&child);
    let (here, there) = (
        town.process_with(both(&parent, &child)).await,
        town.process_with(both(&parent, &child)).await,
    );
    let first = soon(there.run(&child, CHILD, 1).submit())
        .await
        .expect("it begins");
    soon(gate.arrived(1)).await;
    let mut parents = Vec::new();
    for (key, process) in [("k", &here), ("l", &there), ("m", &here)] {
        let call = process.run(&parent, key, 1).submit();
        parents.push(soon(call).await.expect("it begins"));
    }
    town.noted("call", 3).await;
    gate.open();
    assert_eq!(soon(first.wait()).await, Ok(10));
    for parent in parents {
        assert_eq!(soon(parent.wait()).await, Ok(11));
    }
    assert_eq!(town.notes.count("work"), 1);
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
    assert_ring(&failure);
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
