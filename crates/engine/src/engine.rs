//! What does a service hold? The [`Engine`]: schemas, a store, and this process's part of the work.
//!
//! A call goes one way: [`Call`](crate::Call) → `admission` (who runs this key?) → `drive` (run the
//! steps) → the store, and its outcome comes back through the registry of local runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::builder::EngineBuilder;
use crate::call::Call;
use crate::clock::Clock;
use crate::codec::{Codecs, Place, Slot};
use crate::context::Resources;
use crate::dyn_store::DynStore;
use crate::error::Failure;
use crate::execution::{Payload, RunId, ShapeId, WorkerId};
use crate::follow::Follower;
use crate::key::Key;
use crate::limits::Limits;
use crate::runs::Registry;
use crate::schema::{Schema, SchemaCore};
use crate::store::{Store, StoreInfo};
use crate::worker::liveness::Liveness;
use crate::worker::wakeups::Wakeups;
use crate::worker::{Worker, WorkerOptions};

/// Runs schemas once per key. Cheap to clone; all clones are one engine and one worker.
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

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn DynStore>,
    pub(crate) info: StoreInfo,
    pub(crate) clock: Clock,
    pub(crate) schemas: HashMap<ShapeId, Arc<SchemaCore>>,
    pub(crate) codecs: Codecs,
    pub(crate) limits: Limits,
    pub(crate) options: WorkerOptions,
    pub(crate) resources: Arc<Resources>,
    pub(crate) registry: Registry,
    pub(crate) follower: Follower,
    pub(crate) liveness: Liveness,
    /// Wakes the sweep before its time.
    pub(crate) sweep: Notify,
    /// Wake-ups that this process set.
    pub(crate) wakeups: Wakeups,
    /// Where the engine was built: its tasks live there, and not in the runtime of a caller.
    pub(crate) runtime: Handle,
    /// Tasks that own executions or talk to the store for callers.
    pub(crate) tasks: TaskTracker,
    /// No new work is taken.
    pub(crate) closing: CancellationToken,
    /// Running steps are ended and handed back.
    pub(crate) stopped: CancellationToken,
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

impl Inner {
    /// Starts a task that a shutdown waits for.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn_on(work, &self.runtime)
    }

    pub(crate) fn shapes(&self) -> Vec<ShapeId> {
        self.schemas.keys().copied().collect()
    }

    pub(crate) fn encode_failure(&self, run: RunId, failure: &Failure) -> Option<Payload> {
        let json = serde_json::to_vec(failure).ok()?;
        let place = Place {
            run,
            slot: Slot::Failure,
        };
        self.codecs.encode(json.into(), &place).ok()
    }

    pub(crate) fn decode_failure(&self, run: RunId, payload: &Payload) -> Option<Failure> {
        let place = Place {
            run,
            slot: Slot::Failure,
        };
        let json = self.codecs.decode(payload, &place).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Looks for due work after a delay, so that a wake-up is taken up at its time and not at the
    /// next sweep.
    pub(crate) fn wake_after(&self, delay: Duration) {
        self.wakeups.add(self.clock.elapsed() + delay);
    }
}
