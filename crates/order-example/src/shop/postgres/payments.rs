//! Payments, on PostgreSQL.

use futures::FutureExt;
use keystep::{ExecutionId, RunId, StepContext, StepResult};
use sqlx::PgConnection;

use super::{PostgresShop, sql};
use crate::domain::{Captured, PaymentRequest};
use crate::shop::payments::{may_pay, recorded};
use crate::shop::{Decided, Hold, NewPayment, SchemaName, ShopError, rows};

impl PostgresShop {
    pub(in crate::shop) async fn hold_for_payment(
        &self,
        by: ExecutionId,
        request: &PaymentRequest,
    ) -> Decided<Hold> {
        let request = request.clone();
        self.write(move |tx, schema| async move { hold_for_payment(tx, schema, by, &request).await }.boxed())
            .await
    }

    pub(in crate::shop) async fn let_go(&self, by: ExecutionId, order_nr: &str) -> Result<(), ShopError> {
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
        let payment = record_payment(&mut tx, &self.schema, cx.run_id(), new).await?;
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
        let row = sqlx::query_as(self.sql(sql::FIND_PAYMENT_LIKE))
            .bind(&request.owner)
            .bind(&request.order_nr)
            .bind(request.amount.amount)
            .bind(&request.amount.currency)
            .bind(rows::json(&request.method)?)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(rows::payment))
    }
}

async fn hold_for_payment(
    tx: &mut PgConnection,
    schema: &SchemaName,
    by: ExecutionId,
    request: &PaymentRequest,
) -> Decided<Hold> {
    let order: Option<rows::ToPayRow> = sqlx::query_as(schema.sql(sql::ORDER_TO_PAY))
        .bind(&request.owner)
        .bind(&request.order_nr)
        .fetch_optional(&mut *tx)
        .await?;
    let hold = match may_pay(by, order)? {
        Ok(Hold::Held) => Hold::Held,
        other => return Ok(other),
    };
    sqlx::query(schema.sql(sql::HOLD_ORDER))
        .bind(&request.order_nr)
        .bind(by.0)
        .execute(tx)
        .await?;
    Ok(Ok(hold))
}

async fn let_go(
    tx: &mut PgConnection,
    schema: &SchemaName,
    by: ExecutionId,
    order_nr: &str,
) -> Result<(), ShopError> {
    sqlx::query(schema.sql(sql::LET_ORDER_GO))
        .bind(order_nr)
        .bind(by.0)
        .execute(tx)
        .await?;
    Ok(())
}

async fn record_payment(
    tx: &mut PgConnection,
    schema: &SchemaName,
    run: RunId,
    new: NewPayment,
) -> Result<Captured, ShopError> {
    let NewPayment { request, charge } = new;
    let payment_id = rows::new_payment_id();
    let created_at = sqlx::query_scalar(schema.sql(sql::INSERT_PAYMENT))
        .bind(&payment_id)
        .bind(run.0)
        .bind(&request.owner)
        .bind(&request.order_nr)
        .bind(request.amount.amount)
        .bind(&request.amount.currency)
        .bind(rows::json(&request.method)?)
        .bind(&charge)
        .fetch_one(&mut *tx)
        .await?;
    sqlx::query(schema.sql(sql::ADD_TO_PAID))
        .bind(&request.order_nr)
        .bind(request.amount.amount)
        .execute(tx)
        .await?;
    Ok(recorded(payment_id, request, created_at))
}
