//! What does the shop say no to, and what is it called? Each refusal has the word by which clients know it.

use keystep::StepError;

/// Why the shop does not do what it was asked. Nothing was done; asking for the same again gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing, or it is somebody else's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The cart was changed since the customer saw it.
    #[error("the cart was changed meanwhile")]
    CartChanged {
        /// The present cart's tag.
        tag: String,
    },
    /// There is nothing in the cart.
    #[error("the cart is empty")]
    CartNotOrderable,
    /// No offer for the cart is as an older client says it is.
    #[error("the shop offers no such thing")]
    OfferNoMatch,
    /// The cart was changed or ordered since the offer was made.
    #[error("the cart was changed since the offer was made")]
    OfferStale,
    /// The list of orders was changed since the customer saw it.
    #[error("the orders were changed in parallel")]
    OrdersChanged {
        /// The present version of the list.
        current: i64,
    },
    /// The order was changed since the customer saw it.
    #[error("the order was changed meanwhile")]
    VersionMismatch {
        /// The present version of the order.
        current: i64,
    },
    /// Where the order stands it does not allow this.
    #[error("the order is cancelled, or money is taken for it")]
    OrderStateConflict,
    /// There is nothing left to pay for the order.
    #[error("the order is paid already")]
    OrderAlreadyPaid,
    /// There is not enough of a product.
    #[error("there is not enough of {sku}")]
    OutOfStock {
        /// The product.
        sku: String,
    },
    /// The same was paid under another key.
    #[error("the same payment was made under another key")]
    DuplicatePayload {
        /// The other payment.
        payment_id: String,
    },
    /// The payment provider decided against it.
    #[error("the payment was declined")]
    PaymentDeclined,
}

impl Refusal {
    /// The word by which clients know it: the code of a step's failure, and the name of a problem.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not-found",
            Self::CartChanged { .. } | Self::VersionMismatch { .. } => "version-mismatch",
            Self::CartNotOrderable => "cart-not-orderable",
            Self::OfferNoMatch => "offer-no-match",
            Self::OfferStale => "offer-stale",
            Self::OrdersChanged { .. } => "orders-changed",
            Self::OrderStateConflict => "order-state-conflict",
            Self::OrderAlreadyPaid => "order-already-paid",
            Self::OutOfStock { .. } => "out-of-stock",
            Self::DuplicatePayload { .. } => "duplicate-payload",
            Self::PaymentDeclined => "payment-declined",
        }
    }

    /// The failure of a step that it means: a final one.
    pub fn into_failure(self) -> StepError {
        let code = self.slug();
        StepError::terminal(self).code(code)
    }
}
