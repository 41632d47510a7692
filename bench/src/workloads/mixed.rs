//! `mixed`: steps that take 5 ms, 10,000 executions in flight. What does one in flight cost?

use std::time::Duration;

use anyhow::Result;

use super::WARM_UP;
use super::order5::Order;
use crate::args::Args;
use crate::counters::{Cost, Counter};
use crate::ground::Ground;
use crate::line::Line;
use crate::process;
use crate::schema::five;
use crate::timing::measure;

/// Executions in flight, each with a caller that waits for it.
const IN_FLIGHT: usize = 10_000;

/// How long a step takes.
const STEP: Duration = Duration::from_millis(5);

/// Measures for the whole time at once: the peak of memory is what counts.
pub(crate) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    let schema = five(|_cx, part| async move {
        tokio::time::sleep(STEP).await;
        Ok(part.next())
    });
    let field = ground.field().await?;
    let engine = field.engine(&schema).await?;
    let mut counter = Counter::new(ground, &field).await?;
    process::forget_peak();
    let before = process::peak_memory();
    let callers = Order::callers(&engine, &schema, IN_FLIGHT);
    let time = Duration::from_secs(args.seconds);
    let (times, begun, ended) = measure(callers, WARM_UP, time, async || counter.totals().await).await?;
    engine.shutdown().await;
    field.remove().await?;
    let line = Line::of_order5(
        "mixed",
        "engine",
        ground.kind(),
        IN_FLIGHT,
        &times,
        Cost::between(begun, ended),
    );
    let each = line.peak_memory_bytes.saturating_sub(before) / IN_FLIGHT as u64;
    line.with("each_in_flight_bytes", each as f64).print(args.json);
    Ok(())
}
