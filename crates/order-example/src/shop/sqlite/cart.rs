//! The cart, on SQLite.

use futures::FutureExt;
use sqlx::SqliteConnection;

use super::{SqliteShop, sql};
use crate::domain::{Cart, Line, Money, Quantity, Refusal};
use crate::shop::{Decided, ShopError, rows};

impl SqliteShop {
    pub(in crate::shop) async fn cart(&self, owner: &str) -> Result<Cart, ShopError> {
        let found: Option<rows::CartRow> = sqlx::query_as(sql::FIND_CART)
            .bind(owner)
            .fetch_optional(&self.readers)
            .await?;
        match found {
            Some(row) => rows::cart(row),
            None => {
                let owner = owner.to_owned();
                self.store
                    .write(|writer| async move { hold_cart(writer, &owner).await }.boxed())
                    .await
            }
        }
    }

    pub(in crate::shop) async fn set_quantity(&self, wish: Quantity) -> Decided<Cart> {
        self.store
            .write(|writer| set_quantity(writer, wish).boxed())
            .await
    }

    pub(in crate::shop) async fn price(&self, sku: &str) -> Result<Option<Money>, ShopError> {
        let product: Option<(i64, String)> = sqlx::query_as(sql::FIND_PRODUCT)
            .bind(sku)
            .fetch_optional(&self.readers)
            .await?;
        Ok(product.map(|(price, currency)| Money::new(price, currency)))
    }
}

/// The cart of a customer, for whom nobody else writes until the transaction ends.
pub(super) async fn hold_cart(writer: &mut SqliteConnection, owner: &str) -> Result<Cart, ShopError> {
    let row = sqlx::query_as(sql::HOLD_CART)
        .bind(owner)
        .bind(rows::new_cart_id())
        .fetch_one(writer)
        .await?;
    rows::cart(row)
}

/// An empty cart in the place of one that was ordered.
pub(super) async fn close_cart(writer: &mut SqliteConnection, owner: &str) -> Result<(), ShopError> {
    write_cart(writer, owner, &rows::new_cart_id(), 0, &[]).await
}

async fn set_quantity(writer: &mut SqliteConnection, wish: Quantity) -> Decided<Cart> {
    let product: Option<(i64, String)> = sqlx::query_as(sql::FIND_PRODUCT)
        .bind(&wish.sku)
        .fetch_optional(&mut *writer)
        .await?;
    let Some((price, currency)) = product else {
        return Ok(Err(Refusal::NotFound("product")));
    };
    let before = hold_cart(writer, &wish.owner).await?;
    let tag = before.tag();
    if !wish.seen.includes(&tag) {
        return Ok(Err(Refusal::CartChanged { tag }));
    }
    let revision = before.revision;
    let cart = before.with(&wish.sku, wish.qty, Money::new(price, currency));
    if cart.revision != revision {
        write_cart(writer, &wish.owner, &cart.id, cart.revision, &cart.items).await?;
    }
    Ok(Ok(cart))
}

async fn write_cart(
    writer: &mut SqliteConnection,
    owner: &str,
    id: &str,
    revision: i64,
    items: &[Line],
) -> Result<(), ShopError> {
    sqlx::query(sql::WRITE_CART)
        .bind(owner)
        .bind(id)
        .bind(revision)
        .bind(rows::json(&items)?)
        .execute(writer)
        .await?;
    Ok(())
}
