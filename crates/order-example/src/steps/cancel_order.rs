//! `order.cancel`: cancel the order, exactly once.

use keystep::{StepContext, StepResult};

use crate::domain::{Cancel, Order};
use crate::shop::Shop;

/// Cancels the order in a transaction that the engine commits together with this step's checkpoint.
pub async fn cancel_order(cx: StepContext, cancel: Cancel) -> StepResult<Order> {
    cx.get::<Shop>()?.cancel_order_in(&cx, cancel).await
}
