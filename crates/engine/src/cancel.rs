//! How does an owner hear that its execution is to be cancelled, and who else has to hear it? The wish stands
//! in the row; each process looks for those of its own, and passes them on to what its runs have called.

use std::sync::Arc;
use std::time::Duration;

use crate::execution::{CancelWish, ExecutionId, State};
use crate::inner::Inner;
use crate::persist::{Pause, Persisted, Write, note, persist};
use crate::runs::{LocalRun, RunEnd};
use crate::store::{StoreError, Then};

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

/// The execution whose step calls another one, as it is when the call sets out.
pub(crate) struct Caller {
    id: ExecutionId,
    run: Option<Arc<LocalRun>>,
}

impl Caller {
    pub(crate) fn of(inner: &Inner, id: Option<ExecutionId>) -> Option<Self> {
        let run = inner.registry.running(id?);
        Some(Self { id: id?, run })
    }

    pub(crate) fn id(&self) -> ExecutionId {
        self.id
    }

    /// The wish to cancel it that came while the call was on its way: whoever passed it on did not find
    /// the called one among those that run. Whoever wants it cancelled from now on does.
    pub(crate) async fn wish(&self, inner: &Inner) -> Option<CancelWish> {
        let wish = self.run.as_ref().and_then(|run| run.cancel_wish());
        if wish.is_some() || self.is_here(inner) {
            return wish;
        }
        let mut pause = Pause::default();
        loop {
            match inner.store.find(vec![self.id]).await {
                Ok(found) => {
                    return found.first().and_then(|record| match record.state {
                        State::Cancelled => Some(CancelWish::Stop),
                        _ => record.cancel,
                    });
                }
                Err(error @ StoreError::Unreadable(_)) => {
                    note(&error);
                    return None;
                }
                Err(error) => note(&error),
            }
            tokio::select! {
                () = pause.pass() => {}
                () = inner.stopped.cancelled() => return None,
            }
        }
    }

    /// Whether it runs in this process still, which then hears of each wish.
    fn is_here(&self, inner: &Inner) -> bool {
        let known = inner.registry.running(self.id);
        let run = self.run.as_ref().filter(|run| !run.lost.is_cancelled());
        run.is_some_and(|run| known.is_some_and(|known| Arc::ptr_eq(run, &known)))
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
