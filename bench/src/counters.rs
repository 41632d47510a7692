//! What did it cost? Statements, commits, log and processor time, counted by the server itself and
//! by the kernel.
//!
//! Commits and flushes of the log reach the server's counters up to a second late; both ends of a
//! measured time are late alike.

use anyhow::Result;
use sqlx::{PgConnection, Row};

use crate::ground::{Field, Ground};
use crate::process;

/// Totals at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    cpu: f64,
    server: Option<Server>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Server {
    cpu: Option<f64>,
    statements: Option<i64>,
    commits: i64,
    wal_bytes: i64,
    fsyncs: i64,
}

/// What something cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    pub(crate) server_cpu: Option<f64>,
    pub(crate) statements: Option<f64>,
    pub(crate) commits: Option<f64>,
    pub(crate) wal_bytes: Option<f64>,
    pub(crate) fsyncs: Option<f64>,
}

/// Counts for one store.
pub(crate) struct Counter {
    session: Option<PgConnection>,
    server: Option<u32>,
    schema: String,
    statistics: bool,
}

impl Counter {
    pub(crate) async fn new(ground: &Ground, field: &Field) -> Result<Self> {
        let mut statistics = false;
        let session = match ground.kind() {
            crate::args::Kind::Postgres => {
                let mut session = ground.session().await?;
                let made = sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
                    .execute(&mut session)
                    .await;
                statistics = made.is_ok();
                Some(session)
            }
            _ => None,
        };
        Ok(Self {
            session,
            server: ground.server(),
            schema: format!("\"{}\".", field.name),
            statistics,
        })
    }

    /// The totals of this moment.
    pub(crate) async fn totals(&mut self) -> Result<Totals> {
        let server = match &mut self.session {
            Some(session) => Some(server(session, self.statistics, &self.schema, self.server).await?),
            None => None,
        };
        Ok(Totals {
            cpu: process::cpu_seconds(),
            server,
        })
    }
}

async fn server(
    session: &mut PgConnection,
    statistics: bool,
    schema: &str,
    process_id: Option<u32>,
) -> Result<Server> {
    let row = sqlx::query(
        "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, w.wal_sync, d.xact_commit
         FROM pg_stat_wal AS w, pg_stat_database AS d WHERE d.datname = current_database()",
    )
    .fetch_one(&mut *session)
    .await?;
    let statements = match statistics {
        true => Some(
            sqlx::query_scalar(
                "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
                 WHERE query LIKE '%' || $1 || '%'",
            )
            .bind(schema)
            .fetch_one(session)
            .await?,
        ),
        false => None,
    };
    Ok(Server {
        cpu: process_id.map(process::cpu_seconds_of_tree),
        statements,
        wal_bytes: row.try_get(0)?,
        fsyncs: row.try_get(1)?,
        commits: row.try_get(2)?,
    })
}

impl Cost {
    /// From one moment to another.
    pub(crate) fn between(before: Totals, after: Totals) -> Self {
        let difference = |of: fn(&Server) -> Option<f64>| {
            let (before, after) = (before.server?, after.server?);
            Some(of(&after)? - of(&before)?)
        };
        Self {
            cpu: after.cpu - before.cpu,
            server_cpu: difference(|server| server.cpu),
            statements: difference(|server| server.statements.map(|count| count as f64)),
            commits: difference(|server| Some(server.commits as f64)),
            wal_bytes: difference(|server| Some(server.wal_bytes as f64)),
            fsyncs: difference(|server| Some(server.fsyncs as f64)),
        }
    }

    /// Of both.
    pub(crate) fn and(self, other: Self) -> Self {
        let both = |one: Option<f64>, two: Option<f64>| Some(one? + two?);
        Self {
            cpu: self.cpu + other.cpu,
            server_cpu: both(self.server_cpu, other.server_cpu),
            statements: both(self.statements, other.statements),
            commits: both(self.commits, other.commits),
            wal_bytes: both(self.wal_bytes, other.wal_bytes),
            fsyncs: both(self.fsyncs, other.fsyncs),
        }
    }
}
