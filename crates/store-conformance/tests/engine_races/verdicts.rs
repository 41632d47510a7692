//! What does the engine believe of its writes, and what does it build on? Only what the store has
//! said, and only what was there when it was said.

use std::time::Duration;

use keystep::{MemoryStore, OnDuplicate, Retry, Schema, State, StepContext, WorkerOptions};
use store_conformance::faulty::{Call, Fault, Gate};

use crate::{MANY, Probe, attach, calls, find, quick, schema, start, until, within};

/// Takes nothing up by itself, so that another process does.
fn idle() -> WorkerOptions {
    WorkerOptions {
        in_flight: 0,
        ..quick()
    }
}

/// Its output tells which body made it.
fn counted() -> Schema<u64, u64> {
    let count = |cx: StepContext, _n: u64| async move {
        let probe = cx.get::<Probe>()?;
        Ok(1 + u64::from(probe.bodies.fetch_add(1, std::sync::atomic::Ordering::SeqCst)))
    };
    Schema::new("test.verdicts")
        .step("count", count)
        .step("add", |_cx, n: u64| async move { Ok(n + 10) })
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_told_nothing_that_the_fence_refuses() {
    let (store, schema, probe) = (MemoryStore::new(), counted(), Probe::new(0, 0));
    let (here, faults) = start(&store, &schema, &probe, idle()).await;
    let (lost, sent) = (here.worker_id(), Gate::closed());
    faults.script(&[Call::Commit], 1, Fault::HoldBefore(sent.clone()));
    let call = attach(&here, &schema);
    within(sent.arrived(1)).await;
    let (there, _) = start(&store, &schema, &probe, quick()).await;
    until(async || {
        store.end_session(lost);
        find(&there, &schema).await.state.is_finished()
    })
    .await;
    sent.open();
    let told = within(call).await.expect("no panic");
    assert_eq!(told, Ok(12), "what the second body made is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_was_lost_is_known_again_and_its_owner_goes_on() {
    let (store, schema, probe) = (MemoryStore::new(), counted(), Probe::new(0, 0));
    let audited = WorkerOptions {
        unknown_shape_after: Duration::from_millis(20),
        ..quick()
    };
    let (engine, faults) = start(&store, &schema, &probe, audited).await;
    faults.script(&[Call::Commit], 1, Fault::LoseAnswer);
    let told = within(attach(&engine, &schema)).await.expect("no panic");
    assert_eq!(told, Ok(11));
    assert_eq!(probe.bodies(), 1, "a lost answer is no failure of the step");
    let epoch = find(&engine, &schema).await.epoch;
    assert_eq!(epoch, 1, "nobody had to take it over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_builds_on_what_was_recorded_while_its_acquisition_was_under_way() {
    let (store, schema, probe) = (MemoryStore::new(), counted(), Probe::new(0, 0));
    let (here, faults) = start(&store, &schema, &probe, idle()).await;
    let (lost, written) = (here.worker_id(), Gate::closed());
    faults.script(&[Call::Commit], 1, Fault::HoldBefore(written.clone()));
    let call = attach(&here, &schema);
    within(written.arrived(1)).await;

    let audited = WorkerOptions {
        unknown_shape_after: Duration::from_millis(20),
        ..quick()
    };
    let (there, faults) = start(&store, &schema, &probe, audited).await;
    let taken = Gate::closed();
    faults.script(&[Call::Acquire], 1, Fault::HoldBefore(taken.clone()));
    until(async || {
        store.end_session(lost);
        calls(&faults, Call::Acquire) > 0
    })
    .await;
    // The old owner knows by now that it is lost, and goes no further than the write on its way.
    until(async || here.worker_id() != lost).await;
    written.open();
    until(async || find(&there, &schema).await.steps.len() == 1).await;
    taken.open();

    assert_eq!(within(call).await.expect("no panic"), Ok(11));
    assert_eq!(probe.bodies(), 1, "what is recorded never runs again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_comes_to_wait_after_the_end_gets_the_outcome() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 0));
    let (engine, _) = start(&store, &schema, &probe, quick()).await;
    let _first = attach(&engine, &schema);
    probe.entered().await;
    let limit = OnDuplicate::Wait(Duration::from_secs(2));
    let handle = engine.run(&schema, "k", 1).on_duplicate(limit).submit().await;
    probe.gate.add_permits(MANY);
    until(async || find(&engine, &schema).await.state == State::Succeeded).await;
    // This waits for the task of the run: whoever was to be told has been told.
    within(engine.shutdown()).await;
    let told = within(handle.expect("submitted").wait()).await;
    assert_eq!(told, Ok(20));
}
