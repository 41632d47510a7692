//! What does a service hold? The [`Engine`]: schemas, a store, and this process's part of the work.
//!
//! A call goes one way: [`Call`](crate::Call) → `admission` (who runs this key?) → `drive` (run the
//! steps) → the store, and its outcome comes back through the registry of local runs.

use std::sync::Arc;

use crate::builder::EngineBuilder;
use crate::call::Call;
use crate::execution::WorkerId;
use crate::inner::Inner;
use crate::key::Key;
use crate::schema::Schema;
use crate::store::{Store, StoreInfo};
use crate::worker::Worker;

/// Runs schemas once per key. Cheap to clone; all clones are one engine and one worker.
///
/// Dropping it ends nothing: its work goes on in the background until [`shutdown`](Self::shutdown),
/// or until the runtime that it was built in ends.
///
/// ```
/// use keystep::{Engine, Key, MemoryStore, Schema, StepContext, StepResult};
///
/// async fn reserve(_cx: StepContext, order: u32) -> StepResult<String> { Ok(format!("r-{order}")) }
/// async fn pay(cx: StepContext, reserved: String) -> StepResult<String> {
///     Ok(format!("{reserved} paid with {}", cx.idempotency_key().len()))
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let schema = Schema::new("order.create").step("reserve", reserve).step("pay", pay).build();
/// let engine = Engine::builder(MemoryStore::new()).schema(schema.clone()).build().await?;
///
/// let first = engine.run(&schema, Key::new("a1"), 7).await?;
/// let again = engine.run(&schema, Key::new("a1"), 7).await?; // runs nothing
/// assert_eq!(first, again);
/// # engine.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

impl Engine {
    /// Starts to build an engine on a store.
    pub fn builder(store: impl Store) -> EngineBuilder {
        EngineBuilder::new(store)
    }

    /// Calls a schema for a key: runs it, waits for the one who runs it, takes up what was left, or
    /// gives the recorded outcome. Await the call, or [`submit`](Call::submit) it.
    ///
    /// Dropping the call never stops work that has begun.
    pub fn run<In, Out>(&self, schema: &Schema<In, Out>, key: impl Into<Key>, input: In) -> Call<In, Out> {
        Call::new(self.clone(), schema.clone(), key.into(), input)
    }

    /// This process as a worker. A process that only calls is one too; this is for those that only
    /// serve, and for a graceful end.
    pub fn worker(&self) -> Worker {
        Worker::new(self.clone())
    }

    /// The id under which this process works now. It changes when the process was declared dead
    /// while it lived: it then goes on as a new worker.
    pub fn worker_id(&self) -> WorkerId {
        self.inner.liveness.worker()
    }

    /// What the engine's store is.
    pub fn store(&self) -> &StoreInfo {
        &self.inner.info
    }

    /// Ends this engine: takes no more work, waits up to the drain time for what runs, hands the
    /// rest back without using up an attempt, and leaves the ranks of the living.
    pub async fn shutdown(&self) {
        crate::worker::shutdown(&self.inner).await;
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.inner.info.kind)
            .field("worker", &self.worker_id())
            .finish_non_exhaustive()
    }
}
