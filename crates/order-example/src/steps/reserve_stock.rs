//! Step 1: hold the goods back, so that nobody pays for what is sold out.

use keystep::{StepContext, StepError, StepResult};

use crate::domain::{Checkout, Line, Money, Reserved};
use crate::shop::{Reservation, Shop};

/// Takes the goods from the shelf, all or none, and fixes their prices.
///
/// The step's idempotency key is the reservation's key: an attempt that died after its commit is
/// found again by the next one, which takes nothing more.
pub async fn reserve_stock(cx: StepContext, checkout: Checkout) -> StepResult<Reserved> {
    let shop = cx.get::<Shop>()?;
    let reservation = cx.idempotency_key();
    match shop.reserve(&reservation, &checkout.items).await? {
        Reservation::Held(lines) => {
            let total = total(&lines)?;
            Ok(Reserved {
                reservation,
                lines,
                total,
            })
        }
        Reservation::OutOfStock { sku } => {
            let why = format!("there is not enough of {sku}");
            Err(StepError::terminal(why).code("out_of_stock"))
        }
    }
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
