//! How does a test let the engine's store fail, and a process look dead? The store is wrapped.
//!
//! What a test refuses is a claim, an end, or everything; liveness goes on all the same, so that
//! nobody is declared dead by it. Only a frozen process sends no beats.

use std::time::Duration;

use keystep::clock::Clock;
use keystep::execution::{CancelWish, ExecutionId, ExecutionRecord, PlanId, RunId, Seen, WorkerId};
use keystep::store::{
    Acquire, Acquired, Beat, Begin, Begun, Commit, Confirm, Confirmed, Inbox, ListQuery, Message,
    NewProgress, NewSignal, Observation, PlanRecord, Progress, Register, Signalled, Store, StoreError,
    StoreInfo, Then, Verdict, Wanted,
};
use uuid::Uuid;

use super::on::Hooks;
use super::settings::Refused;

/// A store that does what the controls say.
pub struct HookedStore<S> {
    pub(super) inner: S,
    pub(super) hooks: Hooks,
}

/// Methods that fail while the store is not available, and those that go on.
macro_rules! passed_on {
    ($($how:ident $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(async fn $name(&self, $($arg: $type),*) -> Result<$answer, StoreError> {
            passed_on!(@$how self);
            self.inner.$name($($arg),*).await
        })*
    };
    (@asks $self:ident) => { $self.hooks.may(None).await?; };
    (@lives $self:ident) => {};
}

impl<S: Store> Store for HookedStore<S> {
    fn describe(&self) -> StoreInfo {
        self.inner.describe()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    async fn begin(&self, begin: Begin) -> Result<Begun, StoreError> {
        self.hooks.may(Some(Refused::Claim)).await?;
        self.inner.begin(begin).await
    }

    async fn acquire(&self, acquire: Acquire) -> Result<Acquired, StoreError> {
        self.hooks.may(Some(Refused::Claim)).await?;
        self.inner.acquire(acquire).await
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, StoreError> {
        let ends = !matches!(commit.then, Then::Continue);
        self.hooks.may(ends.then_some(Refused::Finish)).await?;
        let recorded = commit.checkpoint.as_ref();
        let recorded = recorded.map(|checkpoint| (commit.fence.execution, checkpoint.step.clone()));
        let verdict = self.inner.commit(commit).await?;
        if let (Verdict::Written, Some((execution, step))) = (verdict, recorded) {
            self.hooks.checkpoint_written(execution, &step);
        }
        Ok(verdict)
    }

    async fn beat(&self, worker: WorkerId) -> Result<Beat, StoreError> {
        self.hooks.while_frozen().await;
        let answer = self.inner.beat(worker).await;
        self.hooks.beaten();
        answer
    }

    passed_on! {
        lives save_plan(plan: PlanRecord) -> ();
        lives load_plan(id: PlanId) -> Option<PlanRecord>;
        asks confirm(confirm: Confirm) -> Confirmed;
        asks load(id: ExecutionId, run: RunId) -> Option<Progress>;
        asks find(ids: Vec<ExecutionId>) -> Vec<ExecutionRecord>;
        asks list(query: ListQuery) -> Vec<ExecutionRecord>;
        asks due(wanted: Wanted) -> Vec<Seen>;
        asks orphans(wanted: Wanted) -> Vec<Seen>;
        lives owned(worker: WorkerId) -> Vec<Seen>;
        lives register(register: Register) -> ();
        lives observe(worker: WorkerId) -> Observation;
        lives bury(worker: WorkerId, beat: i64) -> bool;
        lives retire(worker: WorkerId) -> ();
        asks progress(progress: NewProgress) -> Verdict;
        asks signal(signal: NewSignal) -> Signalled;
        asks inbox(id: ExecutionId, run: RunId) -> Inbox;
        asks wish_cancel(id: ExecutionId, run: RunId, wish: CancelWish) -> Option<Seen>;
        lives cancels(worker: WorkerId) -> Vec<(ExecutionId, RunId, CancelWish)>;
        asks children(parent: ExecutionId) -> Vec<Seen>;
        lives lead(worker: WorkerId) -> bool;
        lives step_down(worker: WorkerId) -> ();
        asks outbox(but: Vec<ExecutionId>, limit: u32) -> Vec<Message>;
        asks delivered(messages: Vec<Uuid>) -> ();
        asks purge(limit: u32, remember: Option<Duration>) -> u32;
    }
}
