//! What do workers show each other?

use std::time::Duration;

use crate::execution::{ShapeId, WorkerId};

/// A worker that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Its fresh id.
    pub worker: WorkerId,
    /// For people: which process it is.
    pub name: String,
    /// What it can run.
    pub shapes: Vec<ShapeId>,
}

/// Answer to [`Store::beat`](crate::store::Store::beat).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Still counted as alive.
    Alive,
    /// Declared dead or retired.
    Dead,
}

/// What one look at the other workers shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// How long the database server has been up by its own clock, where a server can restart and
    /// lose sessions; `None` where sessions can not be lost that way.
    pub server_age: Option<Duration>,
    /// Which start of the database server this is, as in [`Fence::incarnation`](crate::execution::Fence::incarnation): another one is a
    /// restarted server, or another server in its place. `None` with `server_age`.
    pub incarnation: Option<i64>,
    /// All live workers but the observer.
    pub others: Vec<Observed>,
}

/// What can be seen of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The worker.
    pub worker: WorkerId,
    /// Its beat counter.
    pub beat: i64,
    /// Whether its liveness session stands; `None` when that can not be known here.
    pub session: Option<bool>,
    /// What it can run.
    pub shapes: Vec<ShapeId>,
}
