//! What is sent for a batch or a lone operation, and what does it say about each?
//!
//! One statement does what nearly all of them are: begins, and checkpoints of owners whose fence
//! holds. It names what it did, or counts it where there is one. What it does not name is asked for by a statement that says why: an
//! empty answer proves nothing, because the snapshot may be older than what an operation ran into.

mod acquires;
mod begins;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

#[cfg(feature = "planted")]
use keystep::bugs::{Bug, is_planted};
use keystep::execution::{ExecutionId, ExecutionRecord, WriteId};
use keystep::store::{Acquire, Begin, StoreError, Verdict};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use self::begins::Begins;
use crate::bind::{self, Bound, Form};
use crate::error::Trouble;
use crate::lanes::{Job, Line};
use crate::op::{Done, Op, Reply, Usual, Write};
use crate::rows::{self, column};

/// Runs jobs and answers them; those that were not answered are still there when it failed. Either
/// all of them are acquisitions or none is.
pub(crate) async fn run(line: &mut Line, jobs: &mut Vec<Job>) -> Result<(), Trouble> {
    // The order in which rows are locked and inserted, the same for everybody.
    jobs.sort_by_key(|job| {
        let order = match &*job.op {
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
    let acquires: Vec<&Acquire> = jobs.iter().filter_map(|job| acquisition(&job.op)).collect();
    if !acquires.is_empty() {
        let answers = acquires::acquire(line, &acquires).await?;
        answer(jobs, answers.into_iter().map(Some));
        return Ok(());
    }
    let answers = write(line, &ops(jobs)).await?;
    answer(jobs, answers);
    if !jobs.is_empty() {
        let answers = judge(line, &ops(jobs)).await?;
        answer(jobs, answers.into_iter().map(Some));
    }
    Ok(())
}

/// Writes what waits for nobody. `None` when it needs a closer look, for which it goes into a batch.
pub(crate) async fn run_alone(line: &mut Line, op: &Op) -> Result<Option<Done>, Trouble> {
    Ok(match write(line, &[op]).await?.pop().flatten() {
        Some(Answer::Done(done)) => Some(done),
        Some(Answer::Failed(_) | Answer::Busy) | None => None,
    })
}

fn ops(jobs: &[Job]) -> Vec<&Op> {
    jobs.iter().map(|job| &*job.op).collect()
}

/// Answers each job for which there is an answer; the others stay.
fn answer(jobs: &mut Vec<Job>, answers: impl IntoIterator<Item = Option<Answer>>) {
    let mut open = Vec::new();
    for (job, answer) in jobs.drain(..).zip(answers) {
        match answer {
            Some(answer) => {
                let (op, caller) = job.split();
                let _caller_has_gone = caller.send(answer.of(op));
            }
            None => open.push(job),
        }
    }
    *jobs = open;
}

/// What is to be answered, before the operation itself is at hand.
#[derive(Debug)]
enum Answer {
    Done(Done),
    Failed(StoreError),
    Busy,
}

impl Answer {
    fn of(self, op: Box<Op>) -> Reply {
        match (self, op) {
            (Self::Done(done), _) => Reply::Done(done),
            (Self::Failed(error), _) => Reply::Failed(error),
            (Self::Busy, op) => Reply::Again(op, "somebody else holds the row".to_owned()),
        }
    }
}

/// Does what can be done without a closer look; `None` for writes that need one.
async fn write(line: &mut Line, ops: &[&Op]) -> Result<Vec<Option<Answer>>, Trouble> {
    let begins: Vec<&Begin> = ops.iter().filter_map(|op| begin(op)).collect();
    let commits: Vec<&Write> = ops.iter().filter_map(|op| commit(op)).collect();
    let usual = usual(&commits);
    let (begun, written) = match send(line, &begins, &usual).await {
        // A checkpoint was there already, so nothing was written: which one it is will be said.
        Err(Trouble::Busy(_)) if !usual.is_empty() => send(line, &begins, &[]).await?,
        sent => sent?,
    };
    let written: HashSet<WriteId> = written
        .into_iter()
        .map(|write| usual[write].write.write_id)
        .collect();
    let of_begins = begins.iter().map(|begin| Some(begun.answer(begin)));
    let of_commits = commits.iter().map(|write| {
        let done = Answer::Done(Done::Written(Verdict::Written));
        written.contains(&write.write_id).then_some(done)
    });
    Ok(of_begins.chain(of_commits).collect())
}

/// The writes that one `commit.sql` can do: the usual ones of one origin.
fn usual<'a>(commits: &[&'a Write]) -> Vec<Usual<'a>> {
    let mut usual: Vec<Usual<'_>> = commits.iter().filter_map(|write| write.usual()).collect();
    if let Some(origin) = usual.first().map(|first| first.write.origin()) {
        usual.retain(|one| one.write.origin() == origin);
    }
    usual
}

/// Sends begins and usual writes in one statement: what came of the begins, and which writes were
/// written.
async fn send(
    line: &mut Line,
    begins: &[&Begin],
    usual: &[Usual<'_>],
) -> Result<(Begins, Vec<usize>), Trouble> {
    let offset = line.clock.offset_micros();
    let (form, text) = match (begins.len(), usual.len()) {
        (0, 0) => return Ok(<_>::default()),
        (0, 1) => return Ok((Begins::default(), send_alone(line, &usual[0]).await?)),
        (1, 0) => (Form::Alone, &line.sql.begin_alone),
        (_, 0) => (Form::Many, &line.sql.begin),
        (0, _) => (Form::Many, &line.sql.commit),
        _ => (Form::Many, &line.sql.write),
    };
    let mut query = sqlx::query(text.clone()).bind(offset);
    if let Some(first) = usual.first() {
        query = bind::commits(query, first.write.origin(), usual);
    }
    if !begins.is_empty() {
        query = bind::begins(query, form, begins);
    }
    let rows = fetch(line, query).await?;

    let mut begun = Begins::default();
    let mut written: Option<Vec<i64>> = None;
    match rows.first() {
        Some(row) if begins.is_empty() => written = column(row, 0)?,
        Some(row) if !usual.is_empty() => {
            let tokens: Option<Vec<Uuid>> = column(row, 1)?;
            begun = Begins::begun(column(row, 0)?, tokens.unwrap_or_default());
            written = column(row, 2)?;
        }
        _ => rows.iter().try_for_each(|row| begun.read(row, offset))?,
    }
    begun.read_missing(line, begins, offset).await;
    let numbers = written.unwrap_or_default().into_iter();
    let places = numbers.filter_map(|ord| usize::try_from(ord - 1).ok());
    Ok((begun, places.filter(|place| *place < usual.len()).collect()))
}

/// Sends a usual write by itself; its place if it was written.
async fn send_alone(line: &mut Line, only: &Usual<'_>) -> Result<Vec<usize>, Trouble> {
    let text = match only.succeeds {
        true => &line.sql.commit_alone,
        false => &line.sql.checkpoint_alone,
    };
    let query = sqlx::query(text.clone()).bind(line.clock.offset_micros());
    let rows = execute(line, bind::commit_alone(query, only)).await?;
    Ok((rows == 1).then_some(0).into_iter().collect())
}

/// Sends writes of any kind; each gets its verdict.
async fn judge(line: &mut Line, ops: &[&Op]) -> Result<Vec<Answer>, Trouble> {
    let commits: Vec<&Write> = ops.iter().filter_map(|op| commit(op)).collect();
    let query = sqlx::query(line.sql.judge.clone()).bind(line.clock.offset_micros());
    let rows = fetch(line, bind::judged(query, &commits)).await?;
    let mut verdicts = HashMap::with_capacity(commits.len());
    for row in &rows {
        let (ord, answer) = verdict(row)?;
        verdicts.insert(ord, answer);
    }
    // No row for a write can not be; then it was not judged, and is asked for again.
    let answers = (1..=commits.len() as i64).map(|ord| verdicts.remove(&ord).unwrap_or(Answer::Busy));
    Ok(answers.collect())
}

/// Reads the columns ord, verdict and recorded_by.
fn verdict(row: &PgRow) -> Result<(i64, Answer), Trouble> {
    let ord = column(row, 0)?;
    let written = |verdict| Answer::Done(Done::Written(verdict));
    let answer = match column(row, 1)? {
        WRITTEN | WRITTEN_BEFORE => written(Verdict::Written),
        EXISTS => written(Verdict::Exists(WriteId(column(row, 2)?))),
        FENCED => written(Verdict::Fenced),
        WISHED => written(Verdict::Wished),
        BUSY => Answer::Busy,
        RESTARTED => Answer::Failed(StoreError::Restarted),
        other => return Err(Trouble::Unreadable(format!("unknown verdict {other}"))),
    };
    Ok((ord, answer))
}

/// Verdicts of `judge.sql`.
pub(crate) const WRITTEN: i32 = 1;
pub(crate) const WRITTEN_BEFORE: i32 = 2;
pub(crate) const EXISTS: i32 = 3;
pub(crate) const FENCED: i32 = 4;
pub(crate) const BUSY: i32 = 5;
pub(crate) const RESTARTED: i32 = 6;
pub(crate) const WISHED: i32 = 7;

fn begin(op: &Op) -> Option<&Begin> {
    match op {
        Op::Begin(begin) => Some(begin),
        Op::Commit(_) | Op::Acquire(_) => None,
    }
}

fn commit(op: &Op) -> Option<&Write> {
    match op {
        Op::Commit(write) => Some(write),
        Op::Begin(_) | Op::Acquire(_) => None,
    }
}

fn acquisition(op: &Op) -> Option<&Acquire> {
    match op {
        Op::Acquire(acquire) => Some(acquire),
        Op::Begin(_) | Op::Commit(_) => None,
    }
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
    line.heard(fetched)
}

/// Runs a statement that answers with no rows; how many it wrote.
async fn execute(line: &mut Line, query: Bound) -> Result<u64, Trouble> {
    let deadline = line.deadline;
    let connection = line.ready().await?;
    let executed = within(deadline, query.execute(connection)).await;
    Ok(line.heard(executed)?.rows_affected())
}

/// Runs a statement, and gives up on its connection when there is no answer in time.
pub(crate) async fn fetch_within(
    connection: &mut PgConnection,
    query: Bound,
    deadline: Duration,
) -> Result<Vec<PgRow>, Trouble> {
    within(deadline, query.fetch_all(connection)).await
}

async fn within<T>(deadline: Duration, answer: impl Future<Output = sqlx::Result<T>>) -> Result<T, Trouble> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answered) => answered.map_err(|error| Trouble::of(&error)),
        Err(_elapsed) => Err(Trouble::deadline(deadline)),
    }
}
