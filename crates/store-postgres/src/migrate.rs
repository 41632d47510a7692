//! How do the tables come to be, and may this program use them? Numbered migrations that only go
//! forward, and one row that says where they are.
//!
//! All outstanding migrations run in one transaction under an advisory lock, so that any number of
//! processes may start on an empty database at once. `min_reader` is the oldest program version
//! that may use the tables: old and new programs run together during a deploy, and an older one
//! stops instead of misreading rows.

use keystep::store::StoreError;
use sqlx::{Connection, PgConnection, Row};

use crate::connect::Connector;
use crate::error::Trouble;
use crate::options::SchemaName;
use crate::sql::{Sql, migration};

/// The migrations in order; the first has number 1.
const MIGRATIONS: [&str; 2] = [
    include_str!("../migrations/0001_init.sql"),
    include_str!("../migrations/0002_vocabulary.sql"),
];

/// The format that this program writes and needs: that of its last migration.
const FORMAT: i32 = MIGRATIONS.len() as i32;

/// The oldest program that may use the tables after these migrations.
const MIN_READER: i32 = 2;

/// What a busy server may take: other processes migrate first, and a table may be in use.
const STATEMENT_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
const LOCK_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// Brings the tables to this program's format. Changes nothing where they are there already, which
/// needs no right to create anything.
pub(crate) async fn migrate(connector: &Connector, sql: &Sql, schema: &SchemaName) -> Result<(), StoreError> {
    let connector = connector.with_bounds(STATEMENT_LIMIT, LOCK_LIMIT);
    let mut connection = connector
        .open()
        .await
        .map_err(|error| Trouble::of(&error).of_connect())?;
    let migrated = in_one_transaction(&mut connection, sql, schema).await;
    let _the_answer_is_there_already = connection.close().await;
    migrated
}

async fn in_one_transaction(
    connection: &mut PgConnection,
    sql: &Sql,
    schema: &SchemaName,
) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| Trouble::of(&error).of_write();
    let mut transaction = connection
        .begin_with(sql.begin_migration.clone())
        .await
        .map_err(failed)?;
    sqlx::query(sql.migration_lock.clone())
        .bind(schema.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let there = sqlx::query(sql.table_exists.clone())
        .bind(schema.as_str())
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    let schema_exists: bool = there.try_get(0).map_err(failed)?;
    let format_exists: bool = there.try_get(1).map_err(failed)?;
    let done = if format_exists {
        match read(&mut transaction, sql).await.map_err(failed)? {
            Some(format) => may_be_read(schema, format)?.version,
            None => 0,
        }
    } else {
        0
    };
    if done >= FORMAT {
        return transaction.commit().await.map_err(failed);
    }
    if !schema_exists {
        sqlx::raw_sql(sql.create_schema.clone())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    for (number, file) in (1..).zip(MIGRATIONS) {
        if number > done {
            tracing::info!(%schema, number, "migrating");
            sqlx::raw_sql(migration(file, schema))
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
    }
    sqlx::query(sql.save_format.clone())
        .bind(FORMAT)
        .bind(MIN_READER)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Where the tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    version: i32,
    min_reader: i32,
}

/// What a look at the tables shows.
pub(crate) enum Look {
    Usable,
    /// Missing or older than this program: `migrate` mends it. With a sentence that says so.
    ToMigrate(String),
}

impl Look {
    /// Refuses tables that are missing or too old.
    pub(crate) fn usable(self) -> Result<(), StoreError> {
        match self {
            Self::Usable => Ok(()),
            Self::ToMigrate(why) => Err(StoreError::Refused(why)),
        }
    }
}

/// Looks whether this program may use the tables.
///
/// # Errors
/// [`StoreError::Refused`] when they are too new, or may not be read.
pub(crate) async fn look(
    connection: &mut PgConnection,
    sql: &Sql,
    schema: &SchemaName,
) -> Result<Look, StoreError> {
    let format = match read(connection, sql).await {
        Ok(format) => format,
        Err(error) if is_missing(&error) => None,
        Err(error) => return Err(Trouble::of(&error).of_read()),
    };
    let Some(format) = format else {
        return Ok(Look::ToMigrate(format!(
            "there are no tables in schema `{schema}`: run migrate()"
        )));
    };
    let format = may_be_read(schema, format)?;
    if format.version < FORMAT {
        return Ok(Look::ToMigrate(format!(
            "the tables in schema `{schema}` have format {}, and this program needs format \
             {FORMAT}: run migrate()",
            format.version
        )));
    }
    Ok(Look::Usable)
}

/// Whether the schema or the table is not there.
fn is_missing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("42P01" | "3F000"))
}

/// Refuses tables that are too new.
fn may_be_read(schema: &SchemaName, format: Format) -> Result<Format, StoreError> {
    if format.min_reader > FORMAT {
        return Err(StoreError::Refused(format!(
            "the tables in schema `{schema}` have format {} and may be used by programs of format \
             {} or newer, and this program has format {FORMAT}: use a newer program",
            format.version, format.min_reader
        )));
    }
    Ok(format)
}

async fn read(connection: &mut PgConnection, sql: &Sql) -> Result<Option<Format>, sqlx::Error> {
    let row = sqlx::query(sql.format.clone())
        .persistent(false)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Format {
            version: row.try_get(0)?,
            min_reader: row.try_get(1)?,
        })
    })
    .transpose()
}
