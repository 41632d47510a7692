//! What does SQLite write? Commits and bytes of its log, seen around each COMMIT.

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
    counts: Arc<Counts>,
    /// Reads what was there at the start, for as long as it lives: so the log is never begun anew,
    /// and its length is what was written.
    _reader: SqliteConnection,
}

#[derive(Debug, Default)]
struct Counts {
    commits: AtomicU64,
    bytes: AtomicU64,
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
            counts: Arc::default(),
            _reader: reader,
        }
    }
}

impl Meter for OnSqlite {
    type Store = SqliteStore;

    async fn handle(&self, counted: Counted) -> SqliteStore {
        let mut options = SqliteOptions::from(&self.file);
        if counted == Counted::Yes {
            let (counts, log) = (Arc::clone(&self.counts), self.log.clone());
            let before = AtomicU64::new(0);
            options = options.watching(move |moment| match moment {
                // Between these two nobody else writes.
                Moment::Written => before.store(length(&log), SeqCst),
                Moment::Durable => {
                    counts.commits.fetch_add(1, SeqCst);
                    counts.bytes.fetch_add(length(&log) - before.load(SeqCst), SeqCst);
                }
            });
        }
        SqliteStore::connect(options).await.expect("a store that opens")
    }

    async fn totals(&mut self) -> Totals {
        Totals {
            statements: None,
            commits: self.counts.commits.load(SeqCst),
            log_bytes: length(&self.log),
            own_bytes: self.counts.bytes.load(SeqCst),
        }
    }

    async fn tidy(&mut self) {}
}

fn length(log: &std::path::Path) -> u64 {
    std::fs::metadata(log).expect("a log").len()
}
