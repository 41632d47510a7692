//! Reservations, on SQLite.

use futures::FutureExt;
use sqlx::SqliteConnection;

use super::{SqliteShop, sql};
use crate::domain::Line;
use crate::shop::{Claim, Reservation, ShopError, rows};

impl SqliteShop {
    pub(in crate::shop) async fn reserve(&self, claim: Claim, line: Line) -> Result<Reservation, ShopError> {
        self.store
            .write(|writer| reserve(writer, claim, line).boxed())
            .await
    }

    pub(in crate::shop) async fn release(&self, claim: Claim) -> Result<(), ShopError> {
        self.store.write(|writer| release(writer, claim).boxed()).await
    }
}

async fn claim(writer: &mut SqliteConnection, claim: &Claim) -> Result<(), ShopError> {
    let held = sqlx::query(sql::CLAIM_RESERVATION)
        .bind(&claim.reservation)
        .bind(claim.epoch)
        .fetch_optional(writer)
        .await?;
    held.map(|_row| ()).ok_or(ShopError::GivenUp)
}

/// The claim stands also when there is not enough.
async fn reserve(writer: &mut SqliteConnection, by: Claim, line: Line) -> Result<Reservation, ShopError> {
    claim(writer, &by).await?;
    let is_held: bool = sqlx::query_scalar(sql::IS_LINE_HELD)
        .bind(&by.reservation)
        .bind(&line.sku)
        .fetch_one(&mut *writer)
        .await?;
    if is_held {
        return Ok(Reservation::Held);
    }
    let taken = sqlx::query(sql::TAKE_STOCK)
        .bind(&line.sku)
        .bind(line.qty)
        .execute(&mut *writer)
        .await?;
    if taken.rows_affected() == 0 {
        return Ok(Reservation::OutOfStock);
    }
    sqlx::query(sql::INSERT_RESERVATION_LINE)
        .bind(&by.reservation)
        .bind(&line.sku)
        .bind(line.qty)
        .execute(writer)
        .await?;
    Ok(Reservation::Held)
}

pub(super) async fn release(writer: &mut SqliteConnection, by: Claim) -> Result<(), ShopError> {
    claim(writer, &by).await?;
    let held: Vec<rows::HeldRow> = sqlx::query_as(sql::RESERVATION_LINES)
        .bind(&by.reservation)
        .fetch_all(&mut *writer)
        .await?;
    for (sku, qty) in held {
        sqlx::query(sql::GIVE_BACK_STOCK)
            .bind(sku)
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
