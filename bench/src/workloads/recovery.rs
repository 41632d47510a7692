//! `recovery`: a process is killed in step 3 of 5. How soon is another one in that step?

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use keystep::clock::Clock;
use keystep::{Schema, WorkerOptions};

use crate::args::{Args, Kind};
use crate::counters::Cost;
use crate::ground::Ground;
use crate::line::Line;
use crate::other::{Event, Other, Task};
use crate::process;
use crate::schema::{Part, STEPS, five};
use crate::timing::Times;

/// Kills of each form.
const KILLS: usize = 20;

/// Where the process dies, counted from 1.
const STEP: u32 = 3;

/// How long to wait for somebody to go on before that is an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// With default options, and without a grace.
pub(crate) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    if ground.kind() == Kind::Memory {
        bail!("the memory of a process dies with it: nobody can go on");
    }
    let default = WorkerOptions::default();
    let no_grace = WorkerOptions {
        grace: Duration::ZERO,
        ..default
    };
    ground.grow_old(default).await?;
    for (form, options) in [("default", default), ("grace-0", no_grace)] {
        process::forget_peak();
        let times = Times::of_each(kill_and_follow(ground, options).await?);
        Line::new("recovery", form, ground.kind(), 1, STEPS, &times, Cost::default())
            .with("max_ms", times.millis(1.0))
            .print(args.json);
    }
    Ok(())
}

/// Kills one process after the other beside this one, which never calls.
async fn kill_and_follow(ground: &Ground, options: WorkerOptions) -> Result<Vec<Duration>> {
    let field = ground.field().await?;
    let (enters, entered) = channel();
    let engine = field.engine_with(&telling(enters), options, Clock::new()).await?;
    let task = Task {
        field: field.clone(),
        grace: options.grace,
        hangs_in: Some(STEP),
    };
    let mut delays = Vec::new();
    for number in 0..KILLS {
        let mut owner = Other::start(&task)?;
        owner.call(&format!("order-{number}"), 1)?;
        let Event::Hangs = owner.hear()? else {
            bail!("the owner left its step");
        };
        let killed = owner.kill()?;
        let at = entered.recv_timeout(PATIENCE).context("nobody went on")?;
        delays.push(at - killed);
    }
    engine.shutdown().await;
    field.remove().await?;
    Ok(delays)
}

/// The schema whose step says when it is entered.
fn telling(enters: Sender<Instant>) -> Schema<Part, Part> {
    five(move |_cx, part| {
        if part.step + 1 == STEP {
            let _nobody_asks = enters.send(Instant::now());
        }
        async move { Ok(part.next()) }
    })
}
