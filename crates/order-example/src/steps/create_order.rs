//! `order.create`, step 3: write the order, exactly once.

use keystep::{StepContext, StepResult};

use super::reserve_stock;
use crate::domain::{Authorized, Order};
use crate::hooks;
use crate::shop::{NewOrder, Shop};

/// Writes the order, closes its cart and raises the version of the customer's list of orders, in a
/// transaction that the engine commits together with this step's checkpoint and the message that tells
/// the rest of the world: all are there or none, whenever the process dies.
pub async fn create_order(cx: StepContext, authorized: Authorized) -> StepResult<Order> {
    let effect = hooks::before(&cx).await?;
    let shop = cx.get::<Shop>()?;
    let new = NewOrder {
        checkout: cx.input()?,
        reservation: cx.output_of(reserve_stock)?.reservation,
        authorization: authorized.authorization,
    };
    let order = shop.create_order(&cx, new).await?;
    // Sent when the order is there, and never when it is not.
    cx.emit(ORDER_CREATED, &order)?;
    effect.done().await;
    Ok(order)
}

/// The topic of orders that were created.
const ORDER_CREATED: &str = "order.created";
