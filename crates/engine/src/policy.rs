//! What may a caller choose, and what is it told at once? Duplicates, failures, the verdict.

use std::time::Duration;

/// What a call does while another one of the same key is being worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDuplicate {
    /// Wait for its outcome, at most so long; then [`RunError::InProgress`](crate::RunError::InProgress). The default, with 5 s.
    Wait(Duration),
    /// Refuse at once with [`RunError::InProgress`](crate::RunError::InProgress).
    Reject,
    /// Wait for its outcome without a limit. That it is put down for a later try
    /// ([`RunError::Waiting`](crate::RunError::Waiting)) or parked ends the wait too.
    Attach,
}

impl Default for OnDuplicate {
    fn default() -> Self {
        Self::Wait(Duration::from_secs(5))
    }
}

/// What a caller wants when its key had failed before the call. When the run that it begins, takes
/// up or waits for fails, that is its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AfterFailure {
    /// Go on at the step that failed. The default for a failure whose tries were used up.
    Resume,
    /// Get the failure again. The default for a terminal failure.
    Replay,
    /// Begin anew from the first step, as a new generation.
    Restart,
}

/// Who works on a submitted call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The key was new, expired or asked to restart: this call began it.
    Started,
    /// This call took it up where it had stopped.
    Resumed,
    /// Somebody works on it already; this call waits for the outcome.
    Attached,
    /// It was finished before; nothing runs.
    Finished,
}

/// What becomes of a second signal of one name, see [`SchemaStart::signal`](crate::SchemaStart::signal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecondSignal {
    /// It is refused.
    Refused,
    /// It is kept for the next wait for this name.
    Queued,
}

/// What a call does when its key was used before and the retention of that use is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnExpired {
    /// The key is used anew, as a new generation. The default.
    #[default]
    Renew,
    /// The call is refused with [`RunError::Expired`](crate::RunError::Expired), as long as the key is
    /// remembered: see [`WorkerOptions::remember`](crate::WorkerOptions).
    Refuse,
}
