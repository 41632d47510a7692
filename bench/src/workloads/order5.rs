//! `order5`: five durable steps, each execution with a key of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use keystep::{Engine, Schema};

use super::WARM_UP;
use super::limit::rows;
use crate::args::{Args, Kind};
use crate::counters::{Cost, Counter};
use crate::ground::{Field, Ground};
use crate::line::Line;
use crate::process;
use crate::schema::{Part, order5};
use crate::timing::{Caller, Times, measure};

/// Measures at each concurrency, in slices that alternate with those of the bare form.
pub(crate) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    for &concurrency in &args.concurrency {
        process::forget_peak();
        let (mut measured, mut limit) = (Measured::default(), Times::default());
        for _round in 0..Args::ROUNDS {
            if ground.kind() != Kind::Memory {
                limit.add(rows(args, ground, concurrency).await?.0);
            }
            let field = ground.field().await?;
            measured.add(slice(args, ground, &field, concurrency).await?);
            field.remove().await?;
        }
        let cost = measured.cost();
        let line = Line::of_order5(
            "order5",
            "engine",
            ground.kind(),
            concurrency,
            &measured.times,
            cost,
        );
        let line = match limit.count() {
            0 => line,
            _ => line.beside(&limit),
        };
        line.print(args.json);
    }
    Ok(())
}

/// Slices of one form, one after the other.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) times: Times,
    cost: Option<Cost>,
}

impl Measured {
    pub(crate) fn add(&mut self, (times, of_slice): (Times, Cost)) {
        self.times.add(times);
        self.cost = Some(self.cost.map_or(of_slice, |cost| cost.and(of_slice)));
    }

    pub(crate) fn cost(&self) -> Cost {
        self.cost.unwrap_or_default()
    }
}

/// Measures one slice on a field.
pub(crate) async fn slice(
    args: &Args,
    ground: &Ground,
    field: &Field,
    concurrency: usize,
) -> Result<(Times, Cost)> {
    let schema = order5();
    let engine = field.engine(&schema).await?;
    slice_of(args, ground, field, &engine, &schema, concurrency).await
}

/// The same by an engine, which is shut down.
pub(crate) async fn slice_of(
    args: &Args,
    ground: &Ground,
    field: &Field,
    engine: &Engine,
    schema: &Schema<Part, Part>,
    concurrency: usize,
) -> Result<(Times, Cost)> {
    let callers = Order::callers(engine, schema, concurrency);
    let mut counter = Counter::new(ground, field).await?;
    let (times, before, after) =
        measure(callers, WARM_UP, args.slice(), async || counter.totals().await).await?;
    engine.shutdown().await;
    Ok((times, Cost::between(before, after)))
}

/// Orders, one after the other.
pub(crate) struct Order {
    engine: Engine,
    schema: Schema<Part, Part>,
}

/// The next execution's: no two of one run of the program have one key, also on one field.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Order {
    pub(crate) fn callers(engine: &Engine, schema: &Schema<Part, Part>, count: usize) -> Vec<Self> {
        let one = || Self {
            engine: engine.clone(),
            schema: schema.clone(),
        };
        (0..count).map(|_| one()).collect()
    }
}

impl Caller for Order {
    async fn call(&mut self) -> Result<()> {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let key = format!("order-{number}");
        let done = self.engine.run(&self.schema, key, Part::first(number)).await?;
        anyhow::ensure!(done.step == 5 && done.order == number, "all steps ran: {done:?}");
        Ok(())
    }
}
