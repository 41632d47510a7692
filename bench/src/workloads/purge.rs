//! `purge`: does the purge of many expired executions slow what begins beside it? `order5` while an
//! engine purges, in slices that alternate with those where nothing has expired.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use keystep::WorkerOptions;
use keystep::clock::Clock;

use super::order5::{Measured, slice_of};
use crate::args::{Args, Kind};
use crate::fill::fill;
use crate::ground::{Field, Ground};
use crate::line::Line;
use crate::process;
use crate::schema::order5;

/// Executions that are to be purged.
const EXPIRED: u64 = 100_000;

/// Callers beside the purge.
const CALLERS: usize = 16;

/// Longer than a finished execution is kept.
const KEPT: Duration = Duration::from_secs(60 * 24 * 3600);

/// Fills one field, and measures on it.
pub(crate) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    if ground.kind() == Kind::Memory {
        bail!("the memory store keeps no history that is worth measuring");
    }
    let field = ground.field().await?;
    fill(&field, ground.kind(), EXPIRED).await?;
    process::forget_peak();
    let (mut alone, mut beside) = (Measured::default(), Measured::default());
    let (mut purged, mut purging) = (0, Duration::ZERO);
    for _round in 0..Args::ROUNDS {
        slice(args, ground, &field, Duration::ZERO, &mut alone).await?;
        let (before, began) = (field.filled_left().await?, Instant::now());
        slice(args, ground, &field, KEPT, &mut beside).await?;
        let left = field.filled_left().await?;
        ensure!(left > 0, "the purge was over before the slice");
        purged += before - left;
        purging += began.elapsed();
    }
    ensure!(purged > 0, "nothing was purged");
    let per_s = alone.times.per_second();
    let line = |form, measured: Measured| {
        Line::of_order5(
            "purge",
            form,
            ground.kind(),
            CALLERS,
            &measured.times,
            measured.cost(),
        )
    };
    line("alone", alone).print(args.json);
    let ratio = beside.times.per_second() / per_s;
    line("beside", beside)
        .with("ratio_to_alone", ratio)
        .with("purged_per_s", purged as f64 / purging.as_secs_f64())
        .print(args.json);
    field.remove().await
}

/// One slice, by a clock that is ahead by so much.
async fn slice(
    args: &Args,
    ground: &Ground,
    field: &Field,
    ahead: Duration,
    measured: &mut Measured,
) -> Result<()> {
    let clock = Clock::new();
    clock.advance(ahead);
    let options = WorkerOptions {
        purge: Duration::from_millis(100),
        ..WorkerOptions::default()
    };
    let schema = order5();
    let engine = field.engine_with(&schema, options, clock).await?;
    measured.add(slice_of(args, ground, field, &engine, &schema, CALLERS).await?);
    Ok(())
}
