//! How does a row become a domain value? Here, and nowhere else.
//!
//! Columns are read by position, in the order of `sql/parts/record.sql`: a record has 27 of them,
//! and every begin of a known key reads one.

use std::time::Duration;

use keystep::clock::time_of;
use keystep::execution::{
    CancelWish, CheckpointRecord, Claim, ExecutionId, ExecutionRecord, FullKey, InputHash, ParkReason,
    Payload, PlanId, RunId, Seen, ShapeId, State, WaitReason, WorkerId, WriteId,
};
use keystep::store::{Message, PlanRecord, Progress};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Postgres, Row, Type, TypeInfo};
use uuid::Uuid;

use crate::error::Trouble;

/// A time of the database, in microseconds since 1970. Read as the server sends it, which costs
/// nothing; a conversion in SQL costs more than the rest of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) i64);

/// From 1970, where our time begins, to 2000, where PostgreSQL's does.
const MICROS_1970_TO_2000: i64 = 946_684_800_000_000;

impl Type<Postgres> for Stamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("TIMESTAMPTZ")
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        ty.name() == "TIMESTAMPTZ"
    }
}

impl<'r> Decode<'r, Postgres> for Stamp {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.format() != PgValueFormat::Binary {
            return Err("a time is only read from a prepared statement".into());
        }
        let bytes = <[u8; 8]>::try_from(value.as_bytes()?)?;
        Ok(Self(
            i64::from_be_bytes(bytes).saturating_add(MICROS_1970_TO_2000),
        ))
    }
}

/// Reads an execution whose columns start at `first`. `offset` is the clock's, by which the stored
/// times are ahead of the server's.
pub(crate) fn record(row: &PgRow, first: usize, offset: i64) -> Result<ExecutionRecord, Trouble> {
    let mut columns = Columns { row, next: first };
    let id = ExecutionId(columns.take()?);
    let token = columns.take()?;
    let run = RunId(columns.take()?);
    let epoch = columns.take()?;
    let generation = columns.take()?;
    let state = state(columns.take()?)?;
    let owner = columns.take::<Option<i64>>()?.map(WorkerId);
    let plan = PlanId(columns.take()?);
    let shape = ShapeId(columns.take()?);
    let input_hash = input_hash(columns.take()?)?;
    let key = FullKey {
        schema: columns.take()?,
        scope: columns.take()?,
        key: columns.take()?,
    };
    let failure = columns.take::<Option<Vec<u8>>>()?.map(payload);
    let (parked, waits_for) = reasons(state, columns.take()?)?;
    let cancel = columns.take::<Option<i16>>()?.map(cancel_wish).transpose()?;
    let parent = columns.take::<Option<Uuid>>()?.map(ExecutionId);
    let purged = columns.take::<Option<Stamp>>()?.is_some();
    let tries = columns.take()?;
    let tries_seq = columns.take()?;
    let lost = columns.take()?;
    let wake_at = columns.take::<Option<Stamp>>()?;
    let expires_at = columns.take::<Option<Stamp>>()?;
    let Stamp(created_at) = columns.take()?;
    let Stamp(acquired_at) = columns.take()?;
    let finished_at = columns.take::<Option<Stamp>>()?;
    let Stamp(server_now) = columns.take()?;
    let output = columns.take::<Option<Vec<u8>>>()?.map(payload);

    let now = server_now.saturating_add(offset);
    let left = |at: Stamp| micros(at.0.saturating_sub(now));
    let sleeps = matches!(state, State::Ready | State::Waiting);
    Ok(ExecutionRecord {
        id,
        key,
        run,
        generation,
        state,
        claim: Claim { epoch, token },
        owner,
        plan,
        shape,
        input_hash,
        failure,
        parked,
        waits_for,
        cancel,
        parent,
        purged,
        output,
        tries,
        tries_seq,
        lost,
        wake_in: wake_at.filter(|_at| sleeps).map(left),
        expires_in: expires_at.map(left),
        age: micros(now.saturating_sub(created_at)),
        created_at: time_of(created_at),
        acquired_at: time_of(acquired_at),
        finished_at: finished_at.map(|at| time_of(at.0)),
    })
}

/// Reads the columns id, run, epoch, token and state.
pub(crate) fn seen(row: &PgRow) -> Result<Seen, Trouble> {
    let mut columns = Columns { row, next: 0 };
    Ok(Seen {
        id: ExecutionId(columns.take()?),
        run: RunId(columns.take()?),
        claim: Claim {
            epoch: columns.take()?,
            token: columns.take()?,
        },
        state: state(columns.take()?)?,
    })
}

/// Reads the answer of `load.sql`: the input, then the checkpoints. `offset` is the clock's.
pub(crate) fn progress(rows: &[PgRow], offset: i64) -> Result<Option<Progress>, Trouble> {
    let Some((first, checkpoints)) = rows.split_first() else {
        return Ok(None);
    };
    let Stamp(server_now) = column(first, TIME_OF_LOAD)?;
    let input = payload(column(first, PAYLOAD_OF_LOAD)?);
    let checkpoints = checkpoints.iter().map(checkpoint).collect::<Result<_, _>>()?;
    Ok(Some(Progress {
        input,
        checkpoints,
        now: time_of(server_now.saturating_add(offset)),
    }))
}

const TIME_OF_LOAD: usize = 7;
const PAYLOAD_OF_LOAD: usize = 8;

fn checkpoint(row: &PgRow) -> Result<CheckpointRecord, Trouble> {
    let mut columns = Columns { row, next: 0 };
    let seq = columns.take()?;
    let step = columns.take()?;
    let epoch = columns.take()?;
    let worker = WorkerId(columns.take()?);
    let write_id = WriteId(columns.take()?);
    let attempt = columns.take()?;
    let lost = columns.take()?;
    let Stamp(recorded_at) = columns.take()?;
    Ok(CheckpointRecord {
        step,
        seq,
        epoch,
        worker,
        write_id,
        attempt,
        lost,
        output: payload(columns.take()?),
        at: time_of(recorded_at),
    })
}

/// Reads a plan.
pub(crate) fn plan(row: &PgRow) -> Result<PlanRecord, Trouble> {
    let mut columns = Columns { row, next: 0 };
    Ok(PlanRecord {
        id: PlanId(columns.take()?),
        shape: ShapeId(columns.take()?),
        schema: columns.take()?,
        body: columns.take()?,
    })
}

/// Reads a message of the outbox.
pub(crate) fn message(row: &PgRow) -> Result<Message, Trouble> {
    let mut columns = Columns { row, next: 0 };
    Ok(Message {
        id: columns.take()?,
        execution: ExecutionId(columns.take()?),
        run: RunId(columns.take()?),
        topic: columns.take()?,
        payload: payload(columns.take()?),
    })
}

/// Reads a signal: its name, and what was sent.
pub(crate) fn signal(row: &PgRow) -> Result<(String, Payload), Trouble> {
    Ok((column(row, 0)?, payload(column(row, 1)?)))
}

/// Reads a stored state.
pub(crate) fn state(code: i16) -> Result<State, Trouble> {
    State::from_code(code)
        .ok_or_else(|| Trouble::Unreadable(format!("an execution has the unknown state {code}")))
}

/// Reads whom a worker is to cancel, and how.
pub(crate) fn wish(row: &PgRow) -> Result<(ExecutionId, RunId, CancelWish), Trouble> {
    let mut columns = Columns { row, next: 0 };
    let (id, run) = (ExecutionId(columns.take()?), RunId(columns.take()?));
    Ok((id, run, cancel_wish(columns.take()?)?))
}

fn cancel_wish(code: i16) -> Result<CancelWish, Trouble> {
    CancelWish::from_code(code).ok_or_else(|| {
        Trouble::Unreadable(format!(
            "an execution is to be cancelled in the unknown way {code}"
        ))
    })
}

/// Format 1 stored no word for the only reason that it knew.
const WAIT_OF_FORMAT_1: &str = "retry";

/// Why an execution is parked, and what it waits for.
fn reasons(state: State, word: Option<String>) -> Result<(Option<ParkReason>, Option<WaitReason>), Trouble> {
    let unknown = |word: &str| {
        let state = state.as_str();
        Trouble::Unreadable(format!("an execution is {state} for an unknown reason, {word:?}"))
    };
    match (state, word.as_deref()) {
        (State::Parked, Some(word)) => {
            let reason = ParkReason::from_word(word).ok_or_else(|| unknown(word))?;
            Ok((Some(reason), None))
        }
        (State::Waiting, word) => {
            let word = word.unwrap_or(WAIT_OF_FORMAT_1);
            let reason = WaitReason::from_word(word).ok_or_else(|| unknown(word))?;
            Ok((None, Some(reason)))
        }
        _ => Ok((None, None)),
    }
}

fn input_hash(bytes: Vec<u8>) -> Result<InputHash, Trouble> {
    <[u8; 32]>::try_from(bytes)
        .map(InputHash)
        .map_err(|_other_length| Trouble::Unreadable("an input hash is not 32 bytes long".into()))
}

/// Reads one column.
pub(crate) fn column<'r, T>(row: &'r PgRow, at: usize) -> Result<T, Trouble>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(at).map_err(|error| Trouble::of(&error))
}

fn payload(bytes: Vec<u8>) -> Payload {
    Payload(bytes.into())
}

/// A difference of times, zero when it has passed.
fn micros(difference: i64) -> Duration {
    Duration::from_micros(u64::try_from(difference).unwrap_or(0))
}

/// Reads columns one after the other.
struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> Columns<'r> {
    fn take<T>(&mut self) -> Result<T, Trouble>
    where
        T: Decode<'r, Postgres> + Type<Postgres>,
    {
        let value = column(self.row, self.next);
        self.next += 1;
        value
    }
}
