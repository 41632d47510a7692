//! What do a test and its victim say to each other? One JSON document a line, both ways.
//!
//! Neither key nor input appears in what a victim says: executions are named by their derived id,
//! so that a test may look for them in everything that a victim writes.

use serde::{Deserialize, Serialize};

/// What a test says, on the victim's standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Call a schema. Answered by [`Event::Admitted`], then [`Event::Answer`].
    Run(Run),
    /// Open the gate of a step: who waits there goes on, who comes later is not stopped.
    Open {
        /// The step.
        gate: String,
    },
    /// Say under which worker id the engine works now. Answered by [`Event::Working`].
    Worker,
    /// Shut the engine down gracefully and end.
    Exit,
}

/// A call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Names the call in this process.
    pub call: u64,
    /// One of the victim's schemas.
    pub schema: String,
    /// The key.
    pub key: String,
    /// The input.
    pub input: Trail,
    /// What to do about duplicates.
    pub policy: Policy,
    /// What to do when the key had failed before.
    #[serde(default)]
    pub after_failure: Option<AfterFailure>,
    /// The caller gives up after so many milliseconds: the call is dropped wherever it is.
    #[serde(default)]
    pub gives_up_ms: Option<u64>,
}

/// Input and output of every step: where the work has been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Trail {
    /// What the caller sent.
    pub payload: String,
    /// What goes wrong: in this step, at its first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mishap: Option<(String, Mishap)>,
    /// What may go wrong, at each attempt anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// How long each step takes at most, in milliseconds.
    #[serde(default)]
    pub dwell_ms: u64,
    /// One nonce for each step that was run, of the attempt whose result was recorded.
    #[serde(default)]
    pub nonces: Vec<String>,
}

/// Something that may go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// In this step.
    pub step: String,
    /// This.
    pub mishap: Mishap,
    /// In so many of a hundred attempts.
    pub percent: u8,
}

/// What a step does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mishap {
    /// It returns an error.
    Error,
    /// It returns a final error.
    Terminal,
    /// It panics.
    Panic,
    /// It reads the execution's input as a number, which it is not.
    Misread,
}

/// A duplicate policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Wait, at most so many milliseconds.
    Wait(u64),
    /// Wait without a limit.
    Attach,
    /// Refuse at once.
    Reject,
}

/// A policy for keys that had failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterFailure {
    /// Go on at the step that failed.
    Resume,
    /// Get the failure again.
    Replay,
    /// Begin anew.
    Restart,
}

/// What a victim says, on its standard output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The engine is built.
    Ready {
        /// Its worker id.
        worker: String,
    },
    /// There is no engine; the process ends.
    Refused {
        /// Why.
        error: String,
    },
    /// The worker id now.
    Working {
        /// Its worker id.
        worker: String,
    },
    /// An attempt of a step has begun.
    Entered(Attempt),
    /// It is noted, and waits at the gate of its step.
    AtGate(Attempt),
    /// It is through with its work and returns.
    Leaving(Attempt),
    /// It returns an error.
    Failing(Attempt),
    /// It was ended from outside before it was through.
    Cancelled(Attempt),
    /// A call is admitted.
    Admitted {
        /// The call.
        call: u64,
        /// Started, resumed, attached or finished.
        verdict: String,
    },
    /// A call has its answer.
    Answer {
        /// The call.
        call: u64,
        /// The nonces of the output, or why there is none.
        result: Result<Vec<String>, CallError>,
    },
}

/// An attempt of a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Unique.
    pub nonce: String,
    /// The execution's id.
    pub execution: String,
    /// The run's id.
    pub run: String,
    /// The step.
    pub step: String,
    /// Epoch of its owner.
    pub epoch: i64,
    /// Which attempt, from 1.
    pub attempt: i64,
    /// The worker that runs it.
    pub worker: String,
    /// Its process.
    pub pid: i64,
    /// When it began, in microseconds since 1970.
    pub began: i64,
}

/// A `RunError` as data, or that the caller gave up (`gave_up`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// The name of the variant.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// The step that it names.
    pub step: Option<String>,
    /// Since when, in microseconds since 1970.
    pub since_micros: Option<i64>,
    /// Why it is parked.
    pub reason: Option<String>,
}
