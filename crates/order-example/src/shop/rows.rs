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

/// Columns of `find_order.sql`.
#[derive(sqlx::FromRow)]
pub(super) struct OrderRow {
    order_nr: String,
    request_id: String,
    status: String,
    pub(super) reservation: String,
    total: i64,
    currency: String,
    card_id: String,
    comment: Option<String>,
    created_at: String,
}

pub(super) fn order(row: OrderRow, lines: Vec<LineRow>) -> Order {
    Order {
        order_nr: row.order_nr,
        request_id: row.request_id,
        status: row.status,
        items: lines.into_iter().map(line).collect(),
        total: Money {
            amount: row.total,
            currency: row.currency,
        },
        payment: Payment::Card {
            card_id: row.card_id,
        },
        comment: row.comment,
        created_at: row.created_at,
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
