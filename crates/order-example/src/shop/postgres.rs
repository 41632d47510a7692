//! How does the shop use PostgreSQL? Through a pool of its own, in a schema of its own; only
//! `create_order` borrows a transaction from the engine's store.

use keystep::{StepContext, StepResult};
use keystep_postgres::PostgresStore;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use super::sql::postgres as sql;
use super::{Claim, Counts, NewOrder, Reservation, SchemaName, ShopError, request_id, rows};
use crate::domain::{Item, Line, Money, Order};

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

    pub(super) async fn reserve(&self, claim: Claim, item: Item) -> Result<Reservation, ShopError> {
        // A step can be dropped at any await, a transaction that is just beginning must not be: so
        // a task of its own carries it to its end.
        let shop = self.clone();
        let carried = tokio::spawn(async move {
            let mut tx = shop.pool.begin().await?;
            let line = shop.reserve_in(&mut tx, claim, item).await?;
            tx.commit().await?;
            Ok(line)
        });
        let line: Result<_, ShopError> = carried.await?;
        Ok(line?.map_or(Reservation::OutOfStock, Reservation::Held))
    }

    pub(super) async fn release(&self, claim: Claim) -> Result<(), ShopError> {
        let shop = self.clone();
        let carried = tokio::spawn(async move {
            let mut tx = shop.pool.begin().await?;
            shop.release_in(&mut tx, claim).await?;
            Ok(tx.commit().await?)
        });
        carried.await?
    }

    async fn claim(&self, tx: &mut PgConnection, claim: &Claim) -> Result<(), ShopError> {
        let held = sqlx::query(self.sql(sql::CLAIM_RESERVATION))
            .bind(&claim.reservation)
            .bind(claim.epoch)
            .fetch_optional(tx)
            .await?;
        held.map(|_row| ()).ok_or(ShopError::GivenUp)
    }

    /// The line, or `None` when there is not enough; the claim stands in either case.
    async fn reserve_in(
        &self,
        tx: &mut PgConnection,
        by: Claim,
        item: Item,
    ) -> Result<Option<Line>, ShopError> {
        self.claim(tx, &by).await?;
        let before = sqlx::query_as(self.sql(sql::RESERVATION_LINE))
            .bind(&by.reservation)
            .bind(&item.sku)
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(line) = before {
            return Ok(Some(rows::line(line)));
        }
        let Item { sku, qty } = item;
        let taken: Option<(i64, String)> = sqlx::query_as(self.sql(sql::TAKE_STOCK))
            .bind(&sku)
            .bind(qty)
            .fetch_optional(&mut *tx)
            .await?;
        let Some((amount, currency)) = taken else {
            return Ok(None);
        };
        sqlx::query(self.sql(sql::INSERT_RESERVATION_LINE))
            .bind(&by.reservation)
            .bind(&sku)
            .bind(qty)
            .bind(amount)
            .bind(&currency)
            .execute(&mut *tx)
            .await?;
        let unit_price = Money { amount, currency };
        Ok(Some(Line { sku, qty, unit_price }))
    }

    async fn release_in(&self, tx: &mut PgConnection, by: Claim) -> Result<(), ShopError> {
        self.claim(tx, &by).await?;
        let lines: Vec<rows::LineRow> = sqlx::query_as(self.sql(sql::RESERVATION_LINES))
            .bind(&by.reservation)
            .fetch_all(&mut *tx)
            .await?;
        for Line { sku, qty, .. } in lines.into_iter().map(rows::line) {
            sqlx::query(self.sql(sql::GIVE_BACK_STOCK))
                .bind(&sku)
                .bind(qty)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(self.sql(sql::DELETE_RESERVATION_LINES))
            .bind(&by.reservation)
            .execute(tx)
            .await?;
        Ok(())
    }

    pub(super) async fn create_order(&self, cx: &StepContext, new: NewOrder) -> StepResult<Order> {
        let mut tx = self.store.transaction(cx).await?;
        let inserted = sqlx::query_as(self.sql(sql::INSERT_ORDER))
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
        let order: Option<rows::OrderRow> = sqlx::query_as(self.sql(sql::FIND_ORDER))
            .bind(order_nr)
            .fetch_optional(&self.pool)
            .await?;
        let Some(order) = order else { return Ok(None) };
        let lines = sqlx::query_as(self.sql(sql::RESERVATION_LINES))
            .bind(rows::reservation(&order))
            .fetch_all(&self.pool)
            .await?;
        Ok(Some(rows::order(order, lines)))
    }

    pub(super) async fn known_products(&self, skus: &[String]) -> Result<Vec<String>, ShopError> {
        let known = sqlx::query_scalar(self.sql(sql::KNOWN_PRODUCTS))
            .bind(skus)
            .fetch_all(&self.pool)
            .await?;
        Ok(known)
    }

    pub(super) async fn counts(&self) -> Result<Counts, ShopError> {
        let (orders, reservations) = sqlx::query_as(self.sql(sql::COUNTS))
            .fetch_one(&self.pool)
            .await?;
        Ok(Counts { orders, reservations })
    }

    pub(super) async fn ping(&self) -> Result<(), ShopError> {
        let _: bool = sqlx::query_scalar(self.sql(sql::PING))
            .fetch_one(&self.pool)
            .await?;
        Ok(())
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
    let drop = schema.sql(include_str!("../../sql/postgres/drop_schema.sql"));
    sqlx::raw_sql(drop).execute(&mut connection).await?;
    connection.close().await
}
