//! What was paid? Payments of orders, one at a time.
//!
//! Two payments of one order must not both take money, so the one that begins holds the order until it is
//! recorded, or known not to have been taken. It holds it for its execution: a run that is resumed meets
//! its own hold, and not a conflict.
//!
//! The hold keeps the key under which the payment provider is asked. A run that begins anew under the same
//! key while the order is still held asks under the first one's, and so the provider takes the money once.
//!
//! While nobody can tell whether money was taken, the order stays held: it is not paid under another key,
//! nor cancelled. A request with the same key goes on, and finds out; where the provider can not tell
//! either, the payment waits for a person, who resolves its execution: as done, and the payment is recorded
//! and the order let go, or as not done, and the provider is asked again.

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

/// Who pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payer {
    /// The execution.
    pub execution: ExecutionId,
    /// Of two owners of one execution the one with the lower epoch was given up, and changes nothing.
    pub epoch: i64,
}

/// A wish to hold an order.
#[derive(Debug, Clone)]
pub struct NewHold {
    /// For whom.
    pub by: Payer,
    /// The key under which it would ask the payment provider.
    pub key: String,
    /// What is to be paid.
    pub request: PaymentRequest,
    /// Whether it is refused when the same was paid before.
    pub refuse_equal: bool,
}

/// Whether a payment of an order may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// The order is held by the execution that asks.
    Held {
        /// The key under which to ask the payment provider: the one of the wish, or the one of an earlier
        /// run that has not let the order go.
        key: String,
    },
    /// Another execution is paying it at the moment. Nobody knows yet how that ends.
    Busy,
}

impl Shop {
    /// Holds an order for the execution that is about to take the money.
    ///
    /// Refused are an order that this customer does not have, one that is cancelled, and one that is paid
    /// (`not-found`, `order-state-conflict`, `order-already-paid`); if it is wished, also a payment that was
    /// made before with the same content (`duplicate-payload`). An order that this execution holds already is
    /// not refused: money may have been taken.
    ///
    /// # Errors
    ///
    /// It is not known to be held. Call again.
    pub async fn hold_for_payment(&self, hold: NewHold) -> Decided<Hold> {
        on_either!(self, shop => shop.hold_for_payment(hold).await)
    }

    /// The key under which this payer asked the payment provider, or may have; `None` when it does not hold
    /// the order. Owners of the execution that were given up do not hold it from now on.
    ///
    /// # Errors
    ///
    /// Nothing is known. Call again.
    pub async fn held_key(&self, by: Payer, request: &PaymentRequest) -> Result<Option<String>, ShopError> {
        on_either!(self, shop => shop.held_key(by, request).await)
    }

    /// Lets the order go, when it is known that no money was taken.
    ///
    /// # Errors
    ///
    /// It may or may not be held. Call again.
    pub async fn let_go(&self, by: Payer, order_nr: &str) -> Result<(), ShopError> {
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

impl Payer {
    /// The execution of a step, and the owner that runs it.
    pub fn of(cx: &StepContext) -> Self {
        Self {
            execution: cx.execution_id(),
            epoch: cx.fence().claim.epoch,
        }
    }

    /// The key that an order's row keeps for this payer.
    pub(super) fn key_in(self, (.., paying, key): &rows::ToPayRow) -> Option<String> {
        let ExecutionId(this) = self.execution;
        let is_held = *paying == Some(this);
        key.clone().filter(|_| is_held)
    }
}

/// Whether an execution may take money for an order, as the order's row says.
pub(super) fn may_pay(hold: &NewHold, order: Option<rows::ToPayRow>) -> Decided<Hold> {
    let Some(order) = order else {
        return Ok(Err(Refusal::NotFound("order")));
    };
    if let Some(key) = hold.by.key_in(&order) {
        return Ok(Ok(Hold::Held { key }));
    }
    let (status, total, paid, paying, _) = order;
    if paid >= total {
        return Ok(Err(Refusal::OrderAlreadyPaid));
    }
    if rows::from_word::<Status>(status)? == Status::Cancelled {
        return Ok(Err(Refusal::OrderStateConflict));
    }
    Ok(Ok(match paying {
        Some(_other) => Hold::Busy,
        None => Hold::Held {
            key: hold.key.clone(),
        },
    }))
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
