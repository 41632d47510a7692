//! Where do receipts go? Into a ledger file of their own, one line per receipt.
//!
//! It stands for a mail service: an effect outside the database that is made safe to repeat by a
//! key. Several processes append to the same file.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::Money;
use crate::ledger::Ledger;

/// A receipt as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentReceipt {
    /// Names the receipt.
    pub receipt: String,
    /// The template it was made from.
    pub template: String,
    /// The order it is for.
    pub order_nr: String,
    /// What was paid.
    pub total: Money,
}

/// The ledger of receipts. Cheap to clone.
#[derive(Clone)]
pub struct Receipts {
    ledger: Ledger<SentReceipt>,
}

impl Receipts {
    /// Opens the ledger at `path`, making the file if there is none.
    ///
    /// # Errors
    ///
    /// As for [`Ledger::open`].
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            ledger: Ledger::open(path)?,
        })
    }

    /// Sends a receipt, unless one was sent under this key; answers with the one that was.
    ///
    /// # Errors
    ///
    /// It may or may not be sent: call again with the same key.
    pub async fn send(&self, key: String, receipt: SentReceipt) -> io::Result<SentReceipt> {
        Ok(self.ledger.append_once(key, receipt).await?.entry)
    }
}
