//! How does the shop use an SQLite file? Reads go to a pool of its own. Writes go through the
//! engine's store, because a file has one writer and the store holds it.

use std::path::Path;

use futures::FutureExt;
use keystep::{StepContext, StepResult};
use keystep_sqlite::SqliteStore;
use sqlx::SqliteConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::sql::sqlite as sql;
use super::{Counts, NewOrder, Reservation, ShopError, request_id, rows};
use crate::domain::{Item, Line, Money, Order};

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

    pub(super) async fn reserve(&self, key: String, items: Vec<Item>) -> Result<Reservation, ShopError> {
        let reserved = self.store.write(|writer| reserve(writer, key, items).boxed());
        match reserved.await {
            Ok(lines) => Ok(Reservation::Held(lines)),
            Err(Stopped::OutOfStock { sku }) => Ok(Reservation::OutOfStock { sku }),
            Err(Stopped::Shop(error)) => Err(error),
        }
    }

    pub(super) async fn create_order(&self, cx: &StepContext, new: NewOrder) -> StepResult<Order> {
        let mut tx = self.store.transaction(cx).await?;
        let inserted = sqlx::query_as(sql::INSERT_ORDER)
            .bind(cx.run_id().0)
            .bind(request_id(cx))
            .bind(&new.reserved.reservation)
            .bind(&new.payment_ref)
            .bind(new.reserved.total.amount)
            .bind(&new.reserved.total.currency)
            .bind(new.card_id())
            .bind(&new.checkout.comment)
            .fetch_one(&mut *tx)
            .await?;
        cx.enlist(tx)?;
        Ok(rows::created(cx, new, inserted))
    }

    pub(super) async fn order(&self, order_nr: &str) -> Result<Option<Order>, ShopError> {
        let order: Option<rows::OrderRow> = sqlx::query_as(sql::FIND_ORDER)
            .bind(order_nr)
            .fetch_optional(&self.readers)
            .await?;
        let Some(order) = order else { return Ok(None) };
        let lines = sqlx::query_as(sql::RESERVATION_LINES)
            .bind(rows::reservation(&order))
            .fetch_all(&self.readers)
            .await?;
        Ok(Some(rows::order(order, lines)))
    }

    pub(super) async fn known_products(&self, skus: &[String]) -> Result<Vec<String>, ShopError> {
        let skus = serde_json::Value::from(skus.to_vec()).to_string();
        let known = sqlx::query_scalar(sql::KNOWN_PRODUCTS)
            .bind(skus)
            .fetch_all(&self.readers)
            .await?;
        Ok(known)
    }

    pub(super) async fn counts(&self) -> Result<Counts, ShopError> {
        let (orders, reservations) = sqlx::query_as(sql::COUNTS).fetch_one(&self.readers).await?;
        Ok(Counts { orders, reservations })
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

/// Why a transaction stopped half-way. The store takes back what it wrote.
enum Stopped {
    OutOfStock { sku: String },
    Shop(ShopError),
}

impl<E: Into<ShopError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Shop(error.into())
    }
}

async fn reserve(writer: &mut SqliteConnection, key: String, items: Vec<Item>) -> Result<Vec<Line>, Stopped> {
    let first = sqlx::query(sql::INSERT_RESERVATION)
        .bind(&key)
        .execute(&mut *writer)
        .await?;
    if first.rows_affected() == 0 {
        let lines = sqlx::query_as(sql::RESERVATION_LINES)
            .bind(&key)
            .fetch_all(&mut *writer)
            .await?;
        return Ok(lines.into_iter().map(rows::line).collect());
    }
    let mut lines = Vec::with_capacity(items.len());
    for Item { sku, qty } in items {
        let taken: Option<(i64, String)> = sqlx::query_as(sql::TAKE_STOCK)
            .bind(&sku)
            .bind(qty)
            .fetch_optional(&mut *writer)
            .await?;
        let Some((amount, currency)) = taken else {
            return Err(Stopped::OutOfStock { sku });
        };
        sqlx::query(sql::INSERT_RESERVATION_LINE)
            .bind(&key)
            .bind(&sku)
            .bind(qty)
            .bind(amount)
            .bind(&currency)
            .execute(&mut *writer)
            .await?;
        let unit_price = Money { amount, currency };
        lines.push(Line { sku, qty, unit_price });
    }
    Ok(lines)
}
