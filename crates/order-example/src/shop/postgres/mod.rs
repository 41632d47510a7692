//! How does the shop use PostgreSQL? Through a pool of its own, in a schema of its own; only steps
//! borrow a transaction from the engine's store.

mod cart;
mod offers;
mod orders;
mod payments;
mod stock;

use futures::future::BoxFuture;
use keystep_postgres::PostgresStore;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use super::sql::postgres as sql;
use super::{Counts, SchemaName, ShopError};

/// The shop's tables in a PostgreSQL schema. Cheap to clone.
#[derive(Clone)]
pub struct PostgresShop {
    store: PostgresStore,
    pool: PgPool,
    schema: SchemaName,
}

impl PostgresShop {
    pub(super) async fn open(store: PostgresStore, url: &str, schema: SchemaName) -> Result<Self, ShopError> {
        let pool = PgPoolOptions::new().max_connections(4).connect(url).await?;
        let tables = schema.sql(sql::TABLES);
        sqlx::raw_sql(tables).execute(&pool).await?;
        Ok(Self { store, pool, schema })
    }

    pub(super) async fn counts(&self) -> Result<Counts, ShopError> {
        let (orders, reservations, payments) = sqlx::query_as(self.sql(sql::COUNTS))
            .fetch_one(&self.pool)
            .await?;
        Ok(Counts {
            orders,
            reservations,
            payments,
        })
    }

    pub(super) async fn ping(&self) -> Result<(), ShopError> {
        let _: bool = sqlx::query_scalar(self.sql(sql::PING))
            .fetch_one(&self.pool)
            .await?;
        Ok(())
    }

    /// Does some work in a transaction, and commits it when the work succeeds.
    ///
    /// A step, and a request whose client hangs up, can be dropped at any await. A transaction that is just
    /// beginning must not be: so a task of its own carries it to its end.
    async fn write<T, F>(&self, work: F) -> Result<T, ShopError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection, &'c SchemaName) -> BoxFuture<'c, Result<T, ShopError>>,
        F: Send + 'static,
    {
        let shop = self.clone();
        let carried = tokio::spawn(async move {
            let mut tx = shop.pool.begin().await?;
            let value = work(&mut tx, &shop.schema).await?;
            tx.commit().await?;
            Ok(value)
        });
        carried.await?
    }

    fn sql(&self, statement: &'static str) -> AssertSqlSafe<String> {
        self.schema.sql(statement)
    }
}

/// Removes a schema with everything in it.
///
/// # Errors
///
/// The database is away or refuses.
pub async fn drop_schema(url: &str, schema: &SchemaName) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let drop = schema.sql(include_str!("../../../sql/postgres/drop_schema.sql"));
    sqlx::raw_sql(drop).execute(&mut connection).await?;
    connection.close().await
}
