//! What happens when somebody orders? Four steps, in this order, each once.
//!
//! | step | effect | why a rerun is safe |
//! |---|---|---|
//! | `reserve_stock` | rows of the shop | the step's idempotency key is the reservation's key |
//! | `authorize_payment` | the payment provider | it dedupes by the same kind of key |
//! | `create_order` | a row of the shop | committed together with the checkpoint |
//! | `send_receipt` | a line in the receipts' ledger | deduped by key; its template travels with the plan |
//!
//! The names are durable: an order that waits in the database was promised these steps.

use std::time::Duration;

use keystep::{Retry, Schema};

use crate::domain::{Checkout, Receipt};
use crate::steps::{SendReceipt, authorize_payment, create_order, reserve_stock};

/// The schema `order.create`.
pub fn order_create() -> Schema<Checkout, Receipt> {
    Schema::new("order.create")
        .retention(Duration::from_secs(24 * 60 * 60))
        .step("reserve_stock", reserve_stock)
        .step("authorize_payment", authorize_payment)
        .retry(Retry::attempts(8).first_delay(Duration::from_millis(50)))
        .step("create_order", create_order)
        .stored_step(
            "send_receipt",
            SendReceipt {
                template: "order".into(),
            },
        )
        .build()
}
