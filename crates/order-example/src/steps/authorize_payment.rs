//! Step 2: have the money held back by the payment provider.

use keystep::{StepContext, StepError, StepResult, Verified};

use crate::domain::{Authorized, Checkout, Payment, Reserved};
use crate::payments::{PaymentError, PaymentGateway};
use crate::provider::AuthorizationRequest;

/// Asks the provider, under a key that is the same for every attempt of this step.
///
/// The provider is another program: it may have done its part although we never saw the answer.
/// Asking again under the same key is then the only way to find out, and it is what a rerun does.
pub async fn authorize_payment(cx: StepContext, reserved: Reserved) -> StepResult<Authorized> {
    let gateway = cx.get::<PaymentGateway>()?;
    let Payment::Card { card_id } = cx.input::<Checkout>()?.payment;
    let request = AuthorizationRequest {
        amount: reserved.total,
        card_id,
    };
    match gateway.authorize(&cx.idempotency_key(), &request).await {
        Ok(authorization) => Ok(Authorized {
            authorization: authorization.id,
        }),
        Err(error @ PaymentError::Declined) => Err(StepError::terminal(error).code("card_declined")),
        Err(error @ PaymentError::Refused { .. }) => Err(StepError::terminal(error).code("payment_refused")),
        Err(error @ PaymentError::NotSent(_)) => Err(StepError::not_done(error)),
        Err(error @ PaymentError::Unknown(_)) => Err(error.into()),
    }
}

/// Finds out what became of a question whose answer was lost, for shops that never ask twice.
///
/// A question that is still on its way is no danger: the provider decides once per key.
pub async fn find_authorization(cx: StepContext, _reserved: Reserved) -> StepResult<Verified<Authorized>> {
    let gateway = cx.get::<PaymentGateway>()?;
    Ok(match gateway.find(&cx.idempotency_key()).await? {
        Some(found) if found.approved => Verified::Done(Authorized {
            authorization: found.id,
        }),
        // It was declined: asking again gives the same answer, and the step says so.
        Some(_) | None => Verified::NotDone,
    })
}

/// Gives the money back, when a later step fails for good.
pub async fn void_authorization(cx: StepContext, authorized: Authorized) -> StepResult<()> {
    let gateway = cx.get::<PaymentGateway>()?;
    Ok(gateway.void(&authorized.authorization).await?)
}
