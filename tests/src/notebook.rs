//! What has really happened? Each attempt of a step writes it down, in a transaction of its own and
//! outside the store: attempts that the store knows nothing of are in here too.

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::protocol::Attempt;

mod outside;

pub use outside::{Charged, Posted};

/// Attempts of steps, and what transactional steps wrote.
#[derive(Debug, Clone)]
pub enum Notebook {
    /// In a file beside the store's.
    Sqlite(SqlitePool),
    /// In a schema beside the store's, which is the first of the connection's `search_path`.
    Postgres(PgPool),
}

/// The table of attempts. One text for both databases.
const EFFECTS_TABLE: &str = "CREATE TABLE effects (
    nonce text PRIMARY KEY, execution text NOT NULL, run text NOT NULL, step text NOT NULL,
    epoch bigint NOT NULL, attempt bigint NOT NULL, worker text NOT NULL, pid bigint NOT NULL,
    began bigint NOT NULL
)";

/// What transactional steps write, in the store's own database.
pub const LEDGER_TABLE: &str = "CREATE TABLE ledger (
    nonce text PRIMARY KEY, execution text NOT NULL, epoch bigint NOT NULL
)";

/// The statement of a transactional step.
pub const BOOK: &str = "INSERT INTO ledger (nonce, execution, epoch) VALUES ($1, $2, $3)";

const NOTE: &str = "INSERT INTO effects (nonce, execution, run, step, epoch, attempt, worker, pid, began)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

// Nonces are ordered by time.
const READ: &str = "SELECT nonce, execution, run, step, epoch, attempt, worker, pid, began
    FROM effects WHERE execution = $1 ORDER BY nonce";

const READ_ALL: &str = "SELECT nonce, execution, run, step, epoch, attempt, worker, pid, began
    FROM effects ORDER BY nonce";

/// The same on either database.
macro_rules! either {
    ($notebook:expr, $pool:ident => $work:expr) => {
        match $notebook {
            Notebook::Sqlite($pool) => $work,
            Notebook::Postgres($pool) => $work,
        }
    };
}
use either;

type Row = (String, String, String, String, i64, i64, String, i64, i64);

impl Notebook {
    /// Opens it by URL: `sqlite:` and a path, or `postgres:`.
    ///
    /// # Errors
    /// When it can not be opened.
    pub async fn open(url: &str) -> Result<Self, sqlx::Error> {
        if url.starts_with("postgres:") {
            let pool = PgPoolOptions::new().max_connections(2).connect(url).await?;
            return Ok(Self::Postgres(pool));
        }
        // It has to survive processes, not the machine.
        let options: SqliteConnectOptions = url.parse()?;
        let options = options
            .create_if_missing(true)
            .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off)
            .busy_timeout(std::time::Duration::from_secs(20));
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        Ok(Self::Sqlite(pool))
    }

    /// Makes the table of attempts, and those of the others outside.
    ///
    /// # Errors
    /// When the database does not take them.
    pub async fn make_tables(&self) -> Result<(), sqlx::Error> {
        for table in [EFFECTS_TABLE, outside::PARTNER_TABLE, outside::POST_TABLE] {
            either!(self, pool => sqlx::query(table).execute(pool).await.map(drop))?;
        }
        Ok(())
    }

    /// Writes an attempt down.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn note(&self, attempt: &Attempt) -> Result<(), sqlx::Error> {
        either!(self, pool => {
            let noted = sqlx::query(NOTE)
                .bind(&attempt.nonce)
                .bind(&attempt.execution)
                .bind(&attempt.run)
                .bind(&attempt.step)
                .bind(attempt.epoch)
                .bind(attempt.attempt)
                .bind(&attempt.worker)
                .bind(attempt.pid)
                .bind(attempt.began);
            noted.execute(pool).await.map(drop)
        })
    }

    /// All attempts of an execution, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn attempts(&self, execution: &str) -> Result<Vec<Attempt>, sqlx::Error> {
        let rows: Vec<Row> =
            either!(self, pool => sqlx::query_as(READ).bind(execution).fetch_all(pool).await?);
        Ok(attempts(rows))
    }

    /// The attempts of all executions, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn all_attempts(&self) -> Result<Vec<Attempt>, sqlx::Error> {
        let rows: Vec<Row> = either!(self, pool => sqlx::query_as(READ_ALL).fetch_all(pool).await?);
        Ok(attempts(rows))
    }
}

fn attempts(rows: Vec<Row>) -> Vec<Attempt> {
    let attempts = rows.into_iter().map(
        |(nonce, execution, run, step, epoch, attempt, worker, pid, began)| Attempt {
            nonce,
            execution,
            run,
            step,
            epoch,
            attempt,
            worker,
            pid,
            began,
        },
    );
    attempts.collect()
}
