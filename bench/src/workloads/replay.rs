//! `replay`: calls of keys that are finished.

use std::sync::Arc;

use anyhow::Result;
use keystep::{Engine, ExecutionId, FullKey, Schema};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, PgConnection, SqlStr, SqliteConnection};

use super::WARM_UP;
use crate::args::{Args, Kind};
use crate::counters::{Cost, Counter};
use crate::ground::{Field, Ground};
use crate::limit::text;
use crate::line::Line;
use crate::process;
use crate::schema::{Part, order5};
use crate::timing::{Caller, Times, measure};

/// Finished keys: many more than a process remembers, so that called in turn each is read anew.
const KEYS: u64 = 200_000;

/// So few that a process remembers them all.
const HOT_KEYS: u64 = 5_000;

/// Measures with a cold and with a warm cache of outcomes, beside a bare indexed read.
pub(crate) async fn run(args: &Args, ground: &Ground) -> Result<()> {
    let schema = order5();
    let field = ground.field().await?;
    let finished = field.engine(&schema).await?;
    finish(&finished, &schema).await?;
    for &concurrency in &args.concurrency {
        for (form, keys) in [("cold", KEYS), ("warm", HOT_KEYS)] {
            // What one process finished is cold for another.
            let engine = match ground.kind() {
                Kind::Memory => finished.clone(),
                _ => field.engine(&schema).await?,
            };
            process::forget_peak();
            let (mut times, mut limit) = (Times::default(), Times::default());
            let mut cost: Option<Cost> = None;
            for _round in 0..Args::ROUNDS {
                if ground.kind() != Kind::Memory {
                    limit.add(reads(args, ground, &field, concurrency).await?);
                }
                let mut counter = Counter::new(ground, &field).await?;
                let callers = Replay::callers(&engine, &schema, keys, concurrency);
                let (slice, before, after) =
                    measure(callers, WARM_UP, args.slice(), async || counter.totals().await).await?;
                times.add(slice);
                let of_slice = Cost::between(before, after);
                cost = Some(cost.map_or(of_slice, |cost| cost.and(of_slice)));
            }
            let cost = cost.unwrap_or_default();
            let line = Line::new("replay", form, ground.kind(), concurrency, 0, &times, cost);
            match limit.count() {
                0 => line,
                _ => line.beside(&limit),
            }
            .print(args.json);
            if ground.kind() != Kind::Memory {
                engine.shutdown().await;
            }
        }
    }
    finished.shutdown().await;
    field.remove().await
}

/// Runs all keys to their end.
async fn finish(engine: &Engine, schema: &Schema<Part, Part>) -> Result<()> {
    use futures::{StreamExt, TryStreamExt};
    let runs = futures::stream::iter(0..KEYS).map(|number| {
        let call = engine.run(schema, key(number), Part::first(number));
        async move { call.await.map(drop) }
    });
    runs.buffer_unordered(256).try_collect::<Vec<_>>().await?;
    Ok(())
}

fn key(number: u64) -> String {
    format!("order-{number}")
}

fn id(schema: &str, number: u64) -> ExecutionId {
    ExecutionId::of(&FullKey {
        schema: schema.to_owned(),
        scope: String::new(),
        key: key(number),
    })
}

/// Calls finished keys, each caller all of them in turn from a place of its own.
struct Replay {
    engine: Engine,
    schema: Schema<Part, Part>,
    keys: u64,
    next: u64,
}

impl Replay {
    fn callers(engine: &Engine, schema: &Schema<Part, Part>, keys: u64, count: usize) -> Vec<Self> {
        let one = |caller: usize| Self {
            engine: engine.clone(),
            schema: schema.clone(),
            keys,
            next: start(caller, keys, count),
        };
        (0..count).map(one).collect()
    }
}

/// Where a caller begins, so that callers are far from each other.
fn start(caller: usize, keys: u64, count: usize) -> u64 {
    caller as u64 * keys / count as u64
}

impl Caller for Replay {
    async fn call(&mut self) -> Result<()> {
        let number = self.next % self.keys;
        self.next += 1;
        let done = self
            .engine
            .run(&self.schema, key(number), Part::first(number))
            .await?;
        anyhow::ensure!(done.step == 5 && done.order == number, "the outcome of its key");
        Ok(())
    }
}

/// The bare indexed read, on one connection for each caller.
async fn reads(args: &Args, ground: &Ground, field: &Field, concurrency: usize) -> Result<Times> {
    let schema = order5();
    let ids: Arc<[_]> = (0..KEYS).map(|number| id(schema.name(), number).0).collect();
    let count = concurrency.min(super::limit::CONNECTIONS);
    let nothing = async || Ok(());
    let (times, ..) = match ground.kind() {
        Kind::Sqlite => {
            let mut callers = Vec::new();
            for caller in 0..count {
                let options = SqliteConnectOptions::new().filename(&field.place);
                callers.push(ReadSqlite {
                    conn: options.disable_statement_logging().connect().await?,
                    ids: Arc::clone(&ids),
                    next: start(caller, KEYS, count) as usize,
                });
            }
            measure(callers, WARM_UP, args.slice(), nothing).await?
        }
        _ => {
            let mut callers = Vec::new();
            for caller in 0..count {
                callers.push(ReadPostgres {
                    session: field.session().await?,
                    statement: text(include_str!("../../sql/postgres/read.sql"), &field.name),
                    ids: Arc::clone(&ids),
                    next: start(caller, KEYS, count) as usize,
                });
            }
            measure(callers, WARM_UP, args.slice(), nothing).await?
        }
    };
    Ok(times)
}

struct ReadPostgres {
    session: PgConnection,
    statement: SqlStr,
    ids: Arc<[uuid::Uuid]>,
    next: usize,
}

impl Caller for ReadPostgres {
    async fn call(&mut self) -> Result<()> {
        self.next += 1;
        sqlx::query(self.statement.clone())
            .bind(self.ids[self.next % self.ids.len()])
            .fetch_one(&mut self.session)
            .await?;
        Ok(())
    }
}

struct ReadSqlite {
    conn: SqliteConnection,
    ids: Arc<[uuid::Uuid]>,
    next: usize,
}

impl Caller for ReadSqlite {
    async fn call(&mut self) -> Result<()> {
        self.next += 1;
        sqlx::query(include_str!("../../sql/sqlite/read.sql"))
            .bind(self.ids[self.next % self.ids.len()])
            .fetch_one(&mut self.conn)
            .await?;
        Ok(())
    }
}
