//! The second line of `sleepers`: 10,000 executions sleep, each until a moment of its own within ten
//! seconds. What do they hold meanwhile, and how late do they go on?

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use keystep::clock::Clock;
use keystep::{Schema, WorkerOptions};
use tokio::runtime::Handle;

use super::sleepers::{All, SLEEPERS, SLEEPS, put_down, unfinished};
use crate::args::{Args, Kind};
use crate::counters::{Cost, Counter};
use crate::ground::Ground;
use crate::line::Line;
use crate::process;
use crate::schema::{Part, STEPS, five};
use crate::timing::Times;

/// From the first to the last of the moments.
const SPREAD: Duration = Duration::from_secs(10);

/// How long it may take until all of them sleep.
const UNTIL_ASLEEP: Duration = Duration::from_secs(20);

/// Once, in real time. The times are those from each one's moment until its step goes on.
pub(super) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    let field = ground.field().await?;
    let late = Arc::new(All::default());
    let first_due = SystemTime::now() + UNTIL_ASLEEP;
    let schema = sleepy(first_due, Arc::clone(&late));
    let engine = field
        .engine_with(&schema, WorkerOptions::default(), Clock::new())
        .await?;
    let mut counter = Counter::new(ground, &field).await?;
    let (tasks_before, memory) = (tasks(), process::resident_memory());
    put_down(&engine, &schema).await?;
    ensure!(
        SystemTime::now() < first_due,
        "the first is due before the last is asleep"
    );
    let asleep = process::resident_memory();
    let tasks_asleep = tasks();
    let connections = match ground.kind() {
        Kind::Postgres => Some(field.connections().await?),
        _ => None,
    };
    process::forget_peak();
    let before = counter.totals().await?;
    late.have_come().await;
    while unfinished(&engine).await? {}
    let cost = Cost::between(before, counter.totals().await?);
    engine.shutdown().await;
    field.remove().await?;
    let times = Times::of(late.take(), SPREAD);
    let line = Line::new("sleepers", "spread", ground.kind(), SLEEPERS, STEPS, &times, cost)
        .with("late_max_ms", times.millis(1.0))
        .with("tasks_before", tasks_before as f64)
        .with("tasks_asleep", tasks_asleep as f64)
        .with("memory_before_bytes", memory as f64)
        .with("memory_asleep_bytes", asleep as f64);
    let line = match connections {
        Some(connections) => line.with("connections_asleep", connections as f64),
        None => line,
    };
    line.print(args.json);
    Ok(())
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

fn sleepy(first_due: SystemTime, late: Arc<All<Duration>>) -> Schema<Part, Part> {
    five(move |cx, part| {
        let late = Arc::clone(&late);
        async move {
            if part.step + 1 == SLEEPS {
                let due = first_due + SPREAD.mul_f64(part.order as f64 / SLEEPERS as f64);
                cx.sleep_until("until its moment", due).await?;
                late.came(due.elapsed().unwrap_or_default());
            }
            Ok(part.next())
        }
    })
}
