//! Where is it kept what a test asked for, and what was done? In tables beside the shop's, which exist
//! only once the controls were opened.
//!
//! Each statement takes texts and gives rows of two texts, so that one way leads to both databases.

use futures::FutureExt;
use keystep_sqlite::SqliteStore;
use serde_json::json;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::fault::Fault;
use super::settings::Settings;
use crate::database::Schemas;
use crate::shop::{SchemaName, ShopError};

/// The controls' tables. Cheap to clone.
#[derive(Clone)]
pub(super) enum Tables {
    /// In the file of the store.
    Sqlite(SqliteStore),
    /// In the schema of the shop.
    Postgres {
        pool: PgPool,
        store: SchemaName,
        shop: SchemaName,
    },
}

/// One statement for each database.
struct Statement {
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! statements {
    ($($name:ident $file:literal),+ $(,)?) => {
        $(const $name: Statement = Statement {
            sqlite: include_str!(concat!("../../sql/sqlite/test_hooks/", $file, ".sql")),
            postgres: include_str!(concat!("../../sql/postgres/test_hooks/", $file, ".sql")),
        };)+
    };
}

statements! {
    COUNT "count", COUNTERS "counters", EFFECTS "effects", FAULTS "faults", NOTE_EVENT "note_event",
    PUT_FAULT "put_fault", PUT_SETTING "put_setting", SETTINGS "settings", TABLES "tables",
    TAKE_FAULT "take_fault", WIPE_SHOP "wipe_shop", WIPE_STORE "wipe_store",
}

impl Tables {
    pub(super) async fn in_sqlite(store: &SqliteStore) -> Result<Self, ShopError> {
        let tables = Self::Sqlite(store.clone());
        tables.script(&[(&TABLES, Of::Shop)]).await?;
        Ok(tables)
    }

    pub(super) async fn in_postgres(url: &str, schemas: &Schemas) -> Result<Self, ShopError> {
        let tables = Self::Postgres {
            pool: PgPoolOptions::new().max_connections(4).connect(url).await?,
            store: schemas.store_schema.clone(),
            shop: schemas.shop_schema.clone(),
        };
        tables.script(&[(&TABLES, Of::Shop)]).await?;
        Ok(tables)
    }

    /// The fault that the next attempt of a step meets, which is one time less then.
    pub(super) async fn take_fault(&self, step: &str) -> Result<Option<Fault>, ShopError> {
        // Most steps are left alone, and need no writer.
        let faults = self.read(&FAULTS).await?;
        if !faults.iter().any(|(disturbed, _fault)| disturbed == step) {
            return Ok(None);
        }
        let taken = self.write(&TAKE_FAULT, vec![step.to_owned()]).await?;
        let fault = taken.first().map(|(_step, fault)| serde_json::from_str(fault));
        fault
            .transpose()
            .map_err(|error| ShopError::Database(sqlx::Error::Decode(error.into())))
    }

    /// Whether a test has said last that nothing goes wrong with a step.
    pub(super) async fn is_mended(&self, step: &str) -> Result<bool, ShopError> {
        let faults = self.read(&FAULTS).await?;
        let fault = faults.iter().find(|(disturbed, _fault)| disturbed == step);
        let fault = fault.and_then(|(_step, fault)| serde_json::from_str::<Fault>(fault).ok());
        Ok(fault.is_none_or(|fault| fault.times == Some(0)))
    }

    pub(super) async fn put_fault(&self, step: &str, fault: Fault) -> Result<(), ShopError> {
        let times = fault.times.map(|times| times.to_string()).unwrap_or_default();
        let binds = vec![step.to_owned(), json!(fault).to_string(), times];
        self.write(&PUT_FAULT, binds).await.map(drop)
    }

    /// Counts something that was done.
    pub(super) async fn count(&self, what: &str) -> Result<(), ShopError> {
        self.write(&COUNT, vec![what.to_owned()]).await.map(drop)
    }

    /// Notes a message that was delivered; a second time changes nothing.
    pub(super) async fn note_event(&self, id: &str, topic: &str) -> Result<(), ShopError> {
        let binds = vec![id.to_owned(), topic.to_owned()];
        self.write(&NOTE_EVENT, binds).await.map(drop)
    }

    /// What was done, as (name, how often): what was counted, and what the tables show.
    pub(super) async fn effects(&self) -> Result<Vec<(String, u64)>, ShopError> {
        let mut rows = self.read(&COUNTERS).await?;
        rows.extend(self.read(&EFFECTS).await?);
        let number = |(name, times): (String, String)| (name, times.parse().unwrap_or_default());
        Ok(rows.into_iter().map(number).collect())
    }

    pub(super) async fn put_setting(&self, name: &str, value: String) -> Result<(), ShopError> {
        let binds = vec![name.to_owned(), value];
        self.write(&PUT_SETTING, binds).await.map(drop)
    }

    pub(super) async fn settings(&self) -> Result<Settings, ShopError> {
        Ok(Settings::read(self.read(&SETTINGS).await?))
    }

    /// Deletes everything but the clock, which never goes back.
    pub(super) async fn wipe(&self) -> Result<(), ShopError> {
        self.script(&[(&WIPE_STORE, Of::Store), (&WIPE_SHOP, Of::Shop)])
            .await
    }

    async fn read(&self, statement: &Statement) -> Result<Vec<(String, String)>, ShopError> {
        match self {
            Self::Sqlite(store) => {
                let sql = statement.sqlite;
                let rows = store.read(|reader| {
                    async move { Ok::<_, ShopError>(sqlx::query_as(sql).fetch_all(reader).await?) }.boxed()
                });
                rows.await
            }
            Self::Postgres { pool, shop, .. } => Ok(sqlx::query_as(shop.sql(statement.postgres))
                .fetch_all(pool)
                .await?),
        }
    }

    async fn write(
        &self,
        statement: &Statement,
        binds: Vec<String>,
    ) -> Result<Vec<(String, String)>, ShopError> {
        match self {
            Self::Sqlite(store) => {
                let mut query = sqlx::query_as(statement.sqlite);
                for bind in binds {
                    query = query.bind(bind);
                }
                let rows = store.write(|writer| {
                    async move { Ok::<_, ShopError>(query.fetch_all(writer).await?) }.boxed()
                });
                rows.await
            }
            Self::Postgres { pool, shop, .. } => {
                let mut query = sqlx::query_as(shop.sql(statement.postgres));
                for bind in binds {
                    query = query.bind(bind);
                }
                Ok(query.fetch_all(pool).await?)
            }
        }
    }

    /// Runs scripts of several statements, all of them or none.
    async fn script(&self, scripts: &'static [(&'static Statement, Of)]) -> Result<(), ShopError> {
        match self {
            Self::Sqlite(store) => {
                let all = store.write(|writer| {
                    async move {
                        for (script, _of) in scripts {
                            sqlx::raw_sql(script.sqlite).execute(&mut *writer).await?;
                        }
                        Ok::<_, ShopError>(())
                    }
                    .boxed()
                });
                all.await
            }
            Self::Postgres { pool, store, shop } => {
                let mut tx = pool.begin().await?;
                for (script, of) in scripts {
                    let schema = match of {
                        Of::Store => store,
                        Of::Shop => shop,
                    };
                    sqlx::raw_sql(schema.sql(script.postgres))
                        .execute(&mut *tx)
                        .await?;
                }
                Ok(tx.commit().await?)
            }
        }
    }
}

/// Whose tables a script is about.
#[derive(Clone, Copy)]
enum Of {
    Store,
    Shop,
}
