//! `order.request`: run `order.create` under the id of the offer.

use keystep::{AfterFailure, CallAs, InputHash, Schema, StepContext, StepError, StepResult};

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
        restart,
    } = requested;
    let Some(request_id) = checkout.offer.request_id.clone() else {
        return Err(StepError::terminal("the order is not made of an offer"));
    };
    let key = key_of(&checkout.owner, request_id);
    let how = CallAs {
        fingerprint: Some(InputHash(fingerprint)),
        after_failure: begins_anew(&cx, restart).await?.then_some(AfterFailure::Restart),
    };
    cx.call_as(&order_create, key, checkout, how).await
}

/// Whether the order begins anew now. Once: when this step runs again, the order goes on where it is, and
/// what it has done since stays done.
async fn begins_anew(cx: &StepContext, restart: bool) -> StepResult<bool> {
    let mut now = false;
    if restart {
        let note = || {
            now = true;
            async { Ok(()) }
        };
        cx.step("begin_anew", note).await?;
    }
    Ok(now)
}
