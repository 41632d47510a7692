//! How is an engine put together? Store, schemas, resources; then it joins the living.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::callers::Awaited;
use crate::codec::{Codec, Codecs};
use crate::context::Resources;
use crate::dyn_store::DynStore;
use crate::engine::Engine;
use crate::execution::ShapeId;
use crate::follow::Follower;
use crate::inner::Inner;
use crate::limits::Limits;
use crate::outcomes::Outcomes;
use crate::refusal::Refusals;
use crate::runs::Registry;
use crate::schema::{Schema, SchemaCore};
use crate::store::{Store, StoreError};
use crate::worker::liveness::{self, Liveness};
use crate::worker::wakeups::Wakeups;
use crate::worker::{self, WorkerOptions};

/// Builds an [`Engine`].
pub struct EngineBuilder {
    store: Arc<dyn DynStore>,
    schemas: HashMap<ShapeId, Arc<SchemaCore>>,
    /// Older forms of them that are accepted.
    older: Vec<Arc<SchemaCore>>,
    codecs: Codecs,
    limits: Limits,
    options: WorkerOptions,
    resources: Resources,
}

/// Why an engine could not be built.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The store refused. Its text says what to do: migrate, wait, use another database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EngineBuilder {
    pub(crate) fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            schemas: HashMap::new(),
            older: Vec::new(),
            codecs: Codecs::default(),
            limits: Limits::default(),
            options: WorkerOptions::default(),
            resources: Resources::default(),
        }
    }

    /// Registers a schema. Several shapes of one name may be registered side by side, so that
    /// executions born with an older one run on. Of two of one shape, which differ in the parameters
    /// of stored steps, the last one counts; executions born with other parameters keep theirs.
    #[must_use]
    pub fn schema<In, Out>(mut self, schema: Schema<In, Out>) -> Self {
        self.schemas.insert(schema.shape(), Arc::clone(schema.core()));
        self.older.extend(schema.accepted().iter().cloned());
        self
    }

    /// Gives steps a resource: [`StepContext::get`](crate::StepContext::get) finds it by its type.
    #[must_use]
    pub fn provide<T: Send + Sync + 'static>(mut self, resource: T) -> Self {
        self.resources.insert(resource);
        self
    }

    /// Writes stored values with this codec; values of other codecs that were given, and plain
    /// JSON, are still read.
    #[must_use]
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.codecs.write_with(Arc::new(codec));
        self
    }

    /// Sets limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Says how this process takes part in the work.
    #[must_use]
    pub fn worker(mut self, options: WorkerOptions) -> Self {
        self.options = options;
        self
    }

    /// Saves the plans, registers this process as a worker, and starts its background work. Must be
    /// called inside a tokio runtime: all work of the engine is done there, also what callers in
    /// other runtimes begin.
    ///
    /// # Errors
    /// [`BuildError::Store`] when the store does not answer or refuses.
    pub async fn build(self) -> Result<Engine, BuildError> {
        let mut schemas = self.schemas;
        for older in self.older {
            schemas.entry(older.plan.shape).or_insert(older);
        }
        for schema in schemas.values() {
            self.store.save_plan(schema.plan.clone()).await?;
        }
        let former: Vec<_> = schemas
            .values()
            .flat_map(|schema| schema.under_former_names())
            .collect();
        for former in former {
            schemas.entry(former.plan.shape).or_insert(former);
        }
        let options = self.options.bounded();
        let inner = Arc::new(Inner {
            info: self.store.describe(),
            clock: self.store.clock(),
            store: self.store,
            schemas,
            codecs: self.codecs,
            limits: self.limits,
            options,
            resources: Arc::new(self.resources),
            registry: Registry::default(),
            follower: Follower::default(),
            awaited: Awaited::default(),
            outcomes: Outcomes::new(self.limits.outcome_cache_bytes),
            refusals: Refusals::default(),
            liveness: Liveness::new(options.beat_limit),
            sweep: Notify::new(),
            wakeups: Wakeups::default(),
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            stopped: CancellationToken::new(),
        });
        liveness::start(&inner).await?;
        worker::start(&inner);
        Ok(Engine { inner })
    }
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("store", &self.store.describe().kind)
            .field("schemas", &self.schemas.len())
            .finish_non_exhaustive()
    }
}
