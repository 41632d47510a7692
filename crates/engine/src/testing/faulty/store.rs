//! Every method of the store, with the script around it.

use std::time::Duration;

use uuid::Uuid;

use crate::clock::Clock;
use crate::execution::{CancelWish, ExecutionId, ExecutionRecord, PlanId, RunId, Seen, WorkerId};
use crate::store::{
    Acquire, Acquired, Beat, Begin, Begun, Commit, Confirm, Confirmed, Inbox, ListQuery, Message,
    NewProgress, NewSignal, Observation, PlanRecord, Progress, Register, Signalled, Store, StoreError,
    StoreInfo, Verdict, Wanted,
};

use super::{Call, FaultyStore};
use crate::testing::watch;

impl<S: Store> Store for FaultyStore<S> {
    fn describe(&self) -> StoreInfo {
        self.inner.describe()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    async fn save_plan(&self, plan: PlanRecord) -> Result<(), StoreError> {
        let work = self.inner.save_plan(plan);
        self.faults.around(Call::SavePlan, work).await
    }

    async fn load_plan(&self, id: PlanId) -> Result<Option<PlanRecord>, StoreError> {
        let work = self.inner.load_plan(id);
        self.faults.around(Call::LoadPlan, work).await
    }

    async fn begin(&self, begin: Begin) -> Result<Begun, StoreError> {
        let work = watch::begin(self.faults.watch.get(), &self.inner, begin);
        self.faults.around(Call::Begin, work).await
    }

    async fn acquire(&self, acquire: Acquire) -> Result<Acquired, StoreError> {
        let work = watch::acquire(self.faults.watch.get(), &self.inner, acquire);
        self.faults.around(Call::Acquire, work).await
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, StoreError> {
        let work = watch::commit(self.faults.watch.get(), &self.inner, commit);
        self.faults.around(Call::Commit, work).await
    }

    async fn confirm(&self, confirm: Confirm) -> Result<Confirmed, StoreError> {
        let work = self.inner.confirm(confirm);
        self.faults.around(Call::Confirm, work).await
    }

    async fn load(&self, id: ExecutionId, run: RunId) -> Result<Option<Progress>, StoreError> {
        let work = self.inner.load(id, run);
        self.faults.around(Call::Load, work).await
    }

    async fn find(&self, ids: Vec<ExecutionId>) -> Result<Vec<ExecutionRecord>, StoreError> {
        let work = self.inner.find(ids);
        self.faults.around(Call::Find, work).await
    }

    async fn list(&self, query: ListQuery) -> Result<Vec<ExecutionRecord>, StoreError> {
        let work = self.inner.list(query);
        self.faults.around(Call::List, work).await
    }

    async fn due(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        let work = self.inner.due(wanted);
        self.faults.around(Call::Due, work).await
    }

    async fn orphans(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        let work = self.inner.orphans(wanted);
        self.faults.around(Call::Orphans, work).await
    }

    async fn owned(&self, worker: WorkerId) -> Result<Vec<Seen>, StoreError> {
        let work = self.inner.owned(worker);
        self.faults.around(Call::Owned, work).await
    }

    async fn register(&self, register: Register) -> Result<(), StoreError> {
        let work = self.inner.register(register);
        self.faults.around(Call::Register, work).await
    }

    async fn beat(&self, worker: WorkerId) -> Result<Beat, StoreError> {
        let work = self.inner.beat(worker);
        self.faults.around(Call::Beat, work).await
    }

    async fn observe(&self, worker: WorkerId) -> Result<Observation, StoreError> {
        let work = self.inner.observe(worker);
        self.faults.around(Call::Observe, work).await
    }

    async fn bury(&self, worker: WorkerId, beat: i64) -> Result<bool, StoreError> {
        let work = self.inner.bury(worker, beat);
        self.faults.around(Call::Bury, work).await
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        let work = self.inner.retire(worker);
        self.faults.around(Call::Retire, work).await
    }

    async fn progress(&self, progress: NewProgress) -> Result<Verdict, StoreError> {
        let work = self.inner.progress(progress);
        self.faults.around(Call::Progress, work).await
    }

    async fn signal(&self, signal: NewSignal) -> Result<Signalled, StoreError> {
        let work = self.inner.signal(signal);
        self.faults.around(Call::Signal, work).await
    }

    async fn inbox(&self, id: ExecutionId, run: RunId) -> Result<Inbox, StoreError> {
        let work = self.inner.inbox(id, run);
        self.faults.around(Call::Inbox, work).await
    }

    async fn wish_cancel(
        &self,
        id: ExecutionId,
        run: RunId,
        wish: CancelWish,
    ) -> Result<Option<Seen>, StoreError> {
        let work = self.inner.wish_cancel(id, run, wish);
        self.faults.around(Call::WishCancel, work).await
    }

    async fn cancels(&self, worker: WorkerId) -> Result<Vec<(ExecutionId, RunId, CancelWish)>, StoreError> {
        let work = self.inner.cancels(worker);
        self.faults.around(Call::Cancels, work).await
    }

    async fn children(&self, parent: ExecutionId) -> Result<Vec<Seen>, StoreError> {
        let work = self.inner.children(parent);
        self.faults.around(Call::Children, work).await
    }

    async fn lead(&self, worker: WorkerId) -> Result<bool, StoreError> {
        let work = self.inner.lead(worker);
        self.faults.around(Call::Lead, work).await
    }

    async fn step_down(&self, worker: WorkerId) -> Result<(), StoreError> {
        let work = self.inner.step_down(worker);
        self.faults.around(Call::StepDown, work).await
    }

    async fn outbox(&self, but: Vec<ExecutionId>, limit: u32) -> Result<Vec<Message>, StoreError> {
        let work = self.inner.outbox(but, limit);
        self.faults.around(Call::Outbox, work).await
    }

    async fn delivered(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        let work = self.inner.delivered(messages);
        self.faults.around(Call::Delivered, work).await
    }

    async fn purge(&self, limit: u32, remember: Option<Duration>) -> Result<u32, StoreError> {
        let work = self.inner.purge(limit, remember);
        self.faults.around(Call::Purge, work).await
    }
}
