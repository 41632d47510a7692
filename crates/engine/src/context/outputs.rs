//! What was there before a step? The input of its execution and the recorded outputs of earlier steps.

use std::any::{TypeId, type_name};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::StepContext;
use crate::error::{StepError, StepResult};
use crate::json;
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
        let mut found = self.inner.outputs.by_function(TypeId::of::<F>());
        match (found.next(), found.next()) {
            (Some(output), None) => decode(output, wanted),
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
        match self.inner.outputs.by_name(step) {
            Some(output) => decode(output, step),
            None => Err(StepError::stop(format!(
                "`{step}` is no earlier step of this schema"
            ))),
        }
    }
}

/// Recorded outputs of earlier steps, in order.
#[derive(Default, Clone)]
pub(crate) struct Outputs {
    steps: Vec<StepOutput>,
}

#[derive(Clone)]
struct StepOutput {
    name: String,
    formerly: Vec<String>,
    function: Option<TypeId>,
    output: Bytes,
}

impl Outputs {
    pub(crate) fn push(&mut self, step: &StepEntry, output: Bytes) {
        self.steps.push(StepOutput {
            name: step.name.clone(),
            formerly: step.formerly.clone(),
            function: step.function,
            output,
        });
    }

    pub(crate) fn last(&self) -> Option<&Bytes> {
        self.steps.last().map(|step| &step.output)
    }

    /// The output of the step at a position.
    pub(crate) fn at(&self, position: usize) -> Option<&Bytes> {
        self.steps.get(position).map(|step| &step.output)
    }

    fn by_function(&self, wanted: TypeId) -> impl Iterator<Item = &Bytes> {
        self.steps
            .iter()
            .filter(move |step| step.function == Some(wanted))
            .map(|step| &step.output)
    }

    fn by_name(&self, wanted: &str) -> Option<&Bytes> {
        self.steps
            .iter()
            .find(|step| step.name == wanted || step.formerly.iter().any(|name| name == wanted))
            .map(|step| &step.output)
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
    use std::sync::Arc;

    use uuid::Uuid;

    use super::super::tests::{context, double};
    use super::*;

    #[test]
    fn an_earlier_output_is_found_by_its_function() {
        let mut outputs = Outputs::default();
        fn type_of<F: 'static>(_: &F) -> TypeId {
            TypeId::of::<F>()
        }
        let step = |name: &str| {
            let mut step = StepEntry::new(name.into(), Arc::new(crate::step::FnStep::new(double)));
            step.function = Some(type_of(&double));
            step
        };
        outputs.push(&step("first"), Bytes::from_static(b"14"));
        let cx = context(Uuid::nil(), outputs.clone());
        assert_eq!(cx.output_of(double).expect("recorded"), 14);
        assert_eq!(cx.output::<u32>("first").expect("recorded"), 14);
        outputs.push(&step("again"), Bytes::from_static(b"15"));
        let cx = context(Uuid::nil(), outputs);
        assert!(cx.output_of(double).is_err(), "two steps are this function");
    }
}
