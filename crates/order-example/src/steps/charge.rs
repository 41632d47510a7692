//! `payment.process`, step 1: have the money taken by the payment provider.

use keystep::{StepContext, StepError, StepResult, Verified};

use crate::domain::{Charged, PaymentRequest, Refusal};
use crate::hooks;
use crate::payments::{Found, PaymentError, PaymentGateway, UNAVAILABLE, payment_order};
use crate::shop::{Hold, Shop};

/// Holds the order, so that nobody else pays it meanwhile, and asks the provider, under a key that is the
/// same for every attempt of this step.
///
/// The hold is the execution's own: a run that is resumed meets what it held before as its own, and never
/// as an order that somebody is paying.
pub async fn charge(cx: StepContext, request: PaymentRequest) -> StepResult<Charged> {
    let effect = hooks::before(&cx).await?;
    let shop = cx.get::<Shop>()?;
    let held = shop.hold_for_payment(cx.execution_id(), &request).await;
    match held
        .map_err(StepError::not_done)?
        .map_err(Refusal::into_failure)?
    {
        Hold::Held => {}
        // It is paid soon, or free again.
        Hold::Busy => {
            let busy = StepError::not_done("another payment of this order is under way");
            return Err(busy.code(UNAVAILABLE));
        }
    }
    let PaymentRequest {
        order_nr,
        amount,
        method,
        ..
    } = request;
    let Some(order) = payment_order(method, amount) else {
        return Ok(Charged { charge: None });
    };
    let gateway = cx.get::<PaymentGateway>()?;
    match gateway.charge(&cx.idempotency_key(), &order).await {
        Ok(charge) => {
            effect.done().await;
            Ok(Charged {
                charge: Some(charge.id),
            })
        }
        Err(error) => {
            if !matches!(error, PaymentError::Unknown(_)) {
                shop.let_go(cx.execution_id(), &order_nr).await?;
            }
            Err(error.into_failure())
        }
    }
}

/// Finds out what became of a question whose answer was lost, for shops that never ask twice.
pub async fn find_charge(cx: StepContext, request: PaymentRequest) -> StepResult<Verified<Charged>> {
    if payment_order(request.method, request.amount).is_none() {
        return Ok(Verified::NotDone);
    }
    let gateway = cx.get::<PaymentGateway>()?;
    let found = gateway.find_charge(&cx.idempotency_key()).await;
    Ok(match found.map_err(PaymentError::into_failure)? {
        Found::Approved(charge) => Verified::Done(Charged {
            charge: Some(charge.id),
        }),
        // It was declined: asking again gives the same answer, and the step says so.
        Found::Declined | Found::Nothing => Verified::NotDone,
        Found::CanNotTell => Verified::Unknown,
    })
}
