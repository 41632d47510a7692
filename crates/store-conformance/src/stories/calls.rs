//! Does an execution that is called by a step of another one run once, and does its caller get what became
//! of it?

use keystep::execution::{ExecutionId, FullKey};
use keystep::{
    AfterFailure, CancelWish, EngineBuilder, FailureKind, ParkReason, Retry, RunError, Schema, SecondSignal,
    Settlement, SignalSent, State, StepContext, StepError, StepResult, WaitReason,
};

use super::bodies::note;
use super::town::{HOUR, KEY, Process, Town, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

/// Under which key the child is called.
const CHILD: &str = "child of k";

/// Calls the child, and says what it gave.
fn parent(child: &Schema<u64, u64>) -> Schema<u64, u64> {
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
        .retry(Retry::attempts(3).first_delay(std::time::Duration::from_millis(1)))
        .build()
}

/// A child of one step, which waits at the gate if there is one.
fn child(gate: Option<&Gate>) -> Schema<u64, u64> {
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

fn both(parent: &Schema<u64, u64>, child: &Schema<u64, u64>) -> impl FnOnce(EngineBuilder) -> EngineBuilder {
    let (parent, child) = (parent.clone(), child.clone());
    |builder| builder.schema(parent).schema(child)
}

async fn state_of_child<Out>(process: &Process, child: &Schema<u64, Out>) -> State {
    let found = process.find(child, CHILD).await.expect("an answer");
    found.expect("it was called").state
}

fn id_of(schema: &str, key: &str) -> ExecutionId {
    ExecutionId::of(&FullKey {
        schema: schema.to_owned(),
        scope: String::new(),
        key: key.to_owned(),
    })
}

#[track_caller]
fn assert_fails(told: Result<u64, RunError>, code: &str, kind: FailureKind) {
    assert!(
        matches!(&told, Err(RunError::Failed(failure))
            if failure.code.as_deref() == Some(code) && failure.kind == kind),
        "{told:?}"
    );
}

#[track_caller]
fn assert_waits_for_child(told: Result<u64, RunError>) {
    assert!(
        matches!(
            told,
            Err(RunError::Waiting {
                reason: WaitReason::Child,
                ..
            })
        ),
        "{told:?}"
    );
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
            Err::<u64, _>(StepError::terminal("never"))
        })
        .build();
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_fails(
        process.run(&parent, KEY, 1).await,
        "child_failed",
        FailureKind::Terminal,
    );
    town.notes.are(&["call", "work"]);
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

pub async fn a_parent_is_put_down_while_its_child_sleeps_and_goes_on_after_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child: Schema<u64, u64> = Schema::new("test.child")
        .step("work", |cx: StepContext, n: u64| async move {
            cx.sleep("night", HOUR).await?;
            note(&cx, "work")?;
            Ok(10 * n)
        })
        .build();
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_waits_for_child(process.run(&parent, KEY, 1).await);
    assert_eq!(state_of_child(&process, &child).await, State::Waiting);
    assert_waits_for_child(process.run(&parent, KEY, 1).await);
    town.clock.advance(HOUR);
    process.until_is(&parent, State::Succeeded).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(11));
    assert_eq!(town.notes.count("work"), 1);
}

/// Nobody knows when a signal comes: it looks again by itself.
pub async fn a_parent_goes_on_after_its_child_got_its_signal<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child: Schema<u64, u64> = Schema::new("test.child")
        .signal("go", SecondSignal::Refused)
        .step("work", |cx: StepContext, n: u64| async move {
            let more: Option<u64> = cx.signal("go", None).await?;
            Ok(10 * n + more.unwrap_or(0))
        })
        .build();
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_waits_for_child(process.run(&parent, KEY, 1).await);
    let sent = process.signal(&child, CHILD, "go", &5_u64).await;
    assert_eq!(sent, Ok(SignalSent::Stored));
    let done = async {
        while state_of_child(&process, &child).await != State::Succeeded {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon(done).await;
    process.until_is(&parent, State::Succeeded).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(16));
}

pub async fn a_parent_of_a_parked_child_waits_until_somebody_has_settled_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child: Schema<u64, u64> = Schema::new("test.child")
        .step("pay", |cx: StepContext, _n: u64| async move {
            note(&cx, "pay")?;
            Err::<u64, _>(StepError::retry("no answer"))
        })
        .at_most_once()
        .build();
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_waits_for_child(process.run(&parent, KEY, 1).await);
    let parked = process
        .find(&child, CHILD)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(parked.parked, Some(ParkReason::InDoubt));
    let settled = process
        .settle(parked.id, Settlement::Done(7.into()), "seen at the bank")
        .await;
    assert_eq!(settled, Ok(()));
    process.until_is(&parent, State::Succeeded).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(8));
    assert_eq!(town.notes.count("pay"), 1);
}

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
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon(all_cancelled).await;
}

/// Calls itself under the next key, until the number is 0; from `closes` on it calls the first key.
fn chain(name: &str, closes: bool) -> Schema<u64, u64> {
    let this = std::sync::Arc::new(std::sync::OnceLock::<Schema<u64, u64>>::new());
    let itself = std::sync::Arc::clone(&this);
    let schema = Schema::new(name)
        .step("call", move |cx: StepContext, n: u64| {
            let itself = std::sync::Arc::clone(&itself);
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
