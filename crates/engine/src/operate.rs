//! What may an operator do? Let an execution go on, say what became of it, want it cancelled. Whatever is
//! done to it is done by an owner, under its fence: who decides here acquires it, or leaves a wish to whoever
//! has it.

use serde_json::Value;

use crate::admission::take_in_task;
use crate::context::StepContext;
use crate::engine::Engine;
use crate::error::cut;
use crate::execution::{CancelWish, ExecutionId, ExecutionRecord, ParkReason, State};
use crate::inspect::Execution;
use crate::outcome::{shutting_down, unavailable};
use crate::run_error::RunError;
use crate::schema::SchemaCore;
use crate::settlement::{Settled, Settlement};
use crate::store::How;
use crate::take::Taken;

impl Engine {
    /// Lets a parked, failed, waiting or ready execution go on, with fresh tries, in this process. It does
    /// not wait for the outcome.
    ///
    /// # Errors
    /// [`RunError::Invalid`] when there is no such execution, or it succeeded, was undone or cancelled, or
    /// inside a step that has an open transaction; [`RunError::InProgress`] when it runs, or somebody else
    /// took it up at this moment; [`RunError::Parked`] when this process has not registered its shape: ask
    /// one that has; [`RunError::Unavailable`] when the store does not answer or this process shuts down:
    /// try again, or elsewhere.
    pub async fn resume(&self, id: ExecutionId) -> Result<Execution, RunError> {
        let record = self.operable(id).await?;
        if record.state.is_finished() && record.state != State::Failed {
            let state = record.state.as_str();
            return Err(RunError::Invalid(format!(
                "the execution {id} is {state}: it can not go on"
            )));
        }
        self.code_of(&record)?;
        if record.state == State::Running {
            return Err(taken_by_another(&record));
        }
        self.take_up(&record, None).await?;
        let found = self.find_id(id).await?;
        found.ok_or_else(|| missing(id))
    }

    /// Decides what became of an execution that is parked as `in_doubt` or `undo_failed`, and lets it go on
    /// in this process. The verdict and its reason are stored with the execution before it is acted upon.
    /// This does not wait for the outcome.
    ///
    /// # Errors
    /// [`RunError::Invalid`] when there is no such execution, it is not parked for a reason that the
    /// settlement is about, the output is none of that step, or inside a step that has an open transaction;
    /// [`RunError::Parked`] when this process has not registered its shape: ask one that has;
    /// [`RunError::InProgress`] when somebody else took it up at this moment; [`RunError::Unavailable`] when
    /// the store does not answer or this process shuts down: try again, or elsewhere.
    pub async fn settle(
        &self,
        id: ExecutionId,
        settlement: Settlement,
        because: impl Into<String>,
    ) -> Result<(), RunError> {
        let record = self.operable(id).await?;
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
        let schema = self.code_of(&record)?;
        if let Settlement::Done(output) = &settlement {
            self.check_output(schema, &record, output)?;
        }
        let settled = Settled {
            settlement,
            because: cut(because.into(), self.inner.limits.message_bytes),
        };
        self.take_up(&record, Some(settled)).await
    }

    /// Wants an execution cancelled: a running step sees it in its context
    /// ([`StepContext::cancelled`]), in whatever process, and is dropped after
    /// [`WorkerOptions::cancel_grace`](crate::WorkerOptions); no further step begins; the executions that
    /// its steps called are cancelled too. With [`CancelWish::Undo`] the steps that were done are undone
    /// first. The execution is then `cancelled`; only [`AfterFailure::Restart`](crate::AfterFailure) uses
    /// its key anew.
    ///
    /// This puts the wish down and does not wait. A step that is done at most once and was interrupted is
    /// verified, or parked as `in_doubt`, first.
    ///
    /// # Errors
    /// [`RunError::Invalid`] when there is no such execution or it is finished, or inside a step that has
    /// an open transaction; [`RunError::Unavailable`] when the store does not answer: try again.
    pub async fn cancel(&self, id: ExecutionId, wish: CancelWish) -> Result<(), RunError> {
        let record = self.operable(id).await?;
        let here = self.inner.registry.running(id);
        let here = here.filter(|run| run.fence().run == record.run);
        let schema = self.inner.schemas.get(&record.shape);
        let is_atomic = schema.is_some_and(|schema| schema.options.atomic);
        if let Some(run) = here.as_ref().filter(|_run| is_atomic) {
            // Before it is written: its step may have the transaction that holds up all writes.
            run.cancel(wish);
        }
        let wished = self.inner.store.wish_cancel(id, record.run, wish).await;
        let Some(seen) = wished.map_err(|error| unavailable(&error))? else {
            let over = self.record(id).await?.filter(|over| over.run == record.run);
            return match over {
                Some(over) if here.is_some() && over.state == State::Cancelled => Ok(()),
                _ => Err(RunError::Invalid(format!("the execution {id} is finished"))),
            };
        };
        if let Some(run) = &here {
            // After it is written: what its owner puts down for it is not due again because of it.
            run.cancel(wish);
        }
        let can_end_it = wish == CancelWish::Stop || schema.is_some();
        if seen.state != State::Running && can_end_it {
            // Lost: somebody else took it up at this moment, and sees the wish.
            take_in_task(&self.inner, seen, How::Resume { keep_tries: true }, None, None).await?;
        }
        Ok(())
    }

    /// The execution, when this process can do something to it at all.
    async fn operable(&self, id: ExecutionId) -> Result<ExecutionRecord, RunError> {
        StepContext::refuse_in_transaction().map_err(RunError::Invalid)?;
        if self.inner.closing.is_cancelled() {
            return Err(shutting_down());
        }
        self.record(id).await?.ok_or_else(|| missing(id))
    }

    /// The schema that an execution was born with, when this process has registered it.
    fn code_of(&self, record: &ExecutionRecord) -> Result<&SchemaCore, RunError> {
        let schema = self.inner.schemas.get(&record.shape);
        schema.map(AsRef::as_ref).ok_or(RunError::Parked {
            execution: record.id,
            reason: ParkReason::UnknownShape,
            failure: None,
        })
    }

    /// Acquires the execution as it was seen, and lets it go on with fresh tries.
    async fn take_up(&self, record: &ExecutionRecord, settled: Option<Settled>) -> Result<(), RunError> {
        let how = How::Resume { keep_tries: false };
        match take_in_task(&self.inner, record.seen(), how, settled, None).await? {
            Taken::Won(_run) => Ok(()),
            Taken::Lost => Err(taken_by_another(record)),
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

fn missing(id: ExecutionId) -> RunError {
    RunError::Invalid(format!("there is no execution {id}"))
}

fn taken_by_another(record: &ExecutionRecord) -> RunError {
    RunError::InProgress {
        execution: record.id,
        step: None,
        since: record.acquired_at,
    }
}
