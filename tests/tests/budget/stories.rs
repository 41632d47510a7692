//! What is told to a store? The life of executions in the ways that cost differently.
//!
//! Nothing runs in the background of these engines but looks at the other workers, which write
//! nothing, and where a story needs them sweeps, which read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keystep::execution::{ExecutionId, State};
use keystep::store::Store;
use keystep::{
    Engine, OnDuplicate, Retry, RunError, Schema, StepContext, StepError, StepResult, Verdict, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore};

/// How many executions a story is told for, one after the other.
const LONG: u64 = 100;
const SHORT: u64 = 20;
/// And at the same time, each caller so many.
const CALLERS: u64 = 64;
const EACH: u64 = 10;

/// A store that is measured.
pub(crate) trait Meter {
    type Store: Store;

    /// A handle of its own, as another process has it. Where that can be told apart, what goes
    /// through it is counted or not.
    async fn handle(&self, counted: Counted) -> Self::Store;

    /// What has been counted so far.
    async fn totals(&mut self) -> Totals;

    /// Leaves nothing to tidy up for those who only read.
    async fn tidy(&mut self);
}

/// Whether the work of a handle is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Yes,
    No,
}

/// Counts up to a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) statements: Option<u64>,
    pub(crate) commits: u64,
    /// Of write-ahead log.
    pub(crate) bytes: u64,
}

/// What one execution costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) statements: Option<f64>,
    pub(crate) commits: f64,
    pub(crate) bytes: f64,
}

/// Tells all stories.
pub(crate) async fn tell(meter: &mut impl Meter) -> Vec<(&'static str, Cost)> {
    let alone = one_by_one(meter).await;
    let mut costs = vec![("order5-1", alone), ("order5-64", side_by_side(meter).await)];
    costs.extend(replay(meter).await);
    costs.push(("attach", attach(meter).await.beyond(alone)));
    costs.push(("wait", wait(meter).await));
    costs.push(("park", park(meter).await));
    costs.push(("takeover", take_over(meter).await));
    costs
}

/// Executions of five steps, each after the one before.
async fn one_by_one(meter: &mut impl Meter) -> Cost {
    let engine = engine(meter, Counted::Yes, &order5(), quiet(), Gate::open()).await;
    let before = meter.totals().await;
    for number in 0..LONG {
        order(&engine, "one", number).await;
    }
    let cost = before.until(meter.totals().await, LONG);
    engine.shutdown().await;
    cost
}

/// The same by many callers at once.
async fn side_by_side(meter: &mut impl Meter) -> Cost {
    let engine = engine(meter, Counted::Yes, &order5(), quiet(), Gate::open()).await;
    let before = meter.totals().await;
    let callers = (0..CALLERS).map(|caller| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for number in caller * EACH..(caller + 1) * EACH {
                order(&engine, "many", number).await;
            }
        })
    });
    for caller in futures::future::join_all(callers).await {
        caller.expect("no panic");
    }
    let cost = before.until(meter.totals().await, CALLERS * EACH);
    engine.shutdown().await;
    cost
}

/// Calls of keys that another process has finished, and the same calls once more.
async fn replay(meter: &mut impl Meter) -> [(&'static str, Cost); 2] {
    let engine = engine(meter, Counted::Yes, &order5(), quiet(), Gate::open()).await;
    meter.tidy().await;
    let mut costs = Vec::new();
    for _round in 0..2 {
        let before = meter.totals().await;
        for number in 0..LONG {
            order(&engine, "one", number).await;
        }
        costs.push(before.until(meter.totals().await, LONG));
    }
    engine.shutdown().await;
    [("replay", costs[0]), ("replay-again", costs[1])]
}

/// Executions that one process runs and another one waits for.
async fn attach(meter: &mut impl Meter) -> Cost {
    let gate = Gate::closed();
    let owner = engine(meter, Counted::Yes, &order5(), quiet(), Arc::clone(&gate)).await;
    let caller = engine(meter, Counted::Yes, &order5(), quiet(), Gate::open()).await;
    let before = meter.totals().await;
    for number in 0..SHORT {
        let key = format!("attach-{number}");
        let owned = owner.run(&order5(), key.as_str(), Part::first(number));
        let owned = owned.submit().await.expect("it begins");
        gate.reached.notified().await;
        let attached = caller.run(&order5(), key.as_str(), Part::first(number));
        let attached = attached
            .on_duplicate(OnDuplicate::Attach)
            .submit()
            .await
            .expect("it is there");
        assert_eq!(attached.verdict(), Verdict::Attached);
        gate.open.add_permits(1);
        let (here, there) = tokio::join!(attached.wait(), owned.wait());
        assert_eq!(here.expect("the outcome"), there.expect("the outcome"));
    }
    let cost = before.until(meter.totals().await, SHORT);
    caller.shutdown().await;
    owner.shutdown().await;
    cost
}

/// Executions of one step that fails once and is put down until its next try is due.
async fn wait(meter: &mut impl Meter) -> Cost {
    async fn fails_once(cx: StepContext, part: Part) -> StepResult<Part> {
        if cx.attempt() == 1 {
            return Err(std::io::Error::other("the other side is away").into());
        }
        Ok(part.next())
    }
    let retry = Retry::attempts(2)
        .first_delay(Duration::from_millis(20))
        .hold(Duration::ZERO);
    let schema = Schema::new("budget.wait")
        .step("ask", fails_once)
        .retry(retry)
        .build();
    let engine = engine(meter, Counted::Yes, &schema, sweeping(), Gate::open()).await;
    let observer = meter.handle(Counted::No).await;
    let before = meter.totals().await;
    for number in 0..SHORT {
        let called = engine.run(&schema, format!("wait-{number}"), Part::first(number));
        match called.await {
            Err(RunError::Waiting { execution, .. }) => succeeded(&observer, &[execution]).await,
            other => panic!("it is not put down: {other:?}"),
        }
    }
    let cost = before.until(meter.totals().await, SHORT);
    engine.shutdown().await;
    cost
}

/// Executions that were handed back after two steps, called in a process that can not read what the
/// second one gave.
async fn park(meter: &mut impl Meter) -> Cost {
    let at_once = WorkerOptions {
        drain: Duration::ZERO,
        ..quiet()
    };
    let store = meter.handle(Counted::No).await;
    let (owner, _executions) = held_in_third_step(store, at_once, "park").await;
    owner.shutdown().await;

    let changed = changed_order5();
    let engine = engine(meter, Counted::Yes, &changed, quiet(), Gate::open()).await;
    let before = meter.totals().await;
    for number in 0..SHORT {
        let call = engine.run(&changed, format!("park-{number}"), Part::first(number));
        let parked = call.await;
        assert!(matches!(parked, Err(RunError::Parked { .. })), "{parked:?}");
    }
    let cost = before.until(meter.totals().await, SHORT);
    engine.shutdown().await;
    cost
}

/// Executions whose owner has died in the third step: from its death, of which its liveness thread
/// tells with one commit for all of them, until their end.
async fn take_over(meter: &mut impl Meter) -> Cost {
    let one_by_one = WorkerOptions {
        in_flight: 1,
        ..sweeping()
    };
    let engine = engine(meter, Counted::Yes, &order5(), one_by_one, Gate::open()).await;
    // The owner lives in a runtime of its own, and dies with it.
    let life = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (store, observer) = (meter.handle(Counted::No).await, meter.handle(Counted::No).await);
    let held = life.spawn(held_in_third_step(store, quiet(), "takeover"));
    let (_owner, executions) = held.await.expect("no panic");

    let before = meter.totals().await;
    life.shutdown_background();
    succeeded(&observer, &executions).await;
    let cost = before.until(meter.totals().await, SHORT);
    engine.shutdown().await;
    cost
}

/// Waits until all of them have succeeded.
async fn succeeded(store: &impl Store, executions: &[ExecutionId]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = store.find(executions.to_vec()).await.expect("an answer");
        if found.iter().all(|record| record.state == State::Succeeded) {
            return;
        }
        assert!(Instant::now() < deadline, "they do not end: {found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An engine that has begun executions and is in the third step of each.
async fn held_in_third_step(
    store: impl Store,
    options: WorkerOptions,
    name: &'static str,
) -> (Engine, Vec<ExecutionId>) {
    let gate = Gate::closed();
    let engine = engine_on(store, &order5(), options, Arc::clone(&gate)).await;
    let mut executions = Vec::new();
    for number in 0..SHORT {
        let call = engine.run(&order5(), format!("{name}-{number}"), Part::first(number));
        executions.push(call.submit().await.expect("it begins").id());
        gate.reached.notified().await;
    }
    (engine, executions)
}

impl Totals {
    /// What each of so many executions cost since then.
    fn until(self, after: Self, executions: u64) -> Cost {
        let each = |before: u64, after: u64| (after - before) as f64 / executions as f64;
        let statements = self.statements.zip(after.statements);
        Cost {
            statements: statements.map(|(before, after)| each(before, after)),
            commits: each(self.commits, after.commits),
            bytes: each(self.bytes, after.bytes),
        }
    }
}

impl Cost {
    /// What this costs more than something else.
    fn beyond(self, other: Self) -> Self {
        let more = |this: f64, other: f64| (this - other).max(0.0);
        let statements = self.statements.zip(other.statements);
        Self {
            statements: statements.map(|(this, other)| more(this, other)),
            commits: more(self.commits, other.commits),
            bytes: more(self.bytes, other.bytes),
        }
    }
}

/// As good as never.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Takes nothing up by itself.
fn quiet() -> WorkerOptions {
    WorkerOptions {
        beat: NEVER,
        beat_limit: NEVER,
        grace: NEVER,
        sweep: NEVER,
        purge: NEVER,
        in_flight: 0,
        ..WorkerOptions::default()
    }
}

/// Takes up what is due and what the dead have left.
fn sweeping() -> WorkerOptions {
    WorkerOptions {
        sweep: Duration::from_millis(20),
        in_flight: WorkerOptions::default().in_flight,
        ..quiet()
    }
}

/// An engine on a handle of its own.
async fn engine(
    meter: &impl Meter,
    counted: Counted,
    schema: &Schema<Part, Part>,
    options: WorkerOptions,
    gate: Arc<Gate>,
) -> Engine {
    engine_on(meter.handle(counted).await, schema, options, gate).await
}

async fn engine_on(
    store: impl Store,
    schema: &Schema<Part, Part>,
    options: WorkerOptions,
    gate: Arc<Gate>,
) -> Engine {
    async fn nothing(_cx: StepContext, (): ()) -> StepResult<()> {
        Ok(())
    }
    static WARMED: AtomicU64 = AtomicU64::new(0);
    let warm_up = Schema::new("budget.warm_up").step("nothing", nothing).build();
    let building = Engine::builder(store)
        .schema(schema.clone())
        .schema(warm_up.clone())
        .provide(gate)
        .worker(options)
        .build();
    let engine = building.await.expect("an engine");
    // No step starts before the first beat, and the next one is far away.
    let key = WARMED.fetch_add(1, Ordering::Relaxed).to_string();
    engine.run(&warm_up, key, ()).await.expect("it is warm");
    engine
}

async fn order(engine: &Engine, name: &str, number: u64) {
    let call = engine.run(&order5(), format!("{name}-{number}"), Part::first(number));
    let done = call.await.expect("an outcome");
    assert_eq!((done.order, done.step), (number, 5));
}

/// Where the third step waits.
#[derive(Debug)]
struct Gate {
    reached: Notify,
    open: Semaphore,
}

impl Gate {
    fn open() -> Arc<Self> {
        Self::with(Semaphore::MAX_PERMITS)
    }

    fn closed() -> Arc<Self> {
        Self::with(0)
    }

    fn with(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            reached: Notify::new(),
            open: Semaphore::new(permits),
        })
    }
}

/// About 100 bytes of JSON: what a step of an order might have to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    order: u64,
    step: u32,
    reference: String,
    status: String,
    cents: u64,
}

impl Part {
    fn first(order: u64) -> Self {
        Self {
            order,
            step: 0,
            reference: "b7f2c9d4-0a51-4c3e-9d68-1f0e2a7c5b43".to_owned(),
            status: "accepted".to_owned(),
            cents: 12_990,
        }
    }

    fn next(self) -> Self {
        Self {
            step: self.step + 1,
            ..self
        }
    }
}

async fn step(_cx: StepContext, part: Part) -> StepResult<Part> {
    Ok(part.next())
}

async fn step_behind_a_gate(cx: StepContext, part: Part) -> StepResult<Part> {
    let gate = cx.get::<Arc<Gate>>()?;
    gate.reached.notify_one();
    gate.open.acquire().await?.forget();
    Ok(part.next())
}

fn order5() -> Schema<Part, Part> {
    Schema::new("budget.order5")
        .step("reserve_stock", step)
        .step("authorize_payment", step)
        .step("create_order", step_behind_a_gate)
        .step("capture_payment", step)
        .step("send_receipt", step)
        .build()
}

/// The same shape in a program whose second step answers with a number.
fn changed_order5() -> Schema<Part, Part> {
    async fn count(_cx: StepContext, part: Part) -> StepResult<u32> {
        Ok(part.step)
    }
    async fn from_count(_cx: StepContext, _count: u32) -> StepResult<Part> {
        Err(StepError::terminal("never reached"))
    }
    Schema::new("budget.order5")
        .step("reserve_stock", step)
        .step("authorize_payment", count)
        .step("create_order", from_count)
        .step("capture_payment", step)
        .step("send_receipt", step)
        .build()
}
