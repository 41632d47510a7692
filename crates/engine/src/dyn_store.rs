//! Where do the futures of a [`Store`] lose their types? Here, once: the engine is not generic.

use std::time::Duration;

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::clock::Clock;
use crate::execution::{CancelWish, ExecutionId, ExecutionRecord, PlanId, RunId, Seen, WorkerId};
use crate::store::{
    Acquire, Acquired, Beat, Begin, Begun, Commit, Confirm, Confirmed, Inbox, ListQuery, Message,
    NewProgress, NewSignal, Observation, PlanRecord, Progress, Register, Signalled, Store, StoreError,
    StoreInfo, Verdict, Wanted,
};

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

macro_rules! erased {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        /// [`Store`] with boxed futures.
        pub(crate) trait DynStore: Send + Sync + 'static {
            fn describe(&self) -> StoreInfo;
            fn clock(&self) -> Clock;
            $(fn $name(&self, $($arg: $type),*) -> Answer<'_, $answer>;)*
        }

        impl<S: Store> DynStore for S {
            fn describe(&self) -> StoreInfo {
                Store::describe(self)
            }

            fn clock(&self) -> Clock {
                Store::clock(self)
            }

            $(fn $name(&self, $($arg: $type),*) -> Answer<'_, $answer> {
                Box::pin(Store::$name(self, $($arg),*))
            })*
        }
    };
}

erased! {
    save_plan(plan: PlanRecord) -> ();
    load_plan(id: PlanId) -> Option<PlanRecord>;
    begin(begin: Begin) -> Begun;
    acquire(acquire: Acquire) -> Acquired;
    commit(commit: Commit) -> Verdict;
    confirm(confirm: Confirm) -> Confirmed;
    load(id: ExecutionId, run: RunId) -> Option<Progress>;
    find(ids: Vec<ExecutionId>) -> Vec<ExecutionRecord>;
    list(query: ListQuery) -> Vec<ExecutionRecord>;
    due(wanted: Wanted) -> Vec<Seen>;
    orphans(wanted: Wanted) -> Vec<Seen>;
    owned(worker: WorkerId) -> Vec<Seen>;
    register(register: Register) -> ();
    beat(worker: WorkerId) -> Beat;
    observe(worker: WorkerId) -> Observation;
    bury(worker: WorkerId, beat: i64) -> bool;
    retire(worker: WorkerId) -> ();
    progress(progress: NewProgress) -> Verdict;
    signal(signal: NewSignal) -> Signalled;
    inbox(id: ExecutionId, run: RunId) -> Inbox;
    wish_cancel(id: ExecutionId, run: RunId, wish: CancelWish) -> Option<Seen>;
    cancels(worker: WorkerId) -> Vec<(ExecutionId, RunId, CancelWish)>;
    children(parent: ExecutionId) -> Vec<Seen>;
    lead(worker: WorkerId) -> bool;
    step_down(worker: WorkerId) -> ();
    outbox(but: Vec<ExecutionId>, limit: u32) -> Vec<Message>;
    delivered(messages: Vec<Uuid>) -> ();
    purge(limit: u32, remember: Option<Duration>) -> u32;
}
