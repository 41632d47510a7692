//! What does SQLite write? Commits, as its writers tell of them, and the growth of its log.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use keystep_sqlite::{Moment, SqliteOptions, SqliteStore};
use sqlx::{Connection, SqliteConnection};
use system_tests::place::{Kind, Place};

use crate::stories::{Counted, Meter, Totals};

pub(crate) fn ground() -> Place {
    Place::fresh(Kind::Sqlite)
}

/// Counts on one file.
pub(crate) struct OnSqlite {
    file: PathBuf,
    log: PathBuf,
    commits: Arc<AtomicU64>,
    /// Reads what was there at the start, for as long as it lives: so the log is never begun anew,
    /// and its length is what was written.
    _reader: SqliteConnection,
}

impl OnSqlite {
    pub(crate) async fn on(place: &Place) -> Self {
        let file = place.file();
        let mut reader = SqliteConnection::connect(place.url()).await.expect("the file");
        sqlx::raw_sql("BEGIN; SELECT version FROM keystep_format")
            .execute(&mut reader)
            .await
            .expect("a snapshot");
        let mut log = file.clone().into_os_string();
        log.push("-wal");
        Self {
            file,
            log: log.into(),
            commits: Arc::default(),
            _reader: reader,
        }
    }
}

impl Meter for OnSqlite {
    type Store = SqliteStore;

    async fn handle(&self, counted: Counted) -> SqliteStore {
        let mut options = SqliteOptions::from(&self.file);
        if counted == Counted::Yes {
            let commits = Arc::clone(&self.commits);
            options = options.watching(move |moment| {
                if moment == Moment::Durable {
                    commits.fetch_add(1, SeqCst);
                }
            });
        }
        SqliteStore::connect(options).await.expect("a store that opens")
    }

    async fn totals(&mut self) -> Totals {
        Totals {
            statements: None,
            commits: self.commits.load(SeqCst),
            bytes: std::fs::metadata(&self.log).expect("a log").len(),
        }
    }

    async fn tidy(&mut self) {}
}
