//! What do the numbers say of steps? Each attempt is counted once, under the name of its step.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keystep::{Engine, MemoryStore, Retry, RunError, Schema, StepContext, StepError, StepResult};
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};

/// Remembers counters, and how often a histogram was told something, by name and labels.
#[derive(Default)]
struct Numbers(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Numbers {
    fn slot(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<&str> = key.labels().map(Label::value).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Arc::clone(self.0.lock().expect("no panic").entry(name).or_default())
    }

    fn counts(&self, name: &str) -> Vec<(String, u64)> {
        let numbers = self.0.lock().expect("no panic");
        let of_name = numbers.iter().filter_map(|(full, number)| {
            let rest = full.strip_prefix(name)?.trim();
            Some((rest.to_owned(), number.load(Ordering::SeqCst)))
        });
        of_name.collect()
    }
}

struct Times(Arc<AtomicU64>);

impl HistogramFn for Times {
    fn record(&self, _seconds: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Recorder for Numbers {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.slot(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.slot(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Times(self.slot(key))))
    }
}

/// Counts the runs of a body that fails the first time.
#[derive(Clone, Default)]
struct Tries(Arc<AtomicU32>);

impl Tries {
    fn again(&self, key: &'static str) -> StepResult<()> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Err(StepError::retry(key)),
            _ => Ok(()),
        }
    }
}

async fn reserve(_cx: StepContext, n: u64) -> StepResult<u64> {
    Ok(n)
}

async fn pay(cx: StepContext, n: u64) -> StepResult<u64> {
    cx.get::<Tries>()?.again("busy")?;
    Ok(n + 1)
}

async fn ship(_cx: StepContext, n: u64) -> StepResult<u64> {
    match n {
        0..10 => Ok(n),
        _ => Err(StepError::terminal("too many")),
    }
}

async fn story() {
    let quick = Retry::attempts(2)
        .first_delay(Duration::from_millis(1))
        .max_delay(Duration::from_millis(1));
    let undone = Tries::default();
    let schema: Schema<u64, u64> = Schema::new("order.create")
        .step("reserve", reserve)
        .undo(move |_cx: StepContext, _n: u64| {
            let undone = undone.again("busy");
            async move { undone }
        })
        .undo_retry(quick)
        .step("pay", pay)
        .retry(quick)
        .step("ship", ship)
        .build();
    let engine = Engine::builder(MemoryStore::new())
        .schema(schema.clone())
        .provide(Tries::default())
        .build()
        .await
        .expect("an engine");
    assert_eq!(engine.run(&schema, "a", 1).await, Ok(2));
    let failed = engine.run(&schema, "b", 10).await;
    assert!(matches!(failed, Err(RunError::Undone(_))), "{failed:?}");
}

#[test]
fn each_attempt_of_a_step_is_counted_under_its_name() {
    let numbers = Numbers::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    metrics::with_local_recorder(&numbers, || runtime.expect("a runtime").block_on(story()));
    let expected = [
        ("pay failed", 1),
        ("pay recorded", 2),
        ("reserve recorded", 2),
        ("reserve undo_failed", 1),
        ("reserve undone", 1),
        ("ship failed", 1),
        ("ship recorded", 1),
    ];
    let of_schema = |(rest, count): (&str, u64)| (format!("order.create {rest}"), count);
    assert_eq!(
        numbers.counts("keystep_step_attempts_total"),
        expected.map(of_schema)
    );
    let expected = [("pay", 2), ("reserve", 2), ("ship", 1)];
    assert_eq!(numbers.counts("keystep_step_seconds"), expected.map(of_schema));
    let expected = [("started", 2)];
    assert_eq!(numbers.counts("keystep_calls_total"), expected.map(of_schema));
}
