//! What does one statement of a lane say about each of its operations? Bind a batch, run it, read
//! the verdicts.
//!
//! An operation is answered only from a row that names it. One that no row names is asked for again
//! by a statement of its own: an empty answer proves nothing, because the snapshot may be older
//! than what the operation ran into.

use std::collections::HashMap;

#[cfg(feature = "planted")]
use keystep::bugs::{Bug, is_planted};
use keystep::execution::{Claim, ExecutionId, ExecutionRecord, Fence, WriteId};
use keystep::store::{Acquire, Acquired, Begin, Begun, StoreError, Verdict};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::bind::{self, Bound};
use crate::error::Trouble;
use crate::lanes::{Job, Line};
use crate::op::{Done, Op, Reply, Write};
use crate::rows::{self, RECORD_COLUMNS, column};

/// Runs jobs as one statement and answers them; they are still there when it failed. Either all of
/// them are acquisitions or none is.
pub(crate) async fn run(line: &mut Line, jobs: &mut Vec<Job>) -> Result<(), Trouble> {
    // The order in which rows are locked and inserted, the same for everybody.
    jobs.sort_by_key(|job| {
        let order = match &job.op {
            Op::Begin(begin) => (0, begin.id),
            Op::Commit(write) => (1, write.fence.execution),
            Op::Acquire(acquire) => (2, acquire.seen.id),
        };
        #[cfg(feature = "planted")]
        if is_planted(Bug::SortRemoved) {
            return (order.0, ExecutionId(Uuid::nil()));
        }
        order
    });
    let mut begins = Vec::new();
    let mut commits = Vec::new();
    let mut acquires = Vec::new();
    for job in jobs.iter() {
        match &job.op {
            Op::Begin(begin) => begins.push(begin),
            Op::Commit(write) => commits.push(write),
            Op::Acquire(acquire) => acquires.push(acquire),
        }
    }
    let replies = if acquires.is_empty() {
        write(line, &begins, &commits).await?
    } else {
        acquire(line, &acquires).await?
    };
    for (job, reply) in jobs.drain(..).zip(replies) {
        let (op, caller) = job.split();
        let _caller_has_gone = caller.send(reply.of(op));
    }
    Ok(())
}

/// What is to be answered, before the operation itself is at hand.
#[derive(Debug)]
enum Answer {
    Done(Done),
    Failed(StoreError),
    Busy,
}

impl Answer {
    fn of(self, op: Op) -> Reply {
        match (self, op) {
            (Self::Done(done), _) => Reply::Done(done),
            (Self::Failed(error), _) => Reply::Failed(error),
            (Self::Busy, op) => Reply::Again(op, "somebody else holds the row".to_owned()),
        }
    }
}

async fn write(line: &mut Line, begins: &[&Begin], commits: &[&Write]) -> Result<Vec<Answer>, Trouble> {
    let text = match (begins.is_empty(), commits.is_empty()) {
        (false, true) => &line.sql.begin,
        (true, _) => &line.sql.commit,
        (false, false) => &line.sql.write,
    };
    let offset = line.clock.offset_micros();
    let query = sqlx::query(text.clone()).bind(offset);
    let mut query = bind::begins(query, begins);
    if !commits.is_empty() {
        query = bind::commits(query, commits);
    }
    let rows = fetch(line, query).await?;

    let mut begun = Begins::default();
    let mut verdicts = HashMap::with_capacity(commits.len());
    for row in &rows {
        if begins.is_empty() {
            let (ord, answer) = verdict(row, 0)?;
            verdicts.insert(ord, answer);
        } else if column::<i32>(row, 0)? == WRITE {
            let (ord, answer) = verdict(row, 2 + RECORD_COLUMNS)?;
            verdicts.insert(ord, answer);
        } else {
            begun.read(row, offset)?;
        }
    }
    begun.read_missing(line, begins, offset).await;
    let of_begins = begins.iter().map(|begin| begun.answer(begin));
    // No row for a write can not be; then it was not judged, and is asked for again.
    let of_commits = (1..=commits.len() as i64).map(|ord| verdicts.remove(&ord).unwrap_or(Answer::Busy));
    Ok(of_begins.chain(of_commits).collect())
}

/// Kinds of rows of `begin.sql` and `write.sql`; any other is an existing execution.
const BEGUN: i32 = 0;
const WRITE: i32 = 2;

/// Reads the columns ord, verdict and recorded_by.
fn verdict(row: &PgRow, first: usize) -> Result<(i64, Answer), Trouble> {
    let ord = column(row, first)?;
    let code: i32 = column(row, first + 1)?;
    let written = |verdict| Answer::Done(Done::Written(verdict));
    let answer = match code {
        WRITTEN | WRITTEN_BEFORE => written(Verdict::Written),
        EXISTS => written(Verdict::Exists(WriteId(column(row, first + 2)?))),
        FENCED => written(Verdict::Fenced),
        BUSY => Answer::Busy,
        RESTARTED => Answer::Failed(StoreError::Restarted),
        other => return Err(Trouble::Unreadable(format!("unknown verdict {other}"))),
    };
    Ok((ord, answer))
}

/// Verdicts of `commit.sql`.
pub(crate) const WRITTEN: i32 = 1;
pub(crate) const WRITTEN_BEFORE: i32 = 2;
pub(crate) const EXISTS: i32 = 3;
pub(crate) const FENCED: i32 = 4;
pub(crate) const BUSY: i32 = 5;
pub(crate) const RESTARTED: i32 = 6;

/// What came of the begins of a batch.
#[derive(Default)]
struct Begins {
    /// Inserted by this statement: id and claim.
    inserted: HashMap<(ExecutionId, Uuid), i64>,
    /// There already.
    existing: HashMap<ExecutionId, Result<ExecutionRecord, Trouble>>,
    incarnation: i64,
}

impl Begins {
    fn read(&mut self, row: &PgRow, offset: i64) -> Result<(), Trouble> {
        self.incarnation = column(row, 1)?;
        let id = ExecutionId(column(row, 2)?);
        if column::<i32>(row, 0)? == BEGUN {
            self.inserted.insert((id, column(row, 3)?), self.incarnation);
        } else {
            self.existing.insert(id, rows::record(row, 2, offset));
        }
        Ok(())
    }

    /// Reads those that were neither inserted nor in the snapshot: somebody else began them at the
    /// same moment.
    async fn read_missing(&mut self, line: &mut Line, begins: &[&Begin], offset: i64) {
        let missing: Vec<Uuid> = begins
            .iter()
            .filter(|begin| !self.knows(begin))
            .map(|begin| begin.id.0)
            .collect();
        if missing.is_empty() {
            return;
        }
        #[cfg(feature = "planted")]
        if is_planted(Bug::BeginInOneStatement) {
            let nothing = || Err(Trouble::Unreadable("neither begun nor there".to_owned()));
            let ids = missing.into_iter().map(ExecutionId);
            return self.existing.extend(ids.map(|id| (id, nothing())));
        }
        // What can not be read now is begun again.
        if let Ok(records) = find(line, missing, offset).await {
            self.existing.extend(records);
        }
    }

    fn knows(&self, begin: &Begin) -> bool {
        self.inserted.contains_key(&(begin.id, begin.token)) || self.existing.contains_key(&begin.id)
    }

    fn answer(&self, begin: &Begin) -> Answer {
        let started = |incarnation| {
            Answer::Done(Done::Begun(Begun::Started(Fence {
                execution: begin.id,
                run: begin.run,
                claim: Claim {
                    epoch: 1,
                    token: begin.token,
                },
                incarnation,
            })))
        };
        if let Some(&incarnation) = self.inserted.get(&(begin.id, begin.token)) {
            return started(incarnation);
        }
        match self.existing.get(&begin.id) {
            Some(Ok(record)) if record.run == begin.run && record.claim.token == begin.token => {
                started(self.incarnation)
            }
            Some(Ok(record)) => Answer::Done(Done::Begun(Begun::Exists(Box::new(record.clone())))),
            Some(Err(trouble)) => Answer::Failed(trouble.clone().of_read()),
            None => Answer::Busy,
        }
    }
}

async fn acquire(line: &mut Line, acquires: &[&Acquire]) -> Result<Vec<Answer>, Trouble> {
    let offset = line.clock.offset_micros();
    let query = sqlx::query(line.sql.acquire.clone()).bind(offset);
    let rows = fetch(line, bind::acquires(query, acquires)).await?;

    let mut codes: HashMap<i64, i32> = HashMap::new();
    let mut won = HashMap::new();
    let mut incarnation = 0;
    for row in &rows {
        let ord: i64 = column(row, 0)?;
        incarnation = column(row, 2)?;
        match column(row, 1)? {
            WON => {
                won.insert(ord, rows::record(row, 3, offset));
            }
            code => {
                codes.insert(ord, code);
            }
        }
    }
    let mut answers = Vec::with_capacity(acquires.len());
    for (ord, acquire) in (1_i64..).zip(acquires) {
        let answer = match (won.remove(&ord), codes.get(&ord)) {
            (Some(record), _) => self::won(acquire, record, incarnation),
            (None, Some(&CARRIES_THE_CLAIM)) => {
                let mut found = find(line, vec![acquire.seen.id.0], offset).await?;
                match found.remove(&acquire.seen.id) {
                    Some(record) => self::won(acquire, record, incarnation),
                    None => lost(),
                }
            }
            (None, Some(&BUSY) | None) => Answer::Busy,
            (None, Some(_)) => lost(),
        };
        answers.push(answer);
    }
    Ok(answers)
}

/// Verdicts of `acquire.sql` beside those that it shares with `commit.sql`.
const WON: i32 = 0;
const CARRIES_THE_CLAIM: i32 = 2;

fn lost() -> Answer {
    Answer::Done(Done::Acquired(Acquired::Lost))
}

fn won(acquire: &Acquire, record: Result<ExecutionRecord, Trouble>, incarnation: i64) -> Answer {
    match record {
        Ok(record) if carries(&record, acquire) => {
            let fence = Fence {
                execution: record.id,
                run: record.run,
                claim: record.claim,
                incarnation,
            };
            let record = Box::new(record);
            Answer::Done(Done::Acquired(Acquired::Won { record, fence }))
        }
        Ok(_another_claim_by_now) => lost(),
        Err(trouble) => Answer::Failed(trouble.of_read()),
    }
}

/// Whether the acquisition made the present claim.
fn carries(record: &ExecutionRecord, acquire: &Acquire) -> bool {
    record.claim.token == acquire.token && record.claim.epoch == acquire.seen.claim.epoch + 1
}

async fn find(
    line: &mut Line,
    ids: Vec<Uuid>,
    offset: i64,
) -> Result<HashMap<ExecutionId, Result<ExecutionRecord, Trouble>>, Trouble> {
    let query = sqlx::query(line.sql.find.clone()).bind(ids);
    let rows = fetch(line, query).await?;
    rows.iter()
        .map(|row| {
            let id = ExecutionId(column(row, 0)?);
            Ok((id, rows::record(row, 0, offset)))
        })
        .collect()
}

async fn fetch(line: &mut Line, query: Bound) -> Result<Vec<PgRow>, Trouble> {
    let deadline = line.deadline;
    let connection = line.ready().await?;
    let fetched = fetch_within(connection, query, deadline).await;
    if fetched.as_ref().is_err_and(Trouble::ends_the_connection) {
        line.hang_up();
    }
    fetched
}

/// Runs a statement, and gives up on its connection when there is no answer in time.
pub(crate) async fn fetch_within(
    connection: &mut PgConnection,
    query: Bound,
    deadline: std::time::Duration,
) -> Result<Vec<PgRow>, Trouble> {
    match tokio::time::timeout(deadline, query.fetch_all(connection)).await {
        Ok(fetched) => fetched.map_err(|error| Trouble::of(&error)),
        Err(_elapsed) => Err(Trouble::deadline(deadline)),
    }
}
