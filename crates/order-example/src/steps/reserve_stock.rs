//! `order.create`, step 1: hold the goods back, so that nobody pays for what is sold out.

use keystep::{StepContext, StepResult};

use crate::domain::{Checkout, Line, Refusal, Reserved};
use crate::hooks;
use crate::shop::{Claim, Reservation, Shop};

/// Takes the goods from the shelf, line by line.
///
/// Each line is a part of its own: an attempt that died after three lines goes on at the fourth. The
/// step's idempotency key is the reservation's key, so that a line whose checkpoint was lost is found
/// again and not taken twice.
pub async fn reserve_stock(cx: StepContext, checkout: Checkout) -> StepResult<Reserved> {
    let effect = hooks::before(&cx).await?;
    let shop = cx.get::<Shop>()?;
    let reservation = cx.idempotency_key();
    for line in in_one_order(checkout.offer.items) {
        let sku = line.sku.clone();
        let reserving = shop.reserve(claim(&cx, &reservation), line);
        let is_held = cx.step(format!("line/{sku}"), || async {
            Ok(reserving.await? == Reservation::Held)
        });
        if !is_held.await? {
            // A step that fails is not undone: it cleans up behind itself.
            shop.release(claim(&cx, &reservation)).await?;
            return Err(Refusal::OutOfStock { sku }.into_failure());
        }
    }
    effect.done().await;
    Ok(Reserved { reservation })
}

/// Puts the goods back on the shelf, when a later step fails for good.
pub async fn release_stock(cx: StepContext, reserved: Reserved) -> StepResult<()> {
    let claim = claim(&cx, &reserved.reservation);
    Ok(cx.get::<Shop>()?.release(claim).await?)
}

fn claim(cx: &StepContext, reservation: &str) -> Claim {
    Claim {
        reservation: reservation.to_owned(),
        epoch: cx.fence().claim.epoch,
    }
}

/// The same for everybody, so that the shelf is always taken from in one order.
fn in_one_order(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|one, other| one.sku.cmp(&other.sku));
    lines
}
