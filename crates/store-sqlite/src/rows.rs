//! How does a row become a value? Here, and nowhere else.

use std::time::Duration;

use keystep::clock::time_of;
use keystep::execution::{
    CancelWish, CheckpointRecord, Claim, ExecutionId, ExecutionRecord, FullKey, InputHash, ParkReason,
    Payload, PlanId, RunId, Seen, ShapeId, State, WaitReason, WorkerId, WriteId,
};
use keystep::store::{Message, Observed, PlanRecord, StoreError};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::before_commit;

/// An execution as `find.sql` and `list.sql` read it, with waits counted from `now`.
pub(crate) fn execution(row: &SqliteRow, now: i64) -> Result<ExecutionRecord, StoreError> {
    let seen = seen(row)?;
    let state = seen.state;
    let wakes = matches!(state, State::Ready | State::Waiting);
    let fails = matches!(
        state,
        State::Waiting | State::Parked | State::Failed | State::Undone
    );
    let (parked, waits_for) = reasons(state, get(row, "reason")?)?;
    let created_at = get(row, "created_at")?;
    let until = |at: i64| Duration::from_micros(u64::try_from(at - now).unwrap_or(0));
    let wake_at: Option<i64> = get(row, "wake_at")?;
    let expires_at: Option<i64> = get(row, "expires_at")?;
    Ok(ExecutionRecord {
        id: seen.id,
        key: FullKey {
            schema: get(row, "schema_name")?,
            scope: get(row, "scope")?,
            key: get(row, "key_text")?,
        },
        run: seen.run,
        generation: get(row, "generation")?,
        state,
        claim: seen.claim,
        owner: get::<Option<i64>>(row, "owner")?.map(WorkerId),
        plan: PlanId(get(row, "plan_id")?),
        shape: ShapeId(get(row, "shape_id")?),
        input_hash: input_hash(row)?,
        failure: payload(row, "failure")?.filter(|_failure| fails),
        parked,
        waits_for,
        cancel: get::<Option<i64>>(row, "cancel")?.map(cancel_wish).transpose()?,
        parent: get::<Option<Uuid>>(row, "parent")?.map(ExecutionId),
        purged: get::<Option<i64>>(row, "purged_at")?.is_some(),
        output: payload(row, "output")?,
        tries: get(row, "tries")?,
        tries_seq: get(row, "tries_seq")?,
        lost: get(row, "lost")?,
        wake_in: wake_at.map(until).filter(|_wait| wakes),
        expires_in: expires_at.map(until),
        age: Duration::from_micros(u64::try_from(now - created_at).unwrap_or(0)),
        created_at: time_of(created_at),
        acquired_at: time_of(get(row, "acquired_at")?),
        finished_at: get::<Option<i64>>(row, "finished_at")?.map(time_of),
    })
}

/// The part of an execution that an acquisition compares.
pub(crate) fn seen(row: &SqliteRow) -> Result<Seen, StoreError> {
    Ok(Seen {
        id: ExecutionId(get(row, "id")?),
        run: RunId(get(row, "run_id")?),
        claim: Claim {
            epoch: get(row, "epoch")?,
            token: get(row, "token")?,
        },
        state: state(row)?,
    })
}

/// The state of an execution.
pub(crate) fn state(row: &SqliteRow) -> Result<State, StoreError> {
    let code: i64 = get(row, "state")?;
    i16::try_from(code)
        .ok()
        .and_then(State::from_code)
        .ok_or_else(|| StoreError::Unreadable(format!("state {code} of an execution")))
}

/// A recorded step.
pub(crate) fn checkpoint(row: &SqliteRow) -> Result<CheckpointRecord, StoreError> {
    Ok(CheckpointRecord {
        step: get(row, "step")?,
        seq: get(row, "seq")?,
        epoch: get(row, "epoch")?,
        worker: WorkerId(get(row, "worker")?),
        write_id: WriteId(get(row, "write_id")?),
        attempt: get(row, "attempt")?,
        lost: get(row, "lost")?,
        output: payload(row, "output")?.unwrap_or_default(),
        at: time_of(get(row, "recorded_at")?),
    })
}

/// A message of the outbox.
pub(crate) fn message(row: &SqliteRow) -> Result<Message, StoreError> {
    Ok(Message {
        id: get(row, "id")?,
        execution: ExecutionId(get(row, "execution")?),
        run: RunId(get(row, "run_id")?),
        topic: get(row, "topic")?,
        payload: payload(row, "payload")?.unwrap_or_default(),
    })
}

/// A signal: its name, and what was sent.
pub(crate) fn signal(row: &SqliteRow) -> Result<(String, Payload), StoreError> {
    Ok((get(row, "name")?, payload(row, "payload")?.unwrap_or_default()))
}

/// What is to be cancelled, and how.
pub(crate) fn wish(row: &SqliteRow) -> Result<(ExecutionId, RunId, CancelWish), StoreError> {
    let (id, run) = (ExecutionId(get(row, "id")?), RunId(get(row, "run_id")?));
    Ok((id, run, cancel_wish(get(row, "cancel")?)?))
}

/// A plan.
pub(crate) fn plan(row: &SqliteRow) -> Result<PlanRecord, StoreError> {
    Ok(PlanRecord {
        id: PlanId(get(row, "id")?),
        shape: ShapeId(get(row, "shape_id")?),
        schema: get(row, "schema_name")?,
        body: get(row, "body")?,
    })
}

/// A live worker, its session not yet looked at.
pub(crate) fn worker(row: &SqliteRow) -> Result<Observed, StoreError> {
    let shapes: Vec<u8> = get(row, "shapes")?;
    Ok(Observed {
        worker: WorkerId(get(row, "id")?),
        beat: get(row, "beat")?,
        session: None,
        shapes: shapes
            .chunks(16)
            .map(|bytes| Uuid::from_slice(bytes).map(ShapeId))
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Unreadable(format!("shapes of a worker: {error}")))?,
    })
}

/// The inverse of what [`worker`] reads.
pub(crate) fn shape_bytes(shapes: &[ShapeId]) -> Vec<u8> {
    shapes.iter().flat_map(|shape| shape.0.into_bytes()).collect()
}

/// Ids as the JSON array of hexadecimal words that the statements take.
pub(crate) fn json_ids(ids: impl IntoIterator<Item = Uuid>) -> String {
    let words: Vec<String> = ids.into_iter().map(|id| format!("\"{}\"", id.simple())).collect();
    format!("[{}]", words.join(","))
}

/// Bytes of a column, `None` for NULL.
pub(crate) fn payload(row: &SqliteRow, column: &str) -> Result<Option<Payload>, StoreError> {
    let bytes: Option<Vec<u8>> = get(row, column)?;
    Ok(bytes.map(|bytes| Payload(bytes.into())))
}

/// A column by its name.
pub(crate) fn get<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(column).map_err(before_commit)
}

fn input_hash(row: &SqliteRow) -> Result<InputHash, StoreError> {
    let bytes: Vec<u8> = get(row, "input_hash")?;
    bytes
        .try_into()
        .map(InputHash)
        .map_err(|_other| StoreError::Unreadable("the input hash of an execution".to_owned()))
}

/// Format 1 stored no word for the only reason that it knew.
const WAIT_OF_FORMAT_1: &str = "retry";

/// Why an execution is parked, and what it waits for.
fn reasons(
    state: State,
    word: Option<String>,
) -> Result<(Option<ParkReason>, Option<WaitReason>), StoreError> {
    let unknown = |word: &str| {
        let state = state.as_str();
        StoreError::Unreadable(format!("the reason `{word}` why an execution is {state}"))
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

fn cancel_wish(code: i64) -> Result<CancelWish, StoreError> {
    let wish = i16::try_from(code).ok().and_then(CancelWish::from_code);
    wish.ok_or_else(|| StoreError::Unreadable(format!("the wish {code} to cancel an execution")))
}
