//! What is the store? Handles on one database file: writers, readers, and a liveness session.
//!
//! Each method is one line of traffic: reads go to a reader, writes to the group of the writers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryFutureExt;
use futures::future::Either;
use keystep::clock::Clock;
use keystep::execution::{CancelWish, ExecutionId, ExecutionRecord, PlanId, RunId, Seen, WorkerId};
use keystep::random;
use keystep::store::{
    Acquire, Acquired, Beat, Begin, Begun, Commit, Confirm, Confirmed, Inbox, ListQuery, Message,
    NewProgress, NewSignal, Observation, Observed, PlanRecord, Progress, Reach, Register, Signalled, Store,
    StoreError, StoreInfo, Verdict, Wanted,
};
use uuid::Uuid;

use crate::connect::{Opener, check_writable};
use crate::error::no_session;
use crate::group::{self, Group};
use crate::liveness::Sessions;
use crate::log_file::LogFile;
use crate::options::SqliteOptions;
use crate::reader::Readers;
use crate::writer::Writer;
use crate::writes::begin::meet;
use crate::writes::cancel::Wish;
use crate::writes::commit::Record;
use crate::writes::outbox::{Delivered, Lead, StepDown};
use crate::writes::purge::Purge;
use crate::writes::worker::{Beating, Bury, Retire};
use crate::{migrate, reads};

/// A store in an SQLite file, shared by the processes of one machine. Cheap to clone; all clones
/// are one handle.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    instance: Uuid,
    clock: Clock,
    group: Group,
    writer: Writer,
    readers: Readers,
    sessions: Sessions,
    /// Whether the key of the last begin was a new one.
    new_keys: AtomicBool,
}

impl SqliteStore {
    /// Opens a database, making the file and bringing its tables to the newest format first.
    /// Processes that start together on a new file wait for each other.
    ///
    /// Takes a path, a URL (`sqlite:orders.db`) or [`SqliteOptions`].
    ///
    /// # Errors
    /// [`StoreError::Refused`] when this file can not be used at all: stop. Others: try again.
    pub async fn open(options: impl Into<SqliteOptions>) -> Result<Self, StoreError> {
        let options = options.into();
        Self::migrate(options.clone()).await?;
        Self::connect(options).await
    }

    /// Opens a database whose tables have the newest format already.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there are no tables or older ones (call
    /// [`migrate`](Self::migrate) once), newer ones than this program can read (use a newer
    /// program), or when this file can not be used at all. Others: try again.
    pub async fn connect(options: impl Into<SqliteOptions>) -> Result<Self, StoreError> {
        let options = options.into();
        let opener = Opener::new(&options)?;
        let path = opener.path()?;
        let mut conn = opener.writer().await?;
        migrate::check(&mut conn).await?;
        check_writable(&mut conn).await?;
        options.moments.listen(&mut conn).await?;
        let (group, writer) = group::start(options.lane, options.clock.clone(), |tasks| {
            let log = LogFile::of(&path);
            Writer::new(conn, opener.clone(), log, options.busy_timeout, tasks).telling(options.moments)
        })?;
        let inner = Inner {
            instance: random::unpredictable(),
            clock: options.clock,
            group,
            writer,
            readers: Readers::new(opener, options.readers),
            sessions: Sessions::beside(&path),
            new_keys: AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Makes the file if it is not there and brings its tables to the newest format. Calling it
    /// again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when this file can not be used at all, or is of a newer format than
    /// this program can read. Others: try again.
    pub async fn migrate(options: impl Into<SqliteOptions>) -> Result<(), StoreError> {
        let opener = Opener::new(&options.into())?;
        opener.check_place()?;
        migrate::migrate(&opener).await
    }

    pub(crate) fn instance(&self) -> Uuid {
        self.inner.instance
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.inner.writer
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    pub(crate) fn now(&self) -> i64 {
        self.inner.clock.wall_micros()
    }
}

impl Store for SqliteStore {
    fn describe(&self) -> StoreInfo {
        StoreInfo {
            kind: "sqlite",
            instance: self.inner.instance,
            durable: true,
            reach: Reach::Host,
            transactions: true,
        }
    }

    fn clock(&self) -> Clock {
        self.inner.clock.clone()
    }

    async fn save_plan(&self, plan: PlanRecord) -> Result<(), StoreError> {
        match self.load_plan(plan.id).await? {
            Some(_same) => Ok(()),
            None => self.inner.group.write(plan).await,
        }
    }

    async fn load_plan(&self, id: PlanId) -> Result<Option<PlanRecord>, StoreError> {
        let readers = self.readers();
        readers.read(|conn| Box::pin(reads::plan(conn, id))).await
    }

    fn begin(&self, begin: Begin) -> impl Future<Output = Result<Begun, StoreError>> + Send {
        let Inner { group, new_keys, .. } = &*self.inner;
        // A key that is there costs no write: only a new one takes the writer.
        let found = self.find(vec![begin.id]);
        async move {
            // After a new key comes another one, most often: then a look would find nothing.
            if new_keys.load(Ordering::Relaxed)
                && let Some(Ok(begun)) = group.write_alone(&begin).await
            {
                return Ok(begun);
            }
            let found = found.await?.pop();
            new_keys.store(found.is_none(), Ordering::Relaxed);
            match found {
                Some(record) => Ok(meet(&begin, record)),
                None => group.write(begin).await,
            }
        }
    }

    async fn acquire(&self, acquire: Acquire) -> Result<Acquired, StoreError> {
        self.inner.group.write(acquire).await
    }

    fn commit(&self, mut commit: Commit) -> impl Future<Output = Result<Verdict, StoreError>> + Send {
        let enlisted = commit.enlisted.take();
        let record = Record::from(commit);
        match enlisted {
            Some(enlisted) => Either::Left(Box::pin(self.commit_enlisted(enlisted, record))),
            None => Either::Right(self.inner.group.write(record).map_ok(|applied| applied.verdict)),
        }
    }

    async fn confirm(&self, confirm: Confirm) -> Result<Confirmed, StoreError> {
        self.inner.group.write(confirm).await
    }

    async fn load(&self, id: ExecutionId, run: RunId) -> Result<Option<Progress>, StoreError> {
        let (readers, now) = (self.readers(), self.now());
        readers
            .read(|conn| Box::pin(reads::load(conn, id, run, now)))
            .await
    }

    async fn find(&self, ids: Vec<ExecutionId>) -> Result<Vec<ExecutionRecord>, StoreError> {
        let (readers, now) = (self.readers(), self.now());
        readers.read(|conn| Box::pin(reads::find(conn, ids, now))).await
    }

    async fn list(&self, query: ListQuery) -> Result<Vec<ExecutionRecord>, StoreError> {
        let (readers, now) = (self.readers(), self.now());
        readers.read(|conn| Box::pin(reads::list(conn, query, now))).await
    }

    async fn due(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        let (readers, now) = (self.readers(), self.now());
        readers.read(|conn| Box::pin(reads::due(conn, wanted, now))).await
    }

    async fn orphans(&self, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        let readers = self.readers();
        readers.read(|conn| Box::pin(reads::orphans(conn, wanted))).await
    }

    async fn owned(&self, worker: WorkerId) -> Result<Vec<Seen>, StoreError> {
        let readers = self.readers();
        readers.read(|conn| Box::pin(reads::owned(conn, worker))).await
    }

    async fn register(&self, register: Register) -> Result<(), StoreError> {
        let (worker, sessions) = (register.worker, &self.inner.sessions);
        let others = self.others(worker).await?;
        let live: Vec<WorkerId> = others.iter().map(|other| other.worker).collect();
        sessions.sweep(&live);
        // The lock first: whoever sees the row must find the session standing.
        sessions
            .open(worker, &register.name)
            .map_err(|error| no_session(worker, &error))?;
        let registered = self.inner.group.write(register).await;
        if let Err(StoreError::Rejected(_)) = registered {
            sessions.close(worker);
        }
        registered
    }

    async fn beat(&self, worker: WorkerId) -> Result<Beat, StoreError> {
        let sessions = &self.inner.sessions;
        let beat = self.inner.group.write(Beating { worker }).await?;
        match beat {
            Beat::Alive => {
                if let Err(error) = sessions.keep_open(worker) {
                    tracing::warn!(%worker, %error, "the worker's lock file could not be made anew");
                }
            }
            Beat::Dead => sessions.close(worker),
        }
        Ok(beat)
    }

    async fn observe(&self, worker: WorkerId) -> Result<Observation, StoreError> {
        let mut others = self.others(worker).await?;
        for other in &mut others {
            other.session = self.inner.sessions.stands(other.worker);
        }
        Ok(Observation {
            server_age: None,
            incarnation: None,
            others,
        })
    }

    async fn bury(&self, worker: WorkerId, beat: i64) -> Result<bool, StoreError> {
        let dead = self.inner.group.write(Bury { worker, beat }).await?;
        if dead {
            self.inner.sessions.forget(worker);
        }
        Ok(dead)
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.inner.group.write(Retire { worker }).await?;
        self.inner.sessions.close(worker);
        Ok(())
    }

    async fn progress(&self, progress: NewProgress) -> Result<Verdict, StoreError> {
        self.inner.group.write(progress).await
    }

    async fn signal(&self, signal: NewSignal) -> Result<Signalled, StoreError> {
        self.inner.group.write(signal).await
    }

    async fn inbox(&self, _id: ExecutionId, run: RunId) -> Result<Inbox, StoreError> {
        let readers = self.readers();
        readers.read(|conn| Box::pin(reads::inbox(conn, run))).await
    }

    async fn wish_cancel(
        &self,
        id: ExecutionId,
        run: RunId,
        wish: CancelWish,
    ) -> Result<Option<Seen>, StoreError> {
        self.inner.group.write(Wish { id, run, wish }).await
    }

    async fn cancels(&self, worker: WorkerId) -> Result<Vec<(ExecutionId, RunId, CancelWish)>, StoreError> {
        let readers = self.readers();
        readers.read(|conn| Box::pin(reads::cancels(conn, worker))).await
    }

    async fn children(&self, parent: ExecutionId) -> Result<Vec<Seen>, StoreError> {
        let readers = self.readers();
        readers.read(|conn| Box::pin(reads::children(conn, parent))).await
    }

    async fn lead(&self, worker: WorkerId) -> Result<bool, StoreError> {
        let readers = self.readers();
        let leads = readers.read(|conn| Box::pin(reads::leads(conn, worker))).await?;
        match leads {
            Some(leads) => Ok(leads),
            None => self.inner.group.write(Lead { worker }).await,
        }
    }

    async fn step_down(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.inner.group.write(StepDown { worker }).await
    }

    async fn outbox(&self, but: Vec<ExecutionId>, limit: u32) -> Result<Vec<Message>, StoreError> {
        let readers = self.readers();
        readers
            .read(|conn| Box::pin(reads::outbox(conn, but, limit)))
            .await
    }

    async fn delivered(&self, messages: Vec<Uuid>) -> Result<(), StoreError> {
        self.inner.group.write(Delivered { messages }).await
    }

    async fn purge(&self, limit: u32, remember: Option<Duration>) -> Result<u32, StoreError> {
        self.inner.group.write(Purge { limit, remember }).await
    }
}

impl SqliteStore {
    async fn others(&self, worker: WorkerId) -> Result<Vec<Observed>, StoreError> {
        let readers = self.readers();
        readers.read(|conn| Box::pin(reads::observe(conn, worker))).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("instance", &self.inner.instance)
            .finish_non_exhaustive()
    }
}
