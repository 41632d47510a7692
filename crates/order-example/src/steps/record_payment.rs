//! `payment.process`, step 2: write the payment, exactly once.

use keystep::{StepContext, StepResult};

use crate::domain::{Captured, Charged};
use crate::hooks;
use crate::shop::{NewPayment, Shop};

/// Writes the payment's row in a transaction that the engine commits together with this step's checkpoint
/// and the message that tells the rest of the world.
pub async fn record_payment(cx: StepContext, charged: Charged) -> StepResult<Captured> {
    let effect = hooks::before(&cx).await?;
    let shop = cx.get::<Shop>()?;
    let new = NewPayment {
        request: cx.input()?,
        charge: charged.charge,
    };
    let payment = shop.record_payment(&cx, new).await?;
    cx.emit(PAYMENT_CAPTURED, &payment)?;
    effect.done().await;
    Ok(payment)
}

/// The topic of payments that were made.
const PAYMENT_CAPTURED: &str = "payment.captured";
