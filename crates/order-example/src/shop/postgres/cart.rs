//! The cart, on PostgreSQL.

use futures::FutureExt;
use sqlx::PgConnection;

use super::{PostgresShop, sql};
use crate::domain::{Cart, Line, Money, Quantity, Refusal};
use crate::shop::{Decided, SchemaName, ShopError, rows};

impl PostgresShop {
    pub(in crate::shop) async fn cart(&self, owner: &str) -> Result<Cart, ShopError> {
        let found: Option<rows::CartRow> = sqlx::query_as(self.sql(sql::FIND_CART))
            .bind(owner)
            .fetch_optional(&self.pool)
            .await?;
        match found {
            Some(row) => rows::cart(row),
            None => {
                let owner = owner.to_owned();
                self.write(|tx, schema| async move { hold_cart(tx, schema, &owner).await }.boxed())
                    .await
            }
        }
    }

    pub(in crate::shop) async fn set_quantity(&self, wish: Quantity) -> Decided<Cart> {
        self.write(|tx, schema| set_quantity(tx, schema, wish).boxed())
            .await
    }

    pub(in crate::shop) async fn price(&self, sku: &str) -> Result<Option<Money>, ShopError> {
        let product: Option<(i64, String)> = sqlx::query_as(self.sql(sql::FIND_PRODUCT))
            .bind(sku)
            .fetch_optional(&self.pool)
            .await?;
        Ok(product.map(|(price, currency)| Money::new(price, currency)))
    }
}

/// The cart of a customer, for whom nobody else writes until the transaction ends.
pub(super) async fn hold_cart(
    tx: &mut PgConnection,
    schema: &SchemaName,
    owner: &str,
) -> Result<Cart, ShopError> {
    let row = sqlx::query_as(schema.sql(sql::HOLD_CART))
        .bind(owner)
        .bind(rows::new_cart_id())
        .fetch_one(tx)
        .await?;
    rows::cart(row)
}

/// An empty cart in the place of one that was ordered.
pub(super) async fn close_cart(
    tx: &mut PgConnection,
    schema: &SchemaName,
    owner: &str,
) -> Result<(), ShopError> {
    write_cart(tx, schema, owner, &rows::new_cart_id(), 0, &[]).await
}

async fn set_quantity(tx: &mut PgConnection, schema: &SchemaName, wish: Quantity) -> Decided<Cart> {
    let product: Option<(i64, String)> = sqlx::query_as(schema.sql(sql::FIND_PRODUCT))
        .bind(&wish.sku)
        .fetch_optional(&mut *tx)
        .await?;
    let Some((price, currency)) = product else {
        return Ok(Err(Refusal::NotFound("product")));
    };
    let before = hold_cart(tx, schema, &wish.owner).await?;
    let tag = before.tag();
    if !wish.seen.includes(&tag) {
        return Ok(Err(Refusal::CartChanged { tag }));
    }
    let revision = before.revision;
    let cart = before.with(&wish.sku, wish.qty, Money::new(price, currency));
    if cart.revision != revision {
        write_cart(tx, schema, &wish.owner, &cart.id, cart.revision, &cart.items).await?;
    }
    Ok(Ok(cart))
}

async fn write_cart(
    tx: &mut PgConnection,
    schema: &SchemaName,
    owner: &str,
    id: &str,
    revision: i64,
    items: &[Line],
) -> Result<(), ShopError> {
    sqlx::query(schema.sql(sql::WRITE_CART))
        .bind(owner)
        .bind(id)
        .bind(revision)
        .bind(rows::json(&items)?)
        .execute(tx)
        .await?;
    Ok(())
}
