//! How does the engine talk to PostgreSQL? Each method of the [`Store`] trait: bind, run, map.
//!
//! Begins, writes of owners and acquisitions go to the lanes (`lanes`); everything else is a statement
//! on a reader connection.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::Either;
use keystep::clock::Clock;
use keystep::execution::{CancelWish, ExecutionId, ExecutionRecord, PlanId, RunId, Seen, State, WorkerId};
use keystep::store::{
    Acquire, Acquired, Beat, Begin, Begun, Commit, Confirm, Confirmed, Inbox, ListQuery, Message,
    NewProgress, NewSignal, Observation, PlanRecord, Progress, Reach, Register, Shapes, Signalled, Store,
    StoreError, StoreInfo, Verdict, Wanted,
};
use sqlx::postgres::PgPool;
use uuid::Uuid;

use crate::batch;
use crate::bind::{self, ids};
use crate::connect::Connector;
use crate::error::Trouble;
use crate::lanes::Lanes;
use crate::liveness::Liveness;
use crate::op::{Done, Op, Write};
use crate::options::{PostgresOptions, SchemaName};
use crate::reader::first;
use crate::rows::{self, column};
use crate::server::ServerReport;
use crate::sql::Sql;

/// A store on a PostgreSQL database. Cheap to clone; the clones share their connections.
#[derive(Clone)]
pub struct PostgresStore {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("schema", &self.inner.options.schema)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) instance: Uuid,
    pub(crate) options: PostgresOptions,
    pub(crate) schema: SchemaName,
    pub(crate) sql: Arc<Sql>,
    pub(crate) connector: Connector,
    pub(crate) readers: PgPool,
    pub(crate) transactions: PgPool,
    pub(crate) lanes: Lanes,
    pub(crate) liveness: Liveness,
    pub(crate) report: ServerReport,
    /// Whether the format of the tables was found good.
    pub(crate) usable: AtomicBool,
}

impl Store for PostgresStore {
    fn describe(&self) -> StoreInfo {
        StoreInfo {
            kind: "postgres",
            instance: self.inner.instance,
            durable: true,
            reach: Reach::Network,
            transactions: true,
        }
    }

    fn clock(&self) -> Clock {
        self.inner.options.clock.clone()
    }

    async fn save_plan(&self, plan: PlanRecord) -> Result<(), StoreError> {
        let query = self
            .query(&self.inner.sql.save_plan)
            .bind(plan.id.0)
            .bind(plan.shape.0)
            .bind(plan.schema)
            .bind(plan.body);
        self.write(query).await?;
        Ok(())
    }

    async fn load_plan(&self, id: PlanId) -> Result<Option<PlanRecord>, StoreError> {
        let query = self.query(&self.inner.sql.load_plan).bind(id.0);
        let rows = self.read(query).await?;
        let plan = rows.first().map(rows::plan).transpose();
        plan.map_err(Trouble::of_read)
    }

    fn begin(&self, begin: Begin) -> impl Future<Output = Result<Begun, StoreError>> + Send {
        // Before the future, which would hold the begin itself while it waits, and twice. The same below.
        let op = Box::new(Op::Begin(begin));
        async move {
            self.usable().await?;
            match self.inner.lanes.call(op).await? {
                Done::Begun(begun) => Ok(begun),
                _ => Err(wrong_answer()),
            }
        }
    }

    async fn acquire(&self, acquire: Acquire) -> Result<Acquired, StoreError> {
        self.usable().await?;
        match self.inner.lanes.call(Box::new(Op::Acquire(acquire))).await? {
            Done::Acquired(acquired) => Ok(acquired),
            _ => Err(wrong_answer()),
        }
    }

    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Verdict, StoreError>> + Send {
        let (write, enlisted, messages) = Write::of(commit);
        if enlisted.is_some() || !messages.is_empty() {
            return Either::Left(Box::pin(self.commit_beside(write, enlisted, messages)));
        }
        let op = Box::new(Op::Commit(write));
        Either::Right(async move {
            self.usable().await?;
            match self.inner.lanes.call(op).await? {
                Done::Written(verdict) => Ok(verdict),
                _ => Err(wrong_answer()),
            }
        })
    }

    async fn confirm(&self, confirm: Confirm) -> Result<Confirmed, StoreError> {
        let Confirm {
            fence,
            step,
            write_id,
        } = confirm;
        // First the lock, which waits for the connection whose answer was lost; then, in a younger
        // snapshot, what it left behind.
        let query = self.query(&self.inner.sql.lock).bind(fence.execution.0);
        let locked = self.read(query).await?;
        let query = self
            .query(&self.inner.sql.recorded_by)
            .bind(fence.run.0)
            .bind(step);
        let recorded = self.read(query).await?;

        let recorded_by: Option<Uuid> = first(&recorded, 0)?;
        if recorded_by == Some(write_id.0) {
            return Ok(Confirmed::Written);
        }
        let run: Option<Uuid> = first(&locked, 0)?;
        let epoch: Option<i64> = first(&locked, 1)?;
        let token: Option<Uuid> = first(&locked, 2)?;
        let state: Option<i16> = first(&locked, 3)?;
        let owned = run == Some(fence.run.0)
            && epoch == Some(fence.claim.epoch)
            && token == Some(fence.claim.token)
            && state == Some(State::Running.code());
        Ok(if owned {
            Confirmed::Absent
        } else {
            Confirmed::Fenced
        })
    }

    async fn load(&self, id: ExecutionId, run: RunId) -> Result<Option<Progress>, StoreError> {
        let query = self.query(&self.inner.sql.load).bind(id.0).bind(run.0);
        let offset = self.offset();
        let rows = self.read(query).await?;
        rows::progress(&rows, offset).map_err(Trouble::of_read)
    }

    async fn find(&self, wanted: Vec<ExecutionId>) -> Result<Vec<ExecutionRecord>, StoreError> {
        let query = self.query(&self.inner.sql.find).bind(ids(&wanted, |id| id.0));
        self.records(query).await
    }

    async fn list(&self, wanted: ListQuery) -> Result<Vec<ExecutionRecord>, StoreError> {
        // No id is smaller than the nil UUID, and no derived id is equal to it.
        let after = wanted.after.map_or(Uuid::nil(), |id| id.0);
        let states: Vec<i16> = wanted.states.iter().map(|state| state.code()).collect();
        let query = self
            .query(&self.inner.sql.list)
            .bind(after)
            .bind(wanted.schema)
            .bind(wanted.scope)
            .bind(states)
            .bind(i64::from(wanted.limit));
        self.records(query).await
    }

    async fn due(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        let (shapes, only) = shapes(wanted.shapes);
        let query = self
            .query(&self.inner.sql.due)
            .bind(self.offset())
            .bind(shapes)
            .bind(only)
            .bind(i64::from(wanted.limit));
        self.seen(query).await
    }

    async fn orphans(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        let query = self.query(&self.inner.sql.dead_owners);
        let dead = self.read_all(query, |row| column::<i64>(row, 0)).await?;
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        let (shapes, only) = shapes(wanted.shapes);
        let query = self
            .query(&self.inner.sql.owned)
            .bind(dead)
            .bind(shapes)
            .bind(only)
            .bind(i64::from(wanted.limit));
        self.seen(query).await
    }

    async fn owned(&self, worker: WorkerId) -> Result<Vec<Seen>, StoreError> {
        let (no_shapes, only) = shapes(Shapes::Except(Vec::new()));
        let query = self
            .query(&self.inner.sql.owned)
            .bind(vec![worker.0])
            .bind(no_shapes)
            .bind(only)
            .bind(i64::MAX);
        self.seen(query).await
    }

    async fn register(&self, register: Register) -> Result<(), StoreError> {
        self.usable().await?;
        self.inner.liveness.register(register).await
    }

    async fn beat(&self, worker: WorkerId) -> Result<Beat, StoreError> {
        self.usable().await?;
        let beat = self.inner.liveness.beat(worker, &self.inner.schema).await;
        if let Err(StoreError::Refused(_)) = beat {
            self.inner.usable.store(false, Ordering::Release);
        }
        beat
    }

    async fn observe(&self, worker: WorkerId) -> Result<Observation, StoreError> {
        self.usable().await?;
        self.inner.liveness.observe(worker).await
    }

    async fn bury(&self, worker: WorkerId, beat: i64) -> Result<bool, StoreError> {
        self.usable().await?;
        self.inner.liveness.bury(worker, beat).await
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.usable().await?;
        self.inner.liveness.retire(worker).await
    }

    async fn progress(&self, progress: NewProgress) -> Result<Verdict, StoreError> {
        let query = self.query(&self.inner.sql.progress).bind(self.offset());
        let query = bind::progress(query, progress);
        let rows = self.write(query).await?;
        match first::<i32>(&rows, 0)? {
            Some(batch::WRITTEN) => Ok(Verdict::Written),
            Some(batch::FENCED) => Ok(Verdict::Fenced),
            Some(batch::RESTARTED) => Err(StoreError::Restarted),
            other => Err(unknown_verdict(other)),
        }
    }

    async fn signal(&self, signal: NewSignal) -> Result<Signalled, StoreError> {
        let query = || {
            let query = self.query(&self.inner.sql.signal).bind(self.offset());
            bind::signal(query, &signal)
        };
        self.write_until_told(query, |rows| match first::<i32>(rows, 0)? {
            Some(SENT | SENT_BEFORE) => Ok(Some(Signalled::Sent)),
            Some(REFUSED) => Ok(Some(Signalled::Refused)),
            Some(FINISHED) | None => Ok(Some(Signalled::Gone)),
            Some(AGAIN) => Ok(None),
            other => Err(unknown_verdict(other)),
        })
        .await
    }

    async fn inbox(&self, _id: ExecutionId, run: RunId) -> Result<Inbox, StoreError> {
        let rows = self.read(self.query(&self.inner.sql.inbox).bind(run.0)).await?;
        let signals = rows.iter().map(rows::signal).collect::<Result<Vec<_>, _>>();
        let signals = signals.map_err(Trouble::of_read)?;
        Ok(Inbox {
            count: i32::try_from(signals.len()).unwrap_or(i32::MAX),
            signals,
        })
    }

    async fn wish_cancel(
        &self,
        id: ExecutionId,
        run: RunId,
        wish: CancelWish,
    ) -> Result<Option<Seen>, StoreError> {
        let query = self
            .query(&self.inner.sql.wish_cancel)
            .bind(self.offset())
            .bind(id.0)
            .bind(run.0)
            .bind(wish.code());
        let rows = self.write(query).await?;
        let seen = rows.first().map(rows::seen).transpose();
        seen.map_err(Trouble::of_read)
    }

    async fn cancels(&self, worker: WorkerId) -> Result<Vec<(ExecutionId, RunId, CancelWish)>, StoreError> {
        let query = self.query(&self.inner.sql.cancels).bind(worker.0);
        self.read_all(query, rows::wish).await
    }

    async fn children(&self, parent: ExecutionId) -> Result<Vec<Seen>, StoreError> {
        let query = self.query(&self.inner.sql.children).bind(parent.0);
        self.seen(query).await
    }

    async fn lead(&self, worker: WorkerId) -> Result<bool, StoreError> {
        let query = self.query(&self.inner.sql.lead).bind(worker.0);
        let rows = self.write(query).await?;
        Ok(first(&rows, 0)?.unwrap_or(false))
    }

    async fn step_down(&self, worker: WorkerId) -> Result<(), StoreError> {
        let query = self.query(&self.inner.sql.step_down).bind(worker.0);
        self.write(query).await.map(drop)
    }

    async fn outbox(&self, but: Vec<ExecutionId>, limit: u32) -> Result<Vec<Message>, StoreError> {
        let query = self
            .query(&self.inner.sql.outbox)
            .bind(ids(&but, |id| id.0))
            .bind(i64::from(limit));
        self.read_all(query, rows::message).await
    }

    async fn delivered(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        let query = self.query(&self.inner.sql.delivered).bind(messages);
        self.write(query).await?;
        Ok(())
    }

    async fn purge(&self, limit: u32, remember: Option<Duration>) -> Result<u32, StoreError> {
        let query = self
            .query(&self.inner.sql.purge)
            .bind(self.offset())
            .bind(i64::from(limit))
            .bind(remember.map(bind::micros));
        let rows = self.write(query).await?;
        let purged: Option<i64> = first(&rows, 0)?;
        // What was purged is the answer; forgetting old workers can wait for the next time.
        let workers = self.query(&self.inner.sql.purge_workers);
        if let Err(error) = self.write(workers).await {
            tracing::debug!(%error, "workers that died long ago are not forgotten yet");
        }
        Ok(purged.and_then(|purged| u32::try_from(purged).ok()).unwrap_or(0))
    }
}

/// Verdicts of `signal.sql`.
const SENT: i32 = 1;
const SENT_BEFORE: i32 = 2;
const REFUSED: i32 = 3;
const FINISHED: i32 = 4;
const AGAIN: i32 = 5;

/// Shapes as arguments: the list, and whether these are wanted or all others.
fn shapes(shapes: Shapes) -> (Vec<Uuid>, bool) {
    match shapes {
        Shapes::Only(these) => (ids(&these, |shape| shape.0), true),
        Shapes::Except(these) => (ids(&these, |shape| shape.0), false),
    }
}

/// A lane answers each operation in kind; this can not be.
fn wrong_answer() -> StoreError {
    StoreError::Unknown("a lane mixed up its answers".to_owned())
}

pub(crate) fn unknown_verdict(verdict: Option<i32>) -> StoreError {
    StoreError::Unreadable(format!("unknown verdict {verdict:?}"))
}
