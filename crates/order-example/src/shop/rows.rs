//! What does a row mean? The one place where columns become values and values columns, for both databases.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::{NewOrder, ShopError};
use crate::domain::{Captured, Cart, CartAt, Money, Order, OrderList, PaymentStatus, Status};

/// A value as the text of a column.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, ShopError> {
    Ok(serde_json::to_string(value)?)
}

/// The value in the text of a column.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, ShopError> {
    Ok(serde_json::from_str(text)?)
}

/// A value that is one word, such as `courier`, without the quotes that JSON puts around it.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String, ShopError> {
    Ok(serde_json::from_value(serde_json::to_value(value)?)?)
}

/// The value that a word names.
pub(super) fn from_word<T: DeserializeOwned>(word: String) -> Result<T, ShopError> {
    Ok(serde_json::from_value(Value::String(word))?)
}

/// Columns of `find_cart.sql` and `hold_cart.sql`: id, revision, items.
pub(super) type CartRow = (String, i64, String);

pub(super) fn cart((id, revision, items): CartRow) -> Result<Cart, ShopError> {
    Ok(Cart::new(CartAt { id, revision }, from_json(&items)?))
}

/// An id for a new cart.
pub(super) fn new_cart_id() -> String {
    let random = keystep::random::unpredictable().as_u64_pair().0;
    format!("c_{random:016x}")
}

/// Columns of an order: number, request id, status, version, version of the list, cart, items, total,
/// currency, payment, delivery, delivery status, comment, address, creation time.
pub(super) type OrderRow = (
    String,
    Option<String>,
    String,
    i64,
    i64,
    Option<String>,
    String,
    i64,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
);

pub(super) fn order(row: OrderRow) -> Result<Order, ShopError> {
    let (order_nr, request_id, status, version, orders_version, cart_id, items, amount, currency, ..) = row;
    let (.., payment, delivery, delivery_status, comment, address, created_at) = row;
    Ok(Order {
        order_nr,
        request_id,
        status: from_word(status)?,
        version,
        orders_version,
        cart_id,
        items: from_json(&items)?,
        total: Money { amount, currency },
        payment: from_json(&payment)?,
        delivery: from_word(delivery)?,
        delivery_status,
        comment,
        address: address.as_deref().map(from_json).transpose()?,
        created_at,
    })
}

/// All orders of a customer. Each change of one of them made a version of the list, and the latest is the
/// version that this list has.
pub(super) fn orders(rows: Vec<OrderRow>) -> Result<OrderList, ShopError> {
    let orders: Result<Vec<Order>, ShopError> = rows.into_iter().map(order).collect();
    let orders = orders?;
    let versions = orders.iter().map(|order| order.orders_version);
    Ok(OrderList {
        version: versions.max().unwrap_or(0),
        orders,
    })
}

/// Columns that `insert_order.sql` returns: number, creation time.
pub(super) type InsertedRow = (String, String);

pub(super) fn created(new: NewOrder, orders_version: i64, (order_nr, created_at): InsertedRow) -> Order {
    let offer = new.checkout.offer;
    Order {
        order_nr,
        request_id: offer.request_id,
        status: Status::Confirmed,
        version: 1,
        orders_version,
        cart_id: offer.cart.map(|cart| cart.id),
        items: offer.items,
        total: offer.total,
        payment: offer.payment,
        delivery: offer.delivery,
        delivery_status: None,
        comment: new.checkout.comment,
        address: None,
        created_at,
    }
}

/// Columns of `reservation_lines.sql`: sku, quantity.
pub(super) type HeldRow = (String, i32);

/// Columns of `order_to_pay.sql`: status, total, paid, execution that is paying, its key at the provider.
pub(super) type ToPayRow = (String, i64, i64, Option<Uuid>, Option<String>);

/// Columns of a payment: id, order number, amount, currency, creation time.
pub(super) type PaymentRow = (String, String, i64, String, String);

pub(super) fn payment((payment_id, order_nr, amount, currency, created_at): PaymentRow) -> Captured {
    Captured {
        payment_id,
        order_nr,
        amount: Money { amount, currency },
        status: PaymentStatus::Captured,
        created_at,
    }
}

/// An id for a new payment.
pub(super) fn new_payment_id() -> String {
    format!("p_{}", keystep::random::unpredictable().simple())
}
