//! What was paid? Payments of orders, one at a time.
//!
//! Two payments of one order must not both take money, so the one that begins holds the order until it is
//! recorded, or known not to have been taken. It holds it for its execution: a run that is resumed meets
//! its own hold, and not a conflict. While nobody can tell whether money was taken, the order stays held.

use keystep::{ExecutionId, StepContext, StepResult};

use super::{Decided, Shop, ShopError, on_either, rows};
use crate::domain::{Captured, PaymentRequest, PaymentStatus, Refusal, Status};

/// What `record_payment` writes.
pub struct NewPayment {
    /// What the customer asked for.
    pub request: PaymentRequest,
    /// The provider's id of the charge.
    pub charge: Option<String>,
}

/// Whether a payment of an order may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The order is held by the execution that asks.
    Held,
    /// Another execution is paying it at the moment. Nobody knows yet how that ends.
    Busy,
}

impl Shop {
    /// Holds an order for the execution that is about to take the money.
    ///
    /// Refused are an order that this customer does not have, one that is cancelled, and one that is paid
    /// (`not-found`, `order-state-conflict`, `order-already-paid`).
    ///
    /// # Errors
    ///
    /// It is not known to be held. Call again.
    pub async fn hold_for_payment(&self, by: ExecutionId, request: &PaymentRequest) -> Decided<Hold> {
        on_either!(self, shop => shop.hold_for_payment(by, request).await)
    }

    /// Lets the order go, when it is known that no money was taken.
    ///
    /// # Errors
    ///
    /// It may or may not be held. Call again.
    pub async fn let_go(&self, by: ExecutionId, order_nr: &str) -> Result<(), ShopError> {
        on_either!(self, shop => shop.let_go(by, order_nr).await)
    }

    /// Writes the payment and lets the order go, in a transaction that it enlists with the step `cx`.
    ///
    /// # Errors
    ///
    /// Nothing is written. Return the error from the step to try again.
    pub async fn record_payment(&self, cx: &StepContext, new: NewPayment) -> StepResult<Captured> {
        on_either!(self, shop => shop.record_payment(cx, new).await)
    }

    /// The payment with this id, if it is this customer's.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn payment(&self, owner: &str, payment_id: &str) -> Result<Option<Captured>, ShopError> {
        on_either!(self, shop => shop.payment(owner, payment_id).await)
    }

    /// The latest payment that this customer has made with the same content, if there is one.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn payment_like(&self, request: &PaymentRequest) -> Result<Option<Captured>, ShopError> {
        on_either!(self, shop => shop.payment_like(request).await)
    }
}

/// Whether an execution may take money for an order, as the order's row says.
pub(super) fn may_pay(by: ExecutionId, order: Option<rows::ToPayRow>) -> Decided<Hold> {
    let Some((status, total, paid, paying)) = order else {
        return Ok(Err(Refusal::NotFound("order")));
    };
    if paid >= total {
        return Ok(Err(Refusal::OrderAlreadyPaid));
    }
    if rows::from_word::<Status>(status)? == Status::Cancelled {
        return Ok(Err(Refusal::OrderStateConflict));
    }
    let is_free = paying.is_none_or(|other| other == by.0);
    Ok(Ok(if is_free { Hold::Held } else { Hold::Busy }))
}

/// The payment that was recorded under this id.
pub(super) fn recorded(payment_id: String, request: PaymentRequest, created_at: String) -> Captured {
    Captured {
        payment_id,
        order_nr: request.order_nr,
        amount: request.amount,
        status: PaymentStatus::Captured,
        created_at,
    }
}
