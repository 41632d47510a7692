//! `order.change`: write the change, exactly once.

use keystep::{StepContext, StepResult};

use crate::domain::{Change, Order};
use crate::shop::Shop;

/// Changes the order in a transaction that the engine commits together with this step's checkpoint.
pub async fn change_order(cx: StepContext, change: Change) -> StepResult<Order> {
    cx.get::<Shop>()?.change_order_in(&cx, change).await
}
