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
    /// Close the gate of a step: who comes later waits.
    Close {
        /// The step.
        gate: String,
    },
    /// Let an execution that was put down go on, as an operator does. Answered by [`Event::Answer`],
    /// without nonces.
    Resume {
        /// Names the command among the calls.
        call: u64,
        /// One of the victim's schemas.
        schema: String,
        /// The key.
        key: String,
    },
    /// Want an execution cancelled. Answered by [`Event::Answer`], without nonces.
    Cancel {
        /// Names the command among the calls.
        call: u64,
        /// One of the victim's schemas.
        schema: String,
        /// The key.
        key: String,
        /// Whether what was done is to be undone.
        undo: bool,
    },
    /// Send an execution the signal that its schema takes. Answered by [`Event::Answer`], without
    /// nonces.
    Signal {
        /// Names the command among the calls.
        call: u64,
        /// One of the victim's schemas.
        schema: String,
        /// The key.
        key: String,
    },
    /// Go on where it was told to stand still: see [`Event::Halted`].
    Release,
    /// Show beats again after a silence.
    Beat,
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

/// Input and output of every step: where the work has been. Golden histories hold trails: what is
/// added is left out when it is empty.
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
    /// How long a step that takes a signal waits for it at most, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_ms: Option<u64>,
    /// One nonce for each step that was run, of the attempt whose result was recorded.
    #[serde(default)]
    pub nonces: Vec<String>,
    /// One mark for each step that was run, of the schemas that check what they are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_by: Vec<Mark>,
}

/// Who made a step's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The step.
    pub step: String,
    /// The code that ran: of which release, or with which parameters.
    pub code: String,
    /// The plan that the run was born with.
    pub plan: String,
    /// The run's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
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
    /// It asks for its next try so late that no test sees it.
    Later,
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
    /// It sees that somebody wants its execution cancelled.
    CancelSeen(Attempt),
    /// It stands still where it was told to, until it is released.
    Halted {
        /// On which side of the last of these.
        side: Side,
        /// What it has asked its store to do so far, in order; or the gate in a step.
        points: Vec<String>,
    },
    /// A call is admitted.
    Admitted {
        /// The call.
        call: u64,
        /// Started, resumed, attached or finished.
        verdict: String,
    },
    /// The output of a call has these marks. Comes before its [`Answer`](Self::Answer).
    Marked {
        /// The call.
        call: u64,
        /// The marks of the output.
        made_by: Vec<Mark>,
    },
    /// A call has its answer.
    Answer {
        /// The call.
        call: u64,
        /// The nonces of the output, or why there is none.
        result: Result<Vec<String>, CallError>,
    },
}

/// Where a process can stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The call has not reached the store.
    Before,
    /// The call is answered, and the engine has not heard it.
    After,
    /// On SQLite: everything is written, and nothing is durable.
    Written,
    /// On SQLite: it is durable, and the store has not been told.
    Durable,
    /// Inside a step, at one of its gates.
    Inside,
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
