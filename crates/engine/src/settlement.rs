//! What can an operator decide where the engine must not guess? What became of a step in doubt, and what
//! of an undo that fails.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An operator's verdict on a parked execution, for [`Engine::settle`](crate::Engine::settle).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Settlement {
    /// `in_doubt`: the step was done, and gave this output. The execution goes on with the next one.
    Done(Value),
    /// `in_doubt`: the step was not done. It runs again.
    NotDone,
    /// `in_doubt`: the step was not done and is not to be: the execution fails for good, with this
    /// message, and is undone where its steps can be.
    Failed(String),
    /// `undo_failed`: the undo is to be tried again.
    UndoAgain,
    /// `undo_failed`: the step was undone by hand.
    UndoDone,
    /// `undo_failed`: the step stays done.
    UndoSkipped,
}

/// A settlement as it is stored, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settled {
    pub(crate) settlement: Settlement,
    /// Why, for people.
    pub(crate) because: String,
}

impl Settlement {
    /// Whether it is about an undo.
    pub(crate) fn is_of_undo(&self) -> bool {
        matches!(self, Self::UndoAgain | Self::UndoDone | Self::UndoSkipped)
    }
}
