//! `payment.process`, step 1: have the money taken by the payment provider.

use keystep::{StepContext, StepError, StepResult, Verified};

use crate::domain::{Charged, PaymentRequest, Refusal};
use crate::hooks;
use crate::payments::{Found, KEY_REUSED, PaymentError, PaymentGateway, UNDER_WAY, payment_order};
use crate::shop::{Hold, NewHold, Payer, Shop};

/// Holds the order, so that nobody else pays it meanwhile, and asks the provider, under a key that is the
/// same for every attempt of this step.
///
/// The hold is the execution's own: a run that is resumed meets what it held before as its own, and never
/// as an order that somebody is paying. It keeps the key, so that a run that begins anew while it is not
/// known what became of the money asks under the same one.
pub async fn charge(cx: StepContext, refuse_equal: bool, request: PaymentRequest) -> StepResult<Charged> {
    let effect = hooks::before(&cx).await?;
    let shop = cx.get::<Shop>()?;
    let by = Payer::of(&cx);
    let held = shop.hold_for_payment(NewHold {
        by,
        key: cx.idempotency_key(),
        request: request.clone(),
        refuse_equal,
    });
    let held = held.await.map_err(StepError::not_done)?;
    let key = match held.map_err(Refusal::into_failure)? {
        Hold::Held { key } => key,
        Hold::Busy => return Err(under_way()),
    };
    let PaymentRequest {
        order_nr,
        amount,
        method,
        ..
    } = request;
    let Some(order) = payment_order(method, amount) else {
        effect.done().await;
        return Ok(Charged { charge: None });
    };
    let gateway = cx.get::<PaymentGateway>()?;
    match gateway.charge(&key, &order).await {
        Ok(charge) => {
            effect.done().await;
            Ok(Charged {
                charge: Some(charge.id),
            })
        }
        // The provider was asked for something else before, under the key that the hold keeps.
        Err(PaymentError::Refused { code }) if code == KEY_REUSED => Err(under_way()),
        Err(error @ PaymentError::Unknown(_)) => Err(error.into_failure()),
        Err(error) => {
            // No money was taken. A hold that stays does not change that: the next attempt is told the same.
            let let_go = shop.let_go(by, &order_nr).await;
            let_go.map_err(StepError::not_done)?;
            Err(error.into_failure())
        }
    }
}

/// Soon the order is paid or free again; while nobody can tell whether money was taken, it is neither.
fn under_way() -> StepError {
    StepError::not_done("another payment of this order is under way").code(UNDER_WAY)
}

/// Finds out what became of a question whose answer was lost, for shops that never ask twice.
pub async fn find_charge(cx: StepContext, request: PaymentRequest) -> StepResult<Verified<Charged>> {
    if payment_order(request.method.clone(), request.amount.clone()).is_none() {
        return Ok(Verified::NotDone);
    }
    let gateway = cx.get::<PaymentGateway>()?;
    let held = cx.get::<Shop>()?.held_key(Payer::of(&cx), &request).await?;
    // Whoever asked the provider held the order before.
    let Some(key) = held else {
        return Ok(Verified::NotDone);
    };
    let found = gateway.find_charge(&key).await;
    Ok(match found.map_err(PaymentError::into_failure)? {
        Found::Approved(charge) => Verified::Done(Charged {
            charge: Some(charge.id),
        }),
        // It was declined: asking again gives the same answer, and the step says so.
        Found::Declined | Found::Nothing => Verified::NotDone,
        Found::CanNotTell => Verified::Unknown,
    })
}
