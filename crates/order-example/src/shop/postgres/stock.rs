//! Reservations, on PostgreSQL.

use futures::FutureExt;
use sqlx::PgConnection;

use super::{PostgresShop, sql};
use crate::domain::Line;
use crate::shop::{Claim, Reservation, SchemaName, ShopError, rows};

impl PostgresShop {
    pub(in crate::shop) async fn reserve(&self, claim: Claim, line: Line) -> Result<Reservation, ShopError> {
        self.write(|tx, schema| reserve(tx, schema, claim, line).boxed())
            .await
    }

    pub(in crate::shop) async fn release(&self, claim: Claim) -> Result<(), ShopError> {
        self.write(|tx, schema| release(tx, schema, claim).boxed()).await
    }
}

async fn claim(tx: &mut PgConnection, schema: &SchemaName, claim: &Claim) -> Result<(), ShopError> {
    let held = sqlx::query(schema.sql(sql::CLAIM_RESERVATION))
        .bind(&claim.reservation)
        .bind(claim.epoch)
        .fetch_optional(tx)
        .await?;
    held.map(|_row| ()).ok_or(ShopError::GivenUp)
}

/// The claim stands also when there is not enough.
async fn reserve(
    tx: &mut PgConnection,
    schema: &SchemaName,
    by: Claim,
    line: Line,
) -> Result<Reservation, ShopError> {
    claim(tx, schema, &by).await?;
    let is_held: bool = sqlx::query_scalar(schema.sql(sql::IS_LINE_HELD))
        .bind(&by.reservation)
        .bind(&line.sku)
        .fetch_one(&mut *tx)
        .await?;
    if is_held {
        return Ok(Reservation::Held);
    }
    let taken = sqlx::query(schema.sql(sql::TAKE_STOCK))
        .bind(&line.sku)
        .bind(line.qty)
        .execute(&mut *tx)
        .await?;
    if taken.rows_affected() == 0 {
        return Ok(Reservation::OutOfStock);
    }
    sqlx::query(schema.sql(sql::INSERT_RESERVATION_LINE))
        .bind(&by.reservation)
        .bind(&line.sku)
        .bind(line.qty)
        .execute(tx)
        .await?;
    Ok(Reservation::Held)
}

pub(super) async fn release(tx: &mut PgConnection, schema: &SchemaName, by: Claim) -> Result<(), ShopError> {
    claim(tx, schema, &by).await?;
    let held: Vec<rows::HeldRow> = sqlx::query_as(schema.sql(sql::RESERVATION_LINES))
        .bind(&by.reservation)
        .fetch_all(&mut *tx)
        .await?;
    for (sku, qty) in held {
        sqlx::query(schema.sql(sql::GIVE_BACK_STOCK))
            .bind(sku)
            .bind(qty)
            .execute(&mut *tx)
            .await?;
    }
    sqlx::query(schema.sql(sql::DELETE_RESERVATION_LINES))
        .bind(&by.reservation)
        .execute(tx)
        .await?;
    Ok(())
}
