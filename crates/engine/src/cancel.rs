//! How is an execution cancelled? The wish is put down in its row; its owner, in whatever process, sees
//! it and acts, under its own fence. What nobody owns is acquired for it.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::take_in_task;
use crate::context::StepContext;
use crate::engine::Engine;
use crate::execution::{CancelWish, ExecutionId, State};
use crate::inner::Inner;
use crate::outcome::{shutting_down, unavailable};
use crate::persist::{Pause, Persisted, Write, note, persist};
use crate::run_error::RunError;
use crate::runs::{LocalRun, RunEnd};
use crate::store::{How, StoreError, Then};

impl Engine {
    /// Wants an execution cancelled: a running step sees it in its context
    /// ([`StepContext::cancelled`]), in whatever process, and is dropped after
    /// [`WorkerOptions::cancel_grace`](crate::WorkerOptions); no further step begins; the executions that
    /// its steps called are cancelled too. With [`CancelWish::Undo`] the steps that were done are undone
    /// first. The execution is then `cancelled`; only [`AfterFailure::Restart`](crate::AfterFailure) uses
    /// its key anew.
    ///
    /// This puts the wish down and does not wait. A step that is done at most once and was interrupted is
    /// parked as `in_doubt` first.
    ///
    /// # Errors
    /// [`RunError::Invalid`] when there is no such execution or it is finished, or inside a step that has
    /// an open transaction; [`RunError::Unavailable`] when the store does not answer: try again.
    pub async fn cancel(&self, id: ExecutionId, wish: CancelWish) -> Result<(), RunError> {
        StepContext::refuse_in_transaction().map_err(RunError::Invalid)?;
        if self.inner.closing.is_cancelled() {
            return Err(shutting_down());
        }
        let missing = || RunError::Invalid(format!("there is no execution {id}"));
        let Some(record) = self.record(id).await? else {
            return Err(missing());
        };
        let here = self.inner.registry.running(id);
        let here = here.filter(|run| run.fence().run == record.run);
        let schema = self.inner.schemas.get(&record.shape);
        let is_atomic = schema.is_some_and(|schema| schema.options.atomic);
        if let Some(run) = here.as_ref().filter(|_run| is_atomic) {
            // Before it is written: its step may have the transaction that holds up all writes.
            run.cancel(wish);
        }
        let wished = self.inner.store.wish_cancel(id, record.run, wish).await;
        if let Some(run) = &here {
            // After it is written: what its owner puts down for it is not due again because of it.
            run.cancel(wish);
        }
        let Some(seen) = wished.map_err(|error| unavailable(&error))? else {
            let over = self.record(id).await?.filter(|over| over.run == record.run);
            return match over {
                Some(over) if here.is_some() && over.state == State::Cancelled => Ok(()),
                _ => Err(RunError::Invalid(format!("the execution {id} is finished"))),
            };
        };
        let can_end_it = wish == CancelWish::Stop || self.inner.schemas.contains_key(&record.shape);
        if seen.state != State::Running && can_end_it {
            // Lost: somebody else took it up at this moment, and sees the wish.
            take_in_task(&self.inner, seen, How::Resume { keep_tries: true }, None).await?;
        }
        Ok(())
    }
}

/// How often to look for wishes, at the least: they are seen within a second.
const OFTEN: Duration = Duration::from_millis(800);

/// Looks for wishes until the process has no runs any more. A look of its own, since the sweep can be held
/// up by what it takes up.
pub(crate) async fn watch(inner: Arc<Inner>) {
    let pause = inner.options.sweep.min(OFTEN);
    loop {
        look(&inner).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = inner.stopped.cancelled() => return,
        }
    }
}

/// Tells the runs of this process what is wished of them.
async fn look(inner: &Inner) {
    if inner.registry.count() == 0 {
        return;
    }
    match inner.store.cancels(inner.liveness.worker()).await {
        Ok(wishes) => {
            for (id, run, wish) in wishes {
                if let Some(local) = inner
                    .registry
                    .running(id)
                    .filter(|local| local.fence().run == run)
                {
                    local.cancel(wish);
                }
            }
        }
        Err(error) => note(&error),
    }
}

/// Ends a run that is to be cancelled and whose records or code can not be read: nothing of them is needed.
pub(crate) async fn cancel_unread(inner: &Inner, run: &LocalRun, retention: Option<Duration>) -> RunEnd {
    let then = Then::Cancel { retention };
    match persist(inner, run, Write::only(then)).await {
        Persisted::Written => RunEnd::Cancelled,
        _ => RunEnd::Lost,
    }
}

/// Passes the wish on to the executions that a run has called.
pub(crate) async fn cancel_children(inner: &Arc<Inner>, run: &LocalRun) {
    let wish = run.cancel_wish().unwrap_or(CancelWish::Stop);
    let mut pause = Pause::default();
    while let Err(error) = pass_on(inner, run.id, wish).await {
        note(&error);
        if !pause.wait(inner, run).await {
            // Whoever has it next passes it on.
            return;
        }
    }
}

async fn pass_on(inner: &Arc<Inner>, parent: ExecutionId, wish: CancelWish) -> Result<(), StoreError> {
    for child in inner.store.children(parent).await? {
        inner.store.wish_cancel(child.id, child.run, wish).await?;
        let running = inner.registry.running(child.id);
        if let Some(local) = running.filter(|local| local.fence().run == child.run) {
            local.cancel(wish);
        }
    }
    inner.sweep.notify_one();
    Ok(())
}
