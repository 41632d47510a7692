//! Offers, on PostgreSQL.

use futures::FutureExt;
use sqlx::PgConnection;

use super::{PostgresShop, sql};
use crate::domain::{Offer, OfferSecret};
use crate::shop::{SchemaName, ShopError, rows};

impl PostgresShop {
    pub(in crate::shop) async fn remember_offers(
        &self,
        owner: &str,
        offers: &[Offer],
    ) -> Result<(), ShopError> {
        let (owner, offers) = (owner.to_owned(), offers.to_vec());
        self.write(|tx, schema| async move { remember_offers(tx, schema, &owner, &offers).await }.boxed())
            .await
    }

    pub(in crate::shop) async fn offer(
        &self,
        owner: &str,
        request_id: &str,
    ) -> Result<Option<Offer>, ShopError> {
        let offer: Option<String> = sqlx::query_scalar(self.sql(sql::FIND_OFFER))
            .bind(owner)
            .bind(request_id)
            .fetch_optional(&self.pool)
            .await?;
        offer.as_deref().map(rows::from_json).transpose()
    }

    pub(in crate::shop) async fn offer_secret(&self) -> Result<OfferSecret, ShopError> {
        let secret: String = sqlx::query_scalar(self.sql(sql::OFFER_SECRET))
            .fetch_one(&self.pool)
            .await?;
        Ok(OfferSecret::from(secret))
    }
}

async fn remember_offers(
    tx: &mut PgConnection,
    schema: &SchemaName,
    owner: &str,
    offers: &[Offer],
) -> Result<(), ShopError> {
    for offer in offers {
        // What can not be ordered has no id, and need not be remembered.
        let Some(request_id) = &offer.request_id else {
            continue;
        };
        sqlx::query(schema.sql(sql::INSERT_OFFER))
            .bind(owner)
            .bind(request_id)
            .bind(rows::json(offer)?)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}
