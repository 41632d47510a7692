//! What if two things happen at the same moment? Calls of the store are held at gates, so that each
//! race has one order: the one that hurts.

mod acquisitions;
mod verdicts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keystep::store::StoreError;
use keystep::{
    AfterFailure, Engine, Execution, MemoryStore, OnDuplicate, ParkReason, Retry, RunError, Schema, State,
    StepContext, StepResult, WorkerOptions,
};
use store_conformance::faulty::{Call, Fault, Faults, FaultyStore, Gate};
use tokio::sync::Semaphore;

/// What the steps share: how often they ran, and a gate that holds them.
#[derive(Clone)]
struct Probe {
    bodies: Arc<AtomicU32>,
    entered: Arc<Semaphore>,
    gate: Arc<Semaphore>,
    /// How many of the first bodies fail, after the gate.
    failing: Arc<AtomicU32>,
}

impl Probe {
    fn new(permits: usize, failing: u32) -> Self {
        Self {
            bodies: Arc::default(),
            entered: Arc::new(Semaphore::new(0)),
            gate: Arc::new(Semaphore::new(permits)),
            failing: Arc::new(AtomicU32::new(failing)),
        }
    }

    fn bodies(&self) -> u32 {
        self.bodies.load(Ordering::SeqCst)
    }

    async fn entered(&self) {
        within(self.entered.acquire()).await.expect("open").forget();
    }
}

const MANY: usize = 1000;

async fn gated(cx: StepContext, n: u64) -> StepResult<u64> {
    let probe = cx.get::<Probe>()?;
    probe.bodies.fetch_add(1, Ordering::SeqCst);
    probe.entered.add_permits(1);
    probe.gate.acquire().await?.forget();
    let failing = &probe.failing;
    let left = failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if left.is_ok() {
        return Err("the partner is down".into());
    }
    Ok(n + 1)
}

async fn plain(_cx: StepContext, n: u64) -> StepResult<u64> {
    Ok(n * 10)
}

fn schema(retry: Retry) -> Schema<u64, u64> {
    Schema::new("test.races")
        .step("gated", gated)
        .retry(retry)
        .step("plain", plain)
        .build()
}

/// The same schema as an older or newer program knows it.
fn other_shape() -> Schema<u64, u64> {
    Schema::new("test.races").step("gated", gated).build()
}

fn quick() -> WorkerOptions {
    WorkerOptions {
        beat: Duration::from_millis(50),
        grace: Duration::from_millis(100),
        sweep: Duration::from_millis(50),
        drain: Duration::from_millis(50),
        ..WorkerOptions::default()
    }
}

async fn start(
    store: &MemoryStore,
    schema: &Schema<u64, u64>,
    probe: &Probe,
    options: WorkerOptions,
) -> (Engine, Faults) {
    let store = FaultyStore::new(store.another_handle());
    let faults = store.faults();
    let engine = Engine::builder(store)
        .schema(schema.clone())
        .provide(probe.clone())
        .worker(options)
        .build()
        .await
        .expect("an engine");
    (engine, faults)
}

/// No wait of a test is longer than ten seconds.
async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("in time")
}

/// Waits, at most ten seconds, until something holds.
async fn until(holds: impl AsyncFn() -> bool) {
    let reached = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(reached).await;
}

fn calls(faults: &Faults, of: Call) -> usize {
    faults.calls().iter().filter(|call| **call == of).count()
}

async fn find(engine: &Engine, schema: &Schema<u64, u64>) -> Execution {
    engine.find(schema, "k").await.expect("read").expect("there")
}

fn attach(engine: &Engine, schema: &Schema<u64, u64>) -> tokio::task::JoinHandle<Result<u64, RunError>> {
    let call = engine.run(schema, "k", 1).on_duplicate(OnDuplicate::Attach);
    tokio::spawn(call.into_future())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_comes_to_wait_while_the_process_shuts_down_is_told() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 0));
    let (there, _) = start(&store, &schema, &probe, quick()).await;
    let (here, faults) = start(&store, &schema, &probe, quick()).await;
    let owner = attach(&there, &schema);
    probe.entered().await;
    let early = attach(&here, &schema);
    until(async || calls(&faults, Call::Find) > 0).await;
    let answer = Gate::closed();
    faults.script(&[Call::Begin], 1, Fault::HoldAfter(answer.clone()));
    let late = attach(&here, &schema);
    within(answer.arrived(1)).await;
    within(here.shutdown()).await;
    let told = within(early).await.expect("no panic");
    assert!(matches!(told, Err(RunError::Unavailable(_))), "{told:?}");
    answer.open();
    let told = within(late).await.expect("no panic");
    assert!(matches!(told, Err(RunError::Unavailable(_))), "{told:?}");
    probe.gate.add_permits(1);
    assert_eq!(within(owner).await.expect("no panic"), Ok(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_hands_back_also_a_run_whose_next_step_waits_for_a_beat() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 0));
    let beat_limit = Duration::from_millis(400);
    let options = WorkerOptions {
        beat_limit,
        ..quick()
    };
    let (engine, faults) = start(&store, &schema, &probe, options).await;
    let call = attach(&engine, &schema);
    probe.entered().await;
    faults.script_outage(&[Call::Beat], &StoreError::Unavailable("by script".into()));
    // The last beat that arrived grows old: that is the time this takes, not a hope.
    tokio::time::sleep(beat_limit).await;
    probe.gate.add_permits(1);
    until(async || find(&engine, &schema).await.steps.len() == 1).await;
    within(engine.shutdown()).await;
    let told = within(call).await.expect("no panic");
    assert!(matches!(told, Err(RunError::Unavailable(_))), "{told:?}");
    assert_eq!(find(&engine, &schema).await.state, State::Ready);
}

/// An execution that is due, of a shape that only a process knows which takes up nothing.
async fn due_elsewhere(store: &MemoryStore) -> Engine {
    let later = Retry::attempts(5)
        .first_delay(Duration::from_secs(60))
        .hold(Duration::ZERO);
    let (schema, probe) = (schema(later), Probe::new(MANY, 1));
    let options = WorkerOptions {
        in_flight: 0,
        ..quick()
    };
    let (there, _) = start(store, &schema, &probe, options).await;
    let put_down = attach(&there, &schema).await.expect("no panic");
    assert!(matches!(put_down, Err(RunError::Waiting { .. })), "{put_down:?}");
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_waits_for_another_process_to_take_it_up_asks_now_and_then() {
    let store = MemoryStore::new();
    let _there = due_elsewhere(&store).await;
    keystep::store::Store::clock(&store).advance(Duration::from_secs(61));
    let (old, probe) = (other_shape(), Probe::new(MANY, 0));
    let (here, faults) = start(&store, &old, &probe, quick()).await;
    until(async || calls(&faults, Call::Observe) > 1).await;
    let limit = Duration::from_millis(500);
    let waited = here
        .run(&old, "k", 1)
        .on_duplicate(OnDuplicate::Wait(limit))
        .await;
    assert!(matches!(waited, Err(RunError::InProgress { .. })), "{waited:?}");
    let asked = calls(&faults, Call::Begin);
    assert!(asked < 30, "asked {asked} times in {limit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_before_the_first_look_at_the_others_parks_nothing_that_they_can_run() {
    let store = MemoryStore::new();
    let there = due_elsewhere(&store).await;
    let (old, probe) = (other_shape(), Probe::new(MANY, 0));
    let faulty = FaultyStore::new(store.another_handle());
    let (faults, look) = (faulty.faults(), Gate::closed());
    faults.script(&[Call::Observe], 1, Fault::HoldBefore(look.clone()));
    let here = Engine::builder(faulty)
        .schema(old.clone())
        .provide(probe)
        .worker(quick())
        .build()
        .await
        .expect("an engine");
    let refused = here.run(&old, "k", 1).on_duplicate(OnDuplicate::Reject).await;
    assert!(!matches!(refused, Err(RunError::Parked { .. })), "{refused:?}");
    assert_eq!(find(&there, &old).await.parked, None);
    look.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_and_another_process_can_run_is_waited_for() {
    let store = MemoryStore::new();
    due_elsewhere(&store).await.shutdown().await;
    let (old, probe) = (other_shape(), Probe::new(MANY, 0));
    let (here, _) = start(&store, &old, &probe, quick()).await;
    let parks = async || {
        let refused = here.run(&old, "k", 1).await;
        matches!(
            refused,
            Err(RunError::Parked {
                reason: ParkReason::UnknownShape,
                ..
            })
        )
    };
    until(parks).await;
    let (new, options) = (
        schema(Retry::none()),
        WorkerOptions {
            in_flight: 0,
            ..quick()
        },
    );
    let (_there, _) = start(&store, &new, &probe, options).await;
    let rejected = async || {
        let refused = here.run(&old, "k", 1).on_duplicate(OnDuplicate::Reject).await;
        matches!(refused, Err(RunError::InProgress { .. }))
    };
    until(rejected).await;
    let limit = Duration::from_millis(100);
    let waited = here
        .run(&old, "k", 1)
        .on_duplicate(OnDuplicate::Wait(limit))
        .await;
    assert!(matches!(waited, Err(RunError::InProgress { .. })), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_race_to_resume_share_one_run_and_its_end() {
    let later = Retry::attempts(9)
        .first_delay(Duration::from_secs(60))
        .hold(Duration::ZERO);
    for retry in [Retry::none(), later] {
        let (store, schema, probe) = (MemoryStore::new(), schema(retry), Probe::new(MANY, u32::MAX));
        let (engine, faults) = start(&store, &schema, &probe, quick()).await;
        let first = attach(&engine, &schema).await.expect("no panic");
        assert!(first.is_err(), "{first:?}");
        let race = Gate::closed();
        for nth in 1..=20 {
            faults.script(&[Call::Acquire], nth, Fault::HoldBefore(race.clone()));
        }
        let racing: Vec<_> = (0..20).map(|_caller| attach(&engine, &schema)).collect();
        within(race.arrived(20)).await;
        race.open();
        for call in racing {
            let told = within(call).await.expect("no panic");
            assert!(
                matches!(told, Err(RunError::Failed(_) | RunError::Waiting { .. })),
                "{told:?}"
            );
        }
        assert_eq!(
            probe.bodies(),
            2,
            "once for the first call, once for all that raced"
        );
    }
}

/// A call that began an execution, lost it to another process, and is about to look again.
async fn lost_to_another(
    store: &MemoryStore,
    probe: &Probe,
    call: impl FnOnce(&Engine, &Schema<u64, u64>) -> keystep::Call<u64, u64>,
) -> (Engine, tokio::task::JoinHandle<Result<u64, RunError>>, Gate) {
    let schema = schema(Retry::none());
    let (here, faults) = start(store, &schema, probe, quick()).await;
    let call = tokio::spawn(call(&here, &schema).into_future());
    probe.entered().await;
    let (there, _) = start(store, &schema, probe, quick()).await;
    let (lost, again) = (here.worker_id(), Gate::closed());
    faults.script(&[Call::Begin], 1, Fault::HoldBefore(again.clone()));
    until(async || {
        store.end_session(lost);
        find(&there, &schema).await.epoch > 1
    })
    .await;
    within(again.arrived(1)).await;
    probe.entered().await;
    (there, call, again)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_callers_own_run_is_its_answer_whoever_ended_it() {
    for policy in [AfterFailure::Resume, AfterFailure::Restart] {
        let (store, probe) = (MemoryStore::new(), Probe::new(0, u32::MAX));
        let (there, call, again) = lost_to_another(&store, &probe, |here, schema| {
            here.run(schema, "k", 1).after_failure(policy)
        })
        .await;
        probe.gate.add_permits(MANY);
        let schema = schema(Retry::none());
        until(async || find(&there, &schema).await.state == State::Failed).await;
        again.open();
        let told = within(call).await.expect("no panic");
        assert!(matches!(told, Err(RunError::Failed(_))), "{told:?}");
        assert_eq!(probe.bodies(), 2, "the lost one and the one that failed");
        assert_eq!(find(&there, &schema).await.generation, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_began_it_is_no_duplicate_when_another_process_goes_on() {
    let (store, probe) = (MemoryStore::new(), Probe::new(0, 0));
    let (_there, call, again) = lost_to_another(&store, &probe, |here, schema| {
        here.run(schema, "k", 1).on_duplicate(OnDuplicate::Reject)
    })
    .await;
    again.open();
    probe.gate.add_permits(MANY);
    assert_eq!(within(call).await.expect("no panic"), Ok(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_never_gets_an_end_that_is_older_than_its_call() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 1));
    let (there, _) = start(&store, &schema, &probe, quick()).await;
    let (here, faults) = start(&store, &schema, &probe, quick()).await;
    let first = attach(&there, &schema);
    probe.entered().await;
    let early = attach(&here, &schema);
    until(async || calls(&faults, Call::Find) > 0).await;
    // The look that sees the failure is slow.
    let answer = Gate::closed();
    probe.gate.add_permits(1);
    assert!(within(first).await.expect("no panic").is_err());
    faults.script(&[Call::Find], 1, Fault::HoldAfter(answer.clone()));
    within(answer.arrived(1)).await;
    // Meanwhile it is resumed, and somebody attaches to that.
    let resumed = attach(&there, &schema);
    probe.entered().await;
    let handle = here
        .run(&schema, "k", 1)
        .on_duplicate(OnDuplicate::Attach)
        .submit();
    let handle = within(handle).await.expect("submitted");
    let late = tokio::spawn(handle.wait());
    let following = calls(&faults, Call::Find);
    tokio::task::yield_now().await;
    answer.open();
    let _either = within(early).await;
    until(async || calls(&faults, Call::Find) > following).await;
    probe.gate.add_permits(1);
    assert_eq!(within(resumed).await.expect("no panic"), Ok(20));
    assert_eq!(within(late).await.expect("no panic"), Ok(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_whose_answer_is_late_is_not_taken_over_by_its_own_process() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(1, 1));
    let audited = WorkerOptions {
        unknown_shape_after: Duration::from_millis(20),
        ..quick()
    };
    let (engine, faults) = start(&store, &schema, &probe, audited).await;
    let first = attach(&engine, &schema).await.expect("no panic");
    assert!(first.is_err(), "{first:?}");
    probe.entered().await;
    let answer = Gate::closed();
    faults.script(&[Call::Acquire], 1, Fault::HoldAfter(answer.clone()));
    let resumed = attach(&engine, &schema);
    within(answer.arrived(1)).await;
    let audits = calls(&faults, Call::Owned);
    until(async || calls(&faults, Call::Owned) > audits + 3).await;
    answer.open();
    probe.entered().await;
    probe.gate.add_permits(MANY);
    assert_eq!(within(resumed).await.expect("no panic"), Ok(20));
    assert_eq!(probe.bodies(), 2, "one body for each call");
    assert_eq!(find(&engine, &schema).await.epoch, 2, "begun and resumed");
}

/// Lets an engine's worker be declared dead.
async fn declare_dead(store: &MemoryStore, engine: &Engine, faults: &Faults) {
    let (worker, registered) = (engine.worker_id(), calls(faults, Call::Register));
    until(async || {
        store.end_session(worker);
        calls(faults, Call::Register) > registered
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_declared_dead_runs_no_step_before_it_is_registered_anew() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(MANY, 0));
    let idle = WorkerOptions {
        in_flight: 0,
        ..quick()
    };
    let (there, _) = start(&store, &other_shape(), &probe, idle).await;
    let (here, faults) = start(&store, &schema, &probe, quick()).await;
    let dead = here.worker_id();
    faults.script_outage(&[Call::Register], &StoreError::Unavailable("by script".into()));
    declare_dead(&store, &here, &faults).await;
    let call = attach(&here, &schema);
    until(async || calls(&faults, Call::Begin) > 0).await;
    let registered = calls(&faults, Call::Register);
    until(async || calls(&faults, Call::Register) > registered + 2).await;
    faults.clear();
    assert_eq!(within(call).await.expect("no panic"), Ok(20));
    for step in find(&there, &schema).await.steps {
        assert_ne!(step.worker, dead, "`{}` was run by a dead worker", step.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begin_that_is_answered_after_its_worker_was_declared_dead_runs_no_step_under_it() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(MANY, 0));
    let idle = WorkerOptions {
        in_flight: 0,
        ..quick()
    };
    let (here, faults) = start(&store, &schema, &probe, idle).await;
    let (dead, answer) = (here.worker_id(), Gate::closed());
    faults.script(&[Call::Begin], 1, Fault::HoldAfter(answer.clone()));
    let call = attach(&here, &schema);
    within(answer.arrived(1)).await;
    let (there, _) = start(&store, &schema, &probe, quick()).await;
    declare_dead(&store, &here, &faults).await;
    until(async || here.worker_id() != dead && find(&there, &schema).await.state == State::Succeeded).await;
    answer.open();
    assert_eq!(within(call).await.expect("no panic"), Ok(20));
    assert_eq!(probe.bodies(), 1, "the other process has run it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_goes_away_does_not_stop_a_resume() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(MANY, 1));
    let (engine, faults) = start(&store, &schema, &probe, quick()).await;
    assert!(attach(&engine, &schema).await.expect("no panic").is_err());
    let id = find(&engine, &schema).await.id;
    let answer = Gate::closed();
    faults.script(&[Call::Acquire], 1, Fault::HoldAfter(answer.clone()));
    let operator = tokio::spawn({
        let engine = engine.clone();
        async move { engine.resume(id).await }
    });
    within(answer.arrived(1)).await;
    operator.abort();
    let _cancelled = operator.await;
    answer.open();
    let resumed = async || find(&engine, &schema).await.state == State::Succeeded;
    tokio::time::timeout(Duration::from_secs(3), until(resumed))
        .await
        .expect("at once, not by the audit of lost answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_has_shut_down_resumes_nothing() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(MANY, 1));
    let (engine, _) = start(&store, &schema, &probe, quick()).await;
    assert!(attach(&engine, &schema).await.expect("no panic").is_err());
    let id = find(&engine, &schema).await.id;
    within(engine.shutdown()).await;
    let refused = engine.resume(id).await;
    assert!(matches!(refused, Err(RunError::Unavailable(_))), "{refused:?}");
    assert_eq!(find(&engine, &schema).await.state, State::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_nobody_waited_for_is_no_worker() {
    let store = FaultyStore::new(MemoryStore::new());
    let (faults, answer) = (store.faults(), Gate::closed());
    faults.script(&[Call::Register], 1, Fault::HoldAfter(answer.clone()));
    let building = tokio::spawn(Engine::builder(store).worker(quick()).build());
    within(answer.arrived(1)).await;
    building.abort();
    assert!(building.await.is_err(), "it was given up");
    answer.open();
    until(async || calls(&faults, Call::Retire) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_back_survives_a_blip_of_the_store() {
    let blip = StoreError::Unavailable("by script".into());
    for fault in [Fault::Refuse(blip), Fault::LoseAnswer] {
        let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 0));
        let (engine, faults) = start(&store, &schema, &probe, quick()).await;
        let call = attach(&engine, &schema);
        probe.entered().await;
        faults.script(&[Call::Commit], 1, fault);
        within(engine.shutdown()).await;
        let told = within(call).await.expect("no panic");
        assert!(matches!(told, Err(RunError::Unavailable(_))), "{told:?}");
        assert_eq!(find(&engine, &schema).await.state, State::Ready);
        assert_eq!(faults.left(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_fails_hides_nothing_that_another_look_finds() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 0));
    let idle = WorkerOptions {
        in_flight: 0,
        ..quick()
    };
    let (here, _) = start(&store, &schema, &probe, idle).await;
    let call = attach(&here, &schema);
    probe.entered().await;
    let (there, faults) = start(&store, &schema, &probe, quick()).await;
    let unreadable = StoreError::Unreadable("by script".into());
    faults.script_outage(&[Call::Due, Call::Owned], &unreadable);
    let lost = here.worker_id();
    until(async || {
        store.end_session(lost);
        find(&there, &schema).await.epoch > 1
    })
    .await;
    probe.gate.add_permits(MANY);
    assert_eq!(within(call).await.expect("no panic"), Ok(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_can_not_be_read_hold_up_no_caller_who_waits() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 0));
    let (there, _) = start(&store, &schema, &probe, quick()).await;
    let (here, faults) = start(&store, &schema, &probe, quick()).await;
    let owner = attach(&there, &schema);
    probe.entered().await;
    faults.script_outage(&[Call::Find], &StoreError::Unreadable("by script".into()));
    let waiting = attach(&here, &schema);
    until(async || calls(&faults, Call::Find) > 0).await;
    probe.gate.add_permits(1);
    assert_eq!(within(owner).await.expect("no panic"), Ok(20));
    assert_eq!(within(waiting).await.expect("no panic"), Ok(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_a_wait_holds_also_when_the_store_is_slow() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::new(0, 0));
    let (there, _) = start(&store, &schema, &probe, quick()).await;
    let (here, faults) = start(&store, &schema, &probe, quick()).await;
    let owner = attach(&there, &schema);
    probe.entered().await;
    let never = Gate::closed();
    for nth in 1..=10 {
        faults.script(&[Call::Find], nth, Fault::HoldBefore(never.clone()));
    }
    let policy = OnDuplicate::Wait(Duration::from_millis(20));
    let waited = within(here.run(&schema, "k", 1).on_duplicate(policy).into_future()).await;
    assert!(matches!(waited, Err(RunError::InProgress { .. })), "{waited:?}");
    probe.gate.add_permits(1);
    assert_eq!(within(owner).await.expect("no panic"), Ok(20));
}
