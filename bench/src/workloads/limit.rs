//! `limit`: the commits of `order5` without the engine, and what bounds them.

use anyhow::Result;
use sqlx::PgConnection;

use super::WARM_UP;
use crate::args::{Args, Kind};
use crate::counters::{Cost, Counter};
use crate::ground::Ground;
use crate::limit::array::Array;
use crate::limit::fsync::Fsync;
use crate::limit::row::{OnPostgres, OnSqlite};
use crate::line::Line;
use crate::schema::STEPS;
use crate::timing::{Caller, Times, measure};

/// Connections of the bare single-row form, at most: beyond them the server gets slower, not faster.
pub(crate) const CONNECTIONS: usize = 16;

/// Connections of the array form: as many as the store has writers.
const WRITERS: usize = 2;

/// Measures each form at each concurrency.
pub(crate) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    for &concurrency in &args.concurrency {
        let print = |form, steps, times: &Times, cost| {
            Line::new("limit", form, ground.kind(), concurrency, steps, times, cost).print(args.json);
        };
        if ground.kind() != Kind::Memory {
            let (times, cost) = rows(args, ground, concurrency).await?;
            print("row", STEPS, &times, cost);
        }
        if ground.kind() == Kind::Postgres {
            let (times, cost) = arrays(args, ground, concurrency).await?;
            print("array", STEPS, &times, cost);
            let (times, cost) = selects(args, ground, concurrency).await?;
            print("select1", 0, &times, cost);
        }
        if concurrency == 1 {
            let callers = vec![Fsync::new(&ground.folder())?];
            let (times, ..) = measure(callers, WARM_UP, args.slice(), async || Ok(())).await?;
            print("fsync", 0, &times.each_of(100), Cost::default());
        }
    }
    Ok(())
}

/// The bare single-row form: the fastest of what `concurrency` callers can have without an engine.
pub(crate) async fn rows(args: &Args, ground: &Ground, concurrency: usize) -> Result<(Times, Cost)> {
    let field = ground.field().await?;
    let mut counter = Counter::new(ground, &field).await?;
    let mut totals = async || counter.totals().await;
    let (times, before, after) = match ground.kind() {
        Kind::Sqlite => {
            let caller = OnSqlite::new(&field).await?;
            measure(vec![caller], WARM_UP, args.slice(), &mut totals).await?
        }
        _ => {
            let mut callers = Vec::new();
            for _caller in 0..concurrency.min(CONNECTIONS) {
                callers.push(OnPostgres::new(&field).await?);
            }
            measure(callers, WARM_UP, args.slice(), &mut totals).await?
        }
    };
    field.remove().await?;
    Ok((times, Cost::between(before, after)))
}

/// The array form alone.
async fn arrays(args: &Args, ground: &Ground, concurrency: usize) -> Result<(Times, Cost)> {
    let field = ground.field().await?;
    let mut counter = Counter::new(ground, &field).await?;
    let rows = concurrency.div_ceil(WRITERS);
    let mut callers = Vec::new();
    for _caller in 0..concurrency.min(WRITERS) {
        callers.push(Array::new(&field, rows).await?);
    }
    let (times, before, after) =
        measure(callers, WARM_UP, args.slice(), async || counter.totals().await).await?;
    field.remove().await?;
    Ok((times.each_as(rows), Cost::between(before, after)))
}

/// Round trips that do nothing.
async fn selects(args: &Args, ground: &Ground, concurrency: usize) -> Result<(Times, Cost)> {
    let field = ground.field().await?;
    let mut counter = Counter::new(ground, &field).await?;
    let mut callers = Vec::new();
    for _caller in 0..concurrency.min(CONNECTIONS) {
        callers.push(Select(ground.session().await?));
    }
    let (times, before, after) =
        measure(callers, WARM_UP, args.slice(), async || counter.totals().await).await?;
    field.remove().await?;
    Ok((times, Cost::between(before, after)))
}

struct Select(PgConnection);

impl Caller for Select {
    async fn call(&mut self) -> Result<()> {
        let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut self.0).await?;
        anyhow::ensure!(one == 1, "an answer");
        Ok(())
    }
}
