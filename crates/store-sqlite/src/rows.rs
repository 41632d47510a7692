//! How does a row become a value? Here, and nowhere else.

use std::time::Duration;

use keystep::clock::time_of;
use keystep::execution::{
    CheckpointRecord, Claim, ExecutionId, ExecutionRecord, FullKey, InputHash, ParkReason, Payload, PlanId,
    RunId, Seen, ShapeId, State, WorkerId, WriteId,
};
use keystep::store::{Observed, PlanRecord, StoreError};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::before_commit;

/// An execution as `find.sql` and `list.sql` read it, with waits counted from `now`.
pub(crate) fn execution(row: &SqliteRow, now: i64) -> Result<ExecutionRecord, StoreError> {
    let seen = seen(row)?;
    let state = seen.state;
    let wakes = matches!(state, State::Ready | State::Waiting);
    let fails = matches!(state, State::Waiting | State::Parked | State::Failed);
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
        parked: parked(row)?,
        output: payload(row, "output")?,
        tries: get(row, "tries")?,
        tries_seq: get(row, "tries_seq")?,
        lost: get(row, "lost")?,
        wake_in: wake_at.map(until).filter(|_wait| wakes),
        expires_in: expires_at.map(until),
        created_at: time_of(get(row, "created_at")?),
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

fn parked(row: &SqliteRow) -> Result<Option<ParkReason>, StoreError> {
    let word: Option<String> = get(row, "parked")?;
    word.map(|word| {
        ParkReason::from_word(&word)
            .ok_or_else(|| StoreError::Unreadable(format!("park reason `{word}` of an execution")))
    })
    .transpose()
}
