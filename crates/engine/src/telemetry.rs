//! Which names do logs and metrics use? All of them, in one place.
//!
//! No payload and no raw key at any level: executions are named by their derived id.

use std::time::Duration;

use metrics::{Counter, Histogram, Key, Label, Level, Metadata, counter, with_recorder};

use crate::policy::Verdict;

/// An execution was started, resumed, restarted or taken over.
pub(crate) fn acquired(schema: &str, how: &'static str) {
    counter!("keystep_executions_acquired_total", "schema" => schema.to_owned(), "how" => how).increment(1);
}

/// A run of an execution ended.
pub(crate) fn ended(schema: &str, outcome: &'static str) {
    counter!("keystep_executions_ended_total", "schema" => schema.to_owned(), "outcome" => outcome)
        .increment(1);
}

/// What is counted for each call and each step of one schema. The names are made once: a call that is
/// replayed takes little longer than making them, and a step makes no garbage with them.
#[derive(Clone)]
pub(crate) struct Meters {
    calls: [(Verdict, Key); 4],
    steps: Vec<StepMeters>,
}

#[derive(Clone)]
struct StepMeters {
    attempts: [(AttemptOutcome, Key); 4],
    seconds: Key,
}

/// How an attempt of a step ended, or one of its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    Recorded,
    Failed,
    Undone,
    UndoFailed,
}

impl Meters {
    /// Of a schema, with the names of its steps.
    pub(crate) fn of<'a>(schema: &str, steps: impl Iterator<Item = &'a str>) -> Self {
        let of_schema = Label::new("schema", schema.to_owned());
        let call = |word| {
            let labels = vec![of_schema.clone(), Label::from_static_parts("verdict", word)];
            Key::from_parts("keystep_calls_total", labels)
        };
        Self {
            calls: [
                (Verdict::Started, call("started")),
                (Verdict::Resumed, call("resumed")),
                (Verdict::Attached, call("attached")),
                (Verdict::Finished, call("finished")),
            ],
            steps: steps.map(|step| StepMeters::of(&of_schema, step)).collect(),
        }
    }

    /// A call was admitted.
    pub(crate) fn admitted(&self, verdict: Verdict) {
        if let Some((_, key)) = self.calls.iter().find(|(of, _)| *of == verdict) {
            counter_of(key).increment(1);
        }
    }

    /// An attempt of the step at a position ended.
    pub(crate) fn attempted(&self, position: usize, how: AttemptOutcome) {
        let attempts = self.steps.get(position).map(|step| &step.attempts);
        if let Some((_, key)) = attempts.and_then(|attempts| attempts.iter().find(|(of, _)| *of == how)) {
            counter_of(key).increment(1);
        }
    }

    /// The step at a position was recorded so long after it was entered, its other attempts and their
    /// pauses included.
    pub(crate) fn took(&self, position: usize, time: Duration) {
        if let Some(step) = self.steps.get(position) {
            histogram_of(&step.seconds).record(time);
        }
    }
}

impl StepMeters {
    fn of(schema: &Label, step: &str) -> Self {
        let labels = vec![schema.clone(), Label::new("step", step.to_owned())];
        let attempt = |word| {
            let outcome = Label::from_static_parts("outcome", word);
            let labels = labels.iter().cloned().chain([outcome]).collect::<Vec<_>>();
            Key::from_parts("keystep_step_attempts_total", labels)
        };
        Self {
            attempts: [
                (AttemptOutcome::Recorded, attempt("recorded")),
                (AttemptOutcome::Failed, attempt("failed")),
                (AttemptOutcome::Undone, attempt("undone")),
                (AttemptOutcome::UndoFailed, attempt("undo_failed")),
            ],
            seconds: Key::from_parts("keystep_step_seconds", labels),
        }
    }
}

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn counter_of(key: &Key) -> Counter {
    with_recorder(|recorder| recorder.register_counter(key, &METADATA))
}

fn histogram_of(key: &Key) -> Histogram {
    with_recorder(|recorder| recorder.register_histogram(key, &METADATA))
}

/// Executions whose retention had ended were deleted.
pub(crate) fn purged(executions: u32) {
    counter!("keystep_purged_total").increment(u64::from(executions));
}

/// A write was refused because this process does not own the execution any more.
pub(crate) fn fenced(schema: &str) {
    counter!("keystep_fenced_total", "schema" => schema.to_owned()).increment(1);
}

/// A store call failed.
pub(crate) fn store_error(class: &'static str) {
    counter!("keystep_store_errors_total", "class" => class).increment(1);
}

/// A worker was declared dead by this one.
pub(crate) fn buried() {
    counter!("keystep_workers_buried_total").increment(1);
}
