//! What does the engine promise a caller? One test for each promise, on the memory store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keystep::{
    AfterFailure, Engine, FailureKind, Filter, Key, MemoryStore, OnDuplicate, Retry, RunError, Schema, State,
    StepContext, StepError, StepResult, StepResultExt, Verdict, WorkerOptions,
};
use tokio::sync::Semaphore;

/// Counts of how often each step ran, and what the third does.
#[derive(Clone, Default)]
struct Probe {
    counts: Arc<[AtomicU32; 3]>,
    failures: Arc<AtomicU32>,
    terminal: bool,
}

impl Probe {
    fn counts(&self) -> [u32; 3] {
        [0, 1, 2].map(|step| self.counts[step].load(Ordering::SeqCst))
    }

    fn count(&self, step: usize) {
        self.counts[step].fetch_add(1, Ordering::SeqCst);
    }

    fn failing(times: u32, terminal: bool) -> Self {
        Self {
            failures: Arc::new(AtomicU32::new(times)),
            terminal,
            ..Self::default()
        }
    }
}

async fn first(cx: StepContext, n: u64) -> StepResult<u64> {
    cx.get::<Probe>()?.count(0);
    Ok(n + 1)
}

async fn second(cx: StepContext, n: u64) -> StepResult<u64> {
    cx.get::<Probe>()?.count(1);
    Ok(n * 10)
}

async fn third(cx: StepContext, n: u64) -> StepResult<u64> {
    let probe = cx.get::<Probe>()?;
    probe.count(2);
    let left = probe
        .failures
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if left.is_ok() {
        let error = StepError::retry("the partner is down").code("partner_down");
        return if probe.terminal {
            Err(error).terminal()
        } else {
            Err(error)
        };
    }
    Ok(n + cx.output_of(first)?)
}

fn schema(retry: Retry) -> Schema<u64, u64> {
    Schema::new("test.three")
        .step("first", first)
        .step("second", second)
        .step("third", third)
        .retry(retry)
        .build()
}

async fn engine(store: &MemoryStore, schema: &Schema<u64, u64>, probe: &Probe) -> Engine {
    Engine::builder(store.clone())
        .schema(schema.clone())
        .provide(probe.clone())
        .build()
        .await
        .expect("an engine")
}

#[tokio::test]
async fn a_key_runs_once_and_answers_with_the_same_output() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::default());
    let engine = engine(&store, &schema, &probe).await;
    assert_eq!(engine.run(&schema, "k", 1).await, Ok(22));
    let handle = engine.run(&schema, "k", 1).submit().await.expect("submitted");
    assert_eq!(handle.verdict(), Verdict::Finished);
    assert_eq!(handle.wait().await, Ok(22));
    assert_eq!(probe.counts(), [1, 1, 1]);
}

#[tokio::test]
async fn a_used_up_failure_is_resumed_at_the_step_that_failed() {
    let (store, schema, probe) = (
        MemoryStore::new(),
        schema(Retry::none()),
        Probe::failing(1, false),
    );
    let engine = engine(&store, &schema, &probe).await;
    let failed = engine.run(&schema, "k", 1).await;
    let Err(RunError::Failed(failure)) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(
        (failure.step.as_str(), failure.kind),
        ("third", FailureKind::Exhausted)
    );
    assert_eq!(failure.code.as_deref(), Some("partner_down"));
    assert_eq!(engine.run(&schema, "k", 1).await, Ok(22));
    assert_eq!(probe.counts(), [1, 1, 2]);
}

#[tokio::test]
async fn a_terminal_failure_is_replayed() {
    let (store, schema, probe) = (
        MemoryStore::new(),
        schema(Retry::default()),
        Probe::failing(1, true),
    );
    let engine = engine(&store, &schema, &probe).await;
    let once = engine.run(&schema, "k", 1).await;
    assert!(matches!(&once, Err(RunError::Failed(failure)) if failure.kind == FailureKind::Terminal));
    assert_eq!(engine.run(&schema, "k", 1).await, once);
    assert_eq!(probe.counts(), [1, 1, 1]);
}

#[tokio::test]
async fn each_after_failure_policy_does_what_it_says() {
    for terminal in [false, true] {
        let (store, schema, probe) = (
            MemoryStore::new(),
            schema(Retry::none()),
            Probe::failing(2, terminal),
        );
        let engine = engine(&store, &schema, &probe).await;
        let call = |policy| engine.run(&schema, "k", 1).after_failure(policy).into_future();
        let failed = call(AfterFailure::Replay).await;
        assert!(matches!(failed, Err(RunError::Failed(_))));
        assert_eq!(call(AfterFailure::Replay).await, failed, "replayed");
        assert_eq!(probe.counts(), [1, 1, 1]);
        assert!(
            call(AfterFailure::Resume).await.is_err(),
            "resumed, and failed again"
        );
        assert_eq!(probe.counts(), [1, 1, 2]);
        assert_eq!(call(AfterFailure::Restart).await, Ok(22));
        assert_eq!(probe.counts(), [2, 2, 3], "from the first step");
        let execution = engine.find(&schema, "k").await.expect("read").expect("there");
        assert_eq!(execution.generation, 2);
        assert_eq!(
            call(AfterFailure::Restart).await,
            Ok(22),
            "a success is never restarted"
        );
        assert_eq!(probe.counts(), [2, 2, 3]);
    }
}

#[tokio::test]
async fn the_same_key_with_another_input_runs_nothing() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::default());
    let engine = engine(&store, &schema, &probe).await;
    assert!(engine.run(&schema, "k", 9_007_199_254_740_992).await.is_ok());
    let other = engine.run(&schema, "k", 9_007_199_254_740_993).await;
    let Err(RunError::InputMismatch { expected, got }) = other else {
        panic!("{other:?}")
    };
    assert_ne!(expected, got);
    assert_eq!(probe.counts(), [1, 1, 1]);
    assert_eq!(
        engine.run(&schema, Key::new("k").scope("b"), 3).await,
        Ok(44),
        "another scope is another key"
    );
}

#[tokio::test]
async fn retries_happen_inside_the_call() {
    let retry = Retry::attempts(4).first_delay(Duration::from_millis(1));
    let (store, schema, probe) = (MemoryStore::new(), schema(retry), Probe::failing(3, false));
    let engine = engine(&store, &schema, &probe).await;
    assert_eq!(engine.run(&schema, "k", 1).await, Ok(22));
    assert_eq!(probe.counts(), [1, 1, 4]);
    let execution = engine.find(&schema, "k").await.expect("read").expect("there");
    let attempts: Vec<u32> = execution.steps.iter().map(|step| step.attempt).collect();
    assert_eq!(attempts, [1, 1, 4]);
}

#[tokio::test]
async fn a_long_delay_is_put_down_and_taken_up_at_its_time() {
    let retry = Retry::attempts(4)
        .first_delay(Duration::from_secs(3600))
        .max_delay(Duration::from_secs(3600));
    let (store, schema, probe) = (MemoryStore::new(), schema(retry), Probe::failing(1, false));
    let engine = engine(&store, &schema, &probe).await;
    let waiting = engine.run(&schema, "k", 1).await;
    let Err(RunError::Waiting {
        due_in,
        failure: Some(failure),
        ..
    }) = waiting
    else {
        panic!("{waiting:?}")
    };
    assert!(due_in > Some(Duration::from_secs(1700)), "{due_in:?}");
    assert_eq!(failure.kind, FailureKind::Temporary);
    keystep::store::Store::clock(&store).advance(Duration::from_secs(3601));
    wait_for(&engine, &schema, State::Succeeded).await;
    assert_eq!(probe.counts(), [1, 1, 2]);
}

#[tokio::test]
async fn the_next_call_takes_a_waiting_execution_up_at_once() {
    let retry = Retry::attempts(4)
        .first_delay(Duration::from_secs(3600))
        .max_delay(Duration::from_secs(3600));
    let (store, schema, probe) = (MemoryStore::new(), schema(retry), Probe::failing(1, false));
    let engine = engine(&store, &schema, &probe).await;
    assert!(matches!(
        engine.run(&schema, "k", 1).await,
        Err(RunError::Waiting { .. })
    ));
    let handle = engine.run(&schema, "k", 1).submit().await.expect("submitted");
    assert_eq!(handle.verdict(), Verdict::Resumed);
    assert_eq!(handle.wait().await, Ok(22));
    assert_eq!(probe.counts(), [1, 1, 2]);
}

/// Waits until the execution of key `k` is in a state, at most ten seconds.
async fn wait_for(engine: &Engine, schema: &Schema<u64, u64>, state: State) {
    let reached = async {
        loop {
            let execution = engine.find(schema, "k").await.expect("read");
            if execution.is_some_and(|execution| execution.state == state) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reached)
        .await
        .expect("the state in time");
}

/// A schema of one step that waits at a gate.
fn gated(gate: &Arc<Semaphore>, entered: &Arc<Semaphore>) -> Schema<u64, u64> {
    let (gate, entered) = (Arc::clone(gate), Arc::clone(entered));
    Schema::new("test.gated")
        .step("gate", move |_cx, n: u64| {
            let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
            async move {
                entered.add_permits(1);
                gate.acquire().await?.forget();
                Ok(n)
            }
        })
        .retry(Retry::none())
        .build()
}

struct Gated {
    engine: Engine,
    schema: Schema<u64, u64>,
    gate: Arc<Semaphore>,
    entered: Arc<Semaphore>,
}

impl Gated {
    async fn new(options: WorkerOptions) -> Self {
        let (gate, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let schema = gated(&gate, &entered);
        let builder = Engine::builder(MemoryStore::new())
            .schema(schema.clone())
            .worker(options);
        Self {
            engine: builder.build().await.expect("an engine"),
            schema,
            gate,
            entered,
        }
    }

    async fn entered(&self) {
        self.entered.acquire().await.expect("open").forget();
    }
}

#[tokio::test]
async fn twenty_racing_calls_are_one_run_under_each_policy() {
    for policy in [
        OnDuplicate::Wait(Duration::from_secs(30)),
        OnDuplicate::Attach,
        OnDuplicate::Reject,
    ] {
        let scene = Gated::new(WorkerOptions::default()).await;
        let calls: Vec<_> = (0..20)
            .map(|_caller| {
                tokio::spawn(
                    scene
                        .engine
                        .run(&scene.schema, "k", 7)
                        .on_duplicate(policy)
                        .into_future(),
                )
            })
            .collect();
        scene.entered().await;
        if policy == OnDuplicate::Reject {
            // Nineteen are refused while the one still runs.
            while calls.iter().filter(|call| call.is_finished()).count() < 19 {
                tokio::task::yield_now().await;
            }
        }
        scene.gate.add_permits(1);
        let mut outputs = 0;
        for call in calls {
            match call.await.expect("no panic") {
                Ok(7) => outputs += 1,
                Err(RunError::InProgress { step, since, .. }) => {
                    assert_eq!(policy, OnDuplicate::Reject);
                    assert!(step.is_none_or(|step| step == "gate"));
                    assert!(since <= std::time::SystemTime::now());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(outputs, if policy == OnDuplicate::Reject { 1 } else { 20 });
        assert_eq!(scene.entered.available_permits(), 0, "the step ran once");
    }
}

#[tokio::test]
async fn a_wait_over_its_limit_is_refused_and_names_step_and_time() {
    let scene = Gated::new(WorkerOptions::default()).await;
    let first = tokio::spawn(scene.engine.run(&scene.schema, "k", 7).into_future());
    scene.entered().await;
    let second = scene
        .engine
        .run(&scene.schema, "k", 7)
        .on_duplicate(OnDuplicate::Wait(Duration::from_millis(20)));
    let refused = second.await;
    assert!(
        matches!(&refused, Err(RunError::InProgress { step: Some(step), .. }) if step == "gate"),
        "{refused:?}"
    );
    scene.gate.add_permits(1);
    assert_eq!(first.await.expect("no panic"), Ok(7));
}

#[tokio::test]
async fn dropping_the_caller_never_stops_the_work() {
    let scene = Gated::new(WorkerOptions::default()).await;
    let call = tokio::spawn(scene.engine.run(&scene.schema, "k", 7).into_future());
    scene.entered().await;
    call.abort();
    scene.gate.add_permits(1);
    assert_eq!(
        scene
            .engine
            .run(&scene.schema, "k", 7)
            .on_duplicate(OnDuplicate::Attach)
            .await,
        Ok(7)
    );
    assert_eq!(scene.entered.available_permits(), 0, "the step ran once");
}

#[tokio::test]
async fn a_callers_own_limit_ends_the_wait_and_not_the_work() {
    let scene = Gated::new(WorkerOptions::default()).await;
    let limit = Duration::from_millis(20);
    let late = scene.engine.run(&scene.schema, "k", 7).within(limit).await;
    assert_eq!(late, Err(RunError::TimedOut(limit)));
    scene.gate.add_permits(1);
    assert_eq!(
        scene
            .engine
            .run(&scene.schema, "k", 7)
            .on_duplicate(OnDuplicate::Attach)
            .await,
        Ok(7)
    );
}

#[tokio::test]
async fn a_shutdown_waits_for_what_runs() {
    let scene = Gated::new(WorkerOptions::default()).await;
    let call = tokio::spawn(scene.engine.run(&scene.schema, "k", 7).into_future());
    scene.entered().await;
    let closing = tokio::spawn({
        let engine = scene.engine.clone();
        async move { engine.shutdown().await }
    });
    while !matches!(
        scene
            .engine
            .run(&scene.schema, "other", 1)
            .within(Duration::from_millis(50))
            .await,
        Err(RunError::Unavailable(_))
    ) {
        tokio::task::yield_now().await;
    }
    scene.gate.add_permits(10);
    closing.await.expect("no panic");
    assert_eq!(call.await.expect("no panic"), Ok(7));
}

#[tokio::test]
async fn a_shutdown_hands_back_what_does_not_end_without_using_up_an_attempt() {
    let options = WorkerOptions {
        drain: Duration::from_millis(10),
        ..WorkerOptions::default()
    };
    let scene = Gated::new(options).await;
    let call = tokio::spawn(scene.engine.run(&scene.schema, "k", 7).into_future());
    scene.entered().await;
    scene.engine.shutdown().await;
    assert!(matches!(
        call.await.expect("no panic"),
        Err(RunError::Unavailable(_))
    ));
    let execution = scene
        .engine
        .find(&scene.schema, "k")
        .await
        .expect("read")
        .expect("there");
    assert_eq!(execution.state, State::Ready);
    assert_eq!(execution.owner, None);
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt() {
    let panics: Schema<u64, u64> = Schema::new("test.panics")
        .step("panics", |cx: StepContext, n: u64| async move {
            assert!(cx.attempt() > 1, "the first attempt panics");
            Ok(n)
        })
        .retry(Retry::attempts(2).first_delay(Duration::ZERO))
        .build();
    let engine = Engine::builder(MemoryStore::new())
        .schema(panics.clone())
        .build()
        .await
        .expect("an engine");
    assert_eq!(engine.run(&panics, "k", 7).await, Ok(7));
}

#[tokio::test]
async fn an_expired_key_begins_a_new_generation() {
    let schema: Schema<u64, u64> = Schema::new("test.expiring")
        .retention(Duration::from_secs(60))
        .step("same", |_cx, n: u64| async move { Ok(n) })
        .build();
    let store = MemoryStore::new();
    let engine = Engine::builder(store.clone())
        .schema(schema.clone())
        .build()
        .await
        .expect("an engine");
    assert_eq!(engine.run(&schema, "k", 1).await, Ok(1));
    assert!(matches!(
        engine.run(&schema, "k", 2).await,
        Err(RunError::InputMismatch { .. })
    ));
    keystep::store::Store::clock(&store).advance(Duration::from_secs(61));
    assert_eq!(
        engine.run(&schema, "k", 2).await,
        Ok(2),
        "the old result never answers for the new one"
    );
    assert_eq!(
        engine
            .find(&schema, "k")
            .await
            .expect("read")
            .map(|execution| execution.generation),
        Some(2)
    );
}

#[tokio::test]
async fn an_operator_can_resume_a_failed_execution_and_lists_show_it() {
    let (store, schema, probe) = (MemoryStore::new(), schema(Retry::none()), Probe::failing(1, true));
    let engine = engine(&store, &schema, &probe).await;
    assert!(engine.run(&schema, "k", 1).await.is_err());
    let failed = Filter {
        states: vec![State::Failed],
        ..Filter::default()
    };
    let page = engine.list(failed, None).await.expect("a page");
    assert_eq!(page.executions.len(), 1);
    engine.resume(page.executions[0].id).await.expect("resumed");
    wait_for(&engine, &schema, State::Succeeded).await;
    assert_eq!(engine.run(&schema, "k", 1).await, Ok(22));
}

#[tokio::test]
async fn another_engine_of_the_same_store_waits_for_the_one_that_runs() {
    let (gate, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let schema = gated(&gate, &entered);
    let store = MemoryStore::new();
    let here = Engine::builder(store.clone())
        .schema(schema.clone())
        .build()
        .await
        .expect("an engine");
    let there = Engine::builder(store.another_handle())
        .schema(schema.clone())
        .build()
        .await
        .expect("an engine");
    let first = tokio::spawn(here.run(&schema, "k", 7).into_future());
    entered.acquire().await.expect("open").forget();
    let refused = there.run(&schema, "k", 7).on_duplicate(OnDuplicate::Reject).await;
    assert!(
        matches!(&refused, Err(RunError::InProgress { step: Some(step), .. }) if step == "gate"),
        "{refused:?}"
    );
    let attached = there
        .run(&schema, "k", 7)
        .on_duplicate(OnDuplicate::Attach)
        .submit()
        .await
        .expect("submitted");
    assert_eq!(attached.verdict(), Verdict::Attached);
    gate.add_permits(1);
    assert_eq!(attached.wait().await, Ok(7));
    assert_eq!(first.await.expect("no panic"), Ok(7));
    assert_eq!(entered.available_permits(), 0, "the step ran once");
}

/// One thread, so that a caller who never waits would keep it for ever.
#[tokio::test]
async fn a_caller_who_replays_what_is_remembered_in_a_loop_lets_others_run() {
    async fn same(_cx: StepContext, n: u64) -> StepResult<u64> {
        Ok(n)
    }
    let schema = Schema::new("replayed").step("same", same).build();
    let builder = Engine::builder(MemoryStore::new()).schema(schema.clone());
    let engine = builder.build().await.expect("an engine");
    let mut replays = 0_u32;
    let endless = async {
        loop {
            assert_eq!(engine.run(&schema, "key", 7).await.expect("an output"), 7);
            replays += 1;
        }
    };
    let ended = tokio::time::timeout(Duration::from_millis(200), endless).await;
    assert!(ended.is_err(), "it is stopped from outside");
    assert!(replays > 1);
    engine.shutdown().await;
}
