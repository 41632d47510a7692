//! Who owns the work, and what ends it? Not the caller, not the caller's runtime, and not user code
//! that the engine calls between the steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use keystep::{
    Codec, Engine, MemoryStore, OnDuplicate, Place, Retry, RunError, Schema, Slot, StepContext, StepResult,
    WorkerOptions,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

/// What the steps share: how often they ran, and a gate that holds them.
#[derive(Clone)]
struct Probe {
    bodies: Arc<AtomicU32>,
    entered: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

impl Probe {
    fn new(permits: usize) -> Self {
        Self {
            bodies: Arc::default(),
            entered: Arc::new(Semaphore::new(0)),
            gate: Arc::new(Semaphore::new(permits)),
        }
    }

    async fn entered(&self) {
        within(self.entered.acquire()).await.expect("open").forget();
    }
}

async fn gated(cx: StepContext, n: u64) -> StepResult<u64> {
    let probe = cx.get::<Probe>()?;
    probe.bodies.fetch_add(1, Ordering::SeqCst);
    probe.entered.add_permits(1);
    probe.gate.acquire().await?.forget();
    Ok(n + 1)
}

fn schema() -> Schema<u64, u64> {
    Schema::new("test.owners")
        .step("gated", gated)
        .retry(Retry::none())
        .build()
}

fn quick() -> WorkerOptions {
    WorkerOptions {
        sweep: Duration::from_millis(20),
        unknown_shape_after: Duration::from_millis(20),
        ..WorkerOptions::default()
    }
}

async fn start(store: &MemoryStore, probe: &Probe) -> Engine {
    Engine::builder(store.another_handle())
        .schema(schema())
        .provide(probe.clone())
        .worker(quick())
        .build()
        .await
        .expect("an engine")
}

/// No wait of a test is longer than ten seconds.
async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("in time")
}

fn home() -> Runtime {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The runtime of one caller, as a thread of a web server may have it.
fn visitor() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

#[test]
fn a_run_outlives_the_runtime_of_the_caller_that_began_it() {
    let (home, visitor, probe) = (home(), visitor(), Probe::new(0));
    let engine = home.block_on(start(&MemoryStore::new(), &probe));
    let begun = visitor
        .block_on(engine.run(&schema(), "k", 1).submit())
        .expect("begun");
    home.block_on(probe.entered());
    drop(visitor);
    probe.gate.add_permits(1);
    assert_eq!(home.block_on(within(begun.wait())), Ok(2));
}

#[test]
fn callers_who_wait_outlive_the_runtime_of_the_one_who_waited_first() {
    let (home, visitor, probe, store) = (home(), visitor(), Probe::new(0), MemoryStore::new());
    let (here, there) = home.block_on(async { (start(&store, &probe).await, start(&store, &probe).await) });
    let owner = home.spawn(there.run(&schema(), "k", 1).into_future());
    home.block_on(probe.entered());
    let attach = || here.run(&schema(), "k", 1).on_duplicate(OnDuplicate::Attach);
    let limit = Duration::from_millis(50);
    assert_eq!(
        visitor.block_on(attach().within(limit).into_future()),
        Err(RunError::TimedOut(limit))
    );
    drop(visitor);
    let waiting = home.spawn(attach().into_future());
    probe.gate.add_permits(1);
    assert_eq!(home.block_on(within(owner)).expect("no panic"), Ok(2));
    assert_eq!(home.block_on(within(waiting)).expect("no panic"), Ok(2));
}

#[test]
fn an_engine_whose_runtime_ends_leaves_its_work_to_others_at_once() {
    let (home, elsewhere, probe, store) = (home(), home(), Probe::new(0), MemoryStore::new());
    let here = home.block_on(start(&store, &probe));
    let there = elsewhere.block_on(start(&store, &probe));
    let begun = home
        .block_on(here.run(&schema(), "k", 1).submit())
        .expect("begun");
    home.block_on(probe.entered());
    drop(home);
    let told = elsewhere.block_on(within(begun.wait()));
    assert!(matches!(told, Err(RunError::Unavailable(_))), "{told:?}");
    elsewhere.block_on(probe.entered());
    probe.gate.add_permits(1);
    let attached = there.run(&schema(), "k", 1).on_duplicate(OnDuplicate::Attach);
    assert_eq!(elsewhere.block_on(within(attached.into_future())), Ok(2));
}

/// Panics at the first output.
struct Panics(AtomicBool);

impl Codec for Panics {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, json: Bytes, place: &Place<'_>) -> Result<Bytes, String> {
        let first = matches!(place.slot, Slot::Output(_)) && !self.0.swap(true, Ordering::SeqCst);
        assert!(!first, "the codec panics");
        Ok(json)
    }

    fn decode(&self, bytes: Bytes, _place: &Place<'_>) -> Result<Bytes, String> {
        Ok(bytes)
    }
}

#[tokio::test]
async fn a_panic_between_the_steps_is_a_lost_owner_and_not_a_caller_who_waits_for_ever() {
    let (probe, schema) = (Probe::new(2), schema());
    let engine = Engine::builder(MemoryStore::new())
        .schema(schema.clone())
        .provide(probe.clone())
        .codec(Panics(AtomicBool::new(false)))
        .worker(quick())
        .build()
        .await
        .expect("an engine");
    let told = within(engine.run(&schema, "k", 1).into_future()).await;
    assert_eq!(told, Ok(2));
    assert_eq!(
        probe.bodies.load(Ordering::SeqCst),
        2,
        "the first output was not recorded"
    );
}
