//! `sleepers`: 10,000 executions that wait for a retry become due at the same moment. When have all
//! of them finished? The line of those that sleep until moments of their own is in `spread.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt};
use keystep::clock::Clock;
use keystep::{Engine, Filter, RunError, Schema, State, StepError, WorkerOptions};
use tokio::sync::Notify;

use crate::args::Args;
use crate::counters::{Cost, Counter};
use crate::ground::Ground;
use crate::line::Line;
use crate::process;
use crate::schema::{Part, STEPS, five};
use crate::timing::Times;

/// Executions that wait.
pub(super) const SLEEPERS: usize = 10_000;

/// How long they wait: the clock is moved there, so that all are due at once.
const DELAY: Duration = Duration::from_secs(3600);

/// The step in which they wait, counted from 1.
pub(super) const SLEEPS: u32 = 3;

/// Wakes so many, as often as others measure slices.
pub(crate) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    process::forget_peak();
    let mut all = Vec::new();
    let mut times = Times::default();
    let mut cost: Option<Cost> = None;
    for _round in 0..Args::ROUNDS {
        let (took, each, of_round) = wake(ground).await?;
        all.push(took);
        times.add(Times::of(each, took));
        cost = Some(cost.map_or(of_round, |cost| cost.and(of_round)));
    }
    let all = Times::of_each(all);
    let cost = cost.unwrap_or_default();
    Line::new("sleepers", "engine", ground.kind(), SLEEPERS, STEPS, &times, cost)
        .with("all_finished_p50_ms", all.millis(0.5))
        .with("all_finished_max_ms", all.millis(1.0))
        .print(args.json);
    Ok(())
}

/// From the moment at which they are due: until all have finished, and until each was in its last
/// step.
async fn wake(ground: &Ground) -> Result<(Duration, Vec<Duration>, Cost)> {
    let clock = Clock::new();
    let last = Arc::new(All::default());
    let schema = sleepy(Arc::clone(&last));
    let field = ground.field().await?;
    let engine = field
        .engine_with(&schema, WorkerOptions::default(), clock.clone())
        .await?;
    put_down(&engine, &schema).await?;
    let mut counter = Counter::new(ground, &field).await?;
    let before = counter.totals().await?;
    let due = Instant::now();
    clock.advance(DELAY);
    last.have_come().await;
    while unfinished(&engine).await? {}
    let took = due.elapsed();
    let cost = Cost::between(before, counter.totals().await?);
    engine.shutdown().await;
    field.remove().await?;
    let each = last.take().into_iter().map(|at| at - due).collect();
    Ok((took, each, cost))
}

/// Runs all of them until they wait.
pub(super) async fn put_down(engine: &Engine, schema: &Schema<Part, Part>) -> Result<()> {
    let calls = (0..SLEEPERS as u64).map(|number| {
        let call = engine.run(schema, format!("order-{number}"), Part::first(number));
        async move {
            match call.await {
                Err(RunError::Waiting { .. }) => Ok(()),
                other => bail!("it does not wait: {other:?}"),
            }
        }
    });
    futures::stream::iter(calls)
        .buffer_unordered(256)
        .try_collect::<()>()
        .await
}

fn sleepy(last: Arc<All<Instant>>) -> Schema<Part, Part> {
    five(move |cx, part| {
        let fails = part.step + 1 == SLEEPS && cx.attempt() == 1;
        if part.step as usize + 1 == STEPS {
            last.came(Instant::now());
        }
        async move {
            match fails {
                true => Err(StepError::retry_after("not yet", DELAY)),
                false => Ok(part.next()),
            }
        }
    })
}

pub(super) async fn unfinished(engine: &Engine) -> Result<bool> {
    let filter = Filter {
        states: vec![State::Ready, State::Running, State::Waiting, State::Parked],
        ..Filter::default()
    };
    Ok(!engine.list(filter, None).await?.executions.is_empty())
}

/// What each of them said when it came to a point.
pub(super) struct All<T> {
    said: Mutex<Vec<T>>,
    complete: Notify,
}

impl<T> Default for All<T> {
    fn default() -> Self {
        Self {
            said: Mutex::default(),
            complete: Notify::new(),
        }
    }
}

impl<T> All<T> {
    pub(super) fn came(&self, saying: T) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push(saying);
        if said.len() == SLEEPERS {
            self.complete.notify_one();
        }
    }

    pub(super) async fn have_come(&self) {
        self.complete.notified().await;
    }

    pub(super) fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
