//! What is a process of a story? An engine in a runtime of its own, so that it can die: then its
//! tasks end wherever they are, and no call of it reaches the store any more.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::faulty::{Call, Fault, Faults, FaultyStore, Gate};
use super::script::Act;
use super::watch::{Notes, Watch};
use crate::attempt::text_of;
use crate::builder::EngineBuilder;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::execution::{ExecutionId, WorkerId};
use crate::inner::Inner;
use crate::runs::locked;
use crate::schema::Schema;
use crate::store::{Store, StoreError};
use crate::worker::WorkerOptions;

/// What one process of a [`Trial`](super::Trial) has: a handle of the store, and what its steps need.
///
/// ```
/// use keystep::MemoryStore;
/// use keystep::testing::Process;
///
/// struct Gateway;
///
/// let database = MemoryStore::new();
/// let process = Process::on(database.another_handle()).provide(Gateway);
/// # let _used = process;
/// ```
pub struct Process {
    builder: EngineBuilder,
    faults: Faults,
}

impl Process {
    /// A process on this handle of a store. Each process needs a handle of its own.
    pub fn on(store: impl Store) -> Self {
        let store = FaultyStore::new(store);
        Self {
            faults: store.faults(),
            builder: Engine::builder(store),
        }
    }

    /// Gives its steps a resource, as [`EngineBuilder::provide`].
    #[must_use]
    pub fn provide<T: Send + Sync + 'static>(self, resource: T) -> Self {
        self.with(|builder| builder.provide(resource))
    }

    /// Changes how its engine is built: codec, limits, resources, other schemas.
    ///
    /// Two things are replaced by the trial, whatever is said here. Its own schema is registered with
    /// notes about each attempt. And [`EngineBuilder::worker`] has no effect: the story decides when a
    /// process is dead and when somebody looks for work, so nothing may happen by itself and by time.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("engine", &self.builder)
            .finish_non_exhaustive()
    }
}

/// How a process of a world is opened.
pub(super) trait Opens<W>: Send + Sync {
    fn open<'a>(&'a self, world: &'a W) -> LocalBoxFuture<'a, Process>;
}

impl<W, F> Opens<W> for F
where
    F: AsyncFn(&W) -> Process + Send + Sync,
{
    fn open<'a>(&'a self, world: &'a W) -> LocalBoxFuture<'a, Process> {
        Box::pin(self(world))
    }
}

/// What all processes of a story are made of.
pub(super) struct Maker<In, Out, W> {
    pub(super) schema: Schema<In, Out>,
    pub(super) opens: Arc<dyn Opens<W>>,
    pub(super) world: Arc<W>,
    pub(super) clock: Clock,
    pub(super) notes: Notes,
}

/// A process that runs.
pub(super) struct Running {
    /// Its place in the story, from 0.
    pub(super) place: usize,
    pub(super) engine: Engine,
    faults: Faults,
    runtime: Handle,
    /// Where its beats wait while it stands still.
    beats: Gate,
    /// Ends the thread that has its runtime.
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

/// What the trial decides for each worker: nothing happens by itself and by time.
fn options() -> WorkerOptions {
    let never = Duration::MAX;
    WorkerOptions {
        // The story says who is dead, and when somebody looks for work.
        beat_limit: Duration::from_secs(3600),
        sweep: never,
        unknown_shape_after: never,
        purge: never,
        drain: Duration::ZERO,
        ..WorkerOptions::default()
    }
}

impl Running {
    pub(super) async fn start<In, Out, W>(
        maker: &Maker<In, Out, W>,
        process: usize,
    ) -> Result<Arc<Self>, String>
    where
        In: 'static,
        Out: 'static,
        W: Send + Sync + 'static,
    {
        let (ready, is_ready) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (opens, world) = (Arc::clone(&maker.opens), Arc::clone(&maker.world));
        let (schema, notes) = (maker.schema.clone(), maker.notes.clone());
        let work = async move |runtime: &Runtime| {
            let Process { builder, faults } = opens.open(&world).await;
            faults.watched_by(Watch { notes, process });
            let built = builder.schema(schema).worker(options()).build().await;
            let _gone = ready.send(built.map(|engine| (engine, faults, runtime.handle().clone())));
            let _killed = ended.await;
        };
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("no runtime for a process: {error}"));
            runtime.block_on(work(&runtime));
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        let (engine, faults, runtime) = match is_ready.await {
            Ok(Ok(built)) => built,
            Ok(Err(error)) => return Err(format!("a process could not be started: {error}")),
            Err(_gone) => {
                let panic = thread.join().err();
                let why = panic.map_or_else(String::new, |panic| text_of(panic.as_ref()));
                return Err(format!("a process could not be opened: {why}"));
            }
        };
        if !engine.inner.clock.is_shared_with(&maker.clock) {
            return Err(
                "the store has a clock of its own: open it with the one that the world is given".into(),
            );
        }
        // Its first look for work is over before the story goes on: later ones are made when the story
        // says so, and none takes up by chance what another process is in charge of.
        let looked = async {
            while !faults.calls().contains(&Call::Orphans) {
                tokio::time::sleep(AGAIN).await;
            }
        };
        if tokio::time::timeout(FIRST_LOOK, looked).await.is_err() {
            return Err("a process never looked for work".to_owned());
        }
        Ok(Arc::new(Self {
            place: process,
            engine,
            faults,
            runtime,
            beats: Gate::closed(),
            thread: Mutex::new(Some((end, thread))),
        }))
    }

    /// Plans what goes wrong while this process is in charge.
    pub(super) fn arm(&self, acts: &[Act]) -> Armed {
        let gate = Gate::closed();
        for act in acts {
            self.faults.script(&[act.call], act.nth, act.what.fault(&gate));
        }
        Armed {
            faults: self.faults.clone(),
            gate,
            acts: acts.to_vec(),
        }
    }

    /// Forgets what should still go wrong.
    pub(super) fn disarm(&self) {
        self.faults.clear();
    }

    /// The calls so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.faults.calls()
    }

    /// Runs something in the process: it ends with it.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// Looks for work, as at the next sweep.
    pub(super) fn sweep(&self) {
        self.engine.inner.sweep.notify_one();
    }

    /// Whether it has anything to do with the execution.
    pub(super) fn knows(&self, id: ExecutionId) -> bool {
        self.engine.inner.registry.knows(id)
    }

    /// Shows no sign of life until [`stir`](Self::stir), and so does not learn that it is given up.
    pub(super) fn stand_still(&self) {
        self.faults
            .script_each(&[Call::Beat], Fault::HoldBefore(self.beats.clone()));
    }

    /// Shows that it lives.
    pub(super) fn stir(&self) {
        self.faults.clear();
        self.beats.open();
    }

    /// Kills it: nothing that it would do next happens.
    pub(super) async fn kill(&self) {
        self.faults.cut_off();
        let thread = locked(&self.thread).take();
        if let Some((end, thread)) = thread {
            let _has_ended = end.send(());
            let _panicked = tokio::task::spawn_blocking(|| thread.join()).await;
        }
        self.beats.open();
    }

    /// Declares another worker dead, as whoever has not seen it for long.
    pub(super) fn bury(&self, worker: WorkerId) -> tokio::task::JoinHandle<()> {
        let inner = Arc::clone(&self.engine.inner);
        self.spawn(async move {
            while !buried(&inner, worker).await.unwrap_or(false) {
                tokio::time::sleep(AGAIN).await;
            }
        })
    }
}

/// How soon a process is looked at again, and a burial tried again: a beat that was under way came
/// between, or the store was busy.
const AGAIN: Duration = Duration::from_millis(5);
/// Far more than the first look for work takes.
const FIRST_LOOK: Duration = Duration::from_secs(30);

async fn buried(inner: &Inner, worker: WorkerId) -> Result<bool, StoreError> {
    let observation = inner.store.observe(inner.liveness.worker()).await?;
    match observation.others.iter().find(|other| other.worker == worker) {
        Some(seen) => inner.store.bury(worker, seen.beat).await,
        None => Ok(true),
    }
}

impl Drop for Running {
    /// A story that broke off leaves no process behind.
    fn drop(&mut self) {
        self.faults.cut_off();
        self.beats.open();
    }
}

/// What will go wrong with a process.
pub(super) struct Armed {
    faults: Faults,
    gate: Gate,
    acts: Vec<Act>,
}

impl Armed {
    /// The act after which the process is out of charge.
    pub(super) fn ending(&self) -> Option<Act> {
        let last = self.acts.last().copied();
        last.filter(|act| act.what.ends_the_charge())
    }

    /// Whether the process has come to where it stops.
    pub(super) fn stands_still(&self) -> bool {
        self.gate.has_arrived()
    }

    /// Whether all of it has happened, or as much as happens before it stops.
    pub(super) fn has_happened(&self) -> bool {
        if self.ending().is_some() {
            self.stands_still()
        } else {
            self.faults.left() == 0
        }
    }

    /// Whether the call at which the process stood still was answered since.
    pub(super) fn was_answered(&self) -> bool {
        self.gate.all_done()
    }

    /// Lets the process go on from where it stood.
    pub(super) fn wake(&self) {
        self.gate.open();
    }
}
