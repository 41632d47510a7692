//! How does the shop use an SQLite file? Reads go to a pool of its own. Writes go through the
//! engine's store, because a file has one writer and the store holds it.

use std::path::Path;

use futures::FutureExt;
use keystep::{StepContext, StepResult};
use keystep_sqlite::SqliteStore;
use sqlx::SqliteConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::sql::sqlite as sql;
use super::{Claim, Counts, NewOrder, Reservation, ShopError, request_id, rows};
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

    pub(super) async fn reserve(&self, claim: Claim, item: Item) -> Result<Reservation, ShopError> {
        let reserved = self.store.write(|writer| reserve(writer, claim, item).boxed());
        Ok(reserved.await?.map_or(Reservation::OutOfStock, Reservation::Held))
    }

    pub(super) async fn release(&self, claim: Claim) -> Result<(), ShopError> {
        self.store.write(|writer| release(writer, claim).boxed()).await
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

async fn claim(writer: &mut SqliteConnection, claim: &Claim) -> Result<(), ShopError> {
    let held = sqlx::query(sql::CLAIM_RESERVATION)
        .bind(&claim.reservation)
        .bind(claim.epoch)
        .fetch_optional(writer)
        .await?;
    held.map(|_row| ()).ok_or(ShopError::GivenUp)
}

/// The line, or `None` when there is not enough; the claim stands in either case.
async fn reserve(writer: &mut SqliteConnection, by: Claim, item: Item) -> Result<Option<Line>, ShopError> {
    claim(writer, &by).await?;
    let before = sqlx::query_as(sql::RESERVATION_LINE)
        .bind(&by.reservation)
        .bind(&item.sku)
        .fetch_optional(&mut *writer)
        .await?;
    if let Some(line) = before {
        return Ok(Some(rows::line(line)));
    }
    let Item { sku, qty } = item;
    let taken: Option<(i64, String)> = sqlx::query_as(sql::TAKE_STOCK)
        .bind(&sku)
        .bind(qty)
        .fetch_optional(&mut *writer)
        .await?;
    let Some((amount, currency)) = taken else {
        return Ok(None);
    };
    sqlx::query(sql::INSERT_RESERVATION_LINE)
        .bind(&by.reservation)
        .bind(&sku)
        .bind(qty)
        .bind(amount)
        .bind(&currency)
        .execute(&mut *writer)
        .await?;
    let unit_price = Money { amount, currency };
    Ok(Some(Line { sku, qty, unit_price }))
}

async fn release(writer: &mut SqliteConnection, by: Claim) -> Result<(), ShopError> {
    claim(writer, &by).await?;
    let lines: Vec<rows::LineRow> = sqlx::query_as(sql::RESERVATION_LINES)
        .bind(&by.reservation)
        .fetch_all(&mut *writer)
        .await?;
    for Line { sku, qty, .. } in lines.into_iter().map(rows::line) {
        sqlx::query(sql::GIVE_BACK_STOCK)
            .bind(&sku)
            .bind(qty)
            .execute(&mut *writer)
            .await?;
    }
    sqlx::query(sql::DELETE_RESERVATION_LINES)
        .bind(&by.reservation)
        .execute(writer)
        .await?;
    Ok(())
}
