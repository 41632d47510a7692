//! What if an acquisition is long on its way? It holds up no other, nobody of its own process comes
//! between, and a process that leaves begins nothing with it.

use std::time::Duration;

use keystep::{Engine, MemoryStore, OnDuplicate, ParkReason, Retry, RunError, State, WorkerOptions};
use store_conformance::faulty::{Call, Fault, Gate};

use crate::{
    MANY, Probe, attach, calls, due_elsewhere, find, other_shape, quick, schema, start, until, within,
};

/// Takes nothing up by itself, so that another process does.
fn idle() -> WorkerOptions {
    WorkerOptions {
        in_flight: 0,
        ..quick()
    }
}

/// Ends the sessions of an engine's first worker until something holds.
async fn end_sessions(store: &MemoryStore, engine: &Engine, holds: impl AsyncFn() -> bool) {
    let lost = engine.worker_id();
    until(async || {
        store.end_session(lost);
        holds().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_that_hangs_holds_up_no_other() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 0));
    let (first, _) = start(&store, &schema, &probe, idle()).await;
    let (second, _) = start(&store, &schema, &probe, idle()).await;
    let hanging = attach(&first, &schema);
    probe.entered().await;
    let other = second.run(&schema, "other", 1).on_duplicate(OnDuplicate::Attach);
    let other = tokio::spawn(other.into_future());
    probe.entered().await;

    let (there, faults) = start(&store, &schema, &probe, quick()).await;
    let hang = Gate::closed();
    faults.script(&[Call::Acquire], 1, Fault::HoldBefore(hang.clone()));
    end_sessions(&store, &first, async || hang.has_arrived()).await;
    end_sessions(&store, &second, async || {
        let found = there.find(&schema, "other").await.expect("read");
        found.expect("there").owner == Some(there.worker_id())
    })
    .await;
    assert_eq!(find(&there, &schema).await.epoch, 1, "it still hangs");
    probe.gate.add_permits(MANY);
    assert_eq!(within(other).await.expect("no panic"), Ok(20));

    hang.open();
    assert_eq!(within(hanging).await.expect("no panic"), Ok(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sweep_acquires_while_its_process_closes_is_handed_back() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 0));
    let (here, _) = start(&store, &schema, &probe, idle()).await;
    let _call = attach(&here, &schema);
    probe.entered().await;
    let patient = WorkerOptions {
        drain: Duration::from_secs(60),
        ..quick()
    };
    let (there, faults) = start(&store, &schema, &probe, patient).await;
    let answer = Gate::closed();
    faults.script(&[Call::Acquire], 1, Fault::HoldAfter(answer.clone()));
    end_sessions(&store, &here, async || answer.has_arrived()).await;

    let mut closing = std::pin::pin!(there.shutdown());
    let early = tokio::time::timeout(Duration::from_millis(1), &mut closing).await;
    assert!(early.is_err(), "it waits for what is on its way");
    answer.open();
    within(closing).await;
    assert_eq!(probe.bodies(), 1, "the lost owner's");
    let left = find(&here, &schema).await;
    assert_eq!(
        (left.state, left.epoch),
        (State::Ready, 2),
        "taken and handed back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_a_caller_parks_is_not_taken_over_by_its_own_process() {
    let store = MemoryStore::new();
    // Not due yet, so that the sweep does not park it before the caller.
    let there = due_elsewhere(&store).await;
    within(there.shutdown()).await;
    let (old, probe) = (other_shape(), Probe::new(MANY, 0));
    let audited = WorkerOptions {
        unknown_shape_after: Duration::from_millis(20),
        ..quick()
    };
    let (here, faults) = start(&store, &old, &probe, audited).await;
    until(async || calls(&faults, Call::Observe) > 1).await;
    let parking = Gate::closed();
    faults.script(&[Call::Commit], 1, Fault::HoldBefore(parking.clone()));
    let call = attach(&here, &old);
    within(parking.arrived(1)).await;
    let audits = calls(&faults, Call::Owned);
    until(async || calls(&faults, Call::Owned) > audits + 3).await;
    parking.open();
    let told = within(call).await.expect("no panic");
    let unknown = ParkReason::UnknownShape;
    assert!(
        matches!(told, Err(RunError::Parked { reason, .. }) if reason == unknown),
        "{told:?}"
    );
    assert_eq!(calls(&faults, Call::Acquire), 1, "nobody else took it meanwhile");
}
