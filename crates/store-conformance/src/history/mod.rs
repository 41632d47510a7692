//! Did a run with crashes keep its promises? A history of what happened, and a checker that judges
//! it afterwards.
//!
//! Tests that kill processes can not foretell what happens, only what must never happen. They
//! collect events (from the effects' own tables, the callers, the database and the killer), and the
//! checker looks for each broken [`Promise`]. It answers with sentences, not with a bool.
//!
//! ```
//! use store_conformance::history::{Checker, Event, History};
//! use uuid::Uuid;
//!
//! let run = Uuid::from_u128(1);
//! let nonce = Uuid::from_u128(2);
//! let mut history = History::new();
//! history.add(10, Event::Began { run, step: "pay".into(), epoch: 1, nonce, worker: 7 });
//! history.add(20, Event::Recorded { run, step: "pay".into(), epoch: 1, nonce });
//! history.add(30, Event::Answered { key: "k".into(), run, caller: "c".into(), output: "42".into() });
//!
//! let report = Checker::new().check(&history);
//! assert_eq!(report.violations.len(), 1, "an answer whose result was never stored");
//! ```

mod checks;
mod index;
mod part;
#[cfg(test)]
mod tests;
mod undo;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Something that happened. Executions, runs and tokens are the engine's ids; a nonce is made by
/// each attempt for itself and ends up in what the attempt does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// An attempt of a step began, and with it its effect on the outside.
    Began {
        /// The run it works for.
        run: Uuid,
        /// The step's name.
        step: String,
        /// Epoch of the claim it works under.
        epoch: i64,
        /// Its own.
        nonce: Uuid,
        /// Who runs it.
        worker: i64,
    },
    /// An attempt failed, and the engine tries the step again.
    Retried {
        /// The run.
        run: Uuid,
        /// The step's name.
        step: String,
    },
    /// An effect that is counted: a row of a transactional step, found in the user's table, or what
    /// was done outside by a step that is done at most once.
    Ledger {
        /// The run.
        run: Uuid,
        /// The step's name.
        step: String,
    },
    /// A checkpoint, at the time when it was recorded.
    Recorded {
        /// The run.
        run: Uuid,
        /// The step's name.
        step: String,
        /// Epoch of the owner that wrote it.
        epoch: i64,
        /// Of the attempt whose result it holds.
        nonce: Uuid,
    },
    /// A result, found in the database at the end.
    Stored {
        /// The run.
        run: Uuid,
        /// The output, in any form that compares.
        output: String,
    },
    /// A failure that ended a run, at the time when it was stored.
    FailureStored {
        /// The execution.
        execution: Uuid,
        /// The run.
        run: Uuid,
        /// The failure, in any form that compares.
        failure: String,
    },
    /// The outcome to which a run was brought just now is promised to stand until then: an output
    /// until its retention is over, a failure too when all callers want it replayed.
    Kept {
        /// The run.
        run: Uuid,
        /// Until when; for ever when there is no such time.
        until: Option<i64>,
    },
    /// A caller asked for a key.
    Asked {
        /// The key.
        key: String,
        /// Which call.
        caller: String,
    },
    /// A caller got an output.
    Answered {
        /// The key.
        key: String,
        /// The run that the answer belongs to.
        run: Uuid,
        /// Which call.
        caller: String,
        /// The output, in the same form as in `Stored`.
        output: String,
    },
    /// A caller got the failure of a run: an answer, as an output is.
    Failed {
        /// The key.
        key: String,
        /// The execution.
        execution: Uuid,
        /// Which call.
        caller: String,
        /// The failure, in the same form as in `FailureStored`.
        failure: String,
    },
    /// A caller got an error that is no outcome of a run, for example that it is still in progress.
    Refused {
        /// The key.
        key: String,
        /// Which call.
        caller: String,
        /// The error.
        why: String,
    },
    /// A change of an execution's row, as an audit trigger sees it.
    Changed {
        /// The execution.
        execution: Uuid,
        /// Its run after the change.
        run: Uuid,
        /// Its epoch after the change.
        epoch: i64,
        /// The token of its claim after the change.
        token: Uuid,
        /// Its owner after the change.
        owner: Option<i64>,
        /// Its state after the change.
        state: String,
    },
    /// An execution's row was deleted.
    Purged {
        /// The execution.
        execution: Uuid,
    },
    /// A process was killed or stopped by the test.
    Crashed {
        /// Its worker.
        worker: i64,
    },
    /// Processes were cut off from the database: what was on its way may be rolled back.
    CutOff {
        /// When that ended.
        until: i64,
    },
    /// How an execution stands when the faults are over and the time to recover has passed.
    Stands {
        /// The execution.
        execution: Uuid,
        /// Its state.
        state: String,
        /// Whether a wake-up lies in the future.
        wakes_later: bool,
    },
    /// A resource of the engine, before the run and after it.
    Measured {
        /// What, for example `connections`.
        what: String,
        /// Before the first call.
        before: u64,
        /// When all is idle again.
        after: u64,
    },
}

/// An event with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Microseconds of one clock for all, for example the database's.
    pub at: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// All that happened, in any order; the checker sorts by time. Entries of one time keep the order
/// in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event.
    pub fn add(&mut self, at: i64, event: Event) {
        self.entries.push(Entry { at, event });
    }

    /// Adds what another process has written with [`to_lines`](Self::to_lines).
    ///
    /// # Errors
    ///
    /// When a line is not an entry: the writer is of another version, or was killed in the middle
    /// of its last line; leave that line out.
    pub fn add_lines(&mut self, lines: &str) -> Result<(), serde_json::Error> {
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            self.entries.push(serde_json::from_str(line)?);
        }
        Ok(())
    }

    /// The entries about one subject (an execution with all its runs, and the calls that were
    /// answered from them), in the order of their time.
    #[must_use]
    pub fn about(&self, subject: &Subject) -> Self {
        part::part(self, subject)
    }

    /// The entries as JSON, one a line, so that processes can append to a file.
    pub fn to_lines(&self) -> String {
        let line = |entry: &Entry| serde_json::to_string(entry).expect("an entry is plain data");
        self.entries.iter().map(|entry| line(entry) + "\n").collect()
    }
}

/// What must hold whatever is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// A step is recorded at most once in a run, and a transactional step has exactly one row in
    /// the user's table if it is recorded, and none otherwise. One that is done at most once has
    /// exactly one effect if it is recorded, and at most one otherwise.
    RecordedOnce,
    /// What was done is undone in reverse, if it is undone; a run that ends as `undone` has undone all
    /// of it, and one that ends with an output or a failure nothing.
    Undone,
    /// No attempt of a step begins after the step was recorded, but for those of an owner that has
    /// lost its claim meanwhile; and what those do is never recorded.
    NeverAgain,
    /// All callers of one run get the same output, and it is the stored one. A stored outcome stands
    /// for as long as that was promised.
    OneAnswer,
    /// Nobody is told a result that is not stored, and no result that somebody was told is lost.
    NoAnswerLost,
    /// The epoch of an execution never falls, every acquisition makes a new token, and a claim
    /// belongs to one worker.
    OneOwner,
    /// When the faults are over every execution comes to an end, parks or has a wake-up in the
    /// future, and every caller gets an answer.
    Settled,
    /// A step is tried once, and once more for each failure, crash and change of owner.
    NoNeedlessRepeat,
    /// Queues, connections and memory go back to where they were.
    BackToIdle,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// Whose: the part of the history to look at.
    pub about: Subject,
    /// How, with the ids to look for.
    pub what: String,
}

/// What a part of a history is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A run, and the execution that it belongs to.
    Run(Uuid),
    /// An execution and its runs.
    Execution(Uuid),
    /// A call, by its caller's name.
    Caller(String),
    /// No execution in particular.
    All,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.what)
    }
}

/// What the checker found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Broken promises, empty when all were kept.
    pub violations: Vec<Violation>,
    /// Attempts that an owner without a claim began after the step was recorded: a process stopped
    /// between its last look and the step's body. Allowed, and to be few.
    pub late_attempts: usize,
    /// Changes of owner after the first of each run.
    pub takeovers: usize,
    /// Executions that were judged.
    pub executions: usize,
    /// Answers that were judged: outputs and failures.
    pub answers: usize,
}

impl Report {
    /// Returns if every promise was kept.
    ///
    /// # Panics
    ///
    /// With all violations, one a line.
    #[track_caller]
    pub fn assert_kept(&self) {
        let lines: Vec<String> = self.violations.iter().map(ToString::to_string).collect();
        assert!(
            lines.is_empty(),
            "{} promises broken:\n{}",
            lines.len(),
            lines.join("\n")
        );
    }
}

/// Judges histories.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    kinds: Kinds,
}

/// Which steps are of which kind.
#[derive(Debug, Clone, Default)]
struct Kinds {
    transactional: BTreeSet<String>,
    at_most_once: BTreeSet<String>,
    /// With the name of its undo.
    undoable: BTreeMap<String, String>,
}

impl Checker {
    /// A checker that knows of no special steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Steps of this name write a row of the user's in their own transaction.
    pub fn transactional(mut self, step: impl Into<String>) -> Self {
        self.kinds.transactional.insert(step.into());
        self
    }

    /// Steps of this name are done at most once, and verified: what is recorded may be of an attempt of
    /// an earlier owner.
    pub fn at_most_once(mut self, step: impl Into<String>) -> Self {
        self.kinds.at_most_once.insert(step.into());
        self
    }

    /// Steps of this name have an undo, whose attempts and checkpoint have this other name.
    pub fn undoable(mut self, step: impl Into<String>, undo: impl Into<String>) -> Self {
        self.kinds.undoable.insert(step.into(), undo.into());
        self
    }

    /// Looks for each broken promise.
    pub fn check(&self, history: &History) -> Report {
        checks::check(history, &self.kinds)
    }
}
