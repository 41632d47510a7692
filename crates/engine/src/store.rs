//! What must a store do? The [`Store`] trait, its arguments and its answers.
//!
//! A store remembers executions and checkpoints for the engine. It is deliberately dumb: it never
//! parses a payload, never computes a delay, never decides what happens next. Its one duty beyond
//! remembering is the *fence*: every write of an owner carries a [`Fence`](crate::execution::Fence), and the store compares
//! it, under the row's lock, in the same statement that writes.
//!
//! Each sentence of this documentation is a promise with a test of its own in the
//! `store-conformance` crate. Group commit is private to a store: the trait stays one operation at
//! a time, and [`lane`](crate::lane) helps to gather operations that wait at the same moment.

mod claim;
mod error;
mod look;
mod news;
mod workers;
mod write;

use std::future::Future;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Clock;
use crate::execution::{CancelWish, ExecutionId, ExecutionRecord, PlanId, RunId, Seen, WorkerId};

pub use self::claim::{Acquire, Acquired, Begin, Begun, Fresh, How};
pub use self::error::StoreError;
pub use self::look::{ListQuery, PlanRecord, Progress, Shapes, Wanted};
pub use self::news::{Inbox, Message, NewMessage, NewSignal, Signalled};
pub use self::workers::{Beat, Observation, Observed, Register};
pub use self::write::{
    Commit, Confirm, Confirmed, Enlisted, NewCheckpoint, NewProgress, Then, Tries, Verdict,
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
    /// that nobody owns is due at once, also when it is parked. One that is put down to wait, or
    /// parked, under another wish than [`Then::Wait`] or [`Then::Park`] says is due at once too. A
    /// failure that yields ([`Then::Fail`]) is answered `Wished` under a wish, and nothing is written.
    /// A second wish replaces the first, and the end of the run ends it.
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

    /// Leaves the outbox to whoever asks to lead next, if this worker is the one that reads it.
    fn step_down(&self, worker: WorkerId) -> impl Future<Output = Result<(), StoreError>> + Send;

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
