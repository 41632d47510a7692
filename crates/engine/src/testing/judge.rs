//! Was every promise kept in this story? What the trial asserts by itself, whatever the schema does.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::{Outcome, ending};
use super::stage::Stage;
use crate::execution::{CheckpointRecord, ExecutionRecord, State};
use crate::store::StoreError;

impl<In, Out, W> Stage<In, Out, W>
where
    In: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
    W: Send + Sync + 'static,
{
    /// Compares what callers were told with each other and with what is stored; gives the one outcome.
    pub(super) async fn judge(&self, outcomes: Vec<Outcome>) -> Result<Outcome, String> {
        let outcome = one(outcomes)?;
        if self.quiet.is_some_and(|quiet| quiet != ending(&outcome)) {
            let without = self.quiet.is_some_and(|quiet| quiet.is_ok());
            let without = if without { "an output" } else { "another failure" };
            let told = text(&outcome);
            return Err(format!(
                "it ended with `{told}`, and with {without} when nothing goes wrong"
            ));
        }
        let (record, checkpoints) = self
            .stored()
            .await?
            .ok_or("the execution is gone, although its outcome was told")?;
        let state = if outcome.is_ok() {
            State::Succeeded
        } else {
            State::Failed
        };
        if record.state != state {
            let (told, stored) = (state.as_str(), record.state.as_str());
            return Err(format!(
                "callers were told that it {told}, and it is stored as {stored}"
            ));
        }
        if self.maker.notes.read().refused.contains(&record.claim) {
            return Err("the owner was refused a write, and nobody had replaced it".to_owned());
        }
        self.compare(&checkpoints, state)?;
        Ok(outcome)
    }

    /// Every step once, in the plan's order, and as it was recorded first.
    fn compare(&self, checkpoints: &[CheckpointRecord], state: State) -> Result<(), String> {
        let steps = &self.maker.schema.core().steps;
        let stored: Vec<&str> = checkpoints
            .iter()
            .map(|checkpoint| checkpoint.step.as_str())
            .collect();
        let planned: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        let whole = state != State::Succeeded || stored.len() == planned.len();
        if !(planned.starts_with(&stored) && whole) {
            return Err(format!("the plan is {planned:?}, and recorded is {stored:?}"));
        }
        let recorded = &self.maker.notes.read().recorded;
        for (place, checkpoint) in checkpoints.iter().enumerate() {
            let step = &checkpoint.step;
            if usize::try_from(checkpoint.seq) != Ok(place) {
                return Err(format!(
                    "the step `{step}` is recorded at place {}",
                    checkpoint.seq
                ));
            }
            match recorded.get(step) {
                Some((write_id, output))
                    if (*write_id, output) == (checkpoint.write_id, &checkpoint.output) => {}
                _ => {
                    return Err(format!(
                        "what is recorded for the step `{step}` is not what was acknowledged"
                    ));
                }
            }
        }
        match recorded.keys().find(|step| !stored.contains(&step.as_str())) {
            Some(lost) => Err(format!(
                "the result of the step `{lost}` was acknowledged, and is gone"
            )),
            None => Ok(()),
        }
    }

    async fn stored(&self) -> Result<Option<(ExecutionRecord, Vec<CheckpointRecord>)>, String> {
        let process = &self.cast[self.front()];
        let (inner, id) = (process.engine.inner.clone(), self.id);
        let read = process.spawn(async move {
            let Some(record) = inner.store.find(vec![id]).await?.into_iter().next() else {
                return Ok(None);
            };
            let progress = inner.store.load(id, record.run).await?;
            Ok(progress.map(|progress| (record, progress.checkpoints)))
        });
        let read: Result<_, StoreError> = read
            .await
            .map_err(|error| format!("a read ended early: {error}"))?;
        read.map_err(|error| format!("what is stored can not be read: {error}"))
    }
}

/// The outcome that all have.
fn one(outcomes: Vec<Outcome>) -> Result<Outcome, String> {
    let mut outcomes = outcomes.into_iter();
    let first = outcomes.next().ok_or("nobody was told an outcome")?;
    match outcomes.find(|other| *other != first) {
        Some(other) => Err(format!(
            "callers were told different outcomes: {} and {}",
            text(&first),
            text(&other)
        )),
        None => Ok(first),
    }
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Ok(output) => output.to_string(),
        Err(failure) => failure.to_string(),
    }
}
