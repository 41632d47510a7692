//! What is a story told with? A town: one fresh database, processes that work on it, a clock that the
//! story moves, notes of what the bodies of its steps did.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keystep::clock::Clock;
use keystep::execution::{ExecutionId, FullKey};
use keystep::store::Store;
use keystep::{
    Engine, EngineBuilder, Execution, ParkReason, RunError, Schema, State, StepContext, StepResult,
    WorkerOptions,
};

use crate::faulty::{Call, Fault, Faults, FaultyStore, Gate};
use crate::under_faults::Ground;

/// The key that a story calls, unless it needs several.
pub(super) const KEY: &str = "k";
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// Far longer than anything here takes on a slow machine.
const SOON: Duration = Duration::from_secs(60);

/// One database, and what happens on it.
pub(super) struct Town<G: Ground> {
    ground: G,
    /// A handle of nobody's, to look at what is stored.
    pub(super) store: G::Store,
    /// Moves the database's time and that of all processes.
    pub(super) clock: Clock,
    pub(super) notes: Notes,
}

impl<G: Ground> Town<G> {
    pub(super) async fn on(ground: G) -> Self {
        let store = ground.open().await;
        Self {
            clock: store.clock(),
            ground,
            store,
            notes: Notes::default(),
        }
    }

    /// A process that knows this schema.
    pub(super) async fn process<In: 'static, Out: 'static>(&self, schema: &Schema<In, Out>) -> Process {
        self.process_with(|builder| builder.schema(schema.clone())).await
    }

    /// A process that is built in this way. Its steps find the [`Notes`] and the [`Books`].
    pub(super) async fn process_with(&self, with: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Process {
        let store = self.ground.open().await;
        let books = Books {
            ground: self.ground.clone(),
            store: store.clone(),
        };
        let store = FaultyStore::new(store);
        let faults = store.faults();
        let builder = Engine::builder(store)
            .worker(quick())
            .provide(self.notes.clone())
            .provide(books);
        let engine = with(builder).build().await.expect("an engine");
        Process { engine, faults }
    }

    /// Kills a process: no call of it reaches the store any more, and everybody knows that it is dead.
    /// What its bodies wait for they wait for in vain, if the story does not open their gates.
    pub(super) async fn kill(&self, process: &Process) {
        process.faults.cut_off();
        self.give_up(process).await;
    }

    /// Declares a process dead that may still live.
    pub(super) async fn give_up(&self, process: &Process) {
        let worker = process.worker_id();
        self.store.retire(worker).await.expect("it is given up");
    }

    /// Waits until something was noted so often.
    pub(super) async fn noted(&self, what: &str, times: usize) {
        soon(async {
            while self.notes.count(what) < times {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// That a text is in what is recorded of an execution.
    pub(super) async fn stores(&self, id: ExecutionId, text: &str) {
        let record = self.store.find(vec![id]).await.expect("an answer").pop();
        let run = record.expect("an execution").run;
        let progress = self
            .store
            .load(id, run)
            .await
            .expect("an answer")
            .expect("its run");
        let mut payloads = progress.checkpoints.iter().map(|checkpoint| &checkpoint.output.0);
        let is_in = |payload: &[u8]| payload.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(payloads.any(|payload| is_in(payload)), "`{text}` is not stored");
    }

    /// The names under which something is stored of the story's key, one row each, in alphabetical order.
    pub(super) async fn stored<In, Out>(&self, schema: &Schema<In, Out>) -> Vec<String> {
        let id = id_in(schema);
        let record = self.store.find(vec![id]).await.expect("an answer").pop();
        let run = record.expect("an execution").run;
        let progress = self.store.load(id, run).await.expect("an answer");
        let checkpoints = progress
            .expect("the run is the present one")
            .checkpoints
            .into_iter();
        let mut names: Vec<_> = checkpoints.map(|checkpoint| checkpoint.step).collect();
        names.sort_unstable();
        names
    }

    /// How many rows with this mark were booked.
    pub(super) async fn booked(&self, mark: &str) -> u64 {
        self.ground.rows(&self.store, mark).await
    }

    /// Whether its steps can have transactions.
    pub(super) fn has_transactions(&self) -> bool {
        self.store.describe().transactions
    }
}

/// Quick to notice things, so that stories are.
pub(super) fn quick() -> WorkerOptions {
    WorkerOptions {
        beat: Duration::from_millis(100),
        sweep: Duration::from_millis(20),
        drain: Duration::from_millis(50),
        cancel_grace: Duration::from_millis(50),
        ..WorkerOptions::default()
    }
}

/// An engine, as a process has it.
pub(super) struct Process {
    pub(super) engine: Engine,
    pub(super) faults: Faults,
}

impl Deref for Process {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Process {
    /// The execution of the story's key, as it is stored.
    pub(super) async fn read<In, Out>(&self, schema: &Schema<In, Out>) -> Execution {
        let found = self.find(schema, KEY).await.expect("an answer");
        found.expect("an execution")
    }

    /// Waits until the execution of the story's key is as wanted.
    pub(super) async fn until<In, Out>(
        &self,
        schema: &Schema<In, Out>,
        wanted: impl Fn(&Execution) -> bool,
    ) -> Execution {
        let mut last = None;
        let reached = async {
            loop {
                let execution = self.read(schema).await;
                if wanted(&execution) {
                    return execution;
                }
                last = Some(execution);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(SOON, reached).await;
        reached.unwrap_or_else(|_late| panic!("it stays {last:?}"))
    }

    /// Waits until the execution of the story's key is in this state.
    pub(super) async fn until_is<In, Out>(&self, schema: &Schema<In, Out>, state: State) -> Execution {
        self.until(schema, |execution| execution.state == state).await
    }

    /// Begins the story's key with the input 1, and leaves it.
    pub(super) async fn begin(&self, schema: &Schema<u64, u64>) {
        let begun = self.run(schema, KEY, 1).submit();
        drop(soon(begun).await.expect("it begins"));
    }

    /// Lets the `nth` commit from now wait before it reaches the store, at the gate that this gives.
    pub(super) fn holds_commit(&self, nth: u64) -> Gate {
        let gate = Gate::closed();
        self.faults
            .script(&[Call::Commit], nth, Fault::HoldBefore(gate.clone()));
        gate
    }
}

/// The execution of the story's key.
pub(super) fn id_in<In, Out>(schema: &Schema<In, Out>) -> ExecutionId {
    ExecutionId::of(&FullKey {
        schema: schema.name().to_owned(),
        scope: String::new(),
        key: KEY.to_owned(),
    })
}

/// The names of what is recorded.
pub(super) fn recorded(execution: &Execution) -> Vec<&str> {
    execution.steps.iter().map(|step| step.name.as_str()).collect()
}

/// The names of what else is recorded.
pub(super) fn marks(execution: &Execution) -> Vec<&str> {
    execution.parts.iter().map(|part| part.name.as_str()).collect()
}

/// Waits until the execution of the story's key is in doubt.
pub(super) async fn in_doubt<In, Out>(process: &Process, schema: &Schema<In, Out>) -> Execution {
    let over = |execution: &Execution| execution.state == State::Parked || execution.state.is_finished();
    let parked = process.until(schema, over).await;
    assert_eq!(parked.parked, Some(ParkReason::InDoubt), "{parked:?}");
    parked
}

/// That a caller was told so.
#[track_caller]
pub(super) fn is_in_doubt<Out: Debug>(told: &Result<Out, RunError>, of: &str) {
    let Err(RunError::Parked {
        reason: ParkReason::InDoubt,
        failure: Some(failure),
        ..
    }) = told
    else {
        panic!("told {told:?}")
    };
    assert_eq!(failure.step, of);
}

/// A wait of a story, which ends.
pub(super) async fn soon<T>(wait: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(SOON, wait).await.expect("in time")
}

/// What the bodies of steps did, in order, in all processes.
#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(super) fn take_down(&self, what: impl Into<String>) {
        self.0.lock().expect("no panic under this lock").push(what.into());
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic under this lock").clone()
    }

    pub(super) fn count(&self, what: &str) -> usize {
        self.all().iter().filter(|note| *note == what).count()
    }

    #[track_caller]
    pub(super) fn are<T: AsRef<str> + Debug>(&self, wanted: &[T]) {
        let notes = self.all();
        let same = notes
            .iter()
            .map(String::as_str)
            .eq(wanted.iter().map(AsRef::as_ref));
        assert!(same, "noted {notes:?}, wanted {wanted:?}");
    }
}

/// Notes what a body does.
pub(super) fn note(cx: &StepContext, what: impl Into<String>) -> StepResult<()> {
    cx.get::<Notes>()?.take_down(what);
    Ok(())
}

/// Where a step of this process writes in a transaction of its own.
pub(super) struct Books<G: Ground> {
    ground: G,
    store: G::Store,
}

/// Writes a row with this mark in the step's own transaction, and enlists it.
pub(super) async fn book<G: Ground>(cx: &StepContext, mark: &str) -> StepResult<()> {
    let books = cx.get::<Books<G>>()?;
    books.ground.book(&books.store, cx, mark).await
}
