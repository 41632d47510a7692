//! How much? Whole numbers of the smallest unit, so that nothing is ever rounded.

use serde::{Deserialize, Serialize};

/// An amount in the currency's smallest unit (kopecks, cents).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// How many smallest units.
    pub amount: i64,
    /// Three letters, such as `RUB`.
    pub currency: String,
}

impl Money {
    /// So many smallest units of a currency.
    pub fn new(amount: i64, currency: impl Into<String>) -> Self {
        Self {
            amount,
            currency: currency.into(),
        }
    }
}
