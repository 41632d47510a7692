//! Orders, on PostgreSQL.

use futures::FutureExt;
use keystep::{RunId, StepContext, StepResult};
use sqlx::PgConnection;

use super::cart::{close_cart, hold_cart};
use super::payments::order_to_pay;
use super::stock::release;
use super::{PostgresShop, sql};
use crate::domain::{Cancel, Change, Order, OrderList, Refusal};
use crate::shop::orders::{cancelled, changed, check_list_and_cart};
use crate::shop::{Claim, Decided, NewOrder, SchemaName, ShopError, rows};

impl PostgresShop {
    pub(in crate::shop) async fn create_order(&self, cx: &StepContext, new: NewOrder) -> StepResult<Order> {
        let mut tx = self.store.transaction(cx).await?;
        let order = create_order(&mut tx, &self.schema, cx.run_id(), new).await?;
        let order = order.map_err(Refusal::into_failure)?;
        cx.enlist(tx)?;
        Ok(order)
    }

    pub(in crate::shop) async fn order(
        &self,
        owner: &str,
        order_nr: &str,
    ) -> Result<Option<Order>, ShopError> {
        let row: Option<rows::OrderRow> = sqlx::query_as(self.sql(sql::FIND_ORDER))
            .bind(owner)
            .bind(order_nr)
            .fetch_optional(&self.pool)
            .await?;
        row.map(rows::order).transpose()
    }

    pub(in crate::shop) async fn order_of_request(
        &self,
        owner: &str,
        request_id: &str,
    ) -> Result<Option<Order>, ShopError> {
        let row: Option<rows::OrderRow> = sqlx::query_as(self.sql(sql::FIND_ORDER_OF_REQUEST))
            .bind(owner)
            .bind(request_id)
            .fetch_optional(&self.pool)
            .await?;
        row.map(rows::order).transpose()
    }

    pub(in crate::shop) async fn orders(&self, owner: &str) -> Result<OrderList, ShopError> {
        let rows = sqlx::query_as(self.sql(sql::LIST_ORDERS))
            .bind(owner)
            .fetch_all(&self.pool)
            .await?;
        rows::orders(rows)
    }

    pub(in crate::shop) async fn orders_version(&self, owner: &str) -> Result<i64, ShopError> {
        let version = sqlx::query_scalar(self.sql(sql::ORDERS_VERSION))
            .bind(owner)
            .fetch_one(&self.pool)
            .await?;
        Ok(version)
    }

    pub(in crate::shop) async fn change_order(&self, change: Change) -> Decided<Order> {
        self.write(|tx, schema| change_order(tx, schema, change).boxed())
            .await
    }

    pub(in crate::shop) async fn change_order_in(
        &self,
        cx: &StepContext,
        change: Change,
    ) -> StepResult<Order> {
        let mut tx = self.store.transaction(cx).await?;
        let order = change_order(&mut tx, &self.schema, change).await?;
        let order = order.map_err(Refusal::into_failure)?;
        cx.enlist(tx)?;
        Ok(order)
    }

    pub(in crate::shop) async fn cancel_order(&self, cancel: Cancel) -> Decided<Order> {
        self.write(|tx, schema| cancel_order(tx, schema, cancel).boxed())
            .await
    }
}

async fn create_order(
    tx: &mut PgConnection,
    schema: &SchemaName,
    run: RunId,
    new: NewOrder,
) -> Decided<Order> {
    let checkout = &new.checkout;
    let cart = hold_cart(tx, schema, &checkout.owner).await?;
    let list = orders_version(tx, schema, &checkout.owner).await?;
    if let Err(refusal) = check_list_and_cart(checkout, list, &cart) {
        return Ok(Err(refusal));
    }
    let offer = &checkout.offer;
    let inserted = sqlx::query_as(schema.sql(sql::INSERT_ORDER))
        .bind(run.0)
        .bind(&checkout.owner)
        .bind(&offer.request_id)
        .bind(list + 1)
        .bind(offer.cart.as_ref().map(|cart| &cart.id))
        .bind(&new.reservation)
        .bind(&new.authorization)
        .bind(rows::json(&offer.items)?)
        .bind(offer.total.amount)
        .bind(&offer.total.currency)
        .bind(rows::json(&offer.payment)?)
        .bind(rows::word(&offer.delivery)?)
        .bind(&checkout.comment)
        .fetch_one(&mut *tx)
        .await?;
    if offer.cart.is_some() {
        close_cart(tx, schema, &checkout.owner).await?;
    }
    Ok(Ok(rows::created(new, list + 1, inserted)))
}

async fn change_order(tx: &mut PgConnection, schema: &SchemaName, change: Change) -> Decided<Order> {
    hold_cart(tx, schema, &change.owner).await?;
    let before = find_order(tx, schema, &change.owner, &change.order_nr).await?;
    let list = orders_version(tx, schema, &change.owner).await?;
    let order = match changed(before, change, list) {
        Ok(order) => order,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if order.orders_version > list {
        write_order(tx, schema, &order).await?;
    }
    Ok(Ok(order))
}

async fn cancel_order(tx: &mut PgConnection, schema: &SchemaName, cancel: Cancel) -> Decided<Order> {
    hold_cart(tx, schema, &cancel.owner).await?;
    let before = find_order(tx, schema, &cancel.owner, &cancel.order_nr).await?;
    let money = order_to_pay(tx, schema, &cancel.owner, &cancel.order_nr).await?;
    let list = orders_version(tx, schema, &cancel.owner).await?;
    let order = match cancelled(before, money.as_ref(), &cancel, list) {
        Ok(order) => order,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if order.orders_version > list {
        write_order(tx, schema, &order).await?;
        let reservation = sqlx::query_scalar(schema.sql(sql::ORDER_RESERVATION))
            .bind(&order.order_nr)
            .fetch_one(&mut *tx)
            .await?;
        release(tx, schema, Claim::for_ever(reservation)).await?;
    }
    Ok(Ok(order))
}

async fn orders_version(tx: &mut PgConnection, schema: &SchemaName, owner: &str) -> Result<i64, ShopError> {
    let version = sqlx::query_scalar(schema.sql(sql::ORDERS_VERSION))
        .bind(owner)
        .fetch_one(tx)
        .await?;
    Ok(version)
}

async fn find_order(
    tx: &mut PgConnection,
    schema: &SchemaName,
    owner: &str,
    order_nr: &str,
) -> Result<Option<Order>, ShopError> {
    let row: Option<rows::OrderRow> = sqlx::query_as(schema.sql(sql::FIND_ORDER))
        .bind(owner)
        .bind(order_nr)
        .fetch_optional(tx)
        .await?;
    row.map(rows::order).transpose()
}

async fn write_order(tx: &mut PgConnection, schema: &SchemaName, order: &Order) -> Result<(), ShopError> {
    sqlx::query(schema.sql(sql::WRITE_ORDER))
        .bind(&order.order_nr)
        .bind(rows::word(&order.status)?)
        .bind(order.version)
        .bind(order.orders_version)
        .bind(&order.comment)
        .bind(order.address.as_ref().map(rows::json).transpose()?)
        .execute(tx)
        .await?;
    Ok(())
}
