//! Step 2: have the money held back by the payment provider.

use keystep::{StepContext, StepError, StepResult};

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
        Err(error @ PaymentError::Unknown(_)) => Err(error.into()),
    }
}
