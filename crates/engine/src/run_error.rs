//! Why did a caller not get an output, and what does it do next?

use std::time::{Duration, SystemTime};

use crate::error::Failure;
use crate::execution::{ExecutionId, InputHash, ParkReason, State, WaitReason};

/// Why a call did not give an output. Sorted by the caller's next move.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Somebody else runs this key at the moment, and the duplicate policy does not wait (longer).
    /// Call again later with the same key and input.
    #[error("in progress{} since {since:?}: call again later with the same key", in_step(.step))]
    InProgress {
        /// The execution.
        execution: ExecutionId,
        /// The step it is in, where that is known.
        step: Option<String>,
        /// Since when it is in that step, or is owned by its present owner.
        since: SystemTime,
    },
    /// The key was used with another input; nothing was run. Use a new key for a new request, or
    /// send the first input again.
    #[error("the key was used with another input (fingerprint {expected}, now {got}): use a new key")]
    InputMismatch {
        /// Fingerprint of the input that the key was used with.
        expected: InputHash,
        /// Fingerprint of this call's input.
        got: InputHash,
    },
    /// The execution failed. Its kind says what the next call does: resume after `Exhausted`, the
    /// same failure again after `Terminal`.
    #[error("{0}")]
    Failed(Failure),
    /// The execution failed for good, and the steps that were done are undone. Its key answers so
    /// until its retention is over; [`AfterFailure::Restart`](crate::AfterFailure) uses it anew.
    #[error("undone: {0}")]
    Undone(Failure),
    /// The execution was cancelled. Its key answers so until its retention is over;
    /// [`AfterFailure::Restart`](crate::AfterFailure) uses it anew.
    #[error("cancelled")]
    Cancelled {
        /// The execution.
        execution: ExecutionId,
    },
    /// The execution waits for what the reason says, and goes on by itself. Call again then; when it
    /// waits for the next try of a step, a call takes it up at once.
    #[error("waiting ({}), {}: call again with the same key", .reason.as_str(), due(.due_in))]
    Waiting {
        /// The execution.
        execution: ExecutionId,
        /// What it waits for.
        reason: WaitReason,
        /// What went wrong, when it waits for the next try.
        failure: Option<Failure>,
        /// Time until it goes on by itself; `None` when only a signal brings it on.
        due_in: Option<Duration>,
    },
    /// The key was used before and its retention is over, and the call wants to know
    /// ([`OnExpired::Refuse`](crate::OnExpired)); nothing was run. Use a new key for a new request.
    #[error("the key was used before, in generation {generation}, and its retention is over: use a new key")]
    Expired {
        /// How often it was used.
        generation: i64,
        /// How it ended.
        state: State,
    },
    /// The execution is stopped until a person or a deploy acts; it is neither failed nor repeated.
    #[error("parked ({}): it needs attention", .reason.as_str())]
    Parked {
        /// The execution, for [`Engine::resume`](crate::Engine::resume).
        execution: ExecutionId,
        /// Why.
        reason: ParkReason,
        /// Details.
        failure: Option<Failure>,
    },
    /// The recorded outcome can not be read by this program; nothing was run. Deploy code that can
    /// read it.
    #[error("the recorded outcome can not be read: {0}")]
    Unreadable(String),
    /// The caller's own limit has passed; work that has begun goes on. Call again with the same key.
    #[error("no outcome within {0:?}: the work goes on, call again with the same key")]
    TimedOut(Duration),
    /// The store or this process can not serve now. Call again later with the same key: it is not
    /// known whether the work has begun, and it will not be done twice.
    #[error("unavailable: {0}: call again later with the same key")]
    Unavailable(String),
    /// The call itself is wrong; nothing was written. Mend the call; the key stays usable.
    #[error("invalid call: {0}")]
    Invalid(String),
}

fn due(due_in: &Option<Duration>) -> String {
    due_in.map_or_else(
        || "not due by itself".to_owned(),
        |due_in| format!("due in {due_in:?}"),
    )
}

fn in_step(step: &Option<String>) -> String {
    step.as_ref()
        .map_or_else(String::new, |step| format!(" in step `{step}`"))
}
