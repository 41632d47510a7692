//! What was there before a step? The input of its execution and the recorded outputs of earlier steps.

use std::any::{TypeId, type_name};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::StepContext;
use crate::error::{StepError, StepResult};
use crate::json;
use crate::runs::locked;
use crate::schema::StepEntry;

impl StepContext {
    /// The execution's input.
    ///
    /// # Errors
    /// When it can not be read as `T`: no further try now.
    pub fn input<T: DeserializeOwned>(&self) -> StepResult<T> {
        decode(&self.inner.input, "the input of the execution")
    }

    /// The recorded output of an earlier step, by the function that is that step.
    ///
    /// # Errors
    /// When the function is no earlier step of this schema, or is used for two of them (ask with
    /// [`output`](Self::output) then), or its output can not be read: no further try now.
    pub fn output_of<F, Fut, In, Out>(&self, function: F) -> StepResult<Out>
    where
        F: Fn(StepContext, In) -> Fut + 'static,
        Fut: Future<Output = StepResult<Out>>,
        Out: DeserializeOwned,
    {
        let _only_its_type_counts = function;
        let wanted = type_name::<F>();
        let function = Some(TypeId::of::<F>());
        let mut found = self.earlier(|step| step.function == function);
        match (found.next(), found.next()) {
            (Some(output), None) => decode(&output, wanted),
            (Some(_), Some(_)) => Err(StepError::stop(format!(
                "{wanted} is several steps of this schema: use output(name)"
            ))),
            (None, _) => Err(StepError::stop(format!(
                "{wanted} is no earlier step of this schema"
            ))),
        }
    }

    /// The recorded output of an earlier step, by its name.
    ///
    /// # Errors
    /// When there is no earlier step of this name, or its output can not be read: no further try
    /// now.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> StepResult<T> {
        let found = self.earlier(|entry| entry.is_called(step)).next();
        match found {
            Some(output) => decode(&output, step),
            None => Err(StepError::stop(format!(
                "`{step}` is no earlier step of this schema"
            ))),
        }
    }

    fn earlier(&self, wanted: impl Fn(&StepEntry) -> bool) -> impl Iterator<Item = Bytes> {
        self.inner.outputs.of(&self.inner.schema.steps, wanted)
    }
}

/// Recorded outputs of the first steps of a schema, in order. Clones share what was there when they were
/// made: each attempt has one, and what is pushed later is not seen by it.
#[derive(Default, Clone)]
pub(crate) struct Outputs {
    shared: Arc<Mutex<Vec<Bytes>>>,
    /// How many of the shared ones are there for this one.
    count: usize,
}

impl Outputs {
    /// Adds the next step's output.
    pub(crate) fn push(&mut self, output: Bytes) {
        let mut shared = locked(&self.shared);
        if shared.len() == self.count {
            shared.push(output);
        } else {
            let others = shared[..self.count].iter().cloned().chain([output]).collect();
            drop(shared);
            self.shared = Arc::new(Mutex::new(others));
        }
        self.count += 1;
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn last(&self) -> Option<Bytes> {
        self.at(self.count.checked_sub(1)?)
    }

    /// The output of the step at a position.
    pub(crate) fn at(&self, position: usize) -> Option<Bytes> {
        (position < self.count).then(|| locked(&self.shared).get(position).cloned())?
    }

    /// The outputs of those of the schema's steps that are wanted.
    fn of(&self, steps: &[StepEntry], wanted: impl Fn(&StepEntry) -> bool) -> impl Iterator<Item = Bytes> {
        let positions = steps.iter().enumerate().filter(move |(_, step)| wanted(step));
        positions.filter_map(|(position, _)| self.at(position))
    }
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &Bytes, what: &str) -> StepResult<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let wanted = type_name::<T>();
        StepError::stop(format!(
            "{what} can not be read as {wanted}: {}",
            json::describe(&error)
        ))
        .code("unreadable_value")
    })
}

#[cfg(test)]
mod tests {

    use uuid::Uuid;

    use super::super::tests::{context, double};
    use super::*;

    #[test]
    fn an_earlier_output_is_found_by_its_function() {
        let mut outputs = Outputs::default();
        let cx = context(Uuid::nil(), outputs.clone());
        assert!(cx.output_of(double).is_err(), "nothing is recorded yet");
        outputs.push(Bytes::from_static(b"14"));
        assert!(
            cx.output_of(double).is_err(),
            "what is recorded later is not seen"
        );
        let cx = context(Uuid::nil(), outputs.clone());
        assert_eq!(cx.output_of(double).expect("recorded"), 14);
        assert_eq!(cx.output::<u32>("first").expect("recorded"), 14);
        outputs.push(Bytes::from_static(b"15"));
        let cx = context(Uuid::nil(), outputs);
        assert!(cx.output_of(double).is_err(), "two steps are this function");
    }

    #[test]
    fn clones_that_go_on_apart_keep_their_own() {
        let mut one = Outputs::default();
        one.push(Bytes::from_static(b"1"));
        let mut other = one.clone();
        one.push(Bytes::from_static(b"2"));
        other.push(Bytes::from_static(b"3"));
        let all = |outputs: &Outputs| [outputs.at(0), outputs.at(1), outputs.at(2)];
        let is = |value| Some(Bytes::from_static(value));
        assert_eq!(all(&one), [is(b"1"), is(b"2"), None]);
        assert_eq!(all(&other), [is(b"1"), is(b"3"), None]);
        assert_eq!(other.last(), is(b"3"));
    }
}
