//! How does a process come to own an execution? It begins it, or takes it over.

use std::sync::Arc;

use uuid::Uuid;

use crate::execution::{
    ExecutionId, ExecutionRecord, Fence, FullKey, InputHash, Payload, PlanId, RunId, Seen, ShapeId, WorkerId,
};

/// A new execution.
#[derive(Debug, Clone)]
pub struct Begin {
    /// `ExecutionId::of(&key)`.
    pub id: ExecutionId,
    /// The key's text.
    pub key: Arc<FullKey>,
    /// A fresh run id.
    pub run: RunId,
    /// A fresh claim token.
    pub token: Uuid,
    /// Who begins and owns it.
    pub owner: WorkerId,
    /// The plan to run; saved before.
    pub plan: PlanId,
    /// The shape of that plan.
    pub shape: ShapeId,
    /// The encoded input.
    pub input: Payload,
    /// The input's fingerprint.
    pub input_hash: InputHash,
    /// The execution whose step calls it.
    pub parent: Option<ExecutionId>,
}

/// Answer to [`Store::begin`](crate::store::Store::begin).
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// The caller owns a new execution, with the right to write for it.
    Started(Fence),
    /// The key has an execution already.
    Exists(Box<ExecutionRecord>),
}

/// A wish to own an existing execution.
#[derive(Debug, Clone)]
pub struct Acquire {
    /// The row as the caller saw it.
    pub seen: Seen,
    /// Who wants it.
    pub owner: WorkerId,
    /// A fresh claim token.
    pub token: Uuid,
    /// What kind of acquisition.
    pub how: How,
}

/// Kinds of acquisition.
#[derive(Debug, Clone)]
pub enum How {
    /// Go on where the run stopped.
    Resume {
        /// Keep the count of tries (after a wait), or set it to zero (after a failure).
        keep_tries: bool,
    },
    /// Go on after the owner was lost: `lost` rises by one.
    TakeOver,
    /// A new generation: generation one higher, a new run with new input, tries and losses zero,
    /// no outcome, and the checkpoints of the old run are gone.
    Restart(Box<Fresh>),
}

/// What a new generation starts with.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// A fresh run id.
    pub run: RunId,
    /// The plan to run; saved before.
    pub plan: PlanId,
    /// The shape of that plan.
    pub shape: ShapeId,
    /// The encoded input.
    pub input: Payload,
    /// The input's fingerprint.
    pub input_hash: InputHash,
    /// The execution whose step calls it.
    pub parent: Option<ExecutionId>,
}

/// Answer to [`Store::acquire`](crate::store::Store::acquire).
#[derive(Debug, Clone, PartialEq)]
pub enum Acquired {
    /// The caller owns it.
    Won {
        /// The row as it is now.
        record: Box<ExecutionRecord>,
        /// The right to write for it.
        fence: Fence,
    },
    /// The row changed since it was seen, or is gone: read it again.
    Lost,
}
