//! Which format has this file, and how does it get the newest one?
//!
//! Migrations are numbered, go forward only, and are never changed once released. All that are
//! missing are applied in one transaction that holds the write lock from its start: of any number
//! of processes that start together one migrates and the others find the work done.
//!
//! A format also says the oldest program that can read it (`min_reader`). A migration that only
//! adds leaves it alone, so that old and new programs work together during a deploy.

use keystep::store::StoreError;
use sqlx::{Row, SqliteConnection};

use crate::connect::Opener;
use crate::error::before_commit;
use crate::sql::{BEGIN_IMMEDIATE, COMMIT};

const FORMAT_EXISTS: &str = include_str!("../sql/format_exists.sql");
const FORMAT: &str = include_str!("../sql/format.sql");

/// The migrations in their order; the place in the list, from 1, is the format they lead to. Each
/// one writes its own number into `keystep_format`.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_init.sql"),
    include_str!("../migrations/0002_vocabulary.sql"),
];

/// The newest format that this program knows.
const NEWEST: i64 = MIGRATIONS.len() as i64;

/// What a file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    version: i64,
    min_reader: i64,
}

/// Brings the file to the newest format, and makes it when it is not there.
pub(crate) async fn migrate(opener: &Opener) -> Result<(), StoreError> {
    let mut conn = opener.creating().writer().await?;
    sqlx::query(BEGIN_IMMEDIATE)
        .execute(&mut conn)
        .await
        .map_err(before_commit)?;
    // Any return before the COMMIT drops the connection, which rolls everything back.
    let version = match read(&mut conn).await? {
        Some(format) => {
            refuse_newer(format)?;
            format.version
        }
        None => 0,
    };
    let missing = MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0));
    for migration in missing {
        sqlx::raw_sql(*migration)
            .execute(&mut conn)
            .await
            .map_err(before_commit)?;
    }
    let committed = sqlx::query(COMMIT).execute(&mut conn).await;
    committed.map(drop).map_err(before_commit)
}

/// Refuses a file that this program can not use as it is.
pub(crate) async fn check(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let Some(format) = read(conn).await? else {
        return Err(StoreError::Refused(
            "this database holds no keystep tables: call SqliteStore::migrate() once, or open it \
             with SqliteStore::open()"
                .to_owned(),
        ));
    };
    refuse_newer(format)?;
    if format.version < NEWEST {
        return Err(StoreError::Refused(format!(
            "this database has format {}, this program needs format {NEWEST}: call \
             SqliteStore::migrate() once",
            format.version
        )));
    }
    Ok(())
}

/// Refuses a file that a newer program has migrated beyond what this one can read.
pub(crate) async fn check_readable(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    match read_row(conn).await? {
        Some(format) => refuse_newer(format),
        None => Ok(()),
    }
}

fn refuse_newer(format: Format) -> Result<(), StoreError> {
    if format.min_reader <= NEWEST {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "this database has format {}, which only programs that know format {} can read; this \
         program knows format {NEWEST}: use a newer program",
        format.version, format.min_reader
    )))
}

async fn read(conn: &mut SqliteConnection) -> Result<Option<Format>, StoreError> {
    let tables: i64 = sqlx::query_scalar(FORMAT_EXISTS)
        .fetch_one(&mut *conn)
        .await
        .map_err(before_commit)?;
    if tables == 0 {
        return Ok(None);
    }
    let format = read_row(conn).await?;
    format.map(Some).ok_or_else(|| {
        StoreError::Refused("the table keystep_format has lost its row: restore it".to_owned())
    })
}

async fn read_row(conn: &mut SqliteConnection) -> Result<Option<Format>, StoreError> {
    let row = sqlx::query(FORMAT)
        .try_map(|row: sqlx::sqlite::SqliteRow| {
            Ok(Format {
                version: row.try_get("version")?,
                min_reader: row.try_get("min_reader")?,
            })
        })
        .fetch_optional(conn);
    row.await.map_err(before_commit)
}
