//! What can an operator decide where the engine must not guess? What became of a step in doubt, and what
//! of an undo that fails.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admission::take_in_task;
use crate::context::StepContext;
use crate::engine::Engine;
use crate::error::cut;
use crate::execution::{ExecutionId, ExecutionRecord, ParkReason};
use crate::outcome::shutting_down;
use crate::run_error::RunError;
use crate::schema::SchemaCore;
use crate::store::How;
use crate::take::Taken;

/// An operator's verdict on a parked execution, for [`Engine::settle`](crate::Engine::settle).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Settlement {
    /// `in_doubt`: the step was done, and gave this output. The execution goes on with the next one.
    Done(Value),
    /// `in_doubt`: the step was not done. It runs again.
    NotDone,
    /// `in_doubt`: the step was not done and is not to be: the execution fails for good, with this
    /// message, and is undone where its steps can be.
    Failed(String),
    /// `undo_failed`: the undo is to be tried again.
    UndoAgain,
    /// `undo_failed`: the step was undone by hand.
    UndoDone,
    /// `undo_failed`: the step stays done.
    UndoSkipped,
}

/// A settlement as it is stored, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settled {
    pub(crate) settlement: Settlement,
    /// Why, for people.
    pub(crate) because: String,
}

impl Settlement {
    /// Whether it is about an undo.
    pub(crate) fn is_of_undo(&self) -> bool {
        matches!(self, Self::UndoAgain | Self::UndoDone | Self::UndoSkipped)
    }
}

impl Engine {
    /// For operators: decides what became of an execution that is parked as `in_doubt` or `undo_failed`,
    /// and lets it go on in this process. The verdict and its reason are stored with the execution before
    /// it is acted upon. This does not wait for the outcome.
    ///
    /// # Errors
    /// [`RunError::Invalid`] when there is no such execution, it is not parked for a reason that the
    /// settlement is about, the output is none of that step, or inside a step that has an open transaction;
    /// [`RunError::Parked`] when this process has not registered its shape: ask one that has;
    /// [`RunError::InProgress`] when somebody else took it up at this moment; [`RunError::Unavailable`]
    /// when the store does not answer or this process shuts down: try again, or elsewhere.
    pub async fn settle(
        &self,
        id: ExecutionId,
        settlement: Settlement,
        because: impl Into<String>,
    ) -> Result<(), RunError> {
        StepContext::refuse_in_transaction().map_err(RunError::Invalid)?;
        if self.inner.closing.is_cancelled() {
            return Err(shutting_down());
        }
        let Some(record) = self.record(id).await? else {
            return Err(RunError::Invalid(format!("there is no execution {id}")));
        };
        let wanted = if settlement.is_of_undo() {
            ParkReason::UndoFailed
        } else {
            ParkReason::InDoubt
        };
        if record.parked != Some(wanted) {
            let wanted = wanted.as_str();
            return Err(RunError::Invalid(format!(
                "the execution {id} is not parked as {wanted}"
            )));
        }
        let Some(schema) = self.inner.schemas.get(&record.shape) else {
            return Err(RunError::Parked {
                execution: id,
                reason: ParkReason::UnknownShape,
                failure: None,
            });
        };
        if let Settlement::Done(output) = &settlement {
            self.check_output(schema, &record, output)?;
        }
        let settled = Settled {
            settlement,
            because: cut(because.into(), self.inner.limits.message_bytes),
        };
        let how = How::Resume { keep_tries: false };
        match take_in_task(&self.inner, record.seen(), how, Some(settled)).await? {
            Taken::Won(_run) => Ok(()),
            Taken::Lost => Err(RunError::InProgress {
                execution: id,
                step: None,
                since: record.acquired_at,
            }),
        }
    }

    /// Refuses what can be no output of the step in doubt: it could not be taken back.
    fn check_output(
        &self,
        schema: &SchemaCore,
        record: &ExecutionRecord,
        output: &Value,
    ) -> Result<(), RunError> {
        let failure = record.failure.as_ref();
        let failure = failure.and_then(|failure| self.inner.decode_failure(record.run, failure));
        let mut steps = schema.steps.iter();
        let in_doubt = failure.and_then(|failure| steps.find(|step| step.is_called(&failure.step)));
        let Some(step) = in_doubt else {
            return Ok(());
        };
        let json = output.to_string();
        let (size, limit) = (json.len(), self.inner.limits.payload_bytes);
        if size > limit {
            return Err(RunError::Invalid(format!(
                "the output has {size} bytes, the limit is {limit}"
            )));
        }
        let given = step.body.gives(json.as_bytes());
        given.map_err(|why| RunError::Invalid(format!("no output of the step `{}`: {why}", step.name)))
    }
}
