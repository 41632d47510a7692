//! How does a connection to the file come about, and which files are refused?
//!
//! Every connection is checked when it is made, so that nothing is ever written through a SQLite
//! that is too old, to a file that is not in WAL mode, or to one that can not be written.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use keystep::clock::monotonic;
use keystep::random;
use keystep::store::StoreError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use crate::error::{Cause, before_commit, cause};
use crate::options::{Place, SqliteOptions, Synchronous};

const SQLITE_VERSION: &str = include_str!("../sql/sqlite_version.sql");
const JOURNAL_MODE: &str = include_str!("../sql/journal_mode.sql");
const SET_WAL: &str = include_str!("../sql/set_wal.sql");
const PROBE: &str = include_str!("../sql/probe.sql");

/// The oldest SQLite without the race that corrupts a database when one connection resets the
/// write-ahead log while another writes to it.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// The write-ahead log is cut to this length when it is reset, so that one burst does not occupy
/// the disk for ever.
const LOG_LIMIT_BYTES: &str = "67108864";

/// How many texts a connection keeps prepared. One that writes hundreds of rows is large when it is
/// prepared, and a crowd writes batches of few sizes at a time.
const PREPARED_TEXTS: usize = 24;

/// Opens connections to one database.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    options: SqliteConnectOptions,
    patience: Duration,
}

impl Opener {
    /// Reads the options.
    pub(crate) fn new(options: &SqliteOptions) -> Result<Self, StoreError> {
        let driver = match &options.place {
            Place::Path(path) => {
                refuse_memory(path.to_str().unwrap_or("a path"), None)?;
                SqliteConnectOptions::new().filename(path)
            }
            Place::Url(url) => parse(url)?,
        };
        let synchronous = match options.synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        };
        let driver = driver
            .create_if_missing(false)
            .shared_cache(false)
            .busy_timeout(options.busy_timeout)
            .synchronous(synchronous)
            .statement_cache_capacity(PREPARED_TEXTS)
            .pragma("mmap_size", "0")
            .pragma("journal_size_limit", LOG_LIMIT_BYTES)
            .disable_statement_logging();
        Ok(Self {
            options: driver,
            patience: options.busy_timeout,
        })
    }

    /// The same, for a file that is made when it is not there.
    pub(crate) fn creating(&self) -> Self {
        Self {
            options: self.options.clone().create_if_missing(true),
            ..self.clone()
        }
    }

    /// The same, for connections that do not wait for a lock.
    pub(crate) fn impatient(&self) -> Self {
        Self {
            options: self.options.clone().busy_timeout(Duration::ZERO),
            patience: Duration::ZERO,
        }
    }

    /// A connection that writes.
    pub(crate) async fn writer(&self) -> Result<SqliteConnection, StoreError> {
        let mut conn = self.options.connect().await.map_err(before_commit)?;
        check_version(&mut conn).await?;
        ensure_wal(&mut conn, self.patience).await?;
        Ok(conn)
    }

    /// A connection that only reads.
    pub(crate) async fn reader(&self) -> Result<SqliteConnection, StoreError> {
        let options = self.options.clone().pragma("query_only", "ON");
        options.connect().await.map_err(before_commit)
    }

    /// The file's one true path, the same for every process that opens it. Refuses what is no file.
    pub(crate) fn path(&self) -> Result<PathBuf, StoreError> {
        let named = self.options.get_filename();
        let refused = |why: String| StoreError::Refused(format!("{}: {why}", named.display()));
        let path = named.canonicalize().map_err(|error| match error.kind() {
            ErrorKind::NotFound => refused(
                "there is no such database: call SqliteStore::migrate() once, or open it with \
                 SqliteStore::open()"
                    .to_owned(),
            ),
            _ => refused(error.to_string()),
        })?;
        if path.is_dir() {
            return Err(refused("this is a folder, not a database".to_owned()));
        }
        Ok(path)
    }

    /// Refuses a place where no file can be made.
    pub(crate) fn check_place(&self) -> Result<(), StoreError> {
        let named = self.options.get_filename();
        match named.parent() {
            Some(folder) if folder != Path::new("") && !folder.is_dir() => Err(StoreError::Refused(format!(
                "{}: there is no such folder",
                folder.display()
            ))),
            _ if named.exists() => self.path().map(drop),
            _ => Ok(()),
        }
    }
}

/// Refuses a database that this process may not write, before somebody relies on it.
pub(crate) async fn check_writable(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    match sqlx::query(PROBE).execute(conn).await {
        Ok(_nothing) => Ok(()),
        // Somebody else writes at this moment. Each write finds out for itself.
        Err(error) if cause(&error) == Cause::Busy => Ok(()),
        Err(error) => Err(before_commit(error)),
    }
}

fn parse(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let rest = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let (file, parameters) = match rest.split_once('?') {
        Some((file, parameters)) => (file, Some(parameters)),
        None => (rest, None),
    };
    refuse_memory(file, parameters)?;
    SqliteConnectOptions::from_str(url).map_err(|error| StoreError::Refused(error.to_string()))
}

fn refuse_memory(file: &str, parameters: Option<&str>) -> Result<(), StoreError> {
    let in_memory = file.is_empty()
        || file.contains(":memory:")
        || parameters.is_some_and(|all| all.split('&').any(|one| one == "mode=memory"));
    if in_memory {
        return Err(StoreError::Refused(
            "an in-memory SQLite database ends with its connection and can not be shared: name a \
             file, or use keystep's MemoryStore"
                .to_owned(),
        ));
    }
    Ok(())
}

async fn check_version(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar(SQLITE_VERSION)
        .fetch_one(conn)
        .await
        .map_err(before_commit)?;
    if is_new_enough(&version) {
        return Ok(());
    }
    let (major, minor, patch) = OLDEST_SQLITE;
    Err(StoreError::Refused(format!(
        "SQLite {version} can corrupt a database that several connections write; \
         {major}.{minor}.{patch} or newer is needed"
    )))
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= OLDEST_SQLITE
}

/// Puts the file into WAL mode, which lasts. SQLite does not wait for the locks that the change
/// needs, so processes that start together on a new file try until one has done it.
async fn ensure_wal(conn: &mut SqliteConnection, patience: Duration) -> Result<(), StoreError> {
    let started = monotonic();
    loop {
        match switch_to_wal(conn).await {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(StoreError::Refused(format!(
                    "the journal mode of this database is {mode} and can not become wal"
                )));
            }
            Err(error) if cause(&error) == Cause::Busy && started.elapsed() < patience => {
                let pause = 0.002 + 0.02 * random::fraction();
                tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            }
            Err(error) => return Err(before_commit(error)),
        }
    }
}

async fn switch_to_wal(conn: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let mode: String = sqlx::query_scalar(JOURNAL_MODE).fetch_one(&mut *conn).await?;
    if mode == "wal" {
        return Ok(mode);
    }
    sqlx::query_scalar(SET_WAL).fetch_one(conn).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_with_the_log_reset_race_is_too_old() {
        for (version, fine) in [
            ("3.40.1", false),
            ("3.51.2", false),
            ("3.51.3", true),
            ("3.52.0", true),
            ("4.0", true),
            ("nonsense", false),
        ] {
            assert_eq!(is_new_enough(version), fine, "{version}");
        }
    }
}
