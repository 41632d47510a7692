//! How does a batch become the arguments of one statement? One array for each column, one element
//! for each operation, in the order of the `unnest` in `sql/parts`; or the values themselves of the only one.

use std::time::Duration;

use keystep::execution::{CancelWish, ParkReason, Payload};
use keystep::store::{Acquire, Begin, Fresh, How, NewMessage, NewProgress, NewSignal, Then};
use sqlx::postgres::{PgArguments, PgHasArrayType};
use sqlx::query::Query;
use sqlx::{Encode, Postgres, Type};
use uuid::Uuid;

use crate::op::{Origin, Usual, Write};

/// Whether a statement takes arrays, or the values of the only operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Alone,
    Many,
}

/// A statement with its arguments.
pub(crate) type Bound = Query<'static, Postgres, PgArguments>;

/// Binds the arguments of `parts/begin.sql`: begins, sorted by id.
pub(crate) fn begins(query: Bound, form: Form, begins: &[&Begin]) -> Bound {
    Columns::of(query, form, begins)
        .each(|b| b.id.0)
        .each(|b| b.key.schema.as_str())
        .each(|b| b.key.scope.as_str())
        .each(|b| b.key.key.as_str())
        .each(|b| b.run.0)
        .each(|b| b.token)
        .each(|b| b.owner.0)
        .each(|b| b.plan.0)
        .each(|b| b.shape.0)
        .each(|b| bytes(&b.input))
        .each(|b| &b.input_hash.0[..])
        .each(|b| b.parent.map(|parent| parent.0))
        .query
}

/// Binds what `submit.sql` puts down.
pub(crate) fn submitted(query: Bound, begin: &Begin) -> Bound {
    query
        .bind(begin.id.0)
        .bind(begin.key.schema.clone())
        .bind(begin.key.scope.clone())
        .bind(begin.key.key.clone())
        .bind(begin.run.0)
        .bind(begin.token)
        .bind(begin.plan.0)
        .bind(begin.shape.0)
        .bind(begin.input.0.to_vec())
        .bind(begin.input_hash.0.to_vec())
        .bind(begin.parent.map(|parent| parent.0))
}

/// Binds the arguments of `parts/commit.sql`: usual writes of one worker under fences of one start of
/// the server, sorted by id.
pub(crate) fn commits(query: Bound, from: Origin, commits: &[Usual<'_>]) -> Bound {
    let query = query.bind(from.incarnation).bind(from.worker.0);
    Columns::of(query, Form::Many, commits)
        .each(|c| c.write.fence.execution.0)
        .each(|c| c.write.fence.run.0)
        .each(|c| c.write.fence.claim.epoch)
        .each(|c| c.write.fence.claim.token)
        .each(|c| c.write.write_id.0)
        .each(|c| c.checkpoint.seq)
        .each(|c| c.checkpoint.attempt)
        .each(|c| c.checkpoint.lost)
        .each(|c| c.succeeds)
        // No nulls: an array with them is read from its start for each place.
        .each(|c| c.keep.map_or(-1, micros))
        .each(|c| &*c.checkpoint.step)
        .each(|c| bytes(&c.checkpoint.output))
        .query
}

/// Binds the arguments of `checkpoint_alone.sql`, and of `commit_alone.sql` where the execution succeeds.
pub(crate) fn commit_alone(query: Bound, only: &Usual<'_>) -> Bound {
    let Usual {
        write, checkpoint, ..
    } = only;
    let query = query
        .bind(write.fence.incarnation)
        .bind(write.worker.0)
        .bind(write.fence.execution.0)
        .bind(write.fence.run.0)
        .bind(write.fence.claim.epoch)
        .bind(write.fence.claim.token)
        .bind(write.write_id.0)
        .bind(checkpoint.seq)
        .bind(checkpoint.attempt)
        .bind(checkpoint.lost)
        .bind(&*checkpoint.step)
        .bind(bytes(&checkpoint.output));
    match only.succeeds {
        true => query.bind(only.keep.map(micros)),
        false => query,
    }
}

/// Binds the arguments of `parts/judge.sql`: writes of any kind, sorted by id.
pub(crate) fn judged(query: Bound, commits: &[&Write]) -> Bound {
    let ends: Vec<Ending<'_>> = commits.iter().map(|c| Ending::of(&c.then)).collect();
    query
        .bind(column(commits, |c| c.fence.execution.0))
        .bind(column(commits, |c| c.fence.run.0))
        .bind(column(commits, |c| c.fence.claim.epoch))
        .bind(column(commits, |c| c.fence.claim.token))
        .bind(column(commits, |c| c.fence.incarnation))
        .bind(column(commits, |c| c.write_id.0))
        .bind(column(commits, |c| c.worker.0))
        .bind(column(commits, |c| c.checkpoint.as_ref().map(|new| &*new.step)))
        .bind(column(commits, |c| c.checkpoint.as_ref().map(|new| new.seq)))
        .bind(column(commits, |c| c.checkpoint.as_ref().map(|new| new.attempt)))
        .bind(column(commits, |c| c.checkpoint.as_ref().map(|new| new.lost)))
        .bind(column(commits, |c| {
            c.checkpoint.as_ref().map(|new| bytes(&new.output))
        }))
        .bind(column(commits, |c| c.then.state().code()))
        .bind(column(&ends, |end| end.output_step))
        .bind(column(&ends, |end| end.failure.map(bytes)))
        .bind(column(&ends, |end| end.tries_seq))
        .bind(column(&ends, |end| end.tries))
        .bind(column(&ends, |end| end.keep.map(micros)))
        .bind(column(&ends, |end| end.delay.map(micros)))
        .bind(column(&ends, |end| end.reason))
        .bind(column(&ends, |end| end.signals))
        .bind(column(&ends, |end| end.wish))
}

/// Binds the arguments of `parts/emitted.sql`, after those of one write.
pub(crate) fn emitted(query: Bound, messages: &[NewMessage]) -> Bound {
    query
        .bind(column(messages, |m| m.id))
        .bind(column(messages, |m| m.topic.as_str()))
        .bind(column(messages, |m| bytes(&m.payload)))
}

/// Binds what `progress.sql` puts down.
pub(crate) fn progress(query: Bound, progress: NewProgress) -> Bound {
    let NewProgress {
        fence,
        worker,
        write_id,
        checkpoint,
    } = progress;
    query
        .bind(fence.execution.0)
        .bind(fence.run.0)
        .bind(fence.claim.epoch)
        .bind(fence.claim.token)
        .bind(fence.incarnation)
        .bind(checkpoint.step)
        .bind(checkpoint.seq)
        .bind(worker.0)
        .bind(write_id.0)
        .bind(checkpoint.attempt)
        .bind(checkpoint.lost)
        .bind(checkpoint.output.0.to_vec())
}

/// Binds what `signal.sql` sends.
pub(crate) fn signal(query: Bound, signal: &NewSignal) -> Bound {
    query
        .bind(signal.id.0)
        .bind(signal.run.0)
        .bind(signal.write_id.0)
        .bind(signal.name.clone())
        .bind(signal.payload.0.to_vec())
        .bind(signal.once)
}

/// Binds `$2` to `$16`: the acquisitions, sorted by id.
pub(crate) fn acquires(query: Bound, acquires: &[&Acquire]) -> Bound {
    query
        .bind(column(acquires, |a| a.seen.id.0))
        .bind(column(acquires, |a| a.seen.run.0))
        .bind(column(acquires, |a| a.seen.claim.epoch))
        .bind(column(acquires, |a| a.seen.claim.token))
        .bind(column(acquires, |a| a.seen.state.code()))
        .bind(column(acquires, |a| a.owner.0))
        .bind(column(acquires, |a| a.token))
        .bind(column(acquires, |a| match a.how {
            How::Resume { keep_tries } => keep_tries,
            How::TakeOver => true,
            How::Restart(_) => false,
        }))
        .bind(column(acquires, |a| i32::from(matches!(a.how, How::TakeOver))))
        .bind(column(acquires, |a| fresh(a).map(|fresh| fresh.run.0)))
        .bind(column(acquires, |a| fresh(a).map(|fresh| fresh.plan.0)))
        .bind(column(acquires, |a| fresh(a).map(|fresh| fresh.shape.0)))
        .bind(column(acquires, |a| fresh(a).map(|fresh| bytes(&fresh.input))))
        .bind(column(acquires, |a| {
            fresh(a).map(|fresh| &fresh.input_hash.0[..])
        }))
        .bind(column(acquires, |a| fresh(a)?.parent.map(|parent| parent.0)))
}

/// Ids as an argument.
pub(crate) fn ids<T>(of: &[T], id: impl Fn(&T) -> Uuid) -> Vec<Uuid> {
    of.iter().map(id).collect()
}

/// A length of time as the server adds it: microseconds, at most 100,000 years, because a later
/// time can not be stored.
pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).map_or(LONGEST_MICROS, |micros| micros.min(LONGEST_MICROS))
}

const LONGEST_MICROS: i64 = 100_000 * 365 * 86_400 * 1_000_000;

/// The columns that the end of an ownership sets.
#[derive(Default)]
struct Ending<'a> {
    output_step: Option<&'a str>,
    failure: Option<&'a Payload>,
    tries_seq: Option<i32>,
    tries: Option<i32>,
    keep: Option<Duration>,
    delay: Option<Duration>,
    reason: Option<&'static str>,
    signals: Option<i32>,
    /// What the row's wish to cancel is compared with.
    wish: Option<i16>,
}

impl<'a> Ending<'a> {
    fn of(then: &'a Then) -> Self {
        match then {
            Then::Continue => Self::default(),
            Then::Succeed {
                output_step,
                retention,
            } => Self {
                output_step: Some(output_step),
                keep: *retention,
                ..Self::default()
            },
            Then::Fail {
                failure,
                tries,
                retention,
                yields,
            } => Self {
                failure: Some(failure),
                wish: yields.then_some(0),
                tries_seq: Some(tries.seq),
                tries: Some(tries.count),
                keep: *retention,
                ..Self::default()
            },
            Then::Wait {
                delay,
                reason,
                failure,
                tries,
                signals,
                wish,
            } => Self {
                failure: failure.as_ref(),
                tries_seq: Some(tries.seq),
                tries: Some(tries.count),
                delay: *delay,
                reason: Some(reason.as_str()),
                signals: *signals,
                wish: wish.map(CancelWish::code),
                ..Self::default()
            },
            Then::Park {
                reason,
                failure,
                wish,
            } => Self {
                wish: wish.map(CancelWish::code),
                failure: failure.as_ref(),
                // Due at once, for whoever knows the shape.
                delay: (*reason == ParkReason::UnknownShape).then_some(Duration::ZERO),
                reason: Some(reason.as_str()),
                ..Self::default()
            },
            Then::Undone { failure, retention } => Self {
                failure: Some(failure),
                keep: *retention,
                ..Self::default()
            },
            Then::Cancel { retention } => Self {
                keep: *retention,
                ..Self::default()
            },
            Then::Release => Self {
                delay: Some(Duration::ZERO),
                ..Self::default()
            },
        }
    }
}

fn fresh(acquire: &Acquire) -> Option<&Fresh> {
    match &acquire.how {
        How::Restart(fresh) => Some(fresh),
        How::Resume { .. } | How::TakeOver => None,
    }
}

/// Operations of which each argument is a column.
struct Columns<'a, Op> {
    query: Bound,
    form: Form,
    of: &'a [Op],
}

impl<'a, Op> Columns<'a, Op> {
    fn of(query: Bound, form: Form, of: &'a [Op]) -> Self {
        Self { query, form, of }
    }

    fn each<T>(self, value: impl Fn(&'a Op) -> T) -> Self
    where
        T: for<'q> Encode<'q, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        let query = match (self.form, self.of) {
            (Form::Alone, [only]) => self.query.bind(value(only)),
            _ => self.query.bind(column(self.of, value)),
        };
        Self { query, ..self }
    }
}

fn column<'a, Op, T>(of: &'a [Op], value: impl Fn(&'a Op) -> T) -> Vec<T> {
    of.iter().map(value).collect()
}

fn bytes(payload: &Payload) -> &[u8] {
    &payload.0
}
