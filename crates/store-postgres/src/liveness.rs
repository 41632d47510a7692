//! How do other processes see that this one lives? By a session that ends when the process does, and
//! by a beat for the case that it does not: a stopped process, a dead link.
//!
//! One connection of its own, never from a pool: it holds the worker's advisory lock, and whoever
//! finds that lock free knows that the session is gone. Liveness only decides *when* somebody else
//! takes over; a wrong guess breaks no promise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keystep::clock::monotonic;
use keystep::execution::{ShapeId, WorkerId};
use keystep::store::{Beat, Observation, Observed, Register, StoreError};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};
use tokio::sync::Mutex;

use crate::batch::fetch_within;
use crate::bind::Bound;
use crate::connect::Connector;
use crate::error::Trouble;
use crate::migrate;
use crate::options::{PostgresOptions, SchemaName};
use crate::rows::column;
use crate::sql::Sql;

/// An observer may hold a worker's lock for a moment.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// A beat that takes longer is no beat: the connection is opened anew. Ending it earlier would show
/// others a session that is gone, where a hiccup of the network would have passed; ending it later
/// would leave no time to beat over a new one within the beat limit of 10 s.
const STATEMENT_LIMIT: Duration = Duration::from_secs(6);

/// The liveness session of a handle.
pub(crate) struct Liveness {
    connector: Connector,
    sql: Arc<Sql>,
    /// Whether sessions can be held: not through a transaction pooler.
    sessions: bool,
    lock_space: i64,
    format_check: Duration,
    line: Mutex<Line>,
}

/// The connection, and whose it is.
struct Line {
    connection: Option<PgConnection>,
    worker: Option<WorkerId>,
    /// Whether this connection holds the worker's lock.
    locked: bool,
    /// The backend that held the lock before this connection.
    former_backend: Option<i32>,
    format_checked: Instant,
}

impl Liveness {
    pub(crate) fn new(
        connector: &Connector,
        sql: &Arc<Sql>,
        schema: &SchemaName,
        options: &PostgresOptions,
    ) -> Self {
        Self {
            connector: connector.with_bounds(STATEMENT_LIMIT, LOCK_LIMIT),
            sql: Arc::clone(sql),
            sessions: options.liveness,
            lock_space: schema.lock_space(),
            format_check: options.format_check,
            line: Mutex::new(Line {
                connection: None,
                worker: None,
                locked: false,
                former_backend: None,
                format_checked: monotonic(),
            }),
        }
    }

    /// The key of a worker's advisory lock.
    fn lock_of(&self, worker: WorkerId) -> i64 {
        worker.0 ^ self.lock_space
    }

    /// Opens the worker's session, then shows it to the others.
    pub(crate) async fn register(&self, register: Register) -> Result<(), StoreError> {
        let mut line = self.line.lock().await;
        line.end().await;
        line.worker = Some(register.worker);
        let shapes: Vec<_> = register.shapes.iter().map(|shape| shape.0).collect();
        line.stand(self).await.map_err(Trouble::of_write)?;
        if self.sessions && !line.locked {
            return Err(StoreError::Unavailable(
                "the worker's lock is held by another session".to_owned(),
            ));
        }
        let query = sqlx::query(self.sql.register.clone())
            .bind(register.worker.0)
            .bind(register.name)
            .bind(shapes)
            .bind(self.sessions);
        let rows = line.fetch(query).await.map_err(Trouble::of_write)?;
        if rows.is_empty() {
            // The id was used before, and the dead stay dead: its first beat will say so.
            line.end().await;
        }
        Ok(())
    }

    /// Beats, over a new session if the old one is gone. Now and then it also looks whether a newer
    /// program has changed the tables so that this one must stop.
    pub(crate) async fn beat(&self, worker: WorkerId, schema: &SchemaName) -> Result<Beat, StoreError> {
        let mut line = self.line.lock().await;
        // The session belongs to the worker that was registered last; any other only beats.
        let own = *line.worker.get_or_insert(worker) == worker;
        // Two beats for one do no harm.
        let beat = || {
            sqlx::query(self.sql.beat.clone())
                .bind(worker.0)
                .bind(own && self.sessions)
        };
        let rows = line.ask(self, beat).await.map_err(Trouble::of_write)?;
        if rows.is_empty() {
            if own {
                line.end().await;
            }
            return Ok(Beat::Dead);
        }
        if line.format_checked.elapsed() > self.format_check
            && let Some(connection) = &mut line.connection
        {
            migrate::look(connection, &self.sql, schema).await?.usable()?;
            line.format_checked = monotonic();
        }
        Ok(Beat::Alive)
    }

    pub(crate) async fn observe(&self, worker: WorkerId) -> Result<Observation, StoreError> {
        let mut line = self.line.lock().await;
        let (sessions, lock_space) = (self.sessions, self.lock_space);
        // A session does not meet its own lock.
        let own = line.worker.map(|own| own.0);
        let look = || {
            sqlx::query(self.sql.observe.clone())
                .bind(worker.0)
                .bind(sessions)
                .bind(lock_space)
                .bind(own.filter(|_own| sessions))
        };
        let rows = line.ask(self, look).await.map_err(Trouble::of_read)?;
        let mut observation = Observation {
            server_age: None,
            incarnation: None,
            others: Vec::new(),
        };
        for row in &rows {
            let age: i64 = column(row, 0).map_err(Trouble::of_read)?;
            let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
            observation.server_age = Some(age);
            observation.incarnation = column(row, 1).map_err(Trouble::of_read)?;
            let worker: Option<i64> = column(row, 2).map_err(Trouble::of_read)?;
            if let Some(worker) = worker {
                let shapes: Vec<_> = column(row, 4).map_err(Trouble::of_read)?;
                observation.others.push(Observed {
                    worker: WorkerId(worker),
                    beat: column(row, 3).map_err(Trouble::of_read)?,
                    session: column(row, 5).map_err(Trouble::of_read)?,
                    shapes: shapes.into_iter().map(ShapeId).collect(),
                });
            }
        }
        Ok(observation)
    }

    pub(crate) async fn bury(&self, worker: WorkerId, beat: i64) -> Result<bool, StoreError> {
        let mut line = self.line.lock().await;
        let bury = || sqlx::query(self.sql.bury.clone()).bind(worker.0).bind(beat);
        let rows = line.ask(self, bury).await.map_err(Trouble::of_write)?;
        let Some(row) = rows.first() else {
            let is_live = || sqlx::query(self.sql.is_live.clone()).bind(worker.0);
            let rows = line.ask(self, is_live).await.map_err(Trouble::of_read)?;
            let live = rows.first().map_or(Ok(false), |row| column(row, 0));
            return live.map(|live: bool| !live).map_err(Trouble::of_read);
        };
        let backend: Option<i32> = column(row, 0).map_err(Trouble::of_read)?;
        if let Some(backend) = backend {
            line.end_session(self, worker, backend).await;
        }
        Ok(true)
    }

    pub(crate) async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        let mut line = self.line.lock().await;
        let retire = || sqlx::query(self.sql.retire.clone()).bind(worker.0);
        line.ask(self, retire).await.map_err(Trouble::of_write)?;
        if line.worker == Some(worker) {
            line.end().await;
        }
        Ok(())
    }
}

impl Line {
    /// Makes sure of a connection.
    async fn connect(&mut self, liveness: &Liveness) -> Result<(), Trouble> {
        if self.connection.is_none() {
            let opened = liveness.connector.open().await;
            let connection = opened.map_err(|error| match Trouble::of(&error) {
                Trouble::Lost(text) => Trouble::Unavailable(text),
                other => other,
            })?;
            self.connection = Some(connection);
            self.locked = false;
        }
        Ok(())
    }

    /// Runs a statement on the session, and once more when the session turns out to be lost. For
    /// statements that may run twice.
    async fn ask(
        &mut self,
        liveness: &Liveness,
        statement: impl Fn() -> Bound,
    ) -> Result<Vec<PgRow>, Trouble> {
        self.stand(liveness).await?;
        match self.fetch(statement()).await {
            Err(lost) if lost.ends_the_connection() => {
                self.stand(liveness).await?;
                self.fetch(statement()).await
            }
            answered => answered,
        }
    }

    /// Makes sure of a connection that holds the worker's lock. Where the server has not noticed
    /// yet that the former connection is gone, it is told; beats go on meanwhile.
    async fn stand(&mut self, liveness: &Liveness) -> Result<(), Trouble> {
        self.connect(liveness).await?;
        let (false, true, Some(worker)) = (self.locked, liveness.sessions, self.worker) else {
            return Ok(());
        };
        let lock = sqlx::query(liveness.sql.take_session_lock.clone()).bind(liveness.lock_of(worker));
        match self.fetch(lock).await {
            Ok(rows) => {
                let backend = rows.first().map(|row| column(row, 0)).transpose()?;
                self.former_backend = backend;
                self.locked = true;
                Ok(())
            }
            Err(Trouble::Busy(_)) => {
                if let Some(former) = self.former_backend {
                    self.end_session(liveness, worker, former).await;
                }
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    /// Ends a session that still holds the worker's lock, if the role may.
    async fn end_session(&mut self, liveness: &Liveness, worker: WorkerId, backend: i32) {
        let query = sqlx::query(liveness.sql.end_session.clone())
            .bind(liveness.lock_of(worker))
            .bind(backend);
        if let Err(trouble) = self.fetch(query).await {
            tracing::debug!(%worker, ?trouble, "its session could not be ended");
        }
    }

    async fn fetch(&mut self, query: Bound) -> Result<Vec<PgRow>, Trouble> {
        let Some(connection) = &mut self.connection else {
            return Err(Trouble::Unavailable("no connection".to_owned()));
        };
        let fetched = fetch_within(connection, query, STATEMENT_LIMIT).await;
        if fetched.as_ref().is_err_and(Trouble::ends_the_connection) {
            self.connection = None;
            self.locked = false;
        }
        fetched
    }

    /// Ends the session, and with it the worker's lock.
    async fn end(&mut self) {
        self.worker = None;
        self.locked = false;
        self.former_backend = None;
        if let Some(connection) = self.connection.take() {
            let farewell = tokio::time::timeout(LOCK_LIMIT, connection.close());
            let _the_server_sees_it_anyway = farewell.await;
        }
    }
}
