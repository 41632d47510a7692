//! What happens when somebody orders, or pays? A few steps, in this order, each once.
//!
//! | schema | step | effect | why a rerun is safe | taken back by |
//! |---|---|---|---|---|
//! | `order.create` | `reserve_stock` | rows of the shop, a part for each line | the step's idempotency key is the reservation's key | `release_stock` |
//! | | `authorize_payment` | the payment provider | it dedupes by the same kind of key; or it is never asked twice, see [`ChargeMode`] | `void_authorization` |
//! | | `create_order` | rows of the shop, and a message | committed together with the checkpoint | |
//! | | `send_receipt` | a line in the receipts' ledger | deduped by key; its template travels with the plan | |
//! | `order.request` | `order` | runs `order.create` under another key | the called execution runs once | |
//! | `order.change` | `change_order` | a row of the shop | committed together with the checkpoint | |
//! | `payment.process` | `charge` | the payment provider | as `authorize_payment` | |
//! | | `record_payment` | rows of the shop, and a message | committed together with the checkpoint | |
//!
//! The names are durable: an order that waits in the database was promised these steps.

mod order;
mod payment;

use std::time::Duration;

use keystep::{Key, Retry};

pub use order::{order_change, order_create, order_request};
pub use payment::payment_process;

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

/// What holds for all schemas of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How the payment provider is asked.
    pub charge_mode: ChargeMode,
    /// How often a step is tried again before its execution fails.
    pub step_retries: u32,
    /// Whether a payment is refused that was made before with the same content, under another key.
    pub refuse_equal_payments: bool,
    /// How long a key answers with its outcome: a minute or more.
    pub retention: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            charge_mode: ChargeMode::default(),
            step_retries: 2,
            refuse_equal_payments: false,
            retention: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Policy {
    fn retry(&self) -> Retry {
        Retry::attempts(self.step_retries.saturating_add(1)).first_delay(Duration::from_millis(50))
    }
}

/// A key of a customer's: equal keys of two customers are two keys.
pub fn key_of(owner: &str, key: impl Into<String>) -> Key {
    Key::new(key).scope(owner)
}
