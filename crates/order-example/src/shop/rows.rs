//! What does a row mean? The one place where columns become values, for both databases.

use keystep::StepContext;

use super::{NewOrder, request_id};
use crate::domain::{Line, Money, Order, Payment};

/// Columns of `reservation_lines.sql`: sku, quantity, unit price, currency.
pub(super) type LineRow = (String, i32, i64, String);

pub(super) fn line((sku, qty, amount, currency): LineRow) -> Line {
    Line {
        sku,
        qty,
        unit_price: Money { amount, currency },
    }
}

/// Columns of `find_order.sql`: number, request id, status, reservation, total, currency, card,
/// comment, creation time.
pub(super) type OrderRow = (
    String,
    String,
    String,
    String,
    i64,
    String,
    String,
    Option<String>,
    String,
);

/// Which reservation an order is made from.
pub(super) fn reservation((_, _, _, reservation, ..): &OrderRow) -> &str {
    reservation
}

pub(super) fn order(row: OrderRow, lines: Vec<LineRow>) -> Order {
    let (order_nr, request_id, status, _, amount, currency, card_id, comment, created_at) = row;
    Order {
        order_nr,
        request_id,
        status,
        items: lines.into_iter().map(line).collect(),
        total: Money { amount, currency },
        payment: Payment::Card { card_id },
        comment,
        created_at,
    }
}

/// Columns that `insert_order.sql` returns: number, status, creation time.
pub(super) type InsertedRow = (String, String, String);

pub(super) fn created(cx: &StepContext, new: NewOrder, inserted: InsertedRow) -> Order {
    let (order_nr, status, created_at) = inserted;
    Order {
        order_nr,
        request_id: request_id(cx).to_owned(),
        status,
        items: new.reserved.lines,
        total: new.reserved.total,
        payment: new.checkout.payment,
        comment: new.checkout.comment,
        created_at,
    }
}
