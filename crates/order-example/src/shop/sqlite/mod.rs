//! How does the shop use an SQLite file? Reads go to a pool of its own. Writes go through the
//! engine's store, because a file has one writer and the store holds it.

mod cart;
mod offers;
mod orders;
mod payments;
mod stock;

use std::path::Path;

use futures::FutureExt;
use keystep_sqlite::SqliteStore;
use sqlx::SqliteConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::sql::sqlite as sql;
use super::{Counts, ShopError};

/// The shop's tables in an SQLite file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteShop {
    store: SqliteStore,
    readers: SqlitePool,
}

impl SqliteShop {
    pub(super) async fn open(store: SqliteStore, file: &Path) -> Result<Self, ShopError> {
        store.write(|writer| make_tables(writer).boxed()).await?;
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await?;
        Ok(Self { store, readers })
    }

    pub(super) async fn counts(&self) -> Result<Counts, ShopError> {
        let (orders, reservations, payments) = sqlx::query_as(sql::COUNTS).fetch_one(&self.readers).await?;
        Ok(Counts {
            orders,
            reservations,
            payments,
        })
    }

    pub(super) async fn ping(&self) -> Result<(), ShopError> {
        let _: bool = sqlx::query_scalar(sql::PING).fetch_one(&self.readers).await?;
        Ok(())
    }
}

async fn make_tables(writer: &mut SqliteConnection) -> Result<(), ShopError> {
    sqlx::raw_sql(sql::TABLES).execute(writer).await?;
    Ok(())
}
