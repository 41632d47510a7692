//! Where do executions live in a test, a doc example, a first try? In this process: [`MemoryStore`].
//!
//! It is the store contract written down as plainly as possible: one mutex, maps, no transactions.
//! The conformance suite compares every other store with it, so a sentence of the
//! [`Store`] documentation that can be read in two ways is decided here.
//!
//! - `row`: one execution, and what each operation makes of it
//! - `workers`: who is alive

mod row;
mod workers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use self::row::Row;
use self::workers::Workers;
use crate::clock::Clock;
use crate::execution::{CancelWish, ExecutionId, ExecutionRecord, PlanId, RunId, Seen, ShapeId, WorkerId};
use crate::random;
use crate::store::{
    Acquire, Acquired, Beat, Begin, Begun, Commit, Confirm, Confirmed, Inbox, ListQuery, Message,
    NewProgress, NewSignal, Observation, PlanRecord, Progress, Reach, Register, Shapes, Signalled, Store,
    StoreError, StoreInfo, Verdict, Wanted,
};

/// Keeps executions in this process, for tests, documentation and first tries.
///
/// Clones are one handle. [`another_handle`](Self::another_handle) gives a second one onto the same
/// executions, as another process would have it. Nothing survives the last handle, and a step can
/// not enlist a transaction: a commit that brings one is `Rejected`.
///
/// ```
/// use keystep::memory::MemoryStore;
/// use keystep::store::Store;
///
/// let here = MemoryStore::new();
/// let there = here.another_handle();
/// assert_ne!(here.describe().instance, there.describe().instance);
/// ```
#[derive(Debug, Clone)]
pub struct MemoryStore {
    handle: Arc<Handle>,
    clock: Clock,
}

/// One handle's identity. Dropping the last clone ends its liveness session.
#[derive(Debug)]
struct Handle {
    instance: Uuid,
    tables: Arc<Mutex<Tables>>,
}

/// Everything that the handles share.
#[derive(Debug, Default)]
struct Tables {
    plans: HashMap<PlanId, PlanRecord>,
    /// Ordered, so that `list` pages by id.
    rows: BTreeMap<ExecutionId, Row>,
    workers: Workers,
    /// In the order in which they were written.
    outbox: Vec<Message>,
    /// Who reads the outbox.
    leader: Option<WorkerId>,
}

impl MemoryStore {
    /// An empty store on real time.
    pub fn new() -> Self {
        Self::with_clock(Clock::new())
    }

    /// An empty store on a clock that somebody else may move.
    pub fn with_clock(clock: Clock) -> Self {
        Self {
            handle: Handle::onto(Arc::default()),
            clock,
        }
    }

    /// A second handle onto the same executions and the same clock, as another process would have
    /// it: with an identity and a liveness session of its own.
    pub fn another_handle(&self) -> Self {
        Self {
            handle: Handle::onto(Arc::clone(&self.handle.tables)),
            clock: self.clock.clone(),
        }
    }

    /// Ends a worker's liveness session, as if its process had died. For tests: the worker is not
    /// declared dead by this, an observer has to notice.
    pub fn end_session(&self, worker: WorkerId) {
        self.tables().workers.end_session(worker);
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.handle.tables()
    }

    fn now(&self) -> i64 {
        self.clock.wall_micros()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Handle {
    fn onto(tables: Arc<Mutex<Tables>>) -> Arc<Self> {
        Arc::new(Self {
            instance: random::unpredictable(),
            tables,
        })
    }

    /// A panic under the lock can only come from a broken invariant of one row; the other rows
    /// stay usable, as they would in a database.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let instance = self.instance;
        self.tables().workers.close_handle(instance);
    }
}

impl Store for MemoryStore {
    fn describe(&self) -> StoreInfo {
        StoreInfo {
            kind: "memory",
            instance: self.handle.instance,
            durable: false,
            reach: Reach::Process,
            transactions: false,
        }
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    async fn save_plan(&self, plan: PlanRecord) -> Result<(), StoreError> {
        self.tables().plans.entry(plan.id).or_insert(plan);
        Ok(())
    }

    async fn load_plan(&self, id: PlanId) -> Result<Option<PlanRecord>, StoreError> {
        Ok(self.tables().plans.get(&id).cloned())
    }

    async fn begin(&self, begin: Begin) -> Result<Begun, StoreError> {
        let now = self.now();
        let mut tables = self.tables();
        let id = begin.id;
        if let Some(row) = tables.rows.get(&id) {
            return Ok(if row.is_begun_by(&begin) {
                Begun::Started(row.fence(id))
            } else {
                Begun::Exists(Box::new(row.record(id, now)))
            });
        }
        let row = Row::begun(begin, now);
        let fence = row.fence(id);
        tables.rows.insert(id, row);
        Ok(Begun::Started(fence))
    }

    async fn acquire(&self, acquire: Acquire) -> Result<Acquired, StoreError> {
        let now = self.now();
        let id = acquire.seen.id;
        let mut tables = self.tables();
        let Some(row) = tables.rows.get_mut(&id) else {
            return Ok(Acquired::Lost);
        };
        if row.seen(id) == acquire.seen && row.has_what_it_takes(&acquire.how) {
            row.acquire(acquire, now);
        } else if !row.is_acquired_by(&acquire) {
            return Ok(Acquired::Lost);
        }
        Ok(Acquired::Won {
            record: Box::new(row.record(id, now)),
            fence: row.fence(id),
        })
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, StoreError> {
        if commit.enlisted.is_some() {
            return Err(StoreError::Rejected(
                "the memory store has no transactions to enlist".into(),
            ));
        }
        let now = self.now();
        let mut tables = self.tables();
        let Tables { rows, outbox, .. } = &mut *tables;
        let fence = commit.fence;
        let Some(row) = rows.get_mut(&fence.execution) else {
            return Ok(Verdict::Fenced);
        };
        let messages = commit.messages.clone();
        let (verdict, is_new) = row.commit(commit, now);
        if is_new {
            outbox.extend(messages.into_iter().map(|message| Message {
                id: message.id,
                execution: fence.execution,
                run: fence.run,
                topic: message.topic,
                payload: message.payload,
            }));
        }
        Ok(verdict)
    }

    async fn confirm(&self, confirm: Confirm) -> Result<Confirmed, StoreError> {
        Ok(self
            .tables()
            .rows
            .get(&confirm.fence.execution)
            .map_or(Confirmed::Fenced, |row| row.confirm(&confirm)))
    }

    async fn load(&self, id: ExecutionId, run: RunId) -> Result<Option<Progress>, StoreError> {
        let now = self.now();
        let tables = self.tables();
        let row = tables.rows.get(&id).filter(|row| row.run == run);
        Ok(row.map(|row| row.recorded(now)))
    }

    async fn find(&self, ids: Vec<ExecutionId>) -> Result<Vec<ExecutionRecord>, StoreError> {
        let now = self.now();
        let tables = self.tables();
        let mut ids = ids;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids
            .into_iter()
            .filter_map(|id| Some(tables.rows.get(&id)?.record(id, now)))
            .collect())
    }

    async fn list(&self, query: ListQuery) -> Result<Vec<ExecutionRecord>, StoreError> {
        let now = self.now();
        Ok(self
            .tables()
            .rows
            .iter()
            .filter(|(id, row)| {
                query.after.is_none_or(|after| **id > after)
                    && query.schema.as_ref().is_none_or(|s| *s == row.key.schema)
                    && query.scope.as_ref().is_none_or(|s| *s == row.key.scope)
                    && (query.states.is_empty() || query.states.contains(&row.state))
            })
            .take(query.limit as usize)
            .map(|(id, row)| row.record(*id, now))
            .collect())
    }

    async fn due(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        let now = self.now();
        let with_parked = matches!(wanted.shapes, Shapes::Only(_));
        let tables = self.tables();
        let mut due: Vec<(i64, Seen)> = tables
            .rows
            .iter()
            .filter(|(_, row)| chosen(&wanted.shapes, row.shape))
            .filter_map(|(id, row)| Some((row.due_since(now, with_parked)?, row.seen(*id))))
            .collect();
        due.sort_by_key(|(since, _)| *since);
        due.truncate(wanted.limit as usize);
        Ok(due.into_iter().map(|(_, seen)| seen).collect())
    }

    async fn orphans(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        let tables = self.tables();
        Ok(tables
            .rows
            .iter()
            .filter(|(_, row)| chosen(&wanted.shapes, row.shape))
            .filter(|(_, row)| row.owner.is_some_and(|owner| !tables.workers.is_live(owner)))
            .take(wanted.limit as usize)
            .map(|(id, row)| row.seen(*id))
            .collect())
    }

    async fn owned(&self, worker: WorkerId) -> Result<Vec<Seen>, StoreError> {
        Ok(self
            .tables()
            .rows
            .iter()
            .filter(|(_, row)| row.owner == Some(worker))
            .map(|(id, row)| row.seen(*id))
            .collect())
    }

    async fn register(&self, register: Register) -> Result<(), StoreError> {
        let instance = self.handle.instance;
        self.tables().workers.register(instance, register);
        Ok(())
    }

    async fn beat(&self, worker: WorkerId) -> Result<Beat, StoreError> {
        let instance = self.handle.instance;
        Ok(self.tables().workers.beat(instance, worker))
    }

    async fn observe(&self, worker: WorkerId) -> Result<Observation, StoreError> {
        Ok(Observation {
            server_age: None,
            incarnation: None,
            others: self.tables().workers.others(worker),
        })
    }

    async fn bury(&self, worker: WorkerId, beat: i64) -> Result<bool, StoreError> {
        Ok(self.tables().workers.bury(worker, beat))
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.tables().workers.retire(worker);
        Ok(())
    }

    async fn progress(&self, progress: NewProgress) -> Result<Verdict, StoreError> {
        let now = self.now();
        let mut tables = self.tables();
        let row = tables.rows.get_mut(&progress.fence.execution);
        Ok(row.map_or(Verdict::Fenced, |row| row.progress(progress, now)))
    }

    async fn signal(&self, signal: NewSignal) -> Result<Signalled, StoreError> {
        let now = self.now();
        let mut tables = self.tables();
        let row = tables.run(signal.id, signal.run);
        Ok(row.map_or(Signalled::Gone, |row| row.signal(signal, now)))
    }

    async fn inbox(&self, id: ExecutionId, run: RunId) -> Result<Inbox, StoreError> {
        let mut tables = self.tables();
        Ok(tables.run(id, run).map_or_else(Inbox::default, |row| row.inbox()))
    }

    async fn wish_cancel(
        &self,
        id: ExecutionId,
        run: RunId,
        wish: CancelWish,
    ) -> Result<Option<Seen>, StoreError> {
        let now = self.now();
        let mut tables = self.tables();
        let row = tables.run(id, run);
        Ok(row.and_then(|row| row.wish_cancel(wish, now).then(|| row.seen(id))))
    }

    async fn cancels(&self, worker: WorkerId) -> Result<Vec<(ExecutionId, RunId, CancelWish)>, StoreError> {
        let tables = self.tables();
        let owned = tables.rows.iter().filter(|(_, row)| row.owner == Some(worker));
        Ok(owned
            .filter_map(|(id, row)| Some((*id, row.run, row.cancel?)))
            .collect())
    }

    async fn children(&self, parent: ExecutionId) -> Result<Vec<Seen>, StoreError> {
        let tables = self.tables();
        let rows = tables.rows.iter();
        Ok(rows
            .filter(|(_, row)| row.parent == Some(parent) && !row.state.is_finished())
            .map(|(id, row)| row.seen(*id))
            .collect())
    }

    async fn lead(&self, worker: WorkerId) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let leads = tables.leader.filter(|leader| tables.workers.is_live(*leader));
        if leads.is_none() && tables.workers.is_live(worker) {
            tables.leader = Some(worker);
        }
        Ok(tables.leader == Some(worker) && tables.workers.is_live(worker))
    }

    async fn step_down(&self, worker: WorkerId) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.leader = tables.leader.filter(|leader| *leader != worker);
        Ok(())
    }

    async fn outbox(&self, but: Vec<ExecutionId>, limit: u32) -> Result<Vec<Message>, StoreError> {
        let tables = self.tables();
        let wanted = tables.outbox.iter();
        Ok(wanted
            .filter(|message| !but.contains(&message.execution))
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn delivered(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        let delivered: HashSet<Uuid> = messages.into_iter().collect();
        self.tables()
            .outbox
            .retain(|message| !delivered.contains(&message.id));
        Ok(())
    }

    async fn purge(&self, limit: u32, remember: Option<Duration>) -> Result<u32, StoreError> {
        let now = self.now();
        let mut tables = self.tables();
        let expired: Vec<ExecutionId> = tables
            .rows
            .iter()
            .filter(|(_, row)| row.is_expired(now))
            .take(limit as usize)
            .map(|(id, _)| *id)
            .collect();
        for id in &expired {
            match (remember, tables.rows.get_mut(id)) {
                (Some(remember), Some(row)) if !row.is_purged() => row.forget(remember, now),
                _ => {
                    tables.rows.remove(id);
                }
            }
        }
        Ok(u32::try_from(expired.len()).unwrap_or(limit))
    }
}

impl Tables {
    fn run(&mut self, id: ExecutionId, run: RunId) -> Option<&mut Row> {
        self.rows.get_mut(&id).filter(|row| row.run == run)
    }
}

fn chosen(shapes: &Shapes, shape: ShapeId) -> bool {
    match shapes {
        Shapes::Only(these) => these.contains(&shape),
        Shapes::Except(these) => !these.contains(&shape),
    }
}
