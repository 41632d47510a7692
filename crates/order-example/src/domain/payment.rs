//! What was paid for an order?

use serde::{Deserialize, Serialize};

use super::{Money, Payment};

/// A payment that a customer makes: the input of the schema `payment.process`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequest {
    /// Who pays.
    pub owner: String,
    /// For which order.
    pub order_nr: String,
    /// How much.
    pub amount: Money,
    /// How.
    pub method: Payment,
}

/// Output of `charge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charged {
    /// The provider's id of the charge; none for a payment in cash.
    pub charge: Option<String>,
}

/// Output of `record_payment`, and so of the whole schema: the payment as the customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Captured {
    /// Names the payment.
    pub payment_id: String,
    /// The order that it is for.
    pub order_nr: String,
    /// How much was paid.
    pub amount: Money,
    /// Where it stands.
    pub status: PaymentStatus,
    /// When it was recorded: RFC 3339, UTC.
    pub created_at: String,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentStatus {
    /// The money was taken.
    Captured,
}
