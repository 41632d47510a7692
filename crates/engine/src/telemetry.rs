//! Which names do logs and metrics use? All of them, in one place.
//!
//! No payload and no raw key at any level: executions are named by their derived id.

use std::time::Duration;

use metrics::{Key, Label, Level, Metadata, counter, histogram, with_recorder};

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

/// Counts the calls of one schema, by their verdicts. Its names are made once: a call that is replayed
/// takes little longer than making them.
#[derive(Clone)]
pub(crate) struct Calls([(Verdict, Key); 4]);

impl Calls {
    pub(crate) fn of(schema: &str) -> Self {
        let counter = |verdict, word| {
            let labels = vec![
                Label::new("schema", schema.to_owned()),
                Label::from_static_parts("verdict", word),
            ];
            (verdict, Key::from_parts("keystep_calls_total", labels))
        };
        Self([
            counter(Verdict::Started, "started"),
            counter(Verdict::Resumed, "resumed"),
            counter(Verdict::Attached, "attached"),
            counter(Verdict::Finished, "finished"),
        ])
    }

    /// A call was admitted.
    pub(crate) fn admitted(&self, verdict: Verdict) {
        static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
        let found = self.0.iter().find(|(of, _)| *of == verdict);
        if let Some((_, counter)) = found {
            with_recorder(|recorder| recorder.register_counter(counter, &METADATA)).increment(1);
        }
    }
}

/// An attempt of a step ended.
pub(crate) fn attempted(schema: &str, step: &str, outcome: &'static str) {
    counter!(
        "keystep_step_attempts_total",
        "schema" => schema.to_owned(), "step" => step.to_owned(), "outcome" => outcome
    )
    .increment(1);
}

/// A step was recorded so long after it was entered, its other attempts and their pauses included.
pub(crate) fn took(schema: &str, step: &str, time: Duration) {
    histogram!(
        "keystep_step_seconds",
        "schema" => schema.to_owned(), "step" => step.to_owned()
    )
    .record(time);
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
