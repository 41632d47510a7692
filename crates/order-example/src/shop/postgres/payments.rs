//! Payments, on PostgreSQL.

use futures::FutureExt;
use keystep::{StepContext, StepResult};
use sqlx::PgConnection;

use super::{PostgresShop, sql};
use crate::domain::{Captured, PaymentRequest, Refusal};
use crate::shop::payments::{may_pay, recorded};
use crate::shop::{Decided, Hold, NewHold, NewPayment, Payer, SchemaName, ShopError, rows};

impl PostgresShop {
    pub(in crate::shop) async fn hold_for_payment(&self, hold: NewHold) -> Decided<Hold> {
        self.write(move |tx, schema| hold_for_payment(tx, schema, hold).boxed())
            .await
    }

    pub(in crate::shop) async fn held_key(
        &self,
        by: Payer,
        request: &PaymentRequest,
    ) -> Result<Option<String>, ShopError> {
        let request = request.clone();
        self.write(move |tx, schema| async move { held_key(tx, schema, by, &request).await }.boxed())
            .await
    }

    pub(in crate::shop) async fn let_go(&self, by: Payer, order_nr: &str) -> Result<(), ShopError> {
        let order_nr = order_nr.to_owned();
        self.write(move |tx, schema| async move { let_go(tx, schema, by, &order_nr).await }.boxed())
            .await
    }

    pub(in crate::shop) async fn record_payment(
        &self,
        cx: &StepContext,
        new: NewPayment,
    ) -> StepResult<Captured> {
        let mut tx = self.store.transaction(cx).await?;
        let payment = record_payment(&mut tx, &self.schema, cx, new).await?;
        cx.enlist(tx)?;
        Ok(payment)
    }

    pub(in crate::shop) async fn payment(
        &self,
        owner: &str,
        payment_id: &str,
    ) -> Result<Option<Captured>, ShopError> {
        let row = sqlx::query_as(self.sql(sql::FIND_PAYMENT))
            .bind(owner)
            .bind(payment_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(rows::payment))
    }

    pub(in crate::shop) async fn payment_like(
        &self,
        request: &PaymentRequest,
    ) -> Result<Option<Captured>, ShopError> {
        payment_like(&self.pool, &self.schema, request).await
    }
}

async fn claim(tx: &mut PgConnection, schema: &SchemaName, by: Payer) -> Result<(), ShopError> {
    let held = sqlx::query(schema.sql(sql::CLAIM_PAYER))
        .bind(by.execution.0)
        .bind(by.epoch)
        .fetch_optional(tx)
        .await?;
    held.map(|_row| ()).ok_or(ShopError::GivenUp)
}

pub(super) async fn order_to_pay(
    tx: &mut PgConnection,
    schema: &SchemaName,
    owner: &str,
    order_nr: &str,
) -> Result<Option<rows::ToPayRow>, ShopError> {
    let row = sqlx::query_as(schema.sql(sql::ORDER_TO_PAY))
        .bind(owner)
        .bind(order_nr)
        .fetch_optional(tx)
        .await?;
    Ok(row)
}

async fn hold_for_payment(tx: &mut PgConnection, schema: &SchemaName, hold: NewHold) -> Decided<Hold> {
    claim(tx, schema, hold.by).await?;
    let request = &hold.request;
    let order = order_to_pay(tx, schema, &request.owner, &request.order_nr).await?;
    let is_own = order
        .as_ref()
        .is_some_and(|order| hold.by.key_in(order).is_some());
    let held = may_pay(&hold, order)?;
    if hold.refuse_equal && !is_own && held.is_ok() {
        let equal = payment_like(&mut *tx, schema, request).await?;
        if let Some(Captured { payment_id, .. }) = equal {
            return Ok(Err(Refusal::DuplicatePayload { payment_id }));
        }
    }
    if let Ok(Hold::Held { key }) = &held {
        sqlx::query(schema.sql(sql::HOLD_ORDER))
            .bind(&request.order_nr)
            .bind(hold.by.execution.0)
            .bind(key)
            .execute(tx)
            .await?;
    }
    Ok(held)
}

async fn payment_like(
    database: impl sqlx::PgExecutor<'_>,
    schema: &SchemaName,
    request: &PaymentRequest,
) -> Result<Option<Captured>, ShopError> {
    let row = sqlx::query_as(schema.sql(sql::FIND_PAYMENT_LIKE))
        .bind(&request.owner)
        .bind(&request.order_nr)
        .bind(request.amount.amount)
        .bind(&request.amount.currency)
        .bind(rows::json(&request.method)?)
        .fetch_optional(database)
        .await?;
    Ok(row.map(rows::payment))
}

async fn held_key(
    tx: &mut PgConnection,
    schema: &SchemaName,
    by: Payer,
    request: &PaymentRequest,
) -> Result<Option<String>, ShopError> {
    claim(tx, schema, by).await?;
    let order = order_to_pay(tx, schema, &request.owner, &request.order_nr).await?;
    Ok(order.and_then(|order| by.key_in(&order)))
}

async fn let_go(
    tx: &mut PgConnection,
    schema: &SchemaName,
    by: Payer,
    order_nr: &str,
) -> Result<(), ShopError> {
    claim(tx, schema, by).await?;
    sqlx::query(schema.sql(sql::LET_ORDER_GO))
        .bind(order_nr)
        .bind(by.execution.0)
        .execute(tx)
        .await?;
    Ok(())
}

async fn record_payment(
    tx: &mut PgConnection,
    schema: &SchemaName,
    cx: &StepContext,
    new: NewPayment,
) -> Result<Captured, ShopError> {
    let NewPayment { request, charge } = new;
    let payment_id = rows::new_payment_id();
    let created_at = sqlx::query_scalar(schema.sql(sql::INSERT_PAYMENT))
        .bind(&payment_id)
        .bind(cx.run_id().0)
        .bind(&request.owner)
        .bind(&request.order_nr)
        .bind(request.amount.amount)
        .bind(&request.amount.currency)
        .bind(rows::json(&request.method)?)
        .bind(&charge)
        .fetch_one(&mut *tx)
        .await?;
    let added = sqlx::query(schema.sql(sql::ADD_TO_PAID))
        .bind(&request.order_nr)
        .bind(request.amount.amount)
        .bind(cx.execution_id().0)
        .execute(tx)
        .await?;
    if added.rows_affected() != 1 {
        return Err(ShopError::GivenUp);
    }
    Ok(recorded(payment_id, request, created_at))
}
