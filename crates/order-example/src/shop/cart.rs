//! What does a customer want? The cart: shown, filled, and checked against what the customer has seen.

use super::{Decided, Shop, ShopError, on_either};
use crate::domain::{Cart, Money, Quantity};

impl Shop {
    /// The present cart of a customer. Somebody who has none gets an empty one.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn cart(&self, owner: &str) -> Result<Cart, ShopError> {
        on_either!(self, shop => shop.cart(owner).await)
    }

    /// Puts so many of a product into the cart, and gives the cart as it is then. It has a new revision only
    /// if something changed.
    ///
    /// Refused are a product that the catalogue does not know ([`NotFound`]) and a cart that is not as the
    /// customer has seen it ([`CartChanged`]).
    ///
    /// [`NotFound`]: crate::domain::Refusal::NotFound
    /// [`CartChanged`]: crate::domain::Refusal::CartChanged
    ///
    /// # Errors
    ///
    /// Nothing is known to be changed. Call again.
    pub async fn set_quantity(&self, wish: Quantity) -> Decided<Cart> {
        on_either!(self, shop => shop.set_quantity(wish).await)
    }

    /// What one of a product costs now; `None` for one that the catalogue does not know.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn price(&self, sku: &str) -> Result<Option<Money>, ShopError> {
        on_either!(self, shop => shop.price(sku).await)
    }
}
