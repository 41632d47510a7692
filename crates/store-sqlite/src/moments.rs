//! Where can a test stop a write for good? On both sides of the COMMIT: there is no network that it
//! could hold instead. Without the feature `testing` nobody can watch, and nothing is told.

use std::fmt;
#[cfg(feature = "testing")]
use std::sync::Arc;

use keystep::store::StoreError;
use sqlx::SqliteConnection;

/// How far a transaction of the writing connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "testing"),
    expect(unreachable_pub, reason = "public where a test can watch")
)]
pub enum Moment {
    /// All is written and nothing is durable: a crash takes it back.
    #[cfg_attr(
        not(feature = "testing"),
        expect(
            dead_code,
            reason = "told by a hook of the connection, where a test can watch"
        )
    )]
    Written,
    /// It is durable, and nobody has been told.
    Durable,
}

/// Who is told of each moment.
#[derive(Clone, Default)]
pub(crate) struct Moments {
    #[cfg(feature = "testing")]
    pub(crate) watch: Option<Arc<dyn Fn(Moment) + Send + Sync>>,
}

impl Moments {
    /// Has the connection tell of [`Moment::Written`], at the beginning of each COMMIT.
    pub(crate) async fn listen(&self, _conn: &mut SqliteConnection) -> Result<(), StoreError> {
        #[cfg(feature = "testing")]
        if let Some(watch) = self.watch.clone() {
            let mut handle = _conn.lock_handle().await.map_err(crate::error::before_commit)?;
            handle.set_commit_hook(move || {
                watch(Moment::Written);
                true
            });
        }
        Ok(())
    }

    pub(crate) fn tell(&self, _moment: Moment) {
        #[cfg(feature = "testing")]
        if let Some(watch) = &self.watch {
            watch(_moment);
        }
    }
}

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Moments")
    }
}
