//! What does an owner write, and what is it told?

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::NewMessage;
use crate::execution::{CancelWish, Fence, ParkReason, Payload, State, WaitReason, WorkerId, WriteId};

/// One write of an owner.
#[derive(Debug)]
pub struct Commit {
    /// The owner's right to write.
    pub fence: Fence,
    /// Names this write.
    pub write_id: WriteId,
    /// Who writes; kept with the checkpoint.
    pub worker: WorkerId,
    /// A step result to record.
    pub checkpoint: Option<NewCheckpoint>,
    /// What becomes of the execution.
    pub then: Then,
    /// The step's own transaction, to be committed with this write.
    pub enlisted: Option<Enlisted>,
    /// What goes into the outbox with it: with a checkpoint or an end, by which a second send is known.
    pub messages: Vec<NewMessage>,
}

/// A step result to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCheckpoint {
    /// The step's name, or what else is recorded of it.
    pub step: Arc<str>,
    /// The step's position, from 0.
    pub seq: i32,
    /// Which attempt succeeded, from 1.
    pub attempt: i32,
    /// The `lost` of the claim that ran it.
    pub lost: i32,
    /// The encoded output.
    pub output: Payload,
}

/// What becomes of an execution after a write. All but `Continue` end the ownership.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// Stays `running` under the same claim.
    Continue,
    /// `succeeded`; the outcome is the checkpoint of `output_step`.
    Succeed {
        /// The last step.
        output_step: Arc<str>,
        /// How long the key is kept; `None` for ever.
        retention: Option<Duration>,
    },
    /// `failed`.
    Fail {
        /// What callers get.
        failure: Payload,
        /// Attempts used up.
        tries: Tries,
        /// How long the key is kept; `None` for ever.
        retention: Option<Duration>,
        /// Whether a wish to cancel the run comes first: then nothing is written, and the answer is
        /// [`Verdict::Wished`]. For a failure from which a later call would go on.
        yields: bool,
    },
    /// `waiting`, due after `delay` by the database's clock.
    Wait {
        /// Time until the wake-up; `None` for none.
        delay: Option<Duration>,
        /// Why it waits.
        reason: WaitReason,
        /// What went wrong, when it waits for the next try.
        failure: Option<Payload>,
        /// Attempts used up.
        tries: Tries,
        /// How many signals its owner knows of: when there are more, it is due at once. `None` when
        /// it does not wait for signals.
        signals: Option<i32>,
        /// The wish to cancel that its owner acts on already: under any other it is due at once.
        wish: Option<CancelWish>,
    },
    /// `parked`.
    Park {
        /// Why.
        reason: ParkReason,
        /// Details for people.
        failure: Option<Payload>,
        /// The wish to cancel that its owner knows of and parks it in spite of: under any other it is
        /// due at once.
        wish: Option<CancelWish>,
    },
    /// `undone`: it failed, and the steps that were done are undone.
    Undone {
        /// The failure that came first.
        failure: Payload,
        /// How long the key is kept; `None` for ever.
        retention: Option<Duration>,
    },
    /// `cancelled`.
    Cancel {
        /// How long the key is kept; `None` for ever.
        retention: Option<Duration>,
    },
    /// `ready`, due at once; nothing is used up.
    Release,
}

impl Then {
    /// The state that this leads to.
    pub fn state(&self) -> State {
        match self {
            Self::Continue => State::Running,
            Self::Succeed { .. } => State::Succeeded,
            Self::Fail { .. } => State::Failed,
            Self::Wait { .. } => State::Waiting,
            Self::Park { .. } => State::Parked,
            Self::Undone { .. } => State::Undone,
            Self::Cancel { .. } => State::Cancelled,
            Self::Release => State::Ready,
        }
    }
}

/// How many attempts of which step are used up, lost owners not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    /// The step's position, from 0.
    pub seq: i32,
    /// Attempts used up.
    pub count: i32,
}

/// Answer to [`Store::commit`](crate::store::Store::commit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Durable, by this send or an earlier one of the same write.
    Written,
    /// The step is recorded already, by this other write.
    Exists(WriteId),
    /// The caller does not own the execution any more; nothing was written.
    Fenced,
    /// Somebody wants the run cancelled, and the write yields to that; nothing was written, and the
    /// caller still owns the execution.
    Wished,
}

/// A question about a lost answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirm {
    /// The fence of the write.
    pub fence: Fence,
    /// The step it recorded.
    pub step: Arc<str>,
    /// The write.
    pub write_id: WriteId,
}

/// Answer to [`Store::confirm`](crate::store::Store::confirm).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// The write happened.
    Written,
    /// It did not, and never will; the caller still owns the execution.
    Absent,
    /// It did not, and the caller does not own the execution any more.
    Fenced,
}

/// How far a step that runs has come.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProgress {
    /// The owner's right to write.
    pub fence: Fence,
    /// Who writes.
    pub worker: WorkerId,
    /// Names this write.
    pub write_id: WriteId,
    /// What is put down, under a name that no step has.
    pub checkpoint: NewCheckpoint,
}

/// A step's own transaction, opaque to the engine: opened by a store, handed back to it by
/// [`Commit`]. Dropping it rolls it back.
pub struct Enlisted {
    /// The store that opened it.
    pub instance: Uuid,
    /// What that store needs to commit it.
    pub transaction: Box<dyn Any + Send>,
}

impl fmt::Debug for Enlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enlisted")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}
