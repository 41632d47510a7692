//! What was ordered? Orders and their versions. Each that is made, changed or cancelled raises the version
//! of its customer's list by one, in the same transaction.

use keystep::{StepContext, StepResult};

use super::{Decided, Shop, ShopError, on_either, rows};
use crate::domain::{Cancel, Cart, Change, Checkout, Order, OrderList, Refusal, Status};

/// What `create_order` writes.
pub struct NewOrder {
    /// What the customer asked for.
    pub checkout: Checkout,
    /// What is held back for it.
    pub reservation: String,
    /// The provider's id of the authorization.
    pub authorization: Option<String>,
}

impl Shop {
    /// Writes the order, closes its cart and raises the version of the list, in a transaction that it enlists
    /// with the step `cx`: all of it becomes visible together with the step's checkpoint, or nothing.
    ///
    /// # Errors
    ///
    /// Nothing is written. Final when the list of orders or the cart was changed meanwhile (`orders-changed`,
    /// `offer-stale`); otherwise return the error from the step to try again.
    pub async fn create_order(&self, cx: &StepContext, new: NewOrder) -> StepResult<Order> {
        on_either!(self, shop => shop.create_order(cx, new).await)
    }

    /// The order with this number, if it is this customer's.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn order(&self, owner: &str, order_nr: &str) -> Result<Option<Order>, ShopError> {
        on_either!(self, shop => shop.order(owner, order_nr).await)
    }

    /// The order that this customer has made of an offer. There is never more than one, however long ago it
    /// was.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn order_of_request(&self, owner: &str, request_id: &str) -> Result<Option<Order>, ShopError> {
        on_either!(self, shop => shop.order_of_request(owner, request_id).await)
    }

    /// All orders of a customer, and the version of that list.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn orders(&self, owner: &str) -> Result<OrderList, ShopError> {
        on_either!(self, shop => shop.orders(owner).await)
    }

    /// The version of a customer's list of orders; 0 for somebody without orders.
    ///
    /// # Errors
    ///
    /// The database is away. Call again later.
    pub async fn orders_version(&self, owner: &str) -> Result<i64, ShopError> {
        on_either!(self, shop => shop.orders_version(owner).await)
    }

    /// Changes an order, and gives it as it is then. It has a new version only if something changed.
    ///
    /// Refused are an order that this customer does not have, one that is not as the customer has seen it,
    /// and one that is cancelled (`not-found`, `version-mismatch`, `order-state-conflict`).
    ///
    /// # Errors
    ///
    /// Nothing is known to be changed. Call again.
    pub async fn change_order(&self, change: Change) -> Decided<Order> {
        on_either!(self, shop => shop.change_order(change).await)
    }

    /// The same in a transaction that it enlists with the step `cx`.
    ///
    /// # Errors
    ///
    /// Nothing is written. Final when it is refused; otherwise return the error from the step to try again.
    pub async fn change_order_in(&self, cx: &StepContext, change: Change) -> StepResult<Order> {
        on_either!(self, shop => shop.change_order_in(cx, change).await)
    }

    /// Cancels an order and puts its goods back on the shelf. One that is cancelled stays as it is, whatever
    /// version of it the customer has seen.
    ///
    /// Refused are an order that this customer does not have, one that is not as the customer has seen it,
    /// and one for which money was taken or may be taken at the moment (`not-found`, `version-mismatch`,
    /// `order-state-conflict`).
    ///
    /// # Errors
    ///
    /// It is not known to be cancelled. Call again.
    pub async fn cancel_order(&self, cancel: Cancel) -> Decided<Order> {
        on_either!(self, shop => shop.cancel_order(cancel).await)
    }
}

/// Whether what is ordered is still there to be ordered, in the transaction that orders it: the list of
/// orders at this version, and this cart.
pub(super) fn check_list_and_cart(checkout: &Checkout, list: i64, cart: &Cart) -> Result<(), Refusal> {
    if !checkout.seen_orders.includes(&list) {
        return Err(Refusal::OrdersChanged { current: list });
    }
    match &checkout.offer.cart {
        Some(offered) if *offered != cart.at() => Err(Refusal::OfferStale),
        _ => Ok(()),
    }
}

/// The order after a change, while the list of orders has this version. It makes the next one, if it
/// changes anything.
pub(super) fn changed(before: Option<Order>, change: Change, list: i64) -> Result<Order, Refusal> {
    let before = before.ok_or(Refusal::NotFound("order"))?;
    if !change.seen.includes(&before.version) {
        return Err(Refusal::VersionMismatch {
            current: before.version,
        });
    }
    if before.status == Status::Cancelled {
        return Err(Refusal::OrderStateConflict);
    }
    let (comment, address) = change.patch.applied(&before);
    if (&comment, &address) == (&before.comment, &before.address) {
        return Ok(before);
    }
    Ok(Order {
        comment,
        address,
        ..before.raised(list)
    })
}

/// The order after it was cancelled, while the list of orders has this version. It makes the next one,
/// unless the order was cancelled before. What is paid for, or about to be, is not cancelled: nothing here
/// gives the money back.
pub(super) fn cancelled(
    before: Option<Order>,
    money: Option<&rows::ToPayRow>,
    cancel: &Cancel,
    list: i64,
) -> Result<Order, Refusal> {
    let before = before.ok_or(Refusal::NotFound("order"))?;
    if before.status == Status::Cancelled {
        return Ok(before);
    }
    if !cancel.seen.includes(&before.version) {
        return Err(Refusal::VersionMismatch {
            current: before.version,
        });
    }
    let is_touched = |(_, _, paid, paying, _): &rows::ToPayRow| *paid > 0 || paying.is_some();
    if money.is_some_and(is_touched) {
        return Err(Refusal::OrderStateConflict);
    }
    Ok(Order {
        status: Status::Cancelled,
        ..before.raised(list)
    })
}
