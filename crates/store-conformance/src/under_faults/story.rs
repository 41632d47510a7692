//! The story: four steps, of which the second one is put down once and the third one writes in a
//! transaction of its own. It is told by a client that calls until it has the output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use keystep::execution::{ExecutionId, FullKey};
use keystep::store::Store;
use keystep::{Engine, OnDuplicate, Retry, RunError, Schema, StepContext, StepResult, WorkerOptions};

use super::Ground;
use crate::faulty::{Faults, FaultyStore};

/// How often each step was run.
pub(super) type Runs = [u32; 4];

pub(super) const INPUT: u64 = 1;
pub(super) const OUTPUT: u64 = 23;
const SCHEMA: &str = "test.faults";

/// What the steps of one process share.
#[derive(Clone)]
pub(super) struct Site<G: Ground> {
    ground: G,
    store: G::Store,
    counts: Arc<[AtomicU32; 4]>,
    in_flight: usize,
}

impl<G: Ground> Site<G> {
    pub(super) fn new(ground: &G, store: &G::Store) -> Self {
        Self {
            ground: ground.clone(),
            store: store.clone(),
            counts: Arc::default(),
            in_flight: WorkerOptions::default().in_flight,
        }
    }

    /// Its engine runs what it is called for, and nothing that others have left.
    pub(super) fn taking_up_nothing(self) -> Self {
        Self { in_flight: 0, ..self }
    }

    pub(super) fn runs(&self) -> Runs {
        [0, 1, 2, 3].map(|step| self.counts[step].load(Ordering::SeqCst))
    }

    /// An engine over the store, with faults.
    pub(super) async fn engine(&self, schema: &Schema<u64, u64>, faults: &Faults) -> Engine {
        let options = WorkerOptions {
            beat: Duration::from_millis(50),
            sweep: Duration::from_millis(20),
            drain: Duration::from_millis(100),
            in_flight: self.in_flight,
            ..WorkerOptions::default()
        };
        for _start in 0..5 {
            let built = Engine::builder(FaultyStore::with(self.store.clone(), faults.clone()))
                .schema(schema.clone())
                .provide(self.clone())
                .worker(options)
                .build();
            // One that does not come up is started again.
            if let Ok(engine) = built.await {
                return engine;
            }
        }
        panic!("no engine comes up: {faults:?}")
    }
}

async fn count<G: Ground>(cx: &StepContext, step: usize) -> StepResult<u32> {
    Ok(cx.get::<Site<G>>()?.counts[step].fetch_add(1, Ordering::SeqCst))
}

async fn book<G: Ground>(cx: StepContext, n: u64) -> StepResult<u64> {
    count::<G>(&cx, 2).await?;
    let site = cx.get::<Site<G>>()?;
    if site.store.describe().transactions {
        let mark = cx.execution_id().to_string();
        site.ground.book(&site.store, &cx, &mark).await?;
    }
    Ok(n)
}

/// The schema, whose second step is put down for so long.
pub(super) fn schema<G: Ground>(pause: Duration) -> Schema<u64, u64> {
    let put_down = Retry::attempts(5).first_delay(pause).hold(Duration::ZERO);
    let soon = Retry::attempts(5).first_delay(Duration::from_millis(1));
    Schema::new(SCHEMA)
        .step("first", |cx: StepContext, n: u64| async move {
            count::<G>(&cx, 0).await?;
            Ok(n + 1)
        })
        .step("second", |cx: StepContext, n: u64| async move {
            // The first attempt fails and is put down, so that the story has a wait and a resume.
            if count::<G>(&cx, 1).await? == 0 {
                return Err("the partner is down".into());
            }
            Ok(n * 10)
        })
        .retry(put_down)
        .step("book", book::<G>)
        .retry(soon)
        .step("third", |cx: StepContext, n: u64| async move {
            count::<G>(&cx, 3).await?;
            Ok(n + 3)
        })
        .build()
}

/// How the story ended.
pub(super) struct Told {
    pub(super) runs: Runs,
    /// Whether every fault of the script has happened.
    pub(super) all_happened: bool,
}

impl Told {
    pub(super) fn ran_at_most(&self, most: Runs, what: &str) {
        for (runs, most) in self.runs.iter().zip(most) {
            assert!((1..=most).contains(runs), "{:?} runs; {what}", self.runs);
        }
    }
}

/// Calls until there is an output, as a client that retries does.
pub(super) async fn tell<G: Ground>(
    ground: &G,
    store: &G::Store,
    what: &str,
    script: impl FnOnce(&Faults),
) -> Told {
    let (site, faults, key) = (Site::new(ground, store), Faults::default(), fresh_key());
    let schema = schema::<G>(Duration::from_secs(60));
    script(&faults);
    let engine = site.engine(&schema, &faults).await;
    let output = call_until_answered(&engine, &schema, &key, what).await;
    assert_eq!(output, OUTPUT, "{what}");
    let all_happened = faults.left() == 0;
    faults.clear();
    let again = engine.run(&schema, key.as_str(), INPUT).await;
    assert_eq!(again, Ok(OUTPUT), "the outcome stands; {what}");
    engine.shutdown().await;
    is_recorded_once(ground, store, &key, what).await;
    Told {
        runs: site.runs(),
        all_happened,
    }
}

pub(super) async fn call_until_answered(
    engine: &Engine,
    schema: &Schema<u64, u64>,
    key: &str,
    what: &str,
) -> u64 {
    for _call in 0..20 {
        let told = engine
            .run(schema, key, INPUT)
            .on_duplicate(OnDuplicate::Attach)
            .within(Duration::from_secs(20))
            .await;
        match told {
            Ok(output) => return output,
            Err(
                error
                @ (RunError::TimedOut(_) | RunError::InputMismatch { .. } | RunError::InProgress { .. }),
            ) => panic!("{error}; {what}"),
            // An operator's part: a row that could not be read once is resumed by hand.
            Err(RunError::Parked { execution, .. }) => {
                engine.resume(execution).await.expect("resumed");
            }
            Err(_call_again) => {}
        }
    }
    panic!("no output after many calls; {what}")
}

/// The checkpoints are there, and with that of the transactional step its one row.
pub(super) async fn is_recorded_once<G: Ground>(ground: &G, store: &G::Store, key: &str, what: &str) {
    let id = id_of(key);
    let record = store.find(vec![id]).await.expect("an answer").pop();
    let run = record.expect("an execution").run;
    let progress = store.load(id, run).await.expect("an answer");
    let recorded: Vec<String> = progress
        .expect("the run is the present one")
        .checkpoints
        .into_iter()
        .map(|checkpoint| checkpoint.step)
        .collect();
    assert_eq!(recorded, ["first", "second", "book", "third"], "{what}");
    if store.describe().transactions {
        assert_eq!(ground.rows(store, &id.to_string()).await, 1, "{what}");
    }
}

pub(super) fn id_of(key: &str) -> ExecutionId {
    ExecutionId::of(&FullKey {
        schema: SCHEMA.to_owned(),
        scope: String::new(),
        key: key.to_owned(),
    })
}

/// A key that no other telling has used.
pub(super) fn fresh_key() -> String {
    static TOLD: AtomicU64 = AtomicU64::new(0);
    format!("story {}", TOLD.fetch_add(1, Ordering::Relaxed))
}
