//! How are rows read beside the writer? A few connections that only read.
//!
//! In WAL mode a reader sees all that was committed before its statement began, never waits for the
//! writer, and never makes it wait. Reads are single short statements: a long one would keep the
//! write-ahead log from being reset. A connection whose read failed or was dropped
//! half-way is thrown away rather than handed on.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use keystep::store::StoreError;
use sqlx::SqliteConnection;
use tokio::sync::Semaphore;

use crate::connect::Opener;

/// A bounded set of reading connections, opened when first needed.
#[derive(Debug)]
pub(crate) struct Readers {
    opener: Opener,
    idle: Mutex<Vec<SqliteConnection>>,
    seats: Semaphore,
}

impl Readers {
    pub(crate) fn new(opener: Opener, count: usize) -> Self {
        Self {
            opener,
            idle: Mutex::new(Vec::with_capacity(count)),
            seats: Semaphore::new(count),
        }
    }

    /// Runs a read on a connection of its own.
    pub(crate) async fn read<T, E, F>(&self, read: F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>>,
    {
        let closed = |_closed| StoreError::Unavailable("the readers are closed".to_owned());
        let _seat = self.seats.acquire().await.map_err(closed)?;
        let idle = self.idle().pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => self.opener.reader().await?,
        };
        let value = read(&mut conn).await?;
        self.idle().push(conn);
        Ok(value)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
