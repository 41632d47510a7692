//! Does the suite bite? Stores with one known bug each, and the promise that names it.
//!
//! A [`Plant`] changes a few operations of the store inside; [`Planted`] is the store that results.
//! Each plant is a mistake that has been made, here or elsewhere, in a form that any store can
//! carry. `tests/planted.rs` runs all cases against each of them.
//!
//! The bugs of our own engine and stores are others, and no wrappers: switches in their code, for
//! `cargo xtask mutants`.

mod begin;
mod beside;
mod commit;
mod owners;
mod rows;

use std::future::Future;
use std::time::Duration;

use keystep::clock::Clock;
use keystep::execution::{CancelWish, ExecutionId, ExecutionRecord, PlanId, RunId, Seen, WorkerId};
use keystep::store::{
    Acquire, Acquired, Beat, Begin, Begun, Commit, Confirm, Confirmed, Inbox, ListQuery, Message,
    NewProgress, NewSignal, Observation, PlanRecord, Progress, Register, Signalled, Store, StoreError,
    StoreInfo, Verdict, Wanted,
};
use uuid::Uuid;

pub use self::begin::{AttachMergedIntoBegin, BeginStartsTwice, KeysTrimmed};
pub use self::beside::{
    CountNotCompared, EveryWorkerLeads, FirstProgressStays, MessagesWithEachSend, NothingRemembered,
    OutboxBackwards, SignalsSentTwice, WishForOwnersOnly, WishNotCompared,
};
pub use self::commit::{
    AcknowledgedBeforeVerdict, ClaimNotCompared, FenceMissing, PayloadsAsText, ResendIsFailure,
    StateNotCompared, VerdictJoinedOnStep,
};
pub use self::owners::{AcquireByKeyOnly, BuriedUnseen, LoadFromBeforeTakeover, SweepOfTheLiving};
pub use self::rows::{CheckpointsByKey, EpochFalls, OldOutcomeCached, PurgeWithoutLimit};

/// A bug: what it does to the operations of the store that carries it.
pub trait Plant<S: Store>: Send + Sync + 'static {
    /// See [`Store::begin`].
    fn begin(&self, store: &S, begin: Begin) -> impl Future<Output = Result<Begun, StoreError>> + Send {
        store.begin(begin)
    }

    /// See [`Store::acquire`].
    fn acquire(
        &self,
        store: &S,
        acquire: Acquire,
    ) -> impl Future<Output = Result<Acquired, StoreError>> + Send {
        store.acquire(acquire)
    }

    /// See [`Store::commit`].
    fn commit(&self, store: &S, commit: Commit) -> impl Future<Output = Result<Verdict, StoreError>> + Send {
        store.commit(commit)
    }

    /// See [`Store::confirm`].
    fn confirm(
        &self,
        store: &S,
        confirm: Confirm,
    ) -> impl Future<Output = Result<Confirmed, StoreError>> + Send {
        store.confirm(confirm)
    }

    /// See [`Store::load`].
    fn load(
        &self,
        store: &S,
        id: ExecutionId,
        run: RunId,
    ) -> impl Future<Output = Result<Option<Progress>, StoreError>> + Send {
        store.load(id, run)
    }

    /// See [`Store::find`].
    fn find(
        &self,
        store: &S,
        ids: Vec<ExecutionId>,
    ) -> impl Future<Output = Result<Vec<ExecutionRecord>, StoreError>> + Send {
        store.find(ids)
    }

    /// See [`Store::orphans`].
    fn orphans(
        &self,
        store: &S,
        wanted: Wanted,
    ) -> impl Future<Output = Result<Vec<Seen>, StoreError>> + Send {
        store.orphans(wanted)
    }

    /// See [`Store::bury`].
    fn bury(
        &self,
        store: &S,
        worker: WorkerId,
        beat: i64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        store.bury(worker, beat)
    }

    /// See [`Store::progress`].
    fn progress(
        &self,
        store: &S,
        progress: NewProgress,
    ) -> impl Future<Output = Result<Verdict, StoreError>> + Send {
        store.progress(progress)
    }

    /// See [`Store::signal`].
    fn signal(
        &self,
        store: &S,
        signal: NewSignal,
    ) -> impl Future<Output = Result<Signalled, StoreError>> + Send {
        store.signal(signal)
    }

    /// See [`Store::wish_cancel`].
    fn wish_cancel(
        &self,
        store: &S,
        id: ExecutionId,
        run: RunId,
        wish: CancelWish,
    ) -> impl Future<Output = Result<Option<Seen>, StoreError>> + Send {
        store.wish_cancel(id, run, wish)
    }

    /// See [`Store::lead`].
    fn lead(&self, store: &S, worker: WorkerId) -> impl Future<Output = Result<bool, StoreError>> + Send {
        store.lead(worker)
    }

    /// See [`Store::outbox`].
    fn outbox(
        &self,
        store: &S,
        but: Vec<ExecutionId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Message>, StoreError>> + Send {
        store.outbox(but, limit)
    }

    /// See [`Store::purge`].
    fn purge(
        &self,
        store: &S,
        limit: u32,
        remember: Option<Duration>,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send {
        store.purge(limit, remember)
    }
}

/// A store with a bug.
#[derive(Debug, Clone)]
pub struct Planted<S, P> {
    store: S,
    plant: P,
}

impl<S, P> Planted<S, P> {
    /// Plants a bug in a store.
    pub fn new(store: S, plant: P) -> Self {
        Self { store, plant }
    }

    /// The store inside.
    pub fn inner(&self) -> &S {
        &self.store
    }
}

impl<S: Store, P: Plant<S>> Store for Planted<S, P> {
    fn describe(&self) -> StoreInfo {
        self.store.describe()
    }

    fn clock(&self) -> Clock {
        self.store.clock()
    }

    async fn save_plan(&self, plan: PlanRecord) -> Result<(), StoreError> {
        self.store.save_plan(plan).await
    }

    async fn load_plan(&self, id: PlanId) -> Result<Option<PlanRecord>, StoreError> {
        self.store.load_plan(id).await
    }

    async fn begin(&self, begin: Begin) -> Result<Begun, StoreError> {
        self.plant.begin(&self.store, begin).await
    }

    async fn acquire(&self, acquire: Acquire) -> Result<Acquired, StoreError> {
        self.plant.acquire(&self.store, acquire).await
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, StoreError> {
        self.plant.commit(&self.store, commit).await
    }

    async fn confirm(&self, confirm: Confirm) -> Result<Confirmed, StoreError> {
        self.plant.confirm(&self.store, confirm).await
    }

    async fn load(&self, id: ExecutionId, run: RunId) -> Result<Option<Progress>, StoreError> {
        self.plant.load(&self.store, id, run).await
    }

    async fn find(&self, ids: Vec<ExecutionId>) -> Result<Vec<ExecutionRecord>, StoreError> {
        self.plant.find(&self.store, ids).await
    }

    async fn list(&self, query: ListQuery) -> Result<Vec<ExecutionRecord>, StoreError> {
        self.store.list(query).await
    }

    async fn due(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        self.store.due(wanted).await
    }

    async fn orphans(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        self.plant.orphans(&self.store, wanted).await
    }

    async fn owned(&self, worker: WorkerId) -> Result<Vec<Seen>, StoreError> {
        self.store.owned(worker).await
    }

    async fn register(&self, register: Register) -> Result<(), StoreError> {
        self.store.register(register).await
    }

    async fn beat(&self, worker: WorkerId) -> Result<Beat, StoreError> {
        self.store.beat(worker).await
    }

    async fn observe(&self, worker: WorkerId) -> Result<Observation, StoreError> {
        self.store.observe(worker).await
    }

    async fn bury(&self, worker: WorkerId, beat: i64) -> Result<bool, StoreError> {
        self.plant.bury(&self.store, worker, beat).await
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.store.retire(worker).await
    }

    async fn progress(&self, progress: NewProgress) -> Result<Verdict, StoreError> {
        self.plant.progress(&self.store, progress).await
    }

    async fn signal(&self, signal: NewSignal) -> Result<Signalled, StoreError> {
        self.plant.signal(&self.store, signal).await
    }

    async fn inbox(&self, id: ExecutionId, run: RunId) -> Result<Inbox, StoreError> {
        self.store.inbox(id, run).await
    }

    async fn wish_cancel(
        &self,
        id: ExecutionId,
        run: RunId,
        wish: CancelWish,
    ) -> Result<Option<Seen>, StoreError> {
        self.plant.wish_cancel(&self.store, id, run, wish).await
    }

    async fn cancels(&self, worker: WorkerId) -> Result<Vec<(ExecutionId, RunId, CancelWish)>, StoreError> {
        self.store.cancels(worker).await
    }

    async fn children(&self, parent: ExecutionId) -> Result<Vec<Seen>, StoreError> {
        self.store.children(parent).await
    }

    async fn lead(&self, worker: WorkerId) -> Result<bool, StoreError> {
        self.plant.lead(&self.store, worker).await
    }

    async fn step_down(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.store.step_down(worker).await
    }

    async fn outbox(&self, but: Vec<ExecutionId>, limit: u32) -> Result<Vec<Message>, StoreError> {
        self.plant.outbox(&self.store, but, limit).await
    }

    async fn delivered(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        self.store.delivered(messages).await
    }

    async fn purge(&self, limit: u32, remember: Option<Duration>) -> Result<u32, StoreError> {
        self.plant.purge(&self.store, limit, remember).await
    }
}

/// The row of one execution, as the bugs look it up.
async fn row<S: Store>(store: &S, id: ExecutionId) -> Result<Option<ExecutionRecord>, StoreError> {
    Ok(store.find(vec![id]).await?.pop())
}

/// Gives other tasks a turn, so that a window between two statements is really there.
async fn widen_window() {
    for _turn in 0..256 {
        tokio::task::yield_now().await;
    }
}
