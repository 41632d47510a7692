//! What must a store do? The [`Store`] trait, its arguments and its answers.
//!
//! A store remembers executions and checkpoints for the engine. It is deliberately dumb: it never
//! parses a payload, never computes a delay, never decides what happens next. Its one duty beyond
//! remembering is the *fence*: every write of an owner carries a [`Fence`], and the store compares
//! it, under the row's lock, in the same statement that writes.
//!
//! Each sentence of this documentation is a promise with a test of its own in the
//! `store-conformance` crate. Group commit is private to a store: the trait stays one operation at
//! a time, and [`lane`](crate::lane) helps to gather operations that wait at the same moment.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::clock::Clock;
use crate::execution::{
    CancelWish, CheckpointRecord, ExecutionId, ExecutionRecord, Fence, FullKey, InputHash, ParkReason,
    Payload, PlanId, RunId, Seen, ShapeId, State, WaitReason, WorkerId, WriteId,
};

/// The engine's memory. Implemented by the memory, SQLite and PostgreSQL stores.
///
/// Implementors write plain `async fn`. A handle is cheap to share; all methods may be called at
/// the same time from many tasks, and no answer depends on a future being polled to its end: a
/// write whose future is dropped may still happen.
pub trait Store: Send + Sync + 'static {
    /// What this store is and can do. Constant for the life of the handle.
    fn describe(&self) -> StoreInfo;

    /// The clock whose offset this store adds to the database's time in every statement.
    fn clock(&self) -> Clock;

    /// Stores a plan under its content hash. Storing it again changes nothing.
    fn save_plan(&self, plan: PlanRecord) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads a plan.
    fn load_plan(&self, id: PlanId) -> impl Future<Output = Result<Option<PlanRecord>, StoreError>> + Send;

    /// Adds an execution as `running` with generation 1 and epoch 1, or returns the one that
    /// already has its id. Of any number of concurrent begins of one key exactly one is started.
    /// Sending the same begin again (same run and token) answers `Started` while the row still
    /// carries that claim, and changes nothing. For a finished key it costs no write.
    fn begin(&self, begin: Begin) -> impl Future<Output = Result<Begun, StoreError>> + Send;

    /// Makes `owner` the owner of a row that still looks as it was `seen` (id, run, claim and
    /// state): state `running`, epoch one higher, a new token, no wake-up, no park reason. Of any
    /// number of concurrent acquisitions of one `seen` row at most one wins; the others, and all
    /// that saw an older row, are `Lost` and change nothing; so is whoever wants to go on with a row
    /// that was purged, of which only a restart makes something. Sending a won acquisition again
    /// answers `Won` while the row still carries that claim. See [`How`] for what else changes.
    fn acquire(&self, acquire: Acquire) -> impl Future<Output = Result<Acquired, StoreError>> + Send;

    /// Records what an owner did: its checkpoint and the change of state together or not at all,
    /// and nothing unless the row is `running` under exactly this fence. `Written` is answered
    /// only after the change is durable. Sending the same write again (same `write_id`) answers
    /// `Written` and changes nothing, also when the first send finished, parked or released the
    /// execution and nobody has acquired it since. A step that is already recorded by another
    /// write answers `Exists` and neither the checkpoint nor the state changes.
    ///
    /// Where a restarted database server may have lost acknowledged writes, the statement that
    /// writes also compares `fence.incarnation` with the server's own start, and refuses each write
    /// of another start as [`StoreError::Restarted`], for as long as it is sent: the engine then
    /// acquires the execution anew. A store where this can not happen grants and ignores 0.
    ///
    /// With an enlisted transaction the fenced checkpoint is its last statement, and it is
    /// committed only when the verdict is `Written`; otherwise it is rolled back. Messages become
    /// rows of the outbox in the same transaction, in their order; a send that was written before
    /// adds none.
    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Verdict, StoreError>> + Send;

    /// Tells, under the row's lock, whether a write of an enlisted transaction happened whose
    /// answer was lost. Once `commit` has answered `Unknown`, `Absent` means that the write can not
    /// appear any more.
    fn confirm(&self, confirm: Confirm) -> impl Future<Output = Result<Confirmed, StoreError>> + Send;

    /// Reads the input and the checkpoints (by position) of a run; `None` when the row is gone or
    /// on another run. Sees every checkpoint that was acknowledged before the call.
    fn load(
        &self,
        id: ExecutionId,
        run: RunId,
    ) -> impl Future<Output = Result<Option<Progress>, StoreError>> + Send;

    /// Reads executions, those that exist, in any order. Costs no write.
    fn find(
        &self,
        ids: Vec<ExecutionId>,
    ) -> impl Future<Output = Result<Vec<ExecutionRecord>, StoreError>> + Send;

    /// Reads executions that match the filter, ordered by id, those after `after`, at most `limit`.
    fn list(&self, query: ListQuery)
    -> impl Future<Output = Result<Vec<ExecutionRecord>, StoreError>> + Send;

    /// Executions whose wake-up has passed by the database's clock: `ready`, `waiting`, and (only
    /// with [`Shapes::Only`]) those parked as `unknown_shape` or with a wish to cancel them. The
    /// longest due first, at most `limit`. Reading does not acquire.
    fn due(&self, wanted: Wanted) -> impl Future<Output = Result<Vec<Seen>, StoreError>> + Send;

    /// Executions that are `running` and whose owner is not a live worker: declared dead, retired
    /// or unknown. At most `limit`, in any order. Reading does not acquire.
    fn orphans(&self, wanted: Wanted) -> impl Future<Output = Result<Vec<Seen>, StoreError>> + Send;

    /// Executions that are `running` under this worker.
    fn owned(&self, worker: WorkerId) -> impl Future<Output = Result<Vec<Seen>, StoreError>> + Send;

    /// Adds a worker and opens its liveness session, which ends by itself when the process dies.
    /// One handle holds one worker's session at a time: registering another replaces it.
    fn register(&self, register: Register) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Shows that the worker lives, and reopens its session if that was lost. `Dead` when the
    /// worker was declared dead or retired: it must stop its work and register anew.
    fn beat(&self, worker: WorkerId) -> impl Future<Output = Result<Beat, StoreError>> + Send;

    /// What can be seen of all other live workers.
    fn observe(&self, worker: WorkerId) -> impl Future<Output = Result<Observation, StoreError>> + Send;

    /// Declares a worker dead, for ever, if it has not beaten since it was observed with `beat`.
    /// Answers whether the worker is dead now.
    fn bury(&self, worker: WorkerId, beat: i64) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Ends a worker: it counts as dead at once, and its session is closed.
    fn retire(&self, worker: WorkerId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts down the latest progress of a step that runs, in place of an earlier one of the same
    /// name, under the same fence as a commit. `Exists` is never answered.
    fn progress(&self, progress: NewProgress) -> impl Future<Output = Result<Verdict, StoreError>> + Send;

    /// Sends a signal to a run that is not finished. It is kept until the run is purged. When the
    /// run waits for signals its wake-up is now; when it is about to, [`Then::Wait`] with an older
    /// count of signals makes it due at once. Sending the same signal again (same `write_id`)
    /// answers `Sent` and changes nothing.
    fn signal(&self, signal: NewSignal) -> impl Future<Output = Result<Signalled, StoreError>> + Send;

    /// Reads the signals that were sent to a run, in the order in which they came.
    fn inbox(&self, id: ExecutionId, run: RunId) -> impl Future<Output = Result<Inbox, StoreError>> + Send;

    /// Notes the wish to cancel a run that is not finished: its owner sees it in `cancels`, and one
    /// that nobody owns is due at once, also when it is parked. One that is put down to wait
    /// under another wish than [`Then::Wait`] says is due at once too. A second wish replaces the first, and the end of the run ends it.
    /// `None` when the run is finished or gone, otherwise the row as it is now.
    fn wish_cancel(
        &self,
        id: ExecutionId,
        run: RunId,
        wish: CancelWish,
    ) -> impl Future<Output = Result<Option<Seen>, StoreError>> + Send;

    /// The wishes to cancel what is `running` under this worker.
    fn cancels(
        &self,
        worker: WorkerId,
    ) -> impl Future<Output = Result<Vec<(ExecutionId, RunId, CancelWish)>, StoreError>> + Send;

    /// Executions that are not finished and were begun by a step of this one.
    fn children(&self, parent: ExecutionId) -> impl Future<Output = Result<Vec<Seen>, StoreError>> + Send;

    /// Makes this worker the one that reads the outbox, when nobody else is, or when that one is
    /// not live any more. True while it is.
    fn lead(&self, worker: WorkerId) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The oldest messages of the outbox whose executions are not among `but`, in the order in which
    /// they were written, at most `limit`.
    fn outbox(
        &self,
        but: Vec<ExecutionId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Message>, StoreError>> + Send;

    /// Deletes messages that were delivered.
    fn delivered(&self, messages: Vec<Uuid>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes at most `limit` executions whose retention has ended, with their checkpoints and
    /// signals, and answers how many. Never touches an execution that is not finished. With
    /// `remember` a row without payloads is left for so long: its generation, fingerprint and state.
    /// It is then deleted by a later purge.
    fn purge(
        &self,
        limit: u32,
        remember: Option<Duration>,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send;
}

/// The honest statement of what a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreInfo {
    /// `memory`, `sqlite` or `postgres`; for logs and lists.
    pub kind: &'static str,
    /// This handle's identity, so that a step can not enlist a transaction of another store.
    pub instance: Uuid,
    /// Whether an acknowledged write survives the process.
    pub durable: bool,
    /// Who can share the executions.
    pub reach: Reach,
    /// Whether a step can enlist a transaction of its own.
    pub transactions: bool,
}

/// Who can share a store's executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Engines of one process.
    Process,
    /// Processes of one machine.
    Host,
    /// Processes of many machines.
    Network,
}

/// A schema as data, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// Content hash of `body`.
    pub id: PlanId,
    /// Hash of names, order and kinds.
    pub shape: ShapeId,
    /// The schema's name.
    pub schema: String,
    /// The plan as JSON.
    pub body: String,
}

/// A new execution.
#[derive(Debug, Clone)]
pub struct Begin {
    /// `ExecutionId::of(&key)`.
    pub id: ExecutionId,
    /// The key's text.
    pub key: FullKey,
    /// A fresh run id.
    pub run: RunId,
    /// A fresh claim token.
    pub token: Uuid,
    /// Who begins and owns it.
    pub owner: WorkerId,
    /// The plan to run; saved before.
    pub plan: PlanId,
    /// The shape of that plan.
    pub shape: ShapeId,
    /// The encoded input.
    pub input: Payload,
    /// The input's fingerprint.
    pub input_hash: InputHash,
    /// The execution whose step calls it.
    pub parent: Option<ExecutionId>,
}

/// Answer to [`Store::begin`].
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// The caller owns a new execution, with the right to write for it.
    Started(Fence),
    /// The key has an execution already.
    Exists(Box<ExecutionRecord>),
}

/// A wish to own an existing execution.
#[derive(Debug, Clone)]
pub struct Acquire {
    /// The row as the caller saw it.
    pub seen: Seen,
    /// Who wants it.
    pub owner: WorkerId,
    /// A fresh claim token.
    pub token: Uuid,
    /// What kind of acquisition.
    pub how: How,
}

/// Kinds of acquisition.
#[derive(Debug, Clone)]
pub enum How {
    /// Go on where the run stopped.
    Resume {
        /// Keep the count of tries (after a wait), or set it to zero (after a failure).
        keep_tries: bool,
    },
    /// Go on after the owner was lost: `lost` rises by one.
    TakeOver,
    /// A new generation: generation one higher, a new run with new input, tries and losses zero,
    /// no outcome, and the checkpoints of the old run are gone.
    Restart(Box<Fresh>),
}

/// What a new generation starts with.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// A fresh run id.
    pub run: RunId,
    /// The plan to run; saved before.
    pub plan: PlanId,
    /// The shape of that plan.
    pub shape: ShapeId,
    /// The encoded input.
    pub input: Payload,
    /// The input's fingerprint.
    pub input_hash: InputHash,
    /// The execution whose step calls it.
    pub parent: Option<ExecutionId>,
}

/// Answer to [`Store::acquire`].
#[derive(Debug, Clone, PartialEq)]
pub enum Acquired {
    /// The caller owns it.
    Won {
        /// The row as it is now.
        record: Box<ExecutionRecord>,
        /// The right to write for it.
        fence: Fence,
    },
    /// The row changed since it was seen, or is gone: read it again.
    Lost,
}

/// One write of an owner.
#[derive(Debug)]
pub struct Commit {
    /// The owner's right to write.
    pub fence: Fence,
    /// Names this write.
    pub write_id: WriteId,
    /// Who writes; kept with the checkpoint.
    pub worker: WorkerId,
    /// A step result to record.
    pub checkpoint: Option<NewCheckpoint>,
    /// What becomes of the execution.
    pub then: Then,
    /// The step's own transaction, to be committed with this write.
    pub enlisted: Option<Enlisted>,
    /// What goes into the outbox with it.
    pub messages: Vec<NewMessage>,
}

/// A step result to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCheckpoint {
    /// The step's name, or what else is recorded of it.
    pub step: String,
    /// The step's position, from 0.
    pub seq: i32,
    /// Which attempt succeeded, from 1.
    pub attempt: i32,
    /// The `lost` of the claim that ran it.
    pub lost: i32,
    /// The encoded output.
    pub output: Payload,
}

/// What becomes of an execution after a write. All but `Continue` end the ownership.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// Stays `running` under the same claim.
    Continue,
    /// `succeeded`; the outcome is the checkpoint of `output_step`.
    Succeed {
        /// The last step.
        output_step: String,
        /// How long the key is kept; `None` for ever.
        retention: Option<Duration>,
    },
    /// `failed`.
    Fail {
        /// What callers get.
        failure: Payload,
        /// Attempts used up.
        tries: Tries,
        /// How long the key is kept; `None` for ever.
        retention: Option<Duration>,
    },
    /// `waiting`, due after `delay` by the database's clock.
    Wait {
        /// Time until the wake-up; `None` for none.
        delay: Option<Duration>,
        /// Why it waits.
        reason: WaitReason,
        /// What went wrong, when it waits for the next try.
        failure: Option<Payload>,
        /// Attempts used up.
        tries: Tries,
        /// How many signals its owner knows of: when there are more, it is due at once. `None` when
        /// it does not wait for signals.
        signals: Option<i32>,
        /// The wish to cancel that its owner acts on already: under any other it is due at once.
        wish: Option<CancelWish>,
    },
    /// `parked`.
    Park {
        /// Why.
        reason: ParkReason,
        /// Details for people.
        failure: Option<Payload>,
    },
    /// `undone`: it failed, and the steps that were done are undone.
    Undone {
        /// The failure that came first.
        failure: Payload,
        /// How long the key is kept; `None` for ever.
        retention: Option<Duration>,
    },
    /// `cancelled`.
    Cancel {
        /// How long the key is kept; `None` for ever.
        retention: Option<Duration>,
    },
    /// `ready`, due at once; nothing is used up.
    Release,
}

impl Then {
    /// The state that this leads to.
    pub fn state(&self) -> State {
        match self {
            Self::Continue => State::Running,
            Self::Succeed { .. } => State::Succeeded,
            Self::Fail { .. } => State::Failed,
            Self::Wait { .. } => State::Waiting,
            Self::Park { .. } => State::Parked,
            Self::Undone { .. } => State::Undone,
            Self::Cancel { .. } => State::Cancelled,
            Self::Release => State::Ready,
        }
    }
}

/// How many attempts of which step are used up, lost owners not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    /// The step's position, from 0.
    pub seq: i32,
    /// Attempts used up.
    pub count: i32,
}

/// Answer to [`Store::commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Durable, by this send or an earlier one of the same write.
    Written,
    /// The step is recorded already, by this other write.
    Exists(WriteId),
    /// The caller does not own the execution any more; nothing was written.
    Fenced,
}

/// A question about a lost answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirm {
    /// The fence of the write.
    pub fence: Fence,
    /// The step it recorded.
    pub step: String,
    /// The write.
    pub write_id: WriteId,
}

/// Answer to [`Store::confirm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// The write happened.
    Written,
    /// It did not, and never will; the caller still owns the execution.
    Absent,
    /// It did not, and the caller does not own the execution any more.
    Fenced,
}

/// What a run has done so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The encoded input.
    pub input: Payload,
    /// Recorded steps, and what else is recorded of them, by position.
    pub checkpoints: Vec<CheckpointRecord>,
    /// Now, by the clock that `CheckpointRecord::at` is of.
    pub now: SystemTime,
}

/// How far a step that runs has come.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProgress {
    /// The owner's right to write.
    pub fence: Fence,
    /// Who writes.
    pub worker: WorkerId,
    /// Names this write.
    pub write_id: WriteId,
    /// What is put down, under a name that no step has.
    pub checkpoint: NewCheckpoint,
}

/// A signal to a run.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSignal {
    /// The execution.
    pub id: ExecutionId,
    /// Its run.
    pub run: RunId,
    /// The signal's name.
    pub name: String,
    /// What is sent.
    pub payload: Payload,
    /// Refuse it when one of this name was sent before.
    pub once: bool,
    /// Names this write.
    pub write_id: WriteId,
}

/// Answer to [`Store::signal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// It is there.
    Sent,
    /// One of this name was sent before.
    Refused,
    /// The run is finished or gone.
    Gone,
}

/// The signals of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inbox {
    /// How many were sent to the run in all.
    pub count: i32,
    /// Names and payloads.
    pub signals: Vec<(String, Payload)>,
}

/// A message for the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// Fixed now: what receivers tell duplicates by.
    pub id: Uuid,
    /// Where it goes.
    pub topic: String,
    /// What is sent.
    pub payload: Payload,
}

/// A message of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// The execution that sent it.
    pub execution: ExecutionId,
    /// Its run.
    pub run: RunId,
    /// Where it goes.
    pub topic: String,
    /// What is sent.
    pub payload: Payload,
}

/// Which executions a worker looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which shapes.
    pub shapes: Shapes,
    /// At most so many.
    pub limit: u32,
}

/// A choice of shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shapes {
    /// Only these.
    Only(Vec<ShapeId>),
    /// All but these.
    Except(Vec<ShapeId>),
}

/// Which executions to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Only of this schema.
    pub schema: Option<String>,
    /// Only in this scope.
    pub scope: Option<String>,
    /// Only in these states; empty for all.
    pub states: Vec<State>,
    /// Only ids greater than this.
    pub after: Option<ExecutionId>,
    /// At most so many.
    pub limit: u32,
}

/// A worker that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Its fresh id.
    pub worker: WorkerId,
    /// For people: which process it is.
    pub name: String,
    /// What it can run.
    pub shapes: Vec<ShapeId>,
}

/// Answer to [`Store::beat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Still counted as alive.
    Alive,
    /// Declared dead or retired.
    Dead,
}

/// What one look at the other workers shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// How long the database server has been up by its own clock, where a server can restart and
    /// lose sessions; `None` where sessions can not be lost that way.
    pub server_age: Option<Duration>,
    /// Which start of the database server this is, as in [`Fence::incarnation`]: another one is a
    /// restarted server, or another server in its place. `None` with `server_age`.
    pub incarnation: Option<i64>,
    /// All live workers but the observer.
    pub others: Vec<Observed>,
}

/// What can be seen of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The worker.
    pub worker: WorkerId,
    /// Its beat counter.
    pub beat: i64,
    /// Whether its liveness session stands; `None` when that can not be known here.
    pub session: Option<bool>,
    /// What it can run.
    pub shapes: Vec<ShapeId>,
}

/// A step's own transaction, opaque to the engine: opened by a store, handed back to it by
/// [`Commit`]. Dropping it rolls it back.
pub struct Enlisted {
    /// The store that opened it.
    pub instance: Uuid,
    /// What that store needs to commit it.
    pub transaction: Box<dyn Any + Send>,
}

impl fmt::Debug for Enlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enlisted")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// Why a store did not answer, sorted by what the engine does next.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing was written: the store can not be reached or is busy. Try again after a pause.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The write may or may not have happened. Send the same write again.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(String),
    /// Nothing was written: the database server is not the start of it that granted the fence
    /// (restart, failover), so acknowledged writes may be missing. Acquire the execution anew.
    #[error("the database server was restarted")]
    Restarted,
    /// Nothing was written: the store can not hold this value. Trying again does not help.
    #[error("the store rejects the value: {0}")]
    Rejected(String),
    /// A row holds something this version does not know. Trying again does not help.
    #[error("a stored row can not be read: {0}")]
    Unreadable(String),
    /// The database can not be used at all: newer format, replica, wrong version. Stop.
    #[error("the store can not be used: {0}")]
    Refused(String),
}
