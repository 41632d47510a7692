//! How do millions of finished executions come into the tables? One is run by the engine, and SQL
//! makes more of its kind.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use keystep::clock::micros_of;
use keystep::{ExecutionId, FullKey};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

use crate::args::Kind;
use crate::ground::Field;
use crate::limit::text;
use crate::schema::{Part, order5};

/// Executions of one statement.
const CHUNK: u64 = 100_000;

/// Executions that began in one millisecond of the past: it tells how run ids grow.
const IN_ONE_MILLISECOND: u64 = 5;

/// Puts so many finished executions into a field, and tells how long that took.
pub(crate) async fn fill(field: &Field, kind: Kind, rows: u64) -> Result<Duration> {
    let began = Instant::now();
    let model = finish_one(field).await?;
    let past = u64::try_from(micros_of(SystemTime::now()))? / 1000 - rows / IN_ONE_MILLISECOND - 1;
    let chunks = (0..rows)
        .step_by(CHUNK as usize)
        .map(|first| (first, (first + CHUNK).min(rows) - 1));
    let mut numbers = Vec::new();
    for (first, last) in chunks {
        numbers.push((i64::try_from(first)?, i64::try_from(last)?));
    }
    let past = i64::try_from(past)?;
    match kind {
        Kind::Postgres => in_postgres(field, model, past, &numbers).await?,
        _ => in_sqlite(field, model, past, &numbers).await?,
    }
    Ok(began.elapsed())
}

/// Runs the execution that is the model of the others.
async fn finish_one(field: &Field) -> Result<Uuid> {
    let schema = order5();
    let engine = field.engine(&schema).await?;
    let key = FullKey {
        schema: schema.name().to_owned(),
        scope: String::new(),
        key: "model".to_owned(),
    };
    engine.run(&schema, key.key.as_str(), Part::first(0)).await?;
    engine.shutdown().await;
    Ok(ExecutionId::of(&key).0)
}

async fn in_postgres(field: &Field, model: Uuid, past: i64, numbers: &[(i64, i64)]) -> Result<()> {
    let mut session = PgConnection::connect(&field.place).await?;
    let finished = text(include_str!("../sql/postgres/finished.sql"), &field.name);
    for (first, last) in numbers {
        sqlx::query(finished.clone())
            .bind(model)
            .bind(first)
            .bind(last)
            .bind(past)
            .bind(i64::try_from(IN_ONE_MILLISECOND)?)
            .execute(&mut session)
            .await?;
    }
    // No checkpoint of the server follows: the first change of each page after one is logged in full,
    // which would be measured instead of the history.
    for vacuum in [
        "VACUUM ANALYZE {schema}.executions",
        "VACUUM ANALYZE {schema}.checkpoints",
    ] {
        sqlx::query(text(vacuum, &field.name))
            .execute(&mut session)
            .await?;
    }
    Ok(session.close().await?)
}

async fn in_sqlite(field: &Field, model: Uuid, past: i64, numbers: &[(i64, i64)]) -> Result<()> {
    let mut conn = SqliteConnectOptions::new()
        .filename(&field.place)
        .synchronous(SqliteSynchronous::Off)
        .disable_statement_logging()
        .connect()
        .await?;
    for (first, last) in numbers {
        for statement in [
            include_str!("../sql/sqlite/finished.sql"),
            include_str!("../sql/sqlite/finished_checkpoints.sql"),
        ] {
            sqlx::query(statement)
                .bind(model)
                .bind(first)
                .bind(last)
                .bind(past)
                .bind(i64::try_from(IN_ONE_MILLISECOND)?)
                .execute(&mut conn)
                .await?;
        }
    }
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut conn)
        .await?;
    Ok(conn.close().await?)
}
