//! What does each read ask? The statements that need no transaction.

use futures::TryStreamExt;
use futures::stream::BoxStream;
use keystep::clock::time_of;
use keystep::execution::{
    CancelWish, CheckpointRecord, ExecutionId, ExecutionRecord, PlanId, RunId, Seen, WorkerId,
};
use keystep::store::{Inbox, ListQuery, Message, Observed, PlanRecord, Progress, Shapes, StoreError, Wanted};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::before_commit;
use crate::rows;

const FIND: &str = include_str!("../sql/find.sql");
const LIST: &str = include_str!("../sql/list.sql");
const LOAD_CHECKPOINTS: &str = include_str!("../sql/load_checkpoints.sql");
const LOAD_INPUT: &str = include_str!("../sql/load_input.sql");
const DUE: &str = include_str!("../sql/due.sql");
const ORPHANS: &str = include_str!("../sql/orphans.sql");
const OWNED: &str = include_str!("../sql/owned.sql");
const OBSERVE: &str = include_str!("../sql/observe.sql");
const INBOX: &str = include_str!("../sql/inbox.sql");
const CANCELS: &str = include_str!("../sql/cancels.sql");
const CHILDREN: &str = include_str!("../sql/children.sql");
const LEADER: &str = include_str!("../sql/leader.sql");
const OUTBOX: &str = include_str!("../sql/outbox.sql");
const LOAD_PLAN: &str = include_str!("../sql/load_plan.sql");

/// Executions by their ids.
pub(crate) async fn find(
    conn: &mut SqliteConnection,
    mut ids: Vec<ExecutionId>,
    now: i64,
) -> Result<Vec<ExecutionRecord>, StoreError> {
    ids.sort_unstable();
    ids.dedup();
    let query = sqlx::query(FIND).bind(rows::json_ids(ids.into_iter().map(|id| id.0)));
    all(query.fetch(conn), |row| rows::execution(row, now)).await
}

/// One execution by its id.
pub(crate) async fn find_one(
    conn: &mut SqliteConnection,
    id: ExecutionId,
    now: i64,
) -> Result<Option<ExecutionRecord>, StoreError> {
    Ok(find(conn, vec![id], now).await?.pop())
}

/// Executions that match a filter.
pub(crate) async fn list(
    conn: &mut SqliteConnection,
    query: ListQuery,
    now: i64,
) -> Result<Vec<ExecutionRecord>, StoreError> {
    let codes: Vec<String> = query
        .states
        .iter()
        .map(|state| state.code().to_string())
        .collect();
    let states = (!codes.is_empty()).then(|| format!("[{}]", codes.join(",")));
    // Every id is greater than no bytes at all.
    let after = query.after.map_or_else(Vec::new, |id| id.0.into_bytes().to_vec());
    let rows = sqlx::query(LIST)
        .bind(query.schema)
        .bind(query.scope)
        .bind(states)
        .bind(after)
        .bind(query.limit)
        .fetch(conn);
    all(rows, |row| rows::execution(row, now)).await
}

/// The input and the checkpoints of a run.
///
/// The checkpoints are read first: if the row is still on this run afterwards, then it was while
/// they were read, and they are those of this run.
pub(crate) async fn load(
    conn: &mut SqliteConnection,
    id: ExecutionId,
    run: RunId,
    now: i64,
) -> Result<Option<Progress>, StoreError> {
    let recorded = sqlx::query(LOAD_CHECKPOINTS).bind(run.0).fetch(&mut *conn);
    let checkpoints: Vec<CheckpointRecord> = all(recorded, rows::checkpoint).await?;
    let input = sqlx::query(LOAD_INPUT).bind(id.0).bind(run.0);
    let Some(row) = input.fetch_optional(conn).await.map_err(before_commit)? else {
        return Ok(None);
    };
    Ok(Some(Progress {
        input: rows::payload(&row, "input")?.unwrap_or_default(),
        checkpoints,
        now: time_of(now),
    }))
}

/// Executions whose wake-up has passed.
pub(crate) async fn due(
    conn: &mut SqliteConnection,
    wanted: Wanted,
    now: i64,
) -> Result<Vec<Seen>, StoreError> {
    let (only, shapes) = choice(wanted.shapes);
    let rows = sqlx::query(DUE)
        .bind(now)
        .bind(only)
        .bind(shapes)
        .bind(wanted.limit)
        .fetch(conn);
    all(rows, rows::seen).await
}

/// Executions whose owner is not a live worker.
pub(crate) async fn orphans(conn: &mut SqliteConnection, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
    let (only, shapes) = choice(wanted.shapes);
    let rows = sqlx::query(ORPHANS)
        .bind(only)
        .bind(shapes)
        .bind(wanted.limit)
        .fetch(conn);
    all(rows, rows::seen).await
}

/// Executions that are running under a worker.
pub(crate) async fn owned(conn: &mut SqliteConnection, worker: WorkerId) -> Result<Vec<Seen>, StoreError> {
    let rows = sqlx::query(OWNED).bind(worker.0).fetch(conn);
    all(rows, rows::seen).await
}

/// All live workers but this one, their sessions not yet looked at.
pub(crate) async fn observe(
    conn: &mut SqliteConnection,
    worker: WorkerId,
) -> Result<Vec<Observed>, StoreError> {
    let rows = sqlx::query(OBSERVE).bind(worker.0).fetch(conn);
    all(rows, rows::worker).await
}

/// The signals of a run.
pub(crate) async fn inbox(conn: &mut SqliteConnection, run: RunId) -> Result<Inbox, StoreError> {
    let rows = sqlx::query(INBOX).bind(run.0).fetch(conn);
    let signals = all(rows, rows::signal).await?;
    Ok(Inbox {
        count: i32::try_from(signals.len()).unwrap_or(i32::MAX),
        signals,
    })
}

/// What a worker is to cancel.
pub(crate) async fn cancels(
    conn: &mut SqliteConnection,
    worker: WorkerId,
) -> Result<Vec<(ExecutionId, RunId, CancelWish)>, StoreError> {
    let rows = sqlx::query(CANCELS).bind(worker.0).fetch(conn);
    all(rows, rows::wish).await
}

/// Executions that a step of this one has begun and that are not finished.
pub(crate) async fn children(
    conn: &mut SqliteConnection,
    parent: ExecutionId,
) -> Result<Vec<Seen>, StoreError> {
    let rows = sqlx::query(CHILDREN).bind(parent.0).fetch(conn);
    all(rows, rows::seen).await
}

/// Whether a worker reads the outbox; `None` when nobody does and it may.
pub(crate) async fn leads(conn: &mut SqliteConnection, worker: WorkerId) -> Result<Option<bool>, StoreError> {
    let row = sqlx::query(LEADER).bind(worker.0).fetch_one(conn);
    let row = row.await.map_err(before_commit)?;
    if !rows::get::<bool>(&row, "live")? {
        return Ok(Some(false));
    }
    let leader: Option<i64> = rows::get(&row, "leader")?;
    Ok(leader.map(|leader| leader == worker.0))
}

/// The oldest messages that are not of these executions.
pub(crate) async fn outbox(
    conn: &mut SqliteConnection,
    but: Vec<ExecutionId>,
    limit: u32,
) -> Result<Vec<Message>, StoreError> {
    let but = rows::json_ids(but.into_iter().map(|execution| execution.0));
    let rows = sqlx::query(OUTBOX).bind(but).bind(limit).fetch(conn);
    all(rows, rows::message).await
}

/// A plan by its id.
pub(crate) async fn plan(conn: &mut SqliteConnection, id: PlanId) -> Result<Option<PlanRecord>, StoreError> {
    let row = sqlx::query(LOAD_PLAN).bind(id.0).fetch_optional(conn);
    row.await
        .map_err(before_commit)?
        .as_ref()
        .map(rows::plan)
        .transpose()
}

/// Whether only these shapes are wanted (1) or all others (0), and which.
fn choice(shapes: Shapes) -> (i32, String) {
    let (only, ids) = match shapes {
        Shapes::Only(ids) => (1, ids),
        Shapes::Except(ids) => (0, ids),
    };
    let ids = ids.into_iter().map(|shape| -> Uuid { shape.0 });
    (only, rows::json_ids(ids))
}

/// Maps each row when it comes: a thread's rows take several times the memory of what is read from them.
async fn all<T>(
    mut rows: BoxStream<'_, Result<SqliteRow, sqlx::Error>>,
    map: impl Fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut all = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(before_commit)? {
        all.push(map(&row)?);
    }
    Ok(all)
}
