//! Where are stock and orders kept? In the shop's own tables, in the same database as the engine's.
//!
//! The same database matters for one thing: `create_order` writes the order in a transaction that
//! the engine commits together with the step's checkpoint, so the order is there exactly once.
//! Everything else here is plain database code. [`Shop`] hides which database it is; `sqlite.rs`
//! and `postgres.rs` are the same program twice and can be read side by side.

mod postgres;
mod rows;
mod schema_name;
mod sql;
mod sqlite;

use std::path::Path;

use keystep::{StepContext, StepResult};
use keystep_postgres::PostgresStore;
use keystep_sqlite::SqliteStore;

use crate::domain::{Checkout, Item, Line, Order, Payment, Reserved};

pub use postgres::{PostgresShop, drop_schema};
pub use schema_name::SchemaName;
pub use sqlite::SqliteShop;

/// The shop's tables. Cheap to clone.
#[derive(Clone)]
pub enum Shop {
    /// In the file of a [`SqliteStore`].
    Sqlite(SqliteShop),
    /// In a schema of their own in the database of a [`PostgresStore`].
    Postgres(PostgresShop),
}

/// Who changes a reservation: its key, and the epoch of the execution's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The idempotency key of the step that reserves.
    pub reservation: String,
    /// Of two owners of one execution the one with the lower epoch was given up, and changes nothing.
    pub epoch: i64,
}

/// What became of a wish to hold a product back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// It is held, at this price: by this call or by an earlier one of the same reservation.
    Held(Line),
    /// It is not held, because there is not enough of it.
    OutOfStock,
}

/// What `create_order` writes.
pub struct NewOrder {
    /// What the customer asked for.
    pub checkout: Checkout,
    /// What is held back for it.
    pub reserved: Reserved,
    /// The provider's id of the authorization.
    pub payment_ref: String,
}

impl NewOrder {
    fn card_id(&self) -> &str {
        let Payment::Card { card_id } = &self.checkout.payment;
        card_id
    }
}

/// What the tables hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Orders.
    pub orders: i64,
    /// Reservations.
    pub reservations: i64,
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
    /// A later owner of the execution has changed the reservation.
    #[error("somebody else owns this execution now")]
    GivenUp,
    /// The task that held the transaction ended without an answer.
    #[error("a task of the shop ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Passes a call on to the database that is behind the shop.
macro_rules! on_either {
    ($shop:expr, $inner:ident => $call:expr) => {
        match $shop {
            Shop::Sqlite($inner) => $call,
            Shop::Postgres($inner) => $call,
        }
    };
}

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

    /// Holds a product back for a reservation. The same reservation never does so twice: it answers
    /// with what it holds already.
    ///
    /// # Errors
    ///
    /// Nothing is known to be held. Call again with the same claim.
    pub async fn reserve(&self, claim: Claim, item: Item) -> Result<Reservation, ShopError> {
        on_either!(self, shop => shop.reserve(claim, item).await)
    }

    /// Gives back all that a reservation holds. Nothing happens when it holds nothing.
    ///
    /// # Errors
    ///
    /// Nothing is known to be given back. Call again with the same claim.
    pub async fn release(&self, claim: Claim) -> Result<(), ShopError> {
        on_either!(self, shop => shop.release(claim).await)
    }

    /// Writes the order in a transaction that it enlists with the step `cx`: it becomes visible
    /// together with the step's checkpoint, or not at all.
    ///
    /// # Errors
    ///
    /// Nothing is written. Return the error from the step to try again.
    pub async fn create_order(&self, cx: &StepContext, new: NewOrder) -> StepResult<Order> {
        on_either!(self, shop => shop.create_order(cx, new).await)
    }

    /// The order with this number.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn order(&self, order_nr: &str) -> Result<Option<Order>, ShopError> {
        on_either!(self, shop => shop.order(order_nr).await)
    }

    /// Which of `items` are products that the catalogue does not know, by position.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn unknown_products(&self, items: &[Item]) -> Result<Vec<usize>, ShopError> {
        let skus: Vec<String> = items.iter().map(|item| item.sku.clone()).collect();
        let known = on_either!(self, shop => shop.known_products(&skus).await)?;
        let unknown = (0..skus.len()).filter(|at| !known.contains(&skus[*at]));
        Ok(unknown.collect())
    }

    /// How many orders and reservations there are.
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

/// The key text that an order shows as its request id.
fn request_id(cx: &StepContext) -> &str {
    &cx.key().key
}
