//! `order.create`, step 2: have the money held back by the payment provider.

use keystep::{StepContext, StepResult, Verified};

use crate::domain::{Authorized, Checkout, Reserved};
use crate::hooks;
use crate::payments::{self, Found, PaymentError, PaymentGateway};
use crate::provider::PaymentOrder;

/// Asks the provider, under a key that is the same for every attempt of this step.
///
/// The provider is another program: it may have done its part although we never saw the answer.
/// Asking again under the same key is then the only way to find out, and it is what a rerun does.
pub async fn authorize_payment(cx: StepContext, _reserved: Reserved) -> StepResult<Authorized> {
    let effect = hooks::before(&cx).await?;
    let authorization = match payment_order(&cx)? {
        Some(order) => {
            let gateway = cx.get::<PaymentGateway>()?;
            let authorization = gateway.authorize(&cx.idempotency_key(), &order).await;
            Some(authorization.map_err(PaymentError::into_failure)?.id)
        }
        None => None,
    };
    effect.done().await;
    Ok(Authorized { authorization })
}

/// Finds out what became of a question whose answer was lost, for shops that never ask twice.
///
/// A question that is still on its way is no danger: the provider decides once per key.
pub async fn find_authorization(cx: StepContext, _reserved: Reserved) -> StepResult<Verified<Authorized>> {
    if payment_order(&cx)?.is_none() {
        return Ok(Verified::NotDone);
    }
    let gateway = cx.get::<PaymentGateway>()?;
    let found = gateway.find_authorization(&cx.idempotency_key()).await;
    Ok(match found.map_err(PaymentError::into_failure)? {
        Found::Approved(authorization) => Verified::Done(Authorized {
            authorization: Some(authorization.id),
        }),
        // It was declined: asking again gives the same answer, and the step says so.
        Found::Declined | Found::Nothing => Verified::NotDone,
        Found::CanNotTell => Verified::Unknown,
    })
}

/// Gives the money back, when a later step fails for good.
pub async fn void_authorization(cx: StepContext, authorized: Authorized) -> StepResult<()> {
    let Some(authorization) = authorized.authorization else {
        return Ok(());
    };
    let gateway = cx.get::<PaymentGateway>()?;
    Ok(gateway.void(&authorization).await?)
}

/// What to ask the provider for; nothing for an order that is paid in cash.
fn payment_order(cx: &StepContext) -> StepResult<Option<PaymentOrder>> {
    let offer = cx.input::<Checkout>()?.offer;
    Ok(payments::payment_order(offer.payment, offer.total))
}
