//! Orders, on SQLite.

use futures::FutureExt;
use keystep::{RunId, StepContext, StepResult};
use sqlx::SqliteConnection;

use super::cart::{close_cart, hold_cart};
use super::payments::order_to_pay;
use super::stock::release;
use super::{SqliteShop, sql};
use crate::domain::{Cancel, Change, Order, OrderList, Refusal};
use crate::shop::orders::{cancelled, changed, check_list_and_cart};
use crate::shop::{Claim, Decided, NewOrder, ShopError, rows};

impl SqliteShop {
    pub(in crate::shop) async fn create_order(&self, cx: &StepContext, new: NewOrder) -> StepResult<Order> {
        let mut tx = self.store.transaction(cx).await?;
        let order = create_order(&mut tx, cx.run_id(), new).await?;
        let order = order.map_err(Refusal::into_failure)?;
        cx.enlist(tx)?;
        Ok(order)
    }

    pub(in crate::shop) async fn order(
        &self,
        owner: &str,
        order_nr: &str,
    ) -> Result<Option<Order>, ShopError> {
        let row: Option<rows::OrderRow> = sqlx::query_as(sql::FIND_ORDER)
            .bind(owner)
            .bind(order_nr)
            .fetch_optional(&self.readers)
            .await?;
        row.map(rows::order).transpose()
    }

    pub(in crate::shop) async fn order_of_request(
        &self,
        owner: &str,
        request_id: &str,
    ) -> Result<Option<Order>, ShopError> {
        let row: Option<rows::OrderRow> = sqlx::query_as(sql::FIND_ORDER_OF_REQUEST)
            .bind(owner)
            .bind(request_id)
            .fetch_optional(&self.readers)
            .await?;
        row.map(rows::order).transpose()
    }

    pub(in crate::shop) async fn orders(&self, owner: &str) -> Result<OrderList, ShopError> {
        let rows = sqlx::query_as(sql::LIST_ORDERS)
            .bind(owner)
            .fetch_all(&self.readers)
            .await?;
        rows::orders(rows)
    }

    pub(in crate::shop) async fn orders_version(&self, owner: &str) -> Result<i64, ShopError> {
        let version = sqlx::query_scalar(sql::ORDERS_VERSION)
            .bind(owner)
            .fetch_one(&self.readers)
            .await?;
        Ok(version)
    }

    pub(in crate::shop) async fn change_order(&self, change: Change) -> Decided<Order> {
        self.store
            .write(|writer| change_order(writer, change).boxed())
            .await
    }

    pub(in crate::shop) async fn change_order_in(
        &self,
        cx: &StepContext,
        change: Change,
    ) -> StepResult<Order> {
        let mut tx = self.store.transaction(cx).await?;
        let order = change_order(&mut tx, change).await?;
        let order = order.map_err(Refusal::into_failure)?;
        cx.enlist(tx)?;
        Ok(order)
    }

    pub(in crate::shop) async fn cancel_order(&self, cancel: Cancel) -> Decided<Order> {
        self.store
            .write(|writer| cancel_order(writer, cancel).boxed())
            .await
    }
}

async fn create_order(writer: &mut SqliteConnection, run: RunId, new: NewOrder) -> Decided<Order> {
    let checkout = &new.checkout;
    let cart = hold_cart(writer, &checkout.owner).await?;
    let list = orders_version(writer, &checkout.owner).await?;
    if let Err(refusal) = check_list_and_cart(checkout, list, &cart) {
        return Ok(Err(refusal));
    }
    let offer = &checkout.offer;
    let inserted = sqlx::query_as(sql::INSERT_ORDER)
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
        .fetch_one(&mut *writer)
        .await?;
    if offer.cart.is_some() {
        close_cart(writer, &checkout.owner).await?;
    }
    Ok(Ok(rows::created(new, list + 1, inserted)))
}

async fn change_order(writer: &mut SqliteConnection, change: Change) -> Decided<Order> {
    hold_cart(writer, &change.owner).await?;
    let before = find_order(writer, &change.owner, &change.order_nr).await?;
    let list = orders_version(writer, &change.owner).await?;
    let order = match changed(before, change, list) {
        Ok(order) => order,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if order.orders_version > list {
        write_order(writer, &order).await?;
    }
    Ok(Ok(order))
}

async fn cancel_order(writer: &mut SqliteConnection, cancel: Cancel) -> Decided<Order> {
    hold_cart(writer, &cancel.owner).await?;
    let before = find_order(writer, &cancel.owner, &cancel.order_nr).await?;
    let money = order_to_pay(writer, &cancel.owner, &cancel.order_nr).await?;
    let list = orders_version(writer, &cancel.owner).await?;
    let order = match cancelled(before, money.as_ref(), &cancel, list) {
        Ok(order) => order,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if order.orders_version > list {
        write_order(writer, &order).await?;
        let reservation = sqlx::query_scalar(sql::ORDER_RESERVATION)
            .bind(&order.order_nr)
            .fetch_one(&mut *writer)
            .await?;
        release(writer, Claim::for_ever(reservation)).await?;
    }
    Ok(Ok(order))
}

async fn orders_version(writer: &mut SqliteConnection, owner: &str) -> Result<i64, ShopError> {
    let version = sqlx::query_scalar(sql::ORDERS_VERSION)
        .bind(owner)
        .fetch_one(writer)
        .await?;
    Ok(version)
}

async fn find_order(
    writer: &mut SqliteConnection,
    owner: &str,
    order_nr: &str,
) -> Result<Option<Order>, ShopError> {
    let row: Option<rows::OrderRow> = sqlx::query_as(sql::FIND_ORDER)
        .bind(owner)
        .bind(order_nr)
        .fetch_optional(writer)
        .await?;
    row.map(rows::order).transpose()
}

async fn write_order(writer: &mut SqliteConnection, order: &Order) -> Result<(), ShopError> {
    sqlx::query(sql::WRITE_ORDER)
        .bind(&order.order_nr)
        .bind(rows::word(&order.status)?)
        .bind(order.version)
        .bind(order.orders_version)
        .bind(&order.comment)
        .bind(order.address.as_ref().map(rows::json).transpose()?)
        .execute(writer)
        .await?;
    Ok(())
}
