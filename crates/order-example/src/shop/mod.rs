//! Where does the shop keep what it knows? In its own tables, in the same database as the engine's.
//!
//! The same database matters for one thing: a step writes its rows in a transaction that the engine
//! commits together with the step's checkpoint, so they are there exactly once. Everything else here is
//! plain database code. [`Shop`] hides which database it is; the folders `sqlite` and `postgres` are the
//! same program twice, file by file, and can be read side by side.
//!
//! | file | question |
//! |---|---|
//! | `cart.rs` | what does a customer want? |
//! | `offers.rs` | what was offered for it? |
//! | `stock.rs` | what is held back on the shelf? |
//! | `orders.rs` | what was ordered? |
//! | `payments.rs` | what was paid? |
//!
//! Whoever writes for a customer holds the row of the customer's cart first, so that a customer's cart and
//! list of orders change one step at a time.

mod cart;
mod offers;
mod orders;
mod payments;
mod postgres;
mod rows;
mod schema_name;
mod sql;
mod sqlite;
mod stock;

use std::path::Path;

use keystep_postgres::PostgresStore;
use keystep_sqlite::SqliteStore;

use crate::domain::Refusal;

pub use orders::NewOrder;
pub use payments::{Hold, NewHold, NewPayment, Payer};
pub use postgres::{PostgresShop, drop_schema};
pub use schema_name::SchemaName;
pub use sqlite::SqliteShop;
pub use stock::{Claim, Reservation};

/// The shop's tables. Cheap to clone.
#[derive(Clone)]
pub enum Shop {
    /// In the file of a [`SqliteStore`].
    Sqlite(SqliteShop),
    /// In a schema of their own in the database of a [`PostgresStore`].
    Postgres(PostgresShop),
}

/// What the shop decided; the error is that it could not be asked.
pub type Decided<T> = Result<Result<T, Refusal>, ShopError>;

/// What the tables hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Orders.
    pub orders: i64,
    /// Reservations.
    pub reservations: i64,
    /// Payments.
    pub payments: i64,
}

/// Why the shop's tables did not answer. Nothing was written; call again later.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// The database refused or is away.
    #[error("the shop's database: {0}")]
    Database(#[from] sqlx::Error),
    /// The engine's store, which holds the only writer of an SQLite file, refused.
    #[error("the shop's database: {0}")]
    Store(#[from] keystep::store::StoreError),
    /// A later owner of the execution has changed the reservation, or holds the order.
    #[error("somebody else owns this execution now")]
    GivenUp,
    /// A column holds what this program can not read.
    #[error("the shop's tables hold what this program can not read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The task that held the transaction ended without an answer.
    #[error("a task of the shop ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Passes a call on to the database that is behind the shop.
macro_rules! on_either {
    ($shop:expr, $inner:ident => $call:expr) => {
        match $shop {
            $crate::shop::Shop::Sqlite($inner) => $call,
            $crate::shop::Shop::Postgres($inner) => $call,
        }
    };
}
use on_either;

impl Shop {
    /// Opens the shop's tables in the file of `store`, making and stocking them if needed.
    ///
    /// # Errors
    ///
    /// The file can not be written: call again later or choose another.
    pub async fn in_sqlite(store: SqliteStore, file: &Path) -> Result<Self, ShopError> {
        Ok(Self::Sqlite(SqliteShop::open(store, file).await?))
    }

    /// Opens the shop's tables in the database of `store`, making and stocking them if needed.
    ///
    /// # Errors
    ///
    /// The database is away or refuses: call again later or choose another.
    pub async fn in_postgres(store: PostgresStore, url: &str, schema: SchemaName) -> Result<Self, ShopError> {
        Ok(Self::Postgres(PostgresShop::open(store, url, schema).await?))
    }

    /// How many orders, reservations and payments there are.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn counts(&self) -> Result<Counts, ShopError> {
        on_either!(self, shop => shop.counts().await)
    }

    /// Whether the tables can be read.
    ///
    /// # Errors
    ///
    /// They can not: send customers elsewhere for now.
    pub async fn ping(&self) -> Result<(), ShopError> {
        on_either!(self, shop => shop.ping().await)
    }
}
