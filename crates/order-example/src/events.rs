//! Where does the rest of the world hear of orders? From a ledger file, one line per message.
//!
//! It stands for a message broker. The relay of the engine delivers each message at least once; the
//! ledger drops what it has, by the message's id, as a receiver has to.

use std::error::Error;
use std::io;
use std::path::Path;

use keystep::{Outgoing, Publisher};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::Ledger;

/// A message as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What it is about, such as `order.created`.
    pub topic: String,
    /// What happened.
    pub payload: Value,
}

/// The ledger of messages. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    ledger: Ledger<Event>,
}

impl Events {
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
}

impl Publisher for Events {
    async fn publish(&self, message: Outgoing) -> Result<(), Box<dyn Error + Send + Sync>> {
        let event = Event {
            topic: message.topic,
            payload: serde_json::from_slice(&message.payload)?,
        };
        self.ledger.append_once(message.id.to_string(), event).await?;
        Ok(())
    }
}
