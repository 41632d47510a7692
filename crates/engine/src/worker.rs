//! How does a process take part, and how does it leave? The background work of an engine.

use std::sync::Arc;
use std::time::Duration;

use crate::callers;
use crate::cancel;
use crate::engine::Engine;
use crate::inner::Inner;
use crate::persist::note;
use crate::random;
use crate::telemetry;

mod judge;
pub(crate) mod liveness;
mod options;
pub(crate) mod sweep;
pub(crate) mod wakeups;

pub use options::WorkerOptions;

/// This process as a worker, for processes that only serve and for a graceful end.
#[derive(Debug)]
pub struct Worker {
    engine: Engine,
}

impl Worker {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// Serves until `shutdown` resolves, then drains and returns: see
    /// [`Engine::shutdown`](crate::Engine::shutdown).
    ///
    /// The work itself goes on in the background from the moment the engine is built; this only
    /// waits, so that a service has one place that ends it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.engine.inner.closing.cancelled() => {}
        }
        self.engine.shutdown().await;
    }
}

/// Starts the background tasks of an engine that is registered.
pub(crate) fn start(inner: &Arc<Inner>) {
    tokio::spawn(kept_up(Arc::clone(inner), sweep::sweep));
    tokio::spawn(kept_up(Arc::clone(inner), cancel::watch));
    tokio::spawn(kept_up(Arc::clone(inner), callers::watch));
    tokio::spawn(pulse(Arc::clone(inner)));
    tokio::spawn(kept_up(Arc::clone(inner), purge));
}

/// Does background work until it ends by itself, and begins it anew after a panic in the store:
/// this process shows that it lives, so others rely on what it does.
async fn kept_up<W>(inner: Arc<Inner>, work: impl Fn(Arc<Inner>) -> W)
where
    W: Future<Output = ()> + Send + 'static,
{
    while tokio::spawn(work(Arc::clone(&inner))).await.is_err() {
        tracing::error!("background work panicked: it begins anew");
        tokio::select! {
            () = tokio::time::sleep(inner.options.sweep) => {}
            () = inner.closing.cancelled() => return,
        }
    }
}

/// Ends an engine. Called twice, the second call waits for the first.
pub(crate) async fn shutdown(inner: &Arc<Inner>) {
    inner.closing.cancel();
    inner.tasks.close();
    let drained = tokio::time::timeout(inner.options.drain, inner.tasks.wait()).await;
    if drained.is_err() {
        let left = inner.registry.count();
        tracing::info!(left, "the drain time is over: handing back what still runs");
    }
    inner.stopped.cancel();
    // Bounded: a step that blocks its thread can not be ended, and the others need not wait for it.
    let _handed_back = tokio::time::timeout(HAND_BACK, inner.liveness.ended.cancelled()).await;
}

/// How long handing back may take.
const HAND_BACK: Duration = Duration::from_secs(5);

/// Shows the liveness thread that this runtime makes progress.
async fn pulse(inner: Arc<Inner>) {
    let _vital = Vital(Arc::clone(&inner));
    let every = (inner.options.beat_limit / 10).min(Duration::from_secs(1));
    loop {
        inner.liveness.pulse();
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = inner.stopped.cancelled() => return,
        }
    }
}

/// Ends an engine together with what it can not live without. Without its runtime nothing can go on:
/// the liveness thread retires the worker, and others need not wait until its beat has stood still.
/// Without its liveness thread (a panic in the store) no step would start any more, and callers
/// would wait for ever.
pub(crate) struct Vital(pub(crate) Arc<Inner>);

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the liveness thread panicked: the engine ends");
        }
        self.0.closing.cancel();
        self.0.tasks.close();
        self.0.stopped.cancel();
    }
}

/// How many executions one purge deletes before it makes room for others.
const PURGE_ROWS: u32 = 500;
const PURGE_PAUSE: Duration = Duration::from_millis(100);

/// Deletes what is no longer kept, in small batches.
async fn purge(inner: Arc<Inner>) {
    loop {
        let pause = inner.options.purge.mul_f64(0.75 + random::fraction() / 2.0);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = inner.closing.cancelled() => return,
        }
        while !inner.closing.is_cancelled() {
            let purged = inner.store.purge(PURGE_ROWS, inner.options.remember).await;
            if let Ok(executions) = purged {
                telemetry::purged(executions);
            }
            match purged {
                Ok(PURGE_ROWS) => tokio::time::sleep(PURGE_PAUSE).await,
                Ok(_rest) => break,
                Err(error) => {
                    note(&error);
                    break;
                }
            }
        }
    }
}
