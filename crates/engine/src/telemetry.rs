//! Which names do logs and metrics use? All of them, in one place.
//!
//! No payload and no raw key at any level: executions are named by their derived id.

use metrics::counter;

/// An execution was started, resumed, restarted or taken over.
pub(crate) fn acquired(schema: &str, how: &'static str) {
    counter!("keystep_executions_acquired_total", "schema" => schema.to_owned(), "how" => how).increment(1);
}

/// A run of an execution ended.
pub(crate) fn ended(schema: &str, outcome: &'static str) {
    counter!("keystep_executions_ended_total", "schema" => schema.to_owned(), "outcome" => outcome)
        .increment(1);
}

/// A call met an existing execution.
pub(crate) fn met(schema: &str, verdict: &'static str) {
    counter!("keystep_calls_total", "schema" => schema.to_owned(), "verdict" => verdict).increment(1);
}

/// An attempt of a step ended.
pub(crate) fn attempted(schema: &str, step: &str, outcome: &'static str) {
    counter!(
        "keystep_step_attempts_total",
        "schema" => schema.to_owned(), "step" => step.to_owned(), "outcome" => outcome
    )
    .increment(1);
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
