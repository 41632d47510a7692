//! What is a storm of dropped calls and steps? Two processes' engines on one store each, callers who
//! give up at any await, owners who are declared dead or shut down; then everybody finishes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keystep::execution::WorkerId;
use keystep::{Engine, OnDuplicate, WorkerOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Barrier, RwLock};

use crate::drops::{after_polls, some_polls};
use crate::steps::{Books, Left, Site, meeting, schema};

/// It comes in gusts. After each one all engines are gone, so that nobody uses a connection which was
/// left with a transaction in it, and so hides it.
const GUSTS: u32 = 10;
const GUST: Duration = Duration::from_secs(1);
const CALLERS: u64 = 12;
/// No wait afterwards is longer.
const CALM: Duration = Duration::from_secs(60);

/// One process: a store whose connections stay, and an engine on it that is replaced.
struct Process<S> {
    site: Site<S>,
    engine: RwLock<Engine>,
}

async fn engine<S: Books>(site: &Site<S>) -> Engine {
    let options = WorkerOptions {
        drain: Duration::from_millis(20),
        grace: Duration::from_millis(100),
        sweep: Duration::from_millis(100),
        beat: Duration::from_millis(50),
        ..WorkerOptions::default()
    };
    Engine::builder(site.store.clone())
        .schema(schema::<S>())
        .schema(meeting::<S>())
        .provide(site.clone())
        .worker(options)
        .build()
        .await
        .expect("an engine")
}

/// Runs a storm, with a look at the database now and then, and a closer one when nobody is at work;
/// answers the rows that must be in the ledger.
pub(crate) async fn storm<S: Books>(
    stores: [S; 2],
    seed: u64,
    look: impl AsyncFn(),
    look_closely: impl AsyncFn(),
) -> BTreeSet<String> {
    println!("KEYSTEP_SEED={seed}");
    let played = Arc::default();
    let mut processes = Vec::new();
    for store in stores {
        let site = Site {
            store,
            seed,
            played: Arc::clone(&played),
            together: Arc::new(Barrier::new(S::CONNECTIONS)),
        };
        let engine = RwLock::new(engine(&site).await);
        processes.push(Arc::new(Process { site, engine }));
    }
    let keys = Arc::new(AtomicU64::new(0));
    let mut total = Counts::default();
    for gust in 0..GUSTS {
        let seed = seed ^ u64::from(gust) << 40;
        total.add(&blow(&processes, seed, &keys, &look).await);
        for process in &processes {
            process.engine.read().await.shutdown().await;
        }
        look_closely().await;
        for process in &processes {
            *process.engine.write().await = engine(&process.site).await;
        }
    }
    let keys = keys.load(Ordering::Relaxed);
    let left = finish(&processes, keys).await;
    for process in &processes {
        process.engine.read().await.shutdown().await;
    }
    look_closely().await;
    let played = played.lock().expect("no panic under this lock");
    println!("{total:?}; {keys} keys, {} rows; steps: {played:?}", left.len());
    assert!(total.dropped > 200, "a storm drops calls");
    assert!(total.burials > 3 && total.shutdowns > 3, "a storm ends owners");
    assert_eq!(played.len(), 8, "a storm plays all: {played:?}");
    left
}

#[derive(Debug, Default)]
struct Counts {
    calls: u32,
    dropped: u32,
    burials: u32,
    shutdowns: u32,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.dropped += other.dropped;
        self.burials += other.burials;
        self.shutdowns += other.shutdowns;
    }
}

/// One gust.
async fn blow<S: Books>(
    processes: &[Arc<Process<S>>],
    seed: u64,
    keys: &Arc<AtomicU64>,
    look: impl AsyncFn(),
) -> Counts {
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for nth in 0..CALLERS {
        let process = Arc::clone(&processes[nth as usize % 2]);
        let (over, keys) = (Arc::clone(&over), Arc::clone(keys));
        callers.push(tokio::spawn(call_and_drop(process, seed ^ nth << 32, over, keys)));
    }
    let trouble = tokio::spawn(make_trouble(processes.to_vec(), seed, Arc::clone(&over)));
    let began = Instant::now();
    while began.elapsed() < GUST {
        look().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut counts = trouble.await.expect("no panic");
    for caller in callers {
        counts.add(&caller.await.expect("no panic"));
    }
    counts
}

/// Calls old and new keys, and drops most of the calls.
async fn call_and_drop<S: Books>(
    process: Arc<Process<S>>,
    seed: u64,
    over: Arc<AtomicBool>,
    keys: Arc<AtomicU64>,
) -> Counts {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut counts = Counts::default();
    while !over.load(Ordering::Relaxed) {
        let known = keys.load(Ordering::Relaxed);
        let key = match chance.random_bool(0.5) && known > 0 {
            true => chance.random_range(known.saturating_sub(20)..known),
            false => keys.fetch_add(1, Ordering::Relaxed),
        };
        let engine = process.engine.read().await.clone();
        let call = engine
            .run(&schema::<S>(), format!("{key}"), key)
            .on_duplicate(OnDuplicate::Attach);
        counts.calls += 1;
        // What it answers is asked for later. One that is not dropped may wait for a dead owner.
        let polls = some_polls(&mut chance);
        let within = tokio::time::timeout(Duration::from_millis(300), after_polls(polls, call.into_future()));
        if !matches!(within.await, Ok(Some(_answer))) {
            counts.dropped += 1;
        }
    }
    counts
}

/// Declares owners dead that live, and shuts engines down with all that they run.
async fn make_trouble<S: Books>(processes: Vec<Arc<Process<S>>>, seed: u64, over: Arc<AtomicBool>) -> Counts {
    let mut chance = StdRng::seed_from_u64(!seed);
    let mut counts = Counts::default();
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(chance.random_range(50..250))).await;
        let process = &processes[chance.random_range(0..2)];
        if chance.random_bool(0.5) {
            // A shutdown that takes its time must not keep callers from the next engine.
            let next = engine(&process.site).await;
            let old = std::mem::replace(&mut *process.engine.write().await, next);
            old.shutdown().await;
            counts.shutdowns += 1;
        } else if bury(&process.site.store).await {
            counts.burials += 1;
        }
    }
    counts
}

/// Declares one of the others dead, wrongly.
async fn bury<S: Books>(store: &S) -> bool {
    let Ok(seen) = store.observe(WorkerId(0)).await else {
        return false;
    };
    for other in seen.others {
        // It may have beaten since.
        if matches!(store.bury(other.worker, other.beat).await, Ok(true)) {
            return true;
        }
    }
    false
}

/// Every execution can be finished, and every connection be used.
async fn finish<S: Books>(processes: &[Arc<Process<S>>], keys: u64) -> BTreeSet<String> {
    let mut left: Vec<Left> = Vec::new();
    let engine = processes[0].engine.read().await.clone();
    for key in 0..keys {
        let call = engine
            .run(&schema::<S>(), format!("{key}"), key)
            .on_duplicate(OnDuplicate::Attach);
        let told = tokio::time::timeout(CALM, call.into_future()).await;
        let told = told.unwrap_or_else(|_late| panic!("{key} does not finish"));
        left.push(told.unwrap_or_else(|error| panic!("{key}: {error}")));
    }
    for (nth, process) in (0..).zip(processes) {
        let engine = process.engine.read().await.clone();
        let meetings = (0..S::CONNECTIONS as u64).map(|key| {
            let key = key + 100 * nth;
            engine.run(&meeting::<S>(), format!("{key}"), key).into_future()
        });
        let met = tokio::time::timeout(CALM, futures::future::join_all(meetings)).await;
        for met in met.expect("all connections can be used at once") {
            left.push(met.expect("a meeting"));
        }
    }
    left.into_iter().flatten().collect()
}
