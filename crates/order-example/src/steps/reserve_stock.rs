//! Step 1: hold the goods back, so that nobody pays for what is sold out.

use keystep::{StepContext, StepError, StepResult};

use crate::domain::{Checkout, Item, Line, Money, Reserved};
use crate::shop::{Claim, Reservation, Shop};

/// Takes the goods from the shelf, line by line, and fixes their prices.
///
/// Each line is a part of its own: an attempt that died after three lines goes on at the fourth. The
/// step's idempotency key is the reservation's key, so that a line whose checkpoint was lost is found
/// again and not taken twice.
pub async fn reserve_stock(cx: StepContext, checkout: Checkout) -> StepResult<Reserved> {
    let shop = cx.get::<Shop>()?;
    let reservation = cx.idempotency_key();
    let mut lines = Vec::with_capacity(checkout.items.len());
    for item in in_one_order(checkout.items) {
        let sku = item.sku.clone();
        let reserving = shop.reserve(claim(&cx, &reservation), item);
        let held = cx.step(format!("line/{sku}"), || async {
            Ok(match reserving.await? {
                Reservation::Held(line) => Some(line),
                Reservation::OutOfStock => None,
            })
        });
        match held.await? {
            Some(line) => lines.push(line),
            // A step that fails is not undone: it cleans up behind itself.
            None => return out_of_stock(&cx, &shop, &reservation, &sku).await,
        }
    }
    let total = total(&lines)?;
    Ok(Reserved {
        reservation,
        lines,
        total,
    })
}

/// Puts the goods back on the shelf, when a later step fails for good.
pub async fn release_stock(cx: StepContext, reserved: Reserved) -> StepResult<()> {
    let claim = claim(&cx, &reserved.reservation);
    Ok(cx.get::<Shop>()?.release(claim).await?)
}

async fn out_of_stock(cx: &StepContext, shop: &Shop, reservation: &str, sku: &str) -> StepResult<Reserved> {
    shop.release(claim(cx, reservation)).await?;
    let why = format!("there is not enough of {sku}");
    Err(StepError::terminal(why).code("out_of_stock"))
}

fn claim(cx: &StepContext, reservation: &str) -> Claim {
    Claim {
        reservation: reservation.to_owned(),
        epoch: cx.fence().claim.epoch,
    }
}

/// The same for everybody, so that two checkouts never wait for each other's products in a circle.
fn in_one_order(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by(|one, other| one.sku.cmp(&other.sku));
    items
}

fn total(lines: &[Line]) -> StepResult<Money> {
    let impossible = |why: &str| StepError::terminal(why.to_owned()).code("bad_total");
    let Some(first) = lines.first() else {
        return Err(impossible("nothing was ordered"));
    };
    let currency = first.unit_price.currency.clone();
    let mut amount: i64 = 0;
    for line in lines {
        if line.unit_price.currency != currency {
            return Err(impossible("the products are priced in several currencies"));
        }
        amount = i64::from(line.qty)
            .checked_mul(line.unit_price.amount)
            .and_then(|price| amount.checked_add(price))
            .ok_or_else(|| impossible("the total is too large"))?;
    }
    Ok(Money { amount, currency })
}
