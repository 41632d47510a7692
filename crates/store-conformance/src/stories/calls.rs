//! Does an execution that is called by a step of another one run once, and does its caller get what became
//! of it?

use std::time::Duration;

use keystep::execution::{ExecutionId, FullKey};
use keystep::{
    AfterFailure, CallAs, EngineBuilder, FailureKind, InputHash, Retry, RunError, Schema, State, StepContext,
    StepError,
};

use super::town::{KEY, Process, Town, note, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

/// Under which key the child is called.
pub(super) const CHILD: &str = "child of k";

/// Calls the child, and says what it gave.
pub(super) fn parent(child: &Schema<u64, u64>) -> Schema<u64, u64> {
    let child = child.clone();
    Schema::new("test.parent")
        .step("call", move |cx: StepContext, n: u64| {
            let child = child.clone();
            async move {
                note(&cx, "call")?;
                let output = cx.call(&child, CHILD, n).await?;
                note(&cx, format!("called {output}"))?;
                if cx.attempt() == 1 {
                    return Err(StepError::retry("once more"));
                }
                Ok(output + 1)
            }
        })
        .retry(Retry::attempts(3).first_delay(Duration::from_millis(1)))
        .build()
}

/// A child of one step, which waits at the gate if there is one.
pub(super) fn child(gate: Option<&Gate>) -> Schema<u64, u64> {
    let gate = gate.cloned();
    Schema::new("test.child")
        .step("work", move |cx: StepContext, n: u64| {
            let gate = gate.clone();
            async move {
                note(&cx, "work")?;
                if let Some(gate) = gate {
                    gate.pass().await;
                }
                Ok(10 * n)
            }
        })
        .build()
}

pub(super) fn both(
    parent: &Schema<u64, u64>,
    child: &Schema<u64, u64>,
) -> impl FnOnce(EngineBuilder) -> EngineBuilder {
    let (parent, child) = (parent.clone(), child.clone());
    |builder| builder.schema(parent).schema(child)
}

pub(super) async fn state_of_child<Out>(process: &Process, child: &Schema<u64, Out>) -> State {
    let found = process.find(child, CHILD).await.expect("an answer");
    found.expect("it was called").state
}

pub(super) fn id_of(schema: &str, key: &str) -> ExecutionId {
    ExecutionId::of(&FullKey {
        schema: schema.to_owned(),
        scope: String::new(),
        key: key.to_owned(),
    })
}

#[track_caller]
pub(super) fn assert_fails(told: Result<u64, RunError>, code: &str, kind: FailureKind) {
    assert!(
        matches!(&told, Err(RunError::Failed(failure))
            if failure.code.as_deref() == Some(code) && failure.kind == kind),
        "{told:?}"
    );
}

pub async fn a_child_is_called_once_at_a_time_and_answers_again_afterwards<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child = child(None);
    let called = child.clone();
    let parent: Schema<u64, u64> = Schema::new("test.parent")
        .step("call", move |cx: StepContext, n: u64| {
            let child = called.clone();
            async move {
                let (one, other) = (cx.call(&child, CHILD, n), cx.call(&child, CHILD, n));
                let (one, other) = futures::join!(one, other);
                let refused = other.expect_err("the first one is under way");
                assert!(refused.to_string().contains("twice at once"), "{refused}");
                Ok(one? + cx.call(&child, CHILD, n).await?)
            }
        })
        .build();
    let process = town.process_with(both(&parent, &child)).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(20));
    town.notes.are(&["work"]);
}

pub async fn a_parent_that_is_retried_does_not_run_its_child_again<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child = child(None);
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(11));
    town.notes
        .are(&["call", "work", "called 10", "call", "called 10"]);
    let called = process
        .find(&child, CHILD)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(called.parent, Some(id_of("test.parent", KEY)));
    let mark = format!("call::@call/{}", called.id);
    assert_eq!(town.stored(&parent).await, ["call", mark.as_str()]);
}

pub async fn a_parent_whose_owner_dies_waits_for_the_child_that_it_had_called<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let child = child(Some(&gate));
    let parent = parent(&child);
    let (callers, workers) = (
        town.process_with(|builder| builder.schema(parent.clone()).schema(child.clone()))
            .await,
        town.process(&child).await,
    );
    // The child runs in a process that lives on.
    let called = soon(workers.run(&child, CHILD, 1).submit())
        .await
        .expect("it begins");
    soon(gate.arrived(1)).await;
    drop(
        soon(callers.run(&parent, KEY, 1).submit())
            .await
            .expect("it begins"),
    );
    callers
        .until(&parent, |_execution| town.notes.count("call") == 1)
        .await;
    town.kill(&callers).await;
    let others = town.process_with(both(&parent, &child)).await;
    others.until(&parent, |execution| execution.epoch > 1).await;
    gate.open();
    assert_eq!(soon(called.wait()).await, Ok(10));
    others.until_is(&parent, State::Succeeded).await;
    assert_eq!(town.notes.count("work"), 1);
}

pub async fn a_child_that_dies_with_its_parent_goes_on_where_it_was<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let behind = gate.clone();
    let child: Schema<u64, u64> = Schema::new("test.child")
        .step("first", |cx: StepContext, n: u64| async move {
            note(&cx, "first")?;
            Ok(n)
        })
        .step("work", move |_cx: StepContext, n: u64| {
            let gate = behind.clone();
            async move {
                gate.pass().await;
                Ok(10 * n)
            }
        })
        .build();
    let parent = parent(&child);
    let here = town.process_with(both(&parent, &child)).await;
    drop(soon(here.run(&parent, KEY, 1).submit()).await.expect("it begins"));
    soon(gate.arrived(1)).await;
    town.kill(&here).await;
    let there = town.process_with(both(&parent, &child)).await;
    soon(gate.arrived(2)).await;
    gate.open();
    there.until_is(&parent, State::Succeeded).await;
    assert_eq!(town.notes.count("first"), 1);
}

pub async fn a_final_failure_of_the_child_is_one_of_its_parent<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child: Schema<u64, u64> = Schema::new("test.child")
        .step("work", |cx: StepContext, _n: u64| async move {
            note(&cx, "work")?;
            Err::<u64, _>(StepError::terminal("never").code("sold_out"))
        })
        .build();
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_fails(
        process.run(&parent, KEY, 1).await,
        "sold_out",
        FailureKind::Terminal,
    );
    town.notes.are(&["call", "work"]);
}

pub async fn a_child_can_be_called_under_a_fingerprint_of_the_callers_own<G: Ground>(ground: G) {
    const HASH: InputHash = InputHash([7; 32]);
    let town = Town::on(ground).await;
    let child = child(None);
    let called = child.clone();
    let parent: Schema<u64, u64> = Schema::new("test.parent")
        .step("call", move |cx: StepContext, n: u64| {
            let called = called.clone();
            async move {
                let how = CallAs {
                    fingerprint: Some(HASH),
                    ..CallAs::default()
                };
                cx.call_as(&called, CHILD, n, how).await
            }
        })
        .build();
    let process = town.process_with(both(&parent, &child)).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(10));
    // Whoever calls it so from outside meets the same execution; the input is not compared.
    let outside = process.run(&child, CHILD, 2);
    assert_eq!(outside.fingerprint(HASH).await, Ok(10));
    let other = process.run(&child, CHILD, 1).await;
    assert!(matches!(other, Err(RunError::InputMismatch { .. })), "{other:?}");
    town.notes.are(&["work"]);
}

pub async fn a_child_that_was_used_with_another_input_is_a_final_failure<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child = child(None);
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_eq!(process.run(&child, CHILD, 2).await, Ok(20));
    assert_fails(
        process.run(&parent, KEY, 1).await,
        "input_mismatch",
        FailureKind::Terminal,
    );
    town.notes.are(&["work", "call"]);
}

pub async fn a_parent_says_what_becomes_of_a_child_that_had_failed<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child: Schema<u64, u64> = Schema::new("test.child")
        .step("work", |cx: StepContext, n: u64| async move {
            note(&cx, "work")?;
            if cx.generation() == 1 {
                return Err(StepError::terminal("never").code("sold_out"));
            }
            Ok(10 * n)
        })
        .build();
    let called = child.clone();
    let parent: Schema<Option<u64>, u64> = Schema::new("test.parent")
        .step("call", move |cx: StepContext, n: Option<u64>| {
            let called = called.clone();
            async move {
                let how = CallAs {
                    after_failure: n.map(|_n| AfterFailure::Restart),
                    ..CallAs::default()
                };
                cx.call_as(&called, CHILD, n.unwrap_or(1), how).await
            }
        })
        .build();
    let (parents, children) = (parent.clone(), child.clone());
    let process = town
        .process_with(|builder| builder.schema(parents).schema(children))
        .await;
    let told = process.run(&parent, KEY, None).await.expect_err("it fails");
    let RunError::Failed(failure) = told else {
        panic!("{told:?}")
    };
    assert_eq!(
        (failure.code.as_deref(), failure.message.as_str()),
        (Some("sold_out"), "never")
    );
    // The same again: a final failure is replayed, here to another caller of the child.
    let other = process.run(&parent, "another parent", None).await;
    assert!(matches!(other, Err(RunError::Failed(_))), "{other:?}");
    assert_eq!(process.run(&parent, "a third one", Some(1)).await, Ok(10));
    town.notes.are(&["work", "work"]);
}

/// Each is tried as often as it says, and the tries do not multiply.
pub async fn a_child_whose_tries_are_used_up_fails_its_parent_and_the_next_call_resumes_both<G: Ground>(
    ground: G,
) {
    let town = Town::on(ground).await;
    let child: Schema<u64, u64> = Schema::new("test.child")
        .step("first", |cx: StepContext, n: u64| async move {
            note(&cx, "first")?;
            Ok(n)
        })
        .step("work", |cx: StepContext, n: u64| async move {
            note(&cx, "work")?;
            if cx.get::<super::town::Notes>()?.count("work") == 1 {
                return Err(StepError::retry("down"));
            }
            Ok(10 * n)
        })
        .retry(Retry::none())
        .build();
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_fails(
        process.run(&parent, KEY, 1).await,
        "child_failed",
        FailureKind::Exhausted,
    );
    town.notes.are(&["call", "first", "work"]);
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(11));
    assert_eq!((town.notes.count("first"), town.notes.count("work")), (1, 2));
}
