//! How does an owner record what it did? Fenced statements, and a look at the row when nothing
//! was written.
//!
//! The fence is part of each statement that writes. Only when such a statement touched no row the
//! row is read, in the same transaction, to say which of the three reasons it was: an earlier send
//! of the same write, a step that is recorded already, or an ownership that has ended.

use std::time::Duration;

#[cfg(feature = "planted")]
use keystep::bugs::{Bug, is_planted};
use keystep::execution::{CancelWish, Fence, ParkReason, State, WorkerId, WriteId};
use keystep::store::{
    Commit, Confirm, Confirmed, NewCheckpoint, NewMessage, StoreError, Then, Tries, Verdict,
};
use sqlx::SqliteConnection;

use crate::batch::{Query, Row};
use crate::error::before_commit;
use crate::group::Write;
use crate::writes::outbox;
use crate::{rows, sql};

pub(crate) const CHECKPOINTS: &str = include_str!("../../sql/checkpoints.sql");
pub(crate) const SETTLES: &str = include_str!("../../sql/settles.sql");
const STANDING: &str = include_str!("../../sql/standing.sql");
const RECORDED: &str = include_str!("../../sql/recorded.sql");

/// A commit without the transaction it may carry: that one decides where this runs.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) fence: Fence,
    pub(crate) write_id: WriteId,
    pub(crate) worker: WorkerId,
    pub(crate) checkpoint: Option<NewCheckpoint>,
    pub(crate) then: Then,
    pub(crate) messages: Vec<NewMessage>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) verdict: Verdict,
    /// Whether it was written now; `false` when an earlier send had done it.
    pub(crate) now: bool,
}

pub(crate) const WRITTEN_NOW: Applied = Applied {
    verdict: Verdict::Written,
    now: true,
};

impl From<Commit> for Record {
    fn from(commit: Commit) -> Self {
        Self {
            fence: commit.fence,
            write_id: commit.write_id,
            worker: commit.worker,
            checkpoint: commit.checkpoint,
            then: commit.then,
            messages: commit.messages,
        }
    }
}

impl Write for Record {
    type Answer = Applied;

    fn bytes(&self) -> usize {
        let output = self.checkpoint.as_ref().map_or(0, |step| step.output.len());
        let failure = match &self.then {
            Then::Fail { failure, .. } | Then::Undone { failure, .. } => failure.len(),
            Then::Wait { failure, .. } | Then::Park { failure, .. } => {
                failure.as_ref().map_or(0, |failure| failure.len())
            }
            Then::Continue | Then::Succeed { .. } | Then::Cancel { .. } | Then::Release => 0,
        };
        let messages: usize = self.messages.iter().map(|message| message.payload.len()).sum();
        output + failure + messages
    }

    fn row(&self) -> Option<Row<'_>> {
        let writes = self.checkpoint.is_some() || self.then != Then::Continue;
        // Whether there are to be messages is known only when the rest was written; whether it yields,
        // only before.
        (writes && self.messages.is_empty() && !self.yields()).then_some(Row::Record(self))
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<Applied, StoreError> {
        let applied = self.record(conn, now).await?;
        let sends = applied == WRITTEN_NOW;
        #[cfg(feature = "planted")]
        let sends = sends || is_planted(Bug::MessagesUnseen);
        if sends {
            outbox::emit(&self.messages, &self.fence, conn, now).await?;
        }
        Ok(applied)
    }
}

impl Record {
    /// Whether a wish to cancel the run comes first.
    fn yields(&self) -> bool {
        matches!(self.then, Then::Fail { yields: true, .. })
    }

    /// The checkpoint and the change of state.
    async fn record(&self, conn: &mut SqliteConnection, now: i64) -> Result<Applied, StoreError> {
        if self.yields() {
            let step = self.checkpoint.as_ref().map(|step| &*step.step);
            let standing = standing(&self.fence, step, conn).await?;
            if standing.is_some_and(|row| row.yields()) {
                return Ok(Applied {
                    verdict: Verdict::Wished,
                    now: false,
                });
            }
        }
        if let Some(checkpoint) = &self.checkpoint {
            let insert = sqlx::query(sql::text(CHECKPOINTS));
            if !wrote_one(bind_checkpoint(insert, self, checkpoint, now), conn).await? {
                return stand(self, conn).await;
            }
        }
        match Ending::of(&self.then, now) {
            Some(ending) => {
                let settle = sqlx::query(sql::text(SETTLES));
                match wrote_one(bind_ending(settle, self, &ending), conn).await? {
                    true => Ok(WRITTEN_NOW),
                    false => stand(self, conn).await,
                }
            }
            None if self.checkpoint.is_some() => Ok(WRITTEN_NOW),
            None => stand(self, conn).await,
        }
    }
}

/// Runs a statement for one row, and answers whether it wrote it.
pub(crate) async fn wrote_one(query: Query<'_>, conn: &mut SqliteConnection) -> Result<bool, StoreError> {
    let written = query.execute(conn).await.map_err(before_commit)?;
    Ok(written.rows_affected() == 1)
}

/// Binds one row of `checkpoints.sql`.
pub(crate) fn bind_checkpoint<'q>(
    query: Query<'q>,
    record: &'q Record,
    checkpoint: &'q NewCheckpoint,
    now: i64,
) -> Query<'q> {
    bind_fence(query, &record.fence)
        .bind(&*checkpoint.step)
        .bind(checkpoint.seq)
        .bind(record.worker.0)
        .bind(record.write_id.0)
        .bind(checkpoint.attempt)
        .bind(checkpoint.lost)
        .bind(now)
        .bind(&*checkpoint.output.0)
}

/// Binds one row of `settles.sql`.
pub(crate) fn bind_ending<'q>(query: Query<'q>, record: &'q Record, ending: &Ending<'q>) -> Query<'q> {
    bind_fence(query, &record.fence)
        .bind(ending.state.code())
        .bind(record.write_id.0)
        .bind(ending.at)
        .bind(ending.wake_at)
        .bind(ending.heard)
        .bind(ending.wish.map(CancelWish::code))
        .bind(ending.failure)
        .bind(ending.reason)
        .bind(ending.tries.map(|tries| tries.count))
        .bind(ending.tries.map(|tries| tries.seq))
        .bind(ending.output_step)
        .bind(ending.finished_at)
        .bind(ending.expires_at)
        .bind(record.checkpoint.as_ref().map(|checkpoint| &*checkpoint.step))
}

pub(crate) fn bind_fence<'q>(query: Query<'q>, fence: &Fence) -> Query<'q> {
    query
        .bind(fence.execution.0)
        .bind(fence.run.0)
        .bind(fence.claim.epoch)
        .bind(fence.claim.token)
}

/// The columns that the end of an ownership sets.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    state: State,
    at: i64,
    wake_at: Option<i64>,
    /// Of how many signals the owner knows that waits for more.
    heard: Option<i32>,
    /// The wish to cancel that the owner knows of.
    wish: Option<CancelWish>,
    failure: Option<&'a [u8]>,
    reason: Option<&'static str>,
    tries: Option<Tries>,
    output_step: Option<&'a str>,
    finished_at: Option<i64>,
    expires_at: Option<i64>,
}

impl<'a> Ending<'a> {
    /// `None` when the ownership goes on.
    pub(crate) fn of(then: &'a Then, now: i64) -> Option<Self> {
        let ending = Self {
            state: then.state(),
            at: now,
            wake_at: None,
            heard: None,
            wish: None,
            failure: None,
            reason: None,
            tries: None,
            output_step: None,
            finished_at: None,
            expires_at: None,
        };
        Some(match then {
            Then::Continue => return None,
            Then::Succeed {
                output_step,
                retention,
            } => Self {
                output_step: Some(output_step),
                finished_at: Some(now),
                expires_at: retention.map(|kept| later(now, kept)),
                ..ending
            },
            Then::Fail {
                failure,
                tries,
                retention,
                yields: _,
            } => Self {
                failure: Some(&failure.0),
                tries: Some(*tries),
                finished_at: Some(now),
                expires_at: retention.map(|kept| later(now, kept)),
                ..ending
            },
            Then::Undone { failure, retention } => Self {
                failure: Some(&failure.0),
                finished_at: Some(now),
                expires_at: retention.map(|kept| later(now, kept)),
                ..ending
            },
            Then::Cancel { retention } => Self {
                finished_at: Some(now),
                expires_at: retention.map(|kept| later(now, kept)),
                ..ending
            },
            Then::Wait {
                delay,
                reason,
                failure,
                tries,
                signals,
                wish,
            } => Self {
                wake_at: delay.map(|delay| later(now, delay)),
                heard: *signals,
                wish: *wish,
                failure: failure.as_ref().map(|failure| &*failure.0),
                reason: Some(reason.as_str()),
                tries: Some(*tries),
                ..ending
            },
            Then::Park {
                reason,
                failure,
                wish,
            } => Self {
                wish: *wish,
                // A deploy may bring the missing shape at any time, so this one is always due.
                wake_at: (*reason == ParkReason::UnknownShape).then_some(now),
                failure: failure.as_ref().map(|failure| &*failure.0),
                reason: Some(reason.as_str()),
                ..ending
            },
            Then::Release => Self {
                wake_at: Some(now),
                ..ending
            },
        })
    }
}

pub(crate) fn later(now: i64, wait: Duration) -> i64 {
    now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

/// Why a write touched no row, or would have had nothing to write.
async fn stand(record: &Record, conn: &mut SqliteConnection) -> Result<Applied, StoreError> {
    let step = record.checkpoint.as_ref().map(|step| &*step.step);
    let earlier = |verdict| Applied { verdict, now: false };
    Ok(match standing(&record.fence, step, conn).await? {
        None => earlier(Verdict::Fenced),
        Some(row) if row.knows(record.write_id) => earlier(Verdict::Written),
        Some(row) if row.state != State::Running => earlier(Verdict::Fenced),
        Some(row) => match row.recorded_by {
            Some(other) => earlier(Verdict::Exists(other)),
            // Nothing to record and nothing to change: the fence holds, which is all there is.
            None => WRITTEN_NOW,
        },
    })
}

/// What a row that still carries the writer's claim says.
struct Standing {
    state: State,
    ended_by: Option<WriteId>,
    recorded_by: Option<WriteId>,
    is_wished: bool,
}

impl Standing {
    /// Whether its owner, who may write, has to yield to a wish to cancel it.
    fn yields(&self) -> bool {
        self.state == State::Running && self.recorded_by.is_none() && self.is_wished
    }

    fn knows(&self, write: WriteId) -> bool {
        #[cfg(feature = "planted")]
        if is_planted(Bug::VerdictJoinedOnStep) && self.recorded_by.is_some() {
            return true;
        }
        self.ended_by == Some(write) || self.recorded_by == Some(write)
    }
}

async fn standing(
    fence: &Fence,
    step: Option<&str>,
    conn: &mut SqliteConnection,
) -> Result<Option<Standing>, StoreError> {
    let row = bind_fence(sqlx::query(sql::text(STANDING)), fence)
        .bind(step)
        .fetch_optional(conn);
    let Some(row) = row.await.map_err(before_commit)? else {
        return Ok(None);
    };
    Ok(Some(Standing {
        state: rows::state(&row)?,
        ended_by: rows::get::<Option<_>>(&row, "ended_by")?.map(WriteId),
        recorded_by: rows::get::<Option<_>>(&row, "recorded_by")?.map(WriteId),
        is_wished: rows::get::<Option<i64>>(&row, "cancel")?.is_some(),
    }))
}

impl Write for Confirm {
    type Answer = Confirmed;

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, _now: i64) -> Result<Confirmed, StoreError> {
        let recorded_by = sqlx::query_scalar(RECORDED)
            .bind(self.fence.run.0)
            .bind(&self.step)
            .fetch_optional(&mut *conn)
            .await
            .map_err(before_commit)?;
        if recorded_by.map(WriteId) == Some(self.write_id) {
            return Ok(Confirmed::Written);
        }
        let standing = standing(&self.fence, None, conn).await?;
        Ok(match standing {
            Some(row) if row.state == State::Running => Confirmed::Absent,
            _ => Confirmed::Fenced,
        })
    }
}
