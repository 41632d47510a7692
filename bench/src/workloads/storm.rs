//! `storm`: 64 callers of one new key. Do its steps run once, and how long does the last one wait?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use keystep::WorkerOptions;

use crate::args::{Args, Kind};
use crate::counters::Cost;
use crate::crowd::{Crowd, crowd};
use crate::ground::Ground;
use crate::line::Line;
use crate::other::{Other, Task};
use crate::process;
use crate::schema::{STEPS, five};
use crate::timing::Times;

/// Callers of one key.
const CALLERS: usize = 64;

/// Storms of each form, each after one lone execution.
const STORMS: usize = 40;

/// Storms before anything is counted: plans are made, connections stand.
const WARM_UPS: usize = 5;

/// In one process, then over three.
pub(crate) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    in_one_process(ground)
        .await?
        .line("one-process", ground)
        .print(args.json);
    if ground.kind() != Kind::Memory {
        over_three_processes(ground)
            .await?
            .line("three-processes", ground)
            .print(args.json);
    }
    Ok(())
}

async fn in_one_process(ground: &Ground) -> Result<Storms> {
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let schema = five(move |_cx, part| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(part.next()) }
    });
    let field = ground.field().await?;
    let engine = field.engine(&schema).await?;
    let mut storms = Storms::begun();
    for number in 0..WARM_UPS + STORMS {
        let lone = crowd(&engine, &schema, &format!("lone-{number}"), 1).await?;
        let before = steps.load(Ordering::Relaxed);
        let storm = crowd(&engine, &schema, &format!("storm-{number}"), CALLERS).await?;
        storms.add(number, lone, storm, steps.load(Ordering::Relaxed) - before);
    }
    engine.shutdown().await;
    field.remove().await?;
    Ok(storms)
}

/// The lone execution is in each of the processes in turn, and each of them is in turn the first to
/// call.
async fn over_three_processes(ground: &Ground) -> Result<Storms> {
    let field = ground.field().await?;
    let task = Task {
        field: field.clone(),
        grace: WorkerOptions::default().grace,
        hangs_in: None,
    };
    let mut others = [Other::start(&task)?, Other::start(&task)?, Other::start(&task)?];
    let mut storms = Storms::begun();
    for number in 0..WARM_UPS + STORMS {
        others.rotate_left(1);
        others[0].call(&format!("lone-{number}"), 1)?;
        let (lone, _steps) = others[0].called()?;
        let mut left = CALLERS;
        for (other, sharers) in others.iter_mut().zip([3, 2, 1]) {
            let share = left / sharers;
            left -= share;
            other.call(&format!("storm-{number}"), share)?;
        }
        let called: Result<Vec<_>> = others.iter_mut().map(Other::called).collect();
        let called = called?;
        let steps = called.iter().map(|(_crowd, steps)| steps).sum();
        let crowds = called.iter().map(|(crowd, _steps)| *crowd);
        let storm = crowds.reduce(Crowd::and).context("three of them")?;
        storms.add(number, lone, storm, steps);
    }
    drop(others);
    field.remove().await?;
    Ok(storms)
}

/// What was measured.
#[derive(Default)]
struct Storms {
    lone: Vec<Duration>,
    took: Vec<Duration>,
    after_end: Vec<Duration>,
    steps: Vec<u64>,
}

impl Storms {
    fn begun() -> Self {
        process::forget_peak();
        Self::default()
    }

    fn add(&mut self, number: usize, lone: Crowd, storm: Crowd, steps: u64) {
        if number >= WARM_UPS {
            self.lone.push(lone.took());
            self.took.push(storm.took());
            self.after_end.push(storm.after_end());
            self.steps.push(steps);
        }
    }

    fn line(self, form: &'static str, ground: &Ground) -> Line {
        let fewest = self.steps.iter().min().copied().unwrap_or(0);
        let most = self.steps.iter().max().copied().unwrap_or(0);
        let [lone, took, after_end] = [self.lone, self.took, self.after_end].map(Times::of_each);
        let line = Line::new(
            "storm",
            form,
            ground.kind(),
            CALLERS,
            STEPS,
            &took,
            Cost::default(),
        )
        .with("steps_fewest", fewest as f64)
        .with("steps_most", most as f64)
        .with("max_ms", took.millis(1.0))
        .with("lone_p50_ms", lone.millis(0.5))
        .with("lone_max_ms", lone.millis(1.0))
        .with("p50_ratio_to_lone", took.millis(0.5) / lone.millis(0.5));
        line.with("after_end_p50_ms", after_end.millis(0.5))
            .with("after_end_max_ms", after_end.millis(1.0))
    }
}
