//! `backlog`: does history cost anything? `order5` beside many finished executions, in slices that
//! alternate with those on empty tables.

use anyhow::{Result, bail};

use super::order5::{Measured, slice};
use crate::args::{Args, Kind};
use crate::fill::fill;
use crate::ground::Ground;
use crate::line::Line;
use crate::process;

/// Fills one field, then measures at each concurrency.
pub(crate) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    if ground.kind() == Kind::Memory {
        bail!("the memory store keeps no history that is worth measuring");
    }
    let full = ground.field().await?;
    let filled = fill(&full, ground.kind(), args.rows).await?;
    eprintln!("{} finished executions were put there in {filled:.1?}", args.rows);
    for &concurrency in &args.concurrency {
        process::forget_peak();
        let (mut on_empty, mut on_full) = (Measured::default(), Measured::default());
        for _round in 0..Args::ROUNDS {
            let empty = ground.field().await?;
            on_empty.add(slice(args, ground, &empty, concurrency).await?);
            empty.remove().await?;
            on_full.add(slice(args, ground, &full, concurrency).await?);
        }
        let per_s = on_empty.times.per_second();
        let line = |form, measured: Measured| {
            let cost = measured.cost();
            Line::of_order5("backlog", form, ground.kind(), concurrency, &measured.times, cost)
        };
        line("empty", on_empty).print(args.json);
        let ratio = on_full.times.per_second() / per_s;
        line("full", on_full)
            .with("finished_rows", args.rows as f64)
            .with("ratio_to_empty", ratio)
            .print(args.json);
    }
    full.remove().await
}
