//! What is being ordered? The values that travel between the steps, and nothing else.
//!
//! Every type here is written to the database as a step's output, so its field names are a
//! promise: a running order must be readable by tomorrow's program. Outputs hold ids and facts, a
//! later step looks further back with `output_of`.

use serde::{Deserialize, Serialize};

/// An amount in the currency's smallest unit (kopecks, cents).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// How many smallest units.
    pub amount: i64,
    /// Three letters, such as `RUB`.
    pub currency: String,
}

/// What the customer asks for: the input of the schema `order.create`.
///
/// Prices are missing on purpose. The shop says what a thing costs, in a step, so that a repeated
/// request stays the same request when a price changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// What and how many; each product once.
    pub items: Vec<Item>,
    /// How it is paid.
    pub payment: Payment,
    /// A note for the courier.
    pub comment: Option<String>,
}

/// So many of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The product's number in the catalogue.
    pub sku: String,
    /// How many, from 1.
    pub qty: i32,
}

/// How an order is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Payment {
    /// With a card that the payment provider knows.
    Card {
        /// The provider's name for the card.
        card_id: String,
    },
}

/// An item with the price it was reserved at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The product's number in the catalogue.
    pub sku: String,
    /// How many.
    pub qty: i32,
    /// What one costs.
    pub unit_price: Money,
}

/// Output of `reserve_stock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reserved {
    /// Names the reservation in the shop's tables.
    pub reservation: String,
    /// What is held back, at which price.
    pub lines: Vec<Line>,
    /// What all of it costs.
    pub total: Money,
}

/// Output of `authorize_payment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorized {
    /// The provider's id of the authorization.
    pub authorization: String,
}

/// Output of `create_order`: the order as the customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The number people quote, such as `20240102-000017`.
    pub order_nr: String,
    /// The key it was ordered under.
    pub request_id: String,
    /// `confirmed`.
    pub status: String,
    /// What was ordered.
    pub items: Vec<Line>,
    /// What it costs.
    pub total: Money,
    /// How it is paid.
    pub payment: Payment,
    /// A note for the courier.
    pub comment: Option<String>,
    /// When it was created: RFC 3339, UTC.
    pub created_at: String,
}

/// Output of `send_receipt`, and so of the whole schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The order it is for.
    pub order: Order,
    /// Names the receipt in its ledger.
    pub receipt: String,
}
