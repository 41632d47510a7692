//! What does a caller hear while this process can not use the store, or a part of it? The outcome
//! where somebody else has it, and otherwise that it is to call again; never nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use keystep::execution::{ExecutionId, ExecutionRecord, Seen, WorkerId};
use keystep::store::{Store, StoreError, Wanted};
use keystep::{
    Engine, MemoryStore, OnDuplicate, Retry, RunError, Schema, State, StepContext, StepResult, WorkerOptions,
};
use store_conformance::faulty::{Call, Faults, FaultyStore};
use store_conformance::planted::{Plant, Planted};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// How the first owner's second step ends, after the store went away.
#[derive(Debug, Clone, Copy)]
enum Body {
    Returns,
    Fails,
    Hangs,
}

/// What the steps of one process share.
#[derive(Clone)]
struct Probe {
    body: Body,
    /// Calls to refuse, with this error, from inside the first owner's second step on.
    outage: Option<(&'static [Call], StoreError)>,
    faults: Faults,
    bodies: Arc<AtomicU32>,
    entered: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

impl Probe {
    fn new(body: Body, outage: Option<(&'static [Call], StoreError)>) -> Self {
        Self {
            body,
            outage,
            faults: Faults::default(),
            bodies: Arc::default(),
            entered: Arc::new(Semaphore::new(0)),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    async fn entered(&self) {
        within(self.entered.acquire()).await.expect("open").forget();
    }
}

async fn first(_cx: StepContext, n: u64) -> StepResult<u64> {
    Ok(n + 1)
}

async fn second(cx: StepContext, n: u64) -> StepResult<u64> {
    let probe = cx.get::<Probe>()?;
    if probe.bodies.fetch_add(1, Ordering::SeqCst) == 0 {
        if let Some((calls, error)) = &probe.outage {
            probe.faults.script_outage(calls, error);
        }
        probe.entered.add_permits(1);
    }
    match probe.body {
        Body::Returns => {}
        Body::Fails => return Err("the partner is down".into()),
        Body::Hangs => probe.gate.acquire().await?.forget(),
    }
    Ok(n * 10)
}

fn schema() -> Schema<u64, u64> {
    let often = Retry::attempts(10_000)
        .first_delay(Duration::from_millis(20))
        .max_delay(Duration::from_millis(20));
    Schema::new("test.shut_out")
        .step("first", first)
        .step("second", second)
        .retry(often)
        .build()
}

fn quick() -> WorkerOptions {
    WorkerOptions {
        beat: Duration::from_millis(100),
        beat_limit: Duration::from_secs(2),
        sweep: Duration::from_millis(50),
        ..WorkerOptions::default()
    }
}

async fn start(store: impl Store, schema: Schema<u64, u64>, probe: &Probe) -> Engine {
    let engine = Engine::builder(store).schema(schema).provide(probe.clone());
    engine.worker(quick()).build().await.expect("an engine")
}

async fn faulty(store: &MemoryStore, probe: &Probe) -> Engine {
    let store = FaultyStore::with(store.another_handle(), probe.faults.clone());
    start(store, schema(), probe).await
}

fn attach(engine: &Engine) -> JoinHandle<Result<u64, RunError>> {
    let call = engine.run(&schema(), "k", 1).on_duplicate(OnDuplicate::Attach);
    tokio::spawn(call.into_future())
}

/// No wait of a test is longer than thirty seconds.
async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("in time")
}

async fn until(holds: impl AsyncFn() -> bool) {
    let reached = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(reached).await;
}

/// Declares a worker dead by its last beat.
async fn bury(store: &MemoryStore, worker: WorkerId) {
    until(async || {
        let seen = store.observe(WorkerId::fresh()).await.expect("a look");
        match seen.others.iter().find(|other| other.worker == worker) {
            Some(other) => store.bury(worker, other.beat).await.expect("a verdict"),
            None => true,
        }
    })
    .await;
}

/// The caller of an owner whose writes and beats are shut out gets the outcome of the one who took
/// over, while the outage lasts.
async fn the_outcome_comes_from_the_one_who_took_over(body: Body) {
    let away = StoreError::Unavailable("another process holds the writer".into());
    let store = MemoryStore::new();
    let shut_out = Probe::new(body, Some((&[Call::Commit, Call::Beat], away)));
    let here = faulty(&store, &shut_out).await;
    let there = faulty(&store, &Probe::new(Body::Returns, None)).await;
    let call = attach(&here);
    shut_out.entered().await;
    bury(&store, here.worker_id()).await;
    let told = within(call).await.expect("no panic");
    assert_eq!(told, Ok(20));
    assert!(shut_out.faults.left() > 0, "the outage lasts");
    let found = there.find(&schema(), "k").await.expect("a read").expect("there");
    assert_eq!(found.state, State::Succeeded);
    assert!(found.epoch > 1, "taken over");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_can_not_record_learns_from_the_row_that_it_was_given_up() {
    the_outcome_comes_from_the_one_who_took_over(Body::Returns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_may_not_start_a_step_learns_from_the_row_that_it_was_given_up() {
    the_outcome_comes_from_the_one_who_took_over(Body::Fails).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_in_a_long_step_learns_from_the_row_that_it_was_given_up() {
    the_outcome_comes_from_the_one_who_took_over(Body::Hangs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_store_that_refuses_are_told_and_the_work_goes_on_when_it_is_usable() {
    let refused = StoreError::Refused("a replica by script".into());
    let probe = Probe::new(Body::Returns, Some((&[Call::Commit], refused)));
    let engine = faulty(&MemoryStore::new(), &probe).await;
    let told = within(attach(&engine)).await.expect("no panic");
    assert!(
        matches!(&told, Err(RunError::Unavailable(why)) if why.contains("a replica by script")),
        "{told:?}"
    );
    probe.faults.clear();
    let later = async || {
        let told = attach(&engine).await.expect("no panic");
        // The next write may still be a moment away.
        told == Ok(20)
    };
    until(later).await;
    assert_eq!(probe.bodies.load(Ordering::SeqCst), 1, "nothing ran again");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_follow_another_process_are_told_when_the_store_refuses() {
    let (store, probe) = (MemoryStore::new(), Probe::new(Body::Hangs, None));
    let there = start(store.another_handle(), schema(), &probe).await;
    let owner = attach(&there);
    probe.entered().await;
    let here = faulty(&store, &probe).await;
    let follows = attach(&here);
    until(async || probe.faults.calls().contains(&Call::Find)).await;
    let refused = StoreError::Refused("a newer format by script".into());
    probe.faults.script_outage(&[Call::Find], &refused);
    let told = within(follows).await.expect("no panic");
    assert!(
        matches!(&told, Err(RunError::Unavailable(why)) if why.contains("a newer format by script")),
        "{told:?}"
    );
    probe.faults.clear();
    let follows = attach(&here);
    probe.gate.add_permits(1);
    assert_eq!(within(owner).await.expect("no panic"), Ok(20));
    assert_eq!(within(follows).await.expect("no panic"), Ok(20));
}

/// A store with a bug: the next read of this kind panics.
#[derive(Clone, Default)]
struct Panics {
    find: Arc<AtomicBool>,
    orphans: Arc<AtomicBool>,
}

fn panic_once(armed: &AtomicBool) {
    assert!(
        !armed.swap(false, Ordering::SeqCst),
        "a bug in the store, by script"
    );
}

impl<S: Store> Plant<S> for Panics {
    async fn find(&self, store: &S, ids: Vec<ExecutionId>) -> Result<Vec<ExecutionRecord>, StoreError> {
        panic_once(&self.find);
        store.find(ids).await
    }

    async fn orphans(&self, store: &S, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        panic_once(&self.orphans);
        store.orphans(wanted).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_follow_another_process_outlive_a_panic_in_the_store() {
    let (store, probe) = (MemoryStore::new(), Probe::new(Body::Hangs, None));
    let there = start(store.another_handle(), schema(), &probe).await;
    let owner = attach(&there);
    probe.entered().await;
    let panics = Panics::default();
    let here = start(
        Planted::new(store.another_handle(), panics.clone()),
        schema(),
        &probe,
    )
    .await;
    panics.find.store(true, Ordering::SeqCst);
    let follows = attach(&here);
    until(async || !panics.find.load(Ordering::SeqCst)).await;
    probe.gate.add_permits(1);
    assert_eq!(within(owner).await.expect("no panic"), Ok(20));
    assert_eq!(within(follows).await.expect("no panic"), Ok(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_store_does_not_end_the_sweep() {
    let (store, probe) = (MemoryStore::new(), Probe::new(Body::Hangs, None));
    let panics = Panics::default();
    panics.orphans.store(true, Ordering::SeqCst);
    let planted = Planted::new(store.another_handle(), panics.clone());
    let there = start(planted, schema(), &probe).await;
    until(async || !panics.orphans.load(Ordering::SeqCst)).await;
    // Nobody calls there: only its sweep takes up what another process leaves.
    let options = WorkerOptions {
        drain: Duration::ZERO,
        ..quick()
    };
    let leaves = Engine::builder(store.another_handle())
        .schema(schema())
        .provide(probe.clone());
    let here = leaves.worker(options).build().await.expect("an engine");
    let left = attach(&here);
    probe.entered().await;
    here.shutdown().await;
    let told = within(left).await.expect("no panic");
    assert!(matches!(told, Err(RunError::Unavailable(_))), "{told:?}");
    probe.gate.add_permits(1);
    until(async || {
        let found = there.find(&schema(), "k").await.expect("a read").expect("there");
        found.state == State::Succeeded
    })
    .await;
}
