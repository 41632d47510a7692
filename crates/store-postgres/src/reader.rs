//! How does a statement run that goes through no lane? On a reader connection, in a task of its own, so
//! that a caller that goes away never leaves a connection in the middle of an answer.

use std::sync::atomic::Ordering;

use keystep::clock::monotonic;
use keystep::execution::{ExecutionRecord, Seen};
use keystep::store::StoreError;
use sqlx::SqlStr;
use sqlx::postgres::PgRow;

use crate::batch::fetch_within;
use crate::bind::Bound;
use crate::error::Trouble;
use crate::migrate;
use crate::rows::{self, column};
use crate::store::PostgresStore;

impl PostgresStore {
    /// Checks once that the tables may be used; again after they could not be.
    pub(crate) async fn usable(&self) -> Result<(), StoreError> {
        if self.inner.usable.load(Ordering::Acquire) {
            return Ok(());
        }
        let store = self.clone();
        let checked = tokio::spawn(async move {
            let inner = &store.inner;
            let mut connection = inner
                .readers
                .acquire()
                .await
                .map_err(|error| Trouble::of(&error).of_connect())?;
            migrate::look(&mut connection, &inner.sql, &inner.schema)
                .await?
                .usable()?;
            inner.usable.store(true, Ordering::Release);
            Ok(())
        });
        checked.await.unwrap_or_else(|_panicked| Err(ended()))
    }

    pub(crate) fn offset(&self) -> i64 {
        self.inner.options.clock.offset_micros()
    }

    pub(crate) fn query(&self, text: &SqlStr) -> Bound {
        sqlx::query(text.clone())
    }

    /// Runs a statement that only reads.
    pub(crate) async fn read(&self, query: Bound) -> Result<Vec<PgRow>, StoreError> {
        self.fetch(query).await?.map_err(Trouble::of_read)
    }

    pub(crate) async fn records(&self, query: Bound) -> Result<Vec<ExecutionRecord>, StoreError> {
        let offset = self.offset();
        let rows = self.read(query).await?;
        let records = rows.iter().map(|row| rows::record(row, 0, offset));
        records.collect::<Result<_, _>>().map_err(Trouble::of_read)
    }

    pub(crate) async fn seen(&self, query: Bound) -> Result<Vec<Seen>, StoreError> {
        self.read_all(query, rows::seen).await
    }

    /// Runs a statement that only reads, and reads each of its rows.
    pub(crate) async fn read_all<T>(
        &self,
        query: Bound,
        row: fn(&PgRow) -> Result<T, Trouble>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.read(query).await?;
        let values = rows.iter().map(row).collect::<Result<_, _>>();
        values.map_err(Trouble::of_read)
    }

    /// Runs a statement that writes.
    pub(crate) async fn write(&self, query: Bound) -> Result<Vec<PgRow>, StoreError> {
        self.fetch(query).await?.map_err(Trouble::of_write)
    }

    /// Runs a statement that writes, and again while `read` finds no answer in it or somebody else holds the
    /// row.
    pub(crate) async fn write_until_told<T>(
        &self,
        query: impl Fn() -> Bound,
        read: impl Fn(&[PgRow]) -> Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let started = monotonic();
        loop {
            let why = match self.fetch(query()).await? {
                Ok(rows) => match read(&rows)? {
                    Some(answer) => return Ok(answer),
                    None => "others write to the same row".to_owned(),
                },
                Err(Trouble::Busy(why)) => why,
                Err(trouble) => return Err(trouble.of_write()),
            };
            if started.elapsed() >= self.inner.options.lock_patience {
                return Err(StoreError::Unavailable(why));
            }
        }
    }

    /// Runs a statement on a reader connection, to its end whatever the caller does. The outer
    /// error means that it was not sent.
    async fn fetch(&self, query: Bound) -> Result<Result<Vec<PgRow>, Trouble>, StoreError> {
        self.usable().await?;
        let pool = self.inner.readers.clone();
        let deadline = self.inner.options.deadline;
        let running = tokio::spawn(async move {
            let acquired = pool.acquire().await;
            let mut connection = acquired.map_err(|error| Trouble::of(&error).of_connect())?;
            let fetched = fetch_within(&mut connection, query, deadline).await;
            if fetched.as_ref().is_err_and(Trouble::ends_the_connection) {
                drop(connection.detach());
            }
            Ok(fetched)
        });
        running
            .await
            .unwrap_or_else(|_panicked| Ok(Err(Trouble::Lost("the runtime has ended".to_owned()))))
    }
}

/// Reads a column of the first row, if there is one.
pub(crate) fn first<'r, T>(rows: &'r [PgRow], at: usize) -> Result<Option<T>, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let value = rows.first().map(|row| column(row, at)).transpose();
    value.map_err(Trouble::of_read)
}

fn ended() -> StoreError {
    StoreError::Unavailable("the runtime has ended".to_owned())
}
