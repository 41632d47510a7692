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
        let its_type = Some(TypeId::of::<F>());
        let mut found = self.earlier(|step| step.function == its_type);
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

/// Recorded outputs of the first steps of a schema, in order, as the owner of a run adds to them.
#[derive(Default)]
pub(crate) struct Outputs {
    shared: Arc<Mutex<Vec<Bytes>>>,
    count: usize,
}

/// Those that were there at a moment: what an attempt sees. It shares the owner's list, so the later ones
/// stay in memory as long as it does.
#[derive(Default)]
pub(crate) struct Earlier {
    shared: Arc<Mutex<Vec<Bytes>>>,
    count: usize,
}

impl Outputs {
    /// Adds the next step's output.
    pub(crate) fn push(&mut self, output: Bytes) {
        locked(&self.shared).push(output);
        self.count += 1;
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn last(&self) -> Option<Bytes> {
        locked(&self.shared).last().cloned()
    }

    /// The output of the step at a position.
    pub(crate) fn at(&self, position: usize) -> Option<Bytes> {
        locked(&self.shared).get(position).cloned()
    }

    /// Those that are there now.
    pub(crate) fn so_far(&self) -> Earlier {
        Earlier {
            shared: Arc::clone(&self.shared),
            count: self.count,
        }
    }
}

impl Earlier {
    /// The outputs of those of the schema's steps that are wanted.
    fn of(&self, steps: &[StepEntry], wanted: impl Fn(&StepEntry) -> bool) -> impl Iterator<Item = Bytes> {
        let positions = steps.iter().enumerate().take(self.count);
        positions
            .filter(move |(_, step)| wanted(step))
            .filter_map(|(position, _)| locked(&self.shared).get(position).cloned())
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
        outputs.push(Bytes::from_static(b"14"));
        let cx = context(Uuid::nil(), outputs.so_far());
        assert_eq!(cx.output_of(double).expect("recorded"), 14);
        assert_eq!(cx.output::<u32>("first").expect("recorded"), 14);
        outputs.push(Bytes::from_static(b"15"));
        assert_eq!(
            cx.output_of(double).expect("recorded"),
            14,
            "what comes later is not seen"
        );
        assert!(cx.output::<u32>("second").is_err());
        let cx = context(Uuid::nil(), outputs.so_far());
        assert!(cx.output_of(double).is_err(), "two steps are this function");
        assert_eq!(cx.output::<u32>("second").expect("recorded"), 15);
    }
}
