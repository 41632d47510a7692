//! What was offered for a cart? Offers are made from what the cart holds, and remembered for ever, so that
//! one that is late is told from one that never was.

use super::{Decided, Shop, ShopError, on_either};
use crate::domain::{Cart, Delivery, Money, Offer, OfferSecret, Offers, Payment, Refusal, Wanted};

impl Shop {
    /// Makes the offers for the customer's cart and remembers them. The same cart, revision and wishes have
    /// the same offers whenever they are asked for.
    ///
    /// Refused is an empty cart ([`Refusal::CartNotOrderable`]).
    ///
    /// # Errors
    ///
    /// The database is away. Call again.
    pub async fn check_out(&self, owner: &str, wanted: &Wanted, secret: &OfferSecret) -> Decided<Offers> {
        let cart = match self.cart_to_order(owner).await? {
            Ok(cart) => cart,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let offers = Offer::for_cart(&cart, owner, wanted, secret);
        on_either!(self, shop => shop.remember_offers(owner, &offers).await)?;
        Ok(Ok(Offers {
            cart_id: cart.id,
            revision: cart.revision,
            offers: offers.into_iter().map(Offer::shown).collect(),
        }))
    }

    /// The offer with this id, if it was made to this customer.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn offer(&self, owner: &str, request_id: &str) -> Result<Option<Offer>, ShopError> {
        on_either!(self, shop => shop.offer(owner, request_id).await)
    }

    /// The offer that an older client means, which does not know ids: the one for the present cart with this
    /// payment and delivery, if it has the price that the client expects.
    ///
    /// Refused are an empty cart ([`Refusal::CartNotOrderable`]) and what the shop does not offer
    /// ([`Refusal::OfferNoMatch`]).
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn matching_offer(
        &self,
        owner: &str,
        payment: Payment,
        delivery: Delivery,
        expected_total: &Money,
        secret: &OfferSecret,
    ) -> Decided<Offer> {
        let cart = match self.cart_to_order(owner).await? {
            Ok(cart) => cart,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let wanted = Wanted {
            payment: vec![payment],
            delivery: vec![delivery],
        };
        let offers = Offer::for_cart(&cart, owner, &wanted, secret);
        let is_meant = |offer: &Offer| offer.request_id.is_some() && offer.total == *expected_total;
        Ok(offers.into_iter().find(is_meant).ok_or(Refusal::OfferNoMatch))
    }

    /// The secret that was made with the tables: the same for all who share them.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn offer_secret(&self) -> Result<OfferSecret, ShopError> {
        on_either!(self, shop => shop.offer_secret().await)
    }

    async fn cart_to_order(&self, owner: &str) -> Decided<Cart> {
        let cart = self.cart(owner).await?;
        if cart.items.is_empty() {
            return Ok(Err(Refusal::CartNotOrderable));
        }
        Ok(Ok(cart))
    }
}
