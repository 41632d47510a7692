//! What passes between an execution and those outside? Signals come, messages go.

use uuid::Uuid;

use crate::execution::{ExecutionId, Payload, RunId, WriteId};

/// A signal to a run.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSignal {
    /// The execution.
    pub id: ExecutionId,
    /// Its run.
    pub run: RunId,
    /// The signal's name.
    pub name: String,
    /// What is sent.
    pub payload: Payload,
    /// Refuse it when one of this name was sent before.
    pub once: bool,
    /// Names this write.
    pub write_id: WriteId,
}

/// Answer to [`Store::signal`](crate::store::Store::signal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// It is there.
    Sent,
    /// One of this name was sent before.
    Refused,
    /// The run is finished or gone.
    Gone,
}

/// The signals of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inbox {
    /// How many were sent to the run in all.
    pub count: i32,
    /// Names and payloads.
    pub signals: Vec<(String, Payload)>,
}

/// A message for the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// Fixed now: what receivers tell duplicates by.
    pub id: Uuid,
    /// Where it goes.
    pub topic: String,
    /// What is sent.
    pub payload: Payload,
}

/// A message of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// The execution that sent it.
    pub execution: ExecutionId,
    /// Its run.
    pub run: RunId,
    /// Where it goes.
    pub topic: String,
    /// What is sent.
    pub payload: Payload,
}
