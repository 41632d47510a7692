//! What do the rooms of one engine share? Its store, its schemas, its registry, its part in the
//! work. Made once by the builder; every task of the engine holds it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::callers::Awaited;
use crate::clock::{self, Clock};
use crate::codec::{Codecs, Place, Slot};
use crate::context::Resources;
use crate::dyn_store::DynStore;
use crate::error::Failure;
use crate::execution::{Payload, RunId, ShapeId};
use crate::follow::Follower;
use crate::limits::Limits;
use crate::outcomes::Outcomes;
use crate::refusal::Refusals;
use crate::runs::Registry;
use crate::schema::SchemaCore;
use crate::store::StoreInfo;
use crate::worker::WorkerOptions;
use crate::worker::liveness::Liveness;
use crate::worker::wakeups::Wakeups;

/// What all clones of an [`Engine`](crate::Engine) and all its tasks share.
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
    pub(crate) awaited: Awaited,
    pub(crate) outcomes: Outcomes,
    pub(crate) refusals: Refusals,
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

    /// A failure in plain JSON, without what a codec may have been meant to hide. Its kind decides
    /// what the next call does, so it has to be readable.
    pub(crate) fn bare_failure(failure: &Failure) -> Payload {
        let bare = Failure {
            message: String::new(),
            ..failure.clone()
        };
        let json = serde_json::to_vec(&bare).unwrap_or_default();
        Codecs::plain(&json)
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
        self.wakeups.add(self.clock.elapsed().saturating_add(delay));
    }

    /// Now, for people: the database's clock may differ a little.
    pub(crate) fn now(&self) -> SystemTime {
        clock::time_of(self.clock.wall_micros())
    }
}
