//! `order.request`: run `order.create` under the id of the offer.

use keystep::{CallAs, InputHash, Schema, StepContext, StepError, StepResult};

use crate::domain::{Checkout, Receipt, Requested};
use crate::workflow::key_of;

/// Runs `order.create` under the id of the offer, or gets what it gave before, whoever ran it.
pub async fn order_of_request(
    cx: StepContext,
    order_create: Schema<Checkout, Receipt>,
    requested: Requested,
) -> StepResult<Receipt> {
    let Requested {
        checkout,
        fingerprint,
    } = requested;
    let Some(request_id) = checkout.offer.request_id.clone() else {
        return Err(StepError::terminal("the order is not made of an offer"));
    };
    let key = key_of(&checkout.owner, request_id);
    let how = CallAs {
        fingerprint: Some(InputHash(fingerprint)),
        ..CallAs::default()
    };
    cx.call_as(&order_create, key, checkout, how).await
}
