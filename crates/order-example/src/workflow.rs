//! What happens when somebody orders? Four steps, in this order, each once.
//!
//! | step | effect | why a rerun is safe | taken back by |
//! |---|---|---|---|
//! | `reserve_stock` | rows of the shop, a part for each line | the step's idempotency key is the reservation's key | `release_stock` |
//! | `authorize_payment` | the payment provider | it dedupes by the same kind of key; or it is never asked twice, see [`ChargeMode`] | `void_authorization` |
//! | `create_order` | a row of the shop, and a message | committed together with the checkpoint | |
//! | `send_receipt` | a line in the receipts' ledger | deduped by key; its template travels with the plan | |
//!
//! The names are durable: an order that waits in the database was promised these steps.

use std::time::Duration;

use keystep::{Retry, Schema};

use crate::domain::{Checkout, Receipt};
use crate::steps::{
    SendReceipt, authorize_payment, create_order, find_authorization, release_stock, reserve_stock,
    void_authorization,
};

/// How the payment provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ChargeMode {
    /// Again after a lost answer, under the same key: the provider decides once per key.
    #[default]
    Idempotent,
    /// Never again. After a lost answer it is asked what it decided, and if it can not tell, a person is.
    AtMostOnce,
}

/// The schema `order.create`. Orders that were begun in another mode are finished in theirs.
pub fn order_create(mode: ChargeMode) -> Schema<Checkout, Receipt> {
    match mode {
        ChargeMode::Idempotent => order_create_in(mode).accepts(order_create_in(ChargeMode::AtMostOnce)),
        ChargeMode::AtMostOnce => order_create_in(mode).accepts(order_create_in(ChargeMode::Idempotent)),
    }
}

fn order_create_in(mode: ChargeMode) -> Schema<Checkout, Receipt> {
    let patiently = Retry::attempts(8).first_delay(Duration::from_millis(50));
    let schema = Schema::new("order.create")
        .retention(Duration::from_secs(24 * 60 * 60))
        .step("reserve_stock", reserve_stock)
        .undo(release_stock)
        .step("authorize_payment", authorize_payment)
        .retry(patiently);
    let schema = match mode {
        ChargeMode::Idempotent => schema,
        ChargeMode::AtMostOnce => schema.at_most_once().verify(find_authorization),
    };
    schema
        .undo(void_authorization)
        .step("create_order", create_order)
        .stored_step(
            "send_receipt",
            SendReceipt {
                template: "order".into(),
            },
        )
        .build()
}
