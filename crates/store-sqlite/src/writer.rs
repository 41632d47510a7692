//! Who may write at this moment? Whoever holds the connection that writes: it has a transaction. There are
//! two such connections, one of them for [lone writes](crate::group).
//!
//! The connection is *out* while a transaction is open and comes home only after a clean COMMIT or
//! ROLLBACK. A transaction that is forgotten, or whose task dies, is rolled back; a connection
//! whose state is not certain comes home *worn* and the next writer opens another one in its place.
//! Nothing here is awaited by a future that a user may drop, see [`Writer::begin_detached`], but
//! [`Writer::at_once`] for lone writes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use keystep::store::StoreError;
use sqlx::{Connection, Either, Executor, SqliteConnection};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::batch::{Query, Texts};
use crate::connect::Opener;
use crate::error::{Cause, at_commit, before_commit, cause, writer_gone};
use crate::log_file::LogFile;
use crate::moments::{Moment, Moments};
use crate::sql::{self, BEGIN_IMMEDIATE, COMMIT, ROLLBACK};

/// The place of the writing connection.
#[derive(Debug)]
enum Home {
    /// Where it waits for the next writer.
    Ready(SqliteConnection),
    /// It is out, or closed because whoever had it was dropped or died, or was never opened.
    Out,
    /// To be replaced. It stays open until its successor is: the last connection that closes removes
    /// the log, which could then not be told from a log that somebody else removed.
    Worn(SqliteConnection),
}

/// Hands out the writing connection, to one at a time, in the order they came.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    home: Arc<Mutex<Home>>,
    /// How often the connection has been taken.
    turns: Arc<AtomicU64>,
    opener: Opener,
    log: LogFile,
    patience: Duration,
    moments: Moments,
    tasks: Handle,
    texts: Texts,
}

/// An open transaction of the writing connection. Dropping it rolls it back.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// `None` once the transaction has ended.
    out: Option<(SqliteConnection, OwnedMutexGuard<Home>)>,
    log: LogFile,
    moments: Moments,
    tasks: Handle,
}

impl Writer {
    /// A writer whose tasks run on `tasks`, starting with this connection.
    pub(crate) fn new(
        conn: SqliteConnection,
        opener: Opener,
        log: LogFile,
        patience: Duration,
        tasks: Handle,
    ) -> Self {
        Self {
            home: Arc::new(Mutex::new(Home::Ready(conn))),
            turns: Arc::default(),
            opener,
            log,
            patience,
            moments: Moments::default(),
            tasks,
            texts: Texts::default(),
        }
    }

    /// The same writer, whose moments are told to somebody.
    pub(crate) fn telling(self, moments: Moments) -> Self {
        Self { moments, ..self }
    }

    /// Another one, on a connection of its own that is opened when it is first needed, and does not wait for
    /// the database's lock.
    pub(crate) fn beside(&self) -> Self {
        Self {
            home: Arc::new(Mutex::new(Home::Out)),
            turns: Arc::default(),
            opener: self.opener.impatient(),
            ..self.clone()
        }
    }

    /// Whether nobody has the connection at this moment.
    pub(crate) fn is_at_home(&self) -> bool {
        self.home.try_lock().is_ok()
    }

    /// Closes the connection, and waits until it is closed.
    pub(crate) async fn close(&self) {
        let mut home = self.home.lock().await;
        if let Home::Ready(conn) | Home::Worn(conn) = std::mem::replace(&mut *home, Home::Out) {
            let _closed_anyway = conn.close().await;
        }
    }

    /// How often the connection was taken.
    #[cfg(test)]
    pub(crate) fn times_taken(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Waits for the connection and takes the database's write lock. Nothing is written when this
    /// fails.
    pub(crate) async fn begin(&self) -> Result<Transaction, StoreError> {
        let begin = sqlx::query(sql::text(BEGIN_IMMEDIATE));
        Ok(self.begin_with(begin, 1).await?.0)
    }

    /// The same with a text of so many statements that goes on to write; answers how many rows it wrote.
    pub(crate) async fn begin_with(
        &self,
        text: Query<'_>,
        statements: usize,
    ) -> Result<(Transaction, u64), StoreError> {
        let mut home = self.wait().await?;
        let mut conn = self.take(&mut home).await?;
        let (ended, failed) = run(&mut conn, text, statements).await;
        let Some((_begin, writes)) = ended.split_first() else {
            return Err(not_begun(conn, home, failed));
        };
        let transaction = self.open(conn, home);
        if let Some(error) = failed {
            transaction.rollback().await;
            return Err(before_commit(error));
        }
        self.log.check().map_err(StoreError::Refused)?;
        Ok((transaction, writes.iter().sum()))
    }

    /// Runs a text of so many statements that is a whole transaction, from BEGIN to COMMIT, or one
    /// statement that is one by itself. Answers how many rows it wrote. A future that is dropped closes the
    /// connection, which takes back what is not committed; the next one opens another.
    pub(crate) async fn at_once(&self, text: Query<'_>, statements: usize) -> Result<u64, StoreError> {
        let mut home = self.wait().await?;
        let mut conn = self.take(&mut home).await?;
        if let Err(why) = self.log.check() {
            *home = Home::Ready(conn);
            return Err(StoreError::Refused(why));
        }
        let (ended, failed) = run(&mut conn, text, statements).await;
        let writes = match statements {
            1 => 0..1,
            _ => 1..statements - 1,
        };
        match failed {
            Some(error) if ended.is_empty() && (statements > 1 || certain(&error)) => {
                Err(not_begun(conn, home, Some(error)))
            }
            Some(error) if ended.len() < writes.end && statements > 1 => {
                self.open(conn, home).rollback().await;
                Err(before_commit(error))
            }
            None if ended[writes.clone()].iter().all(|rows| *rows == 0) => {
                *home = Home::Ready(conn);
                Ok(0)
            }
            failed => {
                self.open(conn, home).committed(failed).await?;
                Ok(ended[writes].iter().sum())
            }
        }
    }

    /// The transaction that the connection has begun.
    fn open(&self, conn: SqliteConnection, home: OwnedMutexGuard<Home>) -> Transaction {
        Transaction {
            out: Some((conn, home)),
            log: self.log.clone(),
            moments: self.moments.clone(),
            tasks: self.tasks.clone(),
        }
    }

    async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        // Before a new connection makes a log where there is none.
        self.log.check().map_err(StoreError::Refused)?;
        let mut conn = self.opener.writer().await?;
        self.moments.listen(&mut conn).await?;
        Ok(conn)
    }

    /// Takes the connection out, a new one in place of one that is worn.
    async fn take(&self, home: &mut Home) -> Result<SqliteConnection, StoreError> {
        match std::mem::replace(home, Home::Out) {
            Home::Ready(conn) => Ok(conn),
            Home::Out => self.connect().await,
            Home::Worn(worn) => {
                let opened = self.connect().await;
                if opened.is_ok() {
                    let _it_is_worn = worn.close().await;
                } else {
                    *home = Home::Worn(worn);
                }
                opened
            }
        }
    }

    /// Waits for the connection to come home. A long queue that moves is no reason to give up, a
    /// single holder that keeps it is.
    async fn wait(&self) -> Result<OwnedMutexGuard<Home>, StoreError> {
        if let Ok(home) = Arc::clone(&self.home).try_lock_owned() {
            self.turns.fetch_add(1, Ordering::Relaxed);
            return Ok(home);
        }
        let mut waiting = pin!(Arc::clone(&self.home).lock_owned());
        loop {
            let turn = self.turns.load(Ordering::Relaxed);
            if let Ok(home) = tokio::time::timeout(self.patience, &mut waiting).await {
                self.turns.fetch_add(1, Ordering::Relaxed);
                return Ok(home);
            }
            if self.turns.load(Ordering::Relaxed) == turn {
                return Err(StoreError::Unavailable(format!(
                    "a step's transaction or a SqliteStore::write of this process held the \
                     writing connection for longer than {:?}",
                    self.patience
                )));
            }
        }
    }

    /// [`begin`](Self::begin) in a task of the writer's own: when the caller is dropped, the transaction that
    /// this opens is rolled back at once instead of standing open.
    pub(crate) async fn begin_detached(&self) -> Result<Transaction, StoreError> {
        let writer = self.clone();
        let begun = self.tasks.spawn(async move { writer.begin().await });
        begun.await.unwrap_or_else(|_gone| Err(writer_gone()))
    }

    /// What it writes batches with.
    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Where tasks run that must not end with the caller.
    pub(crate) fn tasks(&self) -> &Handle {
        &self.tasks
    }
}

impl Transaction {
    /// The connection inside its transaction.
    ///
    /// # Panics
    /// Never: only the methods that consume the transaction take the connection out.
    pub(crate) fn conn(&mut self) -> &mut SqliteConnection {
        let (conn, _home) = self.out.as_mut().expect("the transaction is open");
        conn
    }

    /// The same for reading the connection's own settings.
    ///
    /// # Panics
    /// Never, as [`conn`](Self::conn).
    pub(crate) fn conn_ref(&self) -> &SqliteConnection {
        let (conn, _home) = self.out.as_ref().expect("the transaction is open");
        conn
    }

    /// Makes everything durable. Never await this in a future that may be dropped.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        let done = sqlx::query(COMMIT).execute(self.conn()).await;
        self.committed(done.err()).await
    }

    /// What comes after a COMMIT that failed or not.
    ///
    /// When the log is gone after a COMMIT that was carried out, the outcome is unknown: this process
    /// sees what was written, whether others ever do can not be told.
    async fn committed(&mut self, failed: Option<sqlx::Error>) -> Result<(), StoreError> {
        let Some((mut conn, mut home)) = self.out.take() else {
            return Ok(());
        };
        match failed {
            None => {
                self.moments.tell(Moment::Durable);
                *home = Home::Ready(conn);
                self.log.check().map_err(StoreError::Unknown)
            }
            // A constraint that is checked at the end: the transaction is still open, and after
            // the ROLLBACK it is certain that nothing was written.
            Some(error) if cause(&error) == Cause::Value => {
                if undo(conn, home).await {
                    Err(before_commit(error))
                } else {
                    Err(at_commit(&error))
                }
            }
            Some(error) => {
                let _open_or_not = sqlx::query(ROLLBACK).execute(&mut conn).await;
                *home = Home::Worn(conn);
                Err(at_commit(&error))
            }
        }
    }

    /// Undoes everything. Never await this in a future that may be dropped.
    pub(crate) async fn rollback(mut self) {
        if let Some((conn, home)) = self.out.take() {
            undo(conn, home).await;
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some((conn, home)) = self.out.take() {
            // When the runtime is gone the task is dropped, and the connection with it.
            drop(self.tasks.spawn(undo(conn, home)));
        }
    }
}

/// Runs the statements of a text one after the other, up to the first that fails, and tells how many
/// rows each one wrote. Of one that can not write it tells what the last one wrote that can.
async fn run(
    conn: &mut SqliteConnection,
    text: Query<'_>,
    statements: usize,
) -> (Vec<u64>, Option<sqlx::Error>) {
    let mut ended = Vec::with_capacity(statements);
    let mut results = conn.fetch_many(text);
    while ended.len() < statements {
        match results.try_next().await {
            Ok(Some(Either::Left(statement))) => ended.push(statement.rows_affected()),
            Ok(Some(Either::Right(_row))) => {}
            Ok(None) => return (ended, Some(sqlx::Error::WorkerCrashed)),
            Err(error) => return (ended, Some(error)),
        }
    }
    (ended, None)
}

/// Whether nothing was written when a statement failed that commits what it writes.
fn certain(error: &sqlx::Error) -> bool {
    !matches!(cause(error), Cause::Other)
}

/// The first statement of a transaction failed.
fn not_begun(
    conn: SqliteConnection,
    mut home: OwnedMutexGuard<Home>,
    failed: Option<sqlx::Error>,
) -> StoreError {
    let error = failed.unwrap_or(sqlx::Error::WorkerCrashed);
    *home = match cause(&error) {
        Cause::Busy | Cause::Value => Home::Ready(conn),
        _ => Home::Worn(conn),
    };
    before_commit(error)
}

/// Whether the connection did it. An error means that SQLite has rolled back by itself or that the
/// connection is broken: it is not worth keeping.
async fn undo(mut conn: SqliteConnection, mut home: OwnedMutexGuard<Home>) -> bool {
    let undone = sqlx::query(ROLLBACK).execute(&mut conn).await.is_ok();
    *home = if undone {
        Home::Ready(conn)
    } else {
        Home::Worn(conn)
    };
    undone
}
