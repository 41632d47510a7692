//! Was every promise kept in this story? What the trial asserts by itself, whatever the schema does.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::Outcome;
use super::stage::Stage;
use crate::execution::{CheckpointRecord, ExecutionRecord, State};
use crate::marks::Mark;
use crate::schema::SchemaCore;
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
        let ending = outcome.ending();
        if let Some(quiet) = self.quiet.filter(|quiet| *quiet != ending) {
            let without = match quiet.0 {
                State::Succeeded => "an output",
                _ => "another failure",
            };
            return Err(format!(
                "it ended with `{outcome}`, and with {without} when nothing goes wrong"
            ));
        }
        let (record, checkpoints) = self
            .stored()
            .await?
            .ok_or("the execution is gone, although its outcome was told")?;
        let (state, _kind) = ending;
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

    /// Every step once, in the plan's order, and undone or not as it ended; and all as it was recorded
    /// first.
    fn compare(&self, checkpoints: &[CheckpointRecord], state: State) -> Result<(), String> {
        let schema = self.maker.schema.core();
        in_order(schema, checkpoints, state)?;
        undone(schema, checkpoints, state)?;
        let recorded = &self.maker.notes.read().recorded;
        for checkpoint in checkpoints {
            let step = &checkpoint.step;
            match (recorded.get(step), Mark::read(step)) {
                (Some((write_id, output)), _)
                    if (*write_id, output) == (checkpoint.write_id, &checkpoint.output) => {}
                // The latest one counts, and earlier ones are gone.
                (None, Some((_, Some(Mark::Progress)))) => {}
                _ => {
                    return Err(format!(
                        "what is recorded for the step `{step}` is not what was acknowledged"
                    ));
                }
            }
        }
        let is_stored = |step: &str| checkpoints.iter().any(|checkpoint| checkpoint.step == step);
        match recorded.keys().find(|step| !is_stored(step)) {
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

/// The outputs in the plan's order, each at its place. What may ride with a later one has no place of
/// its own.
fn in_order(schema: &SchemaCore, checkpoints: &[CheckpointRecord], state: State) -> Result<(), String> {
    let outputs = checkpoints
        .iter()
        .filter(|checkpoint| matches!(Mark::read(&checkpoint.step), Some((_, None))));
    let mut steps = schema.steps.iter().enumerate();
    for output in outputs {
        let step = &output.step;
        let passed = steps
            .by_ref()
            .find(|(_, entry)| &*entry.name == step.as_str() || !(entry.lazy || schema.options.atomic));
        match passed {
            Some((place, entry)) if &*entry.name == step.as_str() => {
                if usize::try_from(output.seq) != Ok(place) {
                    return Err(format!("the step `{step}` is recorded at place {}", output.seq));
                }
            }
            _ => return Err(out_of_order(schema, checkpoints)),
        }
    }
    if state == State::Succeeded && steps.next().is_some() {
        return Err(out_of_order(schema, checkpoints));
    }
    Ok(())
}

fn out_of_order(schema: &SchemaCore, checkpoints: &[CheckpointRecord]) -> String {
    let planned: Vec<_> = schema.steps.iter().map(|step| &step.name).collect();
    let stored: Vec<_> = checkpoints.iter().map(|checkpoint| &checkpoint.step).collect();
    format!("the plan is {planned:?}, and recorded is {stored:?}")
}

/// What was undone is undone whole, and nothing else is.
fn undone(schema: &SchemaCore, checkpoints: &[CheckpointRecord], state: State) -> Result<(), String> {
    let is_stored = |name: &str| checkpoints.iter().any(|checkpoint| checkpoint.step == name);
    for step in schema.steps.iter().filter(|step| step.undo.is_some()) {
        let (name, is_undone) = (&step.name, is_stored(&Mark::Undone.of(&step.name)));
        if is_undone && state != State::Undone {
            return Err(format!("the step `{name}` is undone, and the execution is not"));
        }
        if !is_undone && state == State::Undone && is_stored(name) {
            return Err(format!("the execution is undone, and the step `{name}` is not"));
        }
    }
    Ok(())
}

/// The outcome that all have.
fn one(outcomes: Vec<Outcome>) -> Result<Outcome, String> {
    let mut outcomes = outcomes.into_iter();
    let first = outcomes.next().ok_or("nobody was told an outcome")?;
    match outcomes.find(|other| *other != first) {
        Some(other) => Err(format!(
            "callers were told different outcomes: {first} and {other}"
        )),
        None => Ok(first),
    }
}
