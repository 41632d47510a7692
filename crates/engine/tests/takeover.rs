//! What happens to an execution when its owner goes away, or the code changes? On the memory store,
//! with several engines in one process; the system tests do the same with real processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keystep::{
    Engine, Execution, Limits, MemoryStore, OnDuplicate, ParkReason, Retry, RunError, Schema, State, Step,
    StepContext, StepResult, StoredStep, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// What the steps share: counts, and a gate that holds some of them.
#[derive(Clone)]
struct Probe {
    first: Arc<AtomicU32>,
    second: Arc<AtomicU32>,
    entered: Arc<Semaphore>,
    gate: Arc<Semaphore>,
    left: Arc<Semaphore>,
}

/// Tells when a step is over, also when it was cancelled.
struct Leaves(Arc<Semaphore>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl Probe {
    fn new() -> Self {
        Self {
            first: Arc::default(),
            second: Arc::default(),
            entered: Arc::new(Semaphore::new(0)),
            gate: Arc::new(Semaphore::new(0)),
            left: Arc::new(Semaphore::new(0)),
        }
    }

    async fn left(&self) {
        within(self.left.acquire()).await.expect("open").forget();
    }

    async fn entered(&self) {
        within(self.entered.acquire()).await.expect("open").forget();
    }
}

async fn first(cx: StepContext, n: u64) -> StepResult<u64> {
    cx.get::<Probe>()?.first.fetch_add(1, Ordering::SeqCst);
    Ok(n + 1)
}

async fn gated(cx: StepContext, n: u64) -> StepResult<u64> {
    let probe = cx.get::<Probe>()?;
    let _leaves = Leaves(Arc::clone(&probe.left));
    probe.second.fetch_add(1, Ordering::SeqCst);
    probe.entered.add_permits(1);
    probe.gate.acquire().await?.forget();
    Ok(n * 10 + u64::from(cx.attempt()))
}

fn schema() -> Schema<u64, u64> {
    Schema::new("test.takeover")
        .step("first", first)
        .step("gated", gated)
        .retry(Retry::none())
        .build()
}

/// Quick to notice a death, so that tests are.
fn quick() -> WorkerOptions {
    WorkerOptions {
        beat: Duration::from_millis(400),
        grace: Duration::from_millis(100),
        sweep: Duration::from_millis(100),
        drain: Duration::from_millis(10),
        ..WorkerOptions::default()
    }
}

async fn start<In, Out>(
    store: &MemoryStore,
    schema: &Schema<In, Out>,
    probe: &Probe,
    options: WorkerOptions,
) -> Engine {
    Engine::builder(store.another_handle())
        .schema(schema.clone())
        .provide(probe.clone())
        .worker(options)
        .limits(Limits {
            lost_owners: 3,
            ..Limits::default()
        })
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

/// Waits, at most ten seconds, until the execution of key `k` is as wanted.
async fn until<In, Out>(
    engine: &Engine,
    schema: &Schema<In, Out>,
    wanted: impl Fn(&Execution) -> bool,
) -> Execution {
    let reached = async {
        loop {
            let execution = engine.find(schema, "k").await.expect("read").expect("there");
            if wanted(&execution) {
                return execution;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(reached).await
}

/// Lets the present owner of key `k` seem dead, and waits until another one has taken the execution
/// over and the lost one has noticed: it goes on as a new worker, and its step is being cancelled.
async fn lose_owner(store: &MemoryStore, engines: [&Engine; 2], schema: &Schema<u64, u64>) {
    let before = until(engines[0], schema, |execution| execution.owner.is_some()).await;
    let lost = before.owner.expect("an owner");
    let taken_over = async {
        // Again and again: a worker that lives reopens its session with its next beat.
        while engines[0]
            .find(schema, "k")
            .await
            .expect("read")
            .expect("there")
            .epoch
            == before.epoch
        {
            store.end_session(lost);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(taken_over).await;
    let noticed = async {
        while engines.iter().any(|engine| engine.worker_id() == lost) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(noticed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_owner_is_replaced_its_step_is_cancelled_and_its_caller_gets_the_outcome() {
    let (store, schema, probe) = (MemoryStore::new(), schema(), Probe::new());
    let here = start(&store, &schema, &probe, quick()).await;
    let there = start(&store, &schema, &probe, quick()).await;
    let call = tokio::spawn(here.run(&schema, "k", 1).into_future());
    probe.entered().await;
    let lost = here.worker_id();
    lose_owner(&store, [&here, &there], &schema).await;
    // The gate is closed: only a step that was cancelled has left.
    probe.left().await;
    probe.entered().await;
    probe.gate.add_permits(1);
    assert_eq!(
        within(call).await.expect("no panic"),
        Ok(22),
        "the output of the second attempt"
    );
    assert_eq!(
        probe.first.load(Ordering::SeqCst),
        1,
        "what is recorded never runs again"
    );
    assert_eq!(probe.second.load(Ordering::SeqCst), 2);
    let execution = until(&here, &schema, |execution| execution.state == State::Succeeded).await;
    assert_eq!(execution.steps[1].attempt, 2);
    assert_ne!(execution.steps[1].worker, lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_whose_owner_is_lost_too_often_without_a_checkpoint_is_parked() {
    let (store, schema, probe) = (MemoryStore::new(), schema(), Probe::new());
    let here = start(&store, &schema, &probe, quick()).await;
    let there = start(&store, &schema, &probe, quick()).await;
    let call = tokio::spawn(
        here.run(&schema, "k", 1)
            .on_duplicate(OnDuplicate::Attach)
            .into_future(),
    );
    for _loss in 0..3 {
        probe.entered().await;
        lose_owner(&store, [&here, &there], &schema).await;
    }
    let parked = until(&there, &schema, |execution| execution.state == State::Parked).await;
    assert_eq!(parked.parked, Some(ParkReason::LostTooOften));
    let told = within(call).await.expect("no panic");
    assert!(
        matches!(
            told,
            Err(RunError::Parked {
                reason: ParkReason::LostTooOften,
                ..
            })
        ),
        "{told:?}"
    );
    assert_eq!(
        probe.second.load(Ordering::SeqCst),
        3,
        "the fourth owner did not start it"
    );
    for _loss in 0..3 {
        probe.left().await;
    }
    // An operator lets it go on.
    there.resume(parked.id).await.expect("resumed");
    probe.gate.add_permits(1);
    until(&there, &schema, |execution| execution.state == State::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_dead_process_could_run_waits_for_the_next_one_that_can() {
    let (store, new, probe) = (MemoryStore::new(), schema(), Probe::new());
    let old: Schema<u64, u64> = Schema::new("test.takeover").step("first", first).build();
    let old_process = start(
        &store,
        &old,
        &probe,
        WorkerOptions {
            sweep: Duration::from_millis(20),
            ..quick()
        },
    )
    .await;
    let new_process = start(&store, &new, &probe, quick()).await;
    let call = tokio::spawn(new_process.run(&new, "k", 1).into_future());
    probe.entered().await;
    new_process.shutdown().await;
    assert!(matches!(
        within(call).await.expect("no panic"),
        Err(RunError::Unavailable(_))
    ));
    // The old process looks for work several times and leaves it alone.
    assert_eq!(old_process.run(&old, "other", 1).await, Ok(2));
    let execution = until(&old_process, &old, |execution| execution.state == State::Ready).await;
    assert_eq!(execution.parked, None);
    let next_process = start(&store, &new, &probe, quick()).await;
    probe.gate.add_permits(1);
    until(&next_process, &new, |execution| {
        execution.state == State::Succeeded
    })
    .await;
    assert_eq!(probe.first.load(Ordering::SeqCst), 2, "once for each key");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_alive_can_run_for_a_while_is_parked_and_a_deploy_takes_it_up() {
    let (store, new, probe) = (MemoryStore::new(), schema(), Probe::new());
    let old: Schema<u64, u64> = Schema::new("test.takeover").step("first", first).build();
    let options = WorkerOptions {
        unknown_shape_after: Duration::from_millis(200),
        ..quick()
    };
    let old_process = start(&store, &old, &probe, options).await;
    let new_process = start(&store, &new, &probe, quick()).await;
    let call = tokio::spawn(new_process.run(&new, "k", 1).into_future());
    probe.entered().await;
    new_process.shutdown().await;
    assert!(within(call).await.expect("no panic").is_err());
    let parked = until(&old_process, &old, |execution| execution.state == State::Parked).await;
    assert_eq!(parked.parked, Some(ParkReason::UnknownShape));
    let refused = old_process.run(&old, "k", 1).await;
    assert!(
        matches!(
            refused,
            Err(RunError::Parked {
                reason: ParkReason::UnknownShape,
                ..
            })
        ),
        "{refused:?}"
    );
    let next_process = start(&store, &new, &probe, quick()).await;
    probe.gate.add_permits(1);
    until(&next_process, &new, |execution| {
        execution.state == State::Succeeded
    })
    .await;
}

#[derive(Serialize, Deserialize)]
struct Greet {
    word: String,
}

impl Step for Greet {
    type Input = u64;
    type Output = String;

    async fn run(&self, _cx: StepContext, n: u64) -> StepResult<String> {
        Ok(format!("{} {n}", self.word))
    }
}

#[typetag::serde(name = "test.greet")]
impl StoredStep for Greet {}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_step_keeps_the_parameters_its_execution_was_born_with() {
    let (store, probe) = (MemoryStore::new(), Probe::new());
    let greeting = |word: &str| -> Schema<u64, String> {
        Schema::new("test.greeting")
            .step("gated", gated)
            .stored_step(
                "greet",
                Greet {
                    word: word.to_owned(),
                },
            )
            .build()
    };
    let (before, after) = (greeting("hello"), greeting("goodbye"));
    assert_eq!(before.shape(), after.shape());
    let old_process = start(&store, &before, &probe, quick()).await;
    let call = tokio::spawn(old_process.run(&before, "k", 1).into_future());
    probe.entered().await;
    old_process.shutdown().await;
    assert!(within(call).await.expect("no panic").is_err());
    let new_process = start(&store, &after, &probe, quick()).await;
    probe.gate.add_permits(2);
    let told = new_process
        .run(&after, "k", 1)
        .on_duplicate(OnDuplicate::Attach)
        .await;
    assert_eq!(told, Ok("hello 11".to_owned()), "handing back used up no attempt");
    assert_eq!(
        new_process.run(&after, "k2", 1).await,
        Ok("goodbye 11".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_output_that_the_code_can_not_read_parks_and_never_runs_again() {
    let (store, before, probe) = (MemoryStore::new(), schema(), Probe::new());
    let after: Schema<u64, u64> = Schema::new("test.takeover")
        .step("first", |cx: StepContext, _n: u64| async move {
            cx.get::<Probe>()?.first.fetch_add(1, Ordering::SeqCst);
            Ok("text".to_owned())
        })
        .step("gated", |_cx, text: String| async move { Ok(text.len() as u64) })
        .build();
    assert_eq!(
        before.shape(),
        after.shape(),
        "the dangerous change: other types, same names"
    );
    let old_process = start(&store, &before, &probe, quick()).await;
    let call = tokio::spawn(old_process.run(&before, "k", 1).into_future());
    probe.entered().await;
    old_process.shutdown().await;
    assert!(within(call).await.expect("no panic").is_err());
    let new_process = start(&store, &after, &probe, quick()).await;
    let told = new_process
        .run(&after, "k", 1)
        .on_duplicate(OnDuplicate::Attach)
        .await;
    let Err(RunError::Parked {
        reason: ParkReason::Unreadable,
        failure: Some(failure),
        ..
    }) = told
    else {
        panic!("{told:?}")
    };
    assert!(
        failure.message.contains("can not be read by the step `gated`"),
        "{failure}"
    );
    assert_eq!(probe.first.load(Ordering::SeqCst), 1);
    // The old code can still finish it.
    let old_process = start(&store, &before, &probe, quick()).await;
    let parked = old_process
        .find(&before, "k")
        .await
        .expect("read")
        .expect("there");
    probe.gate.add_permits(1);
    old_process.resume(parked.id).await.expect("resumed");
    until(&old_process, &before, |execution| {
        execution.state == State::Succeeded
    })
    .await;
}
