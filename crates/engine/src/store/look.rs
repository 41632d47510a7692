//! What is read from a store, and how is it chosen?

use std::time::SystemTime;

use crate::execution::{CheckpointRecord, ExecutionId, Payload, PlanId, ShapeId, State};

/// A schema as data, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// Content hash of `body`.
    pub id: PlanId,
    /// Hash of names, order and kinds.
    pub shape: ShapeId,
    /// The schema's name.
    pub schema: String,
    /// The plan as JSON.
    pub body: String,
}

/// What a run has done so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The encoded input.
    pub input: Payload,
    /// Recorded steps, and what else is recorded of them, by position.
    pub checkpoints: Vec<CheckpointRecord>,
    /// Now, by the clock that `CheckpointRecord::at` is of.
    pub now: SystemTime,
}

/// Which executions a worker looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which shapes.
    pub shapes: Shapes,
    /// At most so many.
    pub limit: u32,
}

/// A choice of shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shapes {
    /// Only these.
    Only(Vec<ShapeId>),
    /// All but these.
    Except(Vec<ShapeId>),
}

/// Which executions to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Only of this schema.
    pub schema: Option<String>,
    /// Only in this scope.
    pub scope: Option<String>,
    /// Only in these states; empty for all.
    pub states: Vec<State>,
    /// Only ids greater than this.
    pub after: Option<ExecutionId>,
    /// At most so many.
    pub limit: u32,
}
