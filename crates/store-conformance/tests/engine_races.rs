//! What if two things happen at the same moment? Calls of the store are held at gates, so that each
//! race has one order: the one that hurts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keystep::store::StoreError;
use keystep::{
    Engine, Execution, MemoryStore, OnDuplicate, ParkReason, Retry, RunError, Schema, State, StepContext,
    StepResult, WorkerOptions,
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

/// Lets an engine's worker be declared dead.
async fn declare_dead(store: &MemoryStore, engine: &Engine, faults: &Faults) {
    let (worker, registered) = (engine.worker_id(), calls(faults, Call::Register));
    until(async || {
        store.end_session(worker);
        calls(faults, Call::Register) > registered
    })
    .await;
}
