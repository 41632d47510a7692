//! How do many writes share one commit? A thread that takes what waits and answers after COMMIT.
//!
//! A lone write goes at once; while one transaction is made durable the next writes gather in the
//! lane. In a batch they are rows of a few statements as long as all of them can be written. When one
//! can not, the batch is rolled back and each write is made by statements of its own, so a fence holds
//! for each by itself. A value that can not be stored fails its own write only: the batch is rolled
//! back and made again without it.
//!
//! The thread has a runtime of its own. It is never cancelled half-way, whatever happens to the
//! runtime of the program, and a step that blocks its thread does not stop the beats of its worker.
//!
//! Where nothing waits and nobody writes, a lone write does not even go to the thread: its caller makes it,
//! in its turn. A caller can be dropped there, or not be polled for long, so turns have a connection of their
//! own, and what comes meanwhile has the thread's. A turn never waits: what finds the database locked goes
//! the usual way.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::thread;

use futures::future::BoxFuture;
use keystep::clock::Clock;
use keystep::lane::{LaneClosed, LaneLimits, LaneReceiver, LaneSender, Pending, lane};
use keystep::store::StoreError;
use sqlx::SqliteConnection;
use tokio::runtime::{Builder, Handle};

use crate::batch::{Batch, Row};
use crate::error::{writer_gone, writer_lost};
use crate::writer::Writer;

/// One write, as statements of its own inside a transaction that somebody else opens and ends. It may
/// run more than once before that transaction is committed, each time in a fresh transaction.
pub(crate) trait Write: Send + Sync + 'static {
    /// What the caller gets.
    type Answer: Send + 'static;

    /// Bytes to be written, for the bounds of a batch.
    fn bytes(&self) -> usize;

    /// The same as rows of statements that many writes share, if it can be.
    fn row(&self) -> Option<Row<'_>> {
        None
    }

    /// Runs the statements; `now` is the time in microseconds.
    fn apply(
        &self,
        conn: &mut SqliteConnection,
        now: i64,
    ) -> impl Future<Output = Result<Self::Answer, StoreError>> + Send;
}

type Answer = Box<dyn Any + Send>;
type Outcome = Result<Answer, StoreError>;

/// A write whose type is forgotten, so that writes of all kinds wait in one lane.
trait Job: Send + Sync {
    fn row(&self) -> Option<Row<'_>>;

    fn run<'a>(&'a self, conn: &'a mut SqliteConnection, now: i64) -> BoxFuture<'a, Outcome>;
}

impl<W: Write> Job for W {
    fn row(&self) -> Option<Row<'_>> {
        Write::row(self)
    }

    fn run<'a>(&'a self, conn: &'a mut SqliteConnection, now: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { Ok(Box::new(self.apply(conn, now).await?) as Answer) })
    }
}

/// The end of the lane that the store writes to.
#[derive(Clone)]
pub(crate) struct Group {
    lane: LaneSender<Box<dyn Job>, Outcome>,
    /// For the thread, and for the transactions of steps.
    writer: Writer,
    /// For the callers in their turns.
    lone: Writer,
    clock: Clock,
}

/// The end of the lane that the thread takes from.
struct Serving {
    /// Shared and not cloned: a second receiver would count as a writer that is free, for which half
    /// of a large batch is left.
    lane: Arc<LaneReceiver<Box<dyn Job>, Outcome>>,
    writer: Writer,
    lone: Writer,
    clock: Clock,
}

impl Group {
    /// Makes a write durable: alone, or with those that wait.
    pub(crate) fn write<W: Write>(
        &self,
        write: W,
    ) -> impl Future<Output = Result<W::Answer, StoreError>> + Send {
        let bytes = write.bytes();
        // Before the future, which would hold the write itself while it waits, and twice.
        let job: Box<dyn Job> = Box::new(write);
        async move {
            if let Some(outcome) = self.in_turn(job.row()).await {
                return answer_of(outcome);
            }
            match self.lane.call(job, bytes).await {
                Ok(outcome) => answer_of(outcome),
                Err(LaneClosed { taken: true }) => Err(writer_lost()),
                Err(LaneClosed { taken: false }) => Err(writer_gone()),
            }
        }
    }

    /// Makes a write durable if nobody else writes and it can be a row; `None` when nothing was written.
    pub(crate) async fn write_alone<W: Write>(&self, write: &W) -> Option<Result<W::Answer, StoreError>> {
        self.in_turn(Write::row(write)).await.map(answer_of)
    }

    async fn in_turn(&self, row: Option<Row<'_>>) -> Option<Outcome> {
        let row = row?;
        let _turn = self.lane.turn()?;
        if !self.writer.is_at_home() {
            // A step's transaction has the lock. What waits for it keeps its order.
            return None;
        }
        let batch = Batch::of([row], self.clock.wall_micros());
        match Box::pin(batch.write_alone(&self.lone)).await {
            Ok(true) => Some(Ok(row.answer())),
            // Locked, or there is no connection: nothing was written.
            Ok(false) | Err(StoreError::Unavailable(_)) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

fn answer_of<T: 'static>(outcome: Outcome) -> Result<T, StoreError> {
    let answer = outcome?.downcast();
    answer.map(|answer| *answer).map_err(|_other| writer_lost())
}

/// Starts the thread that writes, unless a caller has a turn. It ends when the last handle of the store, and
/// the last of its transactions, is gone.
pub(crate) fn start(
    limits: LaneLimits,
    clock: Clock,
    make: impl FnOnce(Handle) -> Writer,
) -> Result<(Group, Writer), StoreError> {
    let no_thread = |error| StoreError::Unavailable(format!("no thread for the writer: {error}"));
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(no_thread)?;
    let writer = make(runtime.handle().clone());
    let (sender, receiver) = lane(limits);
    let serving = Serving {
        lane: Arc::new(receiver),
        lone: writer.beside(),
        writer: writer.clone(),
        clock: clock.clone(),
    };
    let group = Group {
        lane: sender,
        writer: writer.clone(),
        lone: serving.lone.clone(),
        clock,
    };
    thread::Builder::new()
        .name("keystep-sqlite".to_owned())
        .spawn(move || runtime.block_on(supervise(serving)))
        .map_err(no_thread)?;
    Ok((group, writer))
}

/// Serves until the lane ends. A panic loses the batch at hand, whose callers are told that their
/// outcome is unknown, and nothing else.
async fn supervise(serving: Serving) {
    loop {
        let Serving {
            lane,
            writer,
            lone,
            clock,
        } = &serving;
        let batches = serve(Arc::clone(lane), writer.clone(), clock.clone());
        match tokio::spawn(batches).await {
            // Before the other one closes: of two that close together none may find that it is the last,
            // which takes over what is in the log.
            Ok(()) => return lone.close().await,
            Err(died) => tracing::error!(%died, "the SQLite writer died and is started again"),
        }
    }
}

async fn serve(lane: Arc<LaneReceiver<Box<dyn Job>, Outcome>>, writer: Writer, clock: Clock) {
    while let Some(batch) = lane.next_batch().await {
        let outcomes = write_together(&writer, &clock, &batch).await;
        for (pending, outcome) in batch.into_iter().zip(outcomes) {
            pending.answer(outcome);
        }
    }
}

/// One transaction for all; one answer for each, in their order, after the COMMIT.
async fn write_together(
    writer: &Writer,
    clock: &Clock,
    batch: &[Pending<Box<dyn Job>, Outcome>],
) -> Vec<Outcome> {
    // Most often everything can be written at once, and then it need not be looked at.
    if let [pending] = batch
        && let Some(row) = pending.op.row()
    {
        match Batch::of([row], clock.wall_micros()).write_alone(writer).await {
            Ok(true) => return vec![Ok(row.answer())],
            Ok(false) => {}
            Err(error) => return vec![Err(error)],
        }
    }
    let mut outcomes: Vec<Option<Outcome>> = batch.iter().map(|_pending| None).collect();
    let mut rows = batch.len() > 1;
    loop {
        let tried = try_together(writer, clock, batch, &mut outcomes, rows).await;
        match tried {
            Ok(Tried::Done) => break,
            Ok(Tried::NotAsRows) => rows = false,
            Ok(Tried::Again) => {}
            Err(error) => {
                for outcome in &mut outcomes {
                    if !matches!(outcome, Some(Err(_))) {
                        *outcome = Some(Err(error.clone()));
                    }
                }
                break;
            }
        }
    }
    let unanswered = || Err(writer_lost());
    outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(unanswered))
        .collect()
}

enum Tried {
    /// All writes that could be stored are durable.
    Done,
    /// Not all rows could be written; nothing was.
    NotAsRows,
    /// One more write was found that can not be stored; nothing was written.
    Again,
}

/// Runs all writes that have not failed yet, those that can be rows as `rows`. An error is one of the
/// whole transaction.
async fn try_together(
    writer: &Writer,
    clock: &Clock,
    batch: &[Pending<Box<dyn Job>, Outcome>],
    outcomes: &mut [Option<Outcome>],
    rows: bool,
) -> Result<Tried, StoreError> {
    let now = clock.wall_micros();
    let mut transaction = match Batch::of(batch.iter().filter_map(|pending| row_of(pending, rows)), now)
        .write(writer)
        .await
    {
        Ok(Some(transaction)) => transaction,
        Ok(None) => return Ok(Tried::NotAsRows),
        Err(error) if rows && concerns_one_write(&error) => return Ok(Tried::NotAsRows),
        Err(error) => return Err(error),
    };
    for (pending, outcome) in batch.iter().zip(outcomes) {
        if let Some(row) = row_of(pending, rows) {
            *outcome = Some(Ok(row.answer()));
            continue;
        }
        if matches!(outcome, Some(Err(_))) {
            continue;
        }
        match pending.op.run(transaction.conn(), now).await {
            Ok(answer) => *outcome = Some(Ok(answer)),
            Err(error) if concerns_one_write(&error) => {
                *outcome = Some(Err(error));
                transaction.rollback().await;
                return Ok(Tried::Again);
            }
            Err(error) => {
                transaction.rollback().await;
                return Err(error);
            }
        }
    }
    transaction.commit().await?;
    Ok(Tried::Done)
}

/// The write as a row, if any are wanted.
fn row_of(pending: &Pending<Box<dyn Job>, Outcome>, wanted: bool) -> Option<Row<'_>> {
    pending.op.row().filter(|_row| wanted)
}

fn concerns_one_write(error: &StoreError) -> bool {
    matches!(error, StoreError::Rejected(_) | StoreError::Unreadable(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Opener;
    use crate::log_file::LogFile;
    use crate::options::SqliteOptions;
    use keystep::execution::{ExecutionId, FullKey, InputHash, Payload, PlanId, RunId, ShapeId, WorkerId};
    use keystep::store::Begin;
    use std::time::Duration;
    use tempfile::TempDir;
    use uuid::Uuid;

    /// A write that kills the writer, or does nothing.
    struct Mortal {
        kills: bool,
    }

    impl Write for Mortal {
        type Answer = i64;

        fn bytes(&self) -> usize {
            0
        }

        async fn apply(&self, _conn: &mut SqliteConnection, now: i64) -> Result<i64, StoreError> {
            assert!(!self.kills, "this write kills the writer");
            Ok(now)
        }
    }

    async fn group_on(folder: &TempDir) -> Group {
        group_and_writer_on(folder).await.0
    }

    async fn group_and_writer_on(folder: &TempDir) -> (Group, Writer) {
        let database = folder.path().join("keys.db");
        let options = SqliteOptions::from(database.clone());
        let opener = Opener::new(&options).expect("a path").creating();
        let conn = opener.writer().await.expect("a new file");
        let made = start(LaneLimits::default(), Clock::new(), |tasks| {
            let log = LogFile::of(&database);
            Writer::new(conn, opener, log, Duration::from_secs(5), tasks)
        });
        made.expect("a thread")
    }

    #[tokio::test]
    async fn a_writer_that_dies_leaves_its_callers_with_an_unknown_outcome_and_is_started_again() {
        let folder = TempDir::new().expect("a temporary folder");
        let group = group_on(&folder).await;
        for _round in 0..3 {
            let died = group.write(Mortal { kills: true }).await;
            assert!(matches!(died, Err(StoreError::Unknown(_))), "{died:?}");
            let lives = group.write(Mortal { kills: false }).await;
            assert!(lives.expect("an answer") > 0);
        }
    }

    /// A begin of a key of its own.
    fn begin(key: &str) -> Begin {
        let key = FullKey {
            schema: "test.turns".to_owned(),
            scope: String::new(),
            key: key.to_owned(),
        };
        Begin {
            id: ExecutionId::of(&key),
            key: key.into(),
            run: RunId::fresh(),
            token: Uuid::nil(),
            owner: WorkerId(1),
            plan: PlanId(Uuid::nil()),
            shape: ShapeId(Uuid::nil()),
            input: Payload(Vec::new().into()),
            input_hash: InputHash([0; 32]),
            parent: None,
        }
    }

    #[tokio::test]
    async fn a_lone_write_is_made_by_its_caller_and_what_comes_meanwhile_by_the_thread() {
        let folder = TempDir::new().expect("a temporary folder");
        let options = SqliteOptions::from(folder.path().join("keys.db"));
        let opener = Opener::new(&options).expect("a path");
        crate::migrate::migrate(&opener).await.expect("tables");
        let (group, writer) = group_and_writer_on(&folder).await;
        // A connection that has begun a transaction holds the log.
        writer.begin().await.expect("begun").rollback().await;
        // The connection that made the tables may still have the lock.
        let alone = async {
            while group.write_alone(&begin("alone")).await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        let alone = tokio::time::timeout(Duration::from_secs(10), alone).await;
        alone.expect("a turn that finds the database free");
        let taken = || (group.lone.times_taken(), writer.times_taken());
        let before = taken();

        let together = ["first", "second", "third"].map(|key| group.write(begin(key)));
        for written in futures::future::join_all(together).await {
            written.expect("written");
        }
        let (by_callers, by_thread) = taken();
        assert_eq!(by_callers, before.0 + 1, "the first of them");
        assert!(
            (1..=2).contains(&(by_thread - before.1)),
            "the others, most often together"
        );

        let step = writer.begin().await.expect("a transaction");
        let locked = group.write_alone(&begin("beside")).await;
        assert!(locked.is_none(), "a turn waits for no lock");
        let (written, ()) = futures::join!(group.write(begin("beside")), step.rollback());
        written.expect("written");
        assert_eq!(
            writer.times_taken(),
            by_thread + 2,
            "after the transaction, by the thread"
        );
    }

    #[test]
    fn writes_go_on_when_the_runtime_that_opened_the_store_has_ended() {
        let folder = TempDir::new().expect("a temporary folder");
        let opened = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let group = opened.block_on(group_on(&folder));
        drop(opened);
        let other = Builder::new_current_thread().build().expect("a runtime");
        let lives = other.block_on(group.write(Mortal { kills: false }));
        assert!(lives.expect("an answer") > 0);
    }
}
