//! What is a caller told of a record? Outcomes, refusals, and who is at it since when.

use std::time::{Duration, SystemTime};

use crate::codec::{Place, Slot};
use crate::execution::{ExecutionId, ExecutionRecord, ParkReason, State, WaitReason};
use crate::inner::Inner;
use crate::plan::Plan;
use crate::run_error::RunError;
use crate::runs::RunEnd;
use crate::store::StoreError;

/// How an execution that nobody runs ended or was put down; `None` when it may go on at any moment.
pub(crate) async fn end_of(inner: &Inner, record: &ExecutionRecord) -> Result<Option<RunEnd>, RunError> {
    let failure = || {
        let failure = record.failure.as_ref();
        let failure = failure.and_then(|failure| inner.decode_failure(record.run, failure));
        failure.map(Box::new)
    };
    Ok(match record.state {
        State::Succeeded | State::Failed | State::Undone | State::Cancelled => {
            Some(outcome(inner, record).await?)
        }
        State::Waiting if record.wake_in.is_some_and(|due_in| due_in.is_zero()) => None,
        State::Waiting => Some(RunEnd::Waiting {
            failure: failure(),
            due_in: record.wake_in,
            reason: record.waits_for.unwrap_or(WaitReason::Retry),
        }),
        // Somebody who knows the shape may take it up; if nobody does, looking again says so.
        State::Parked if record.parked == Some(ParkReason::UnknownShape) => None,
        State::Parked => Some(RunEnd::Parked {
            reason: record.parked.unwrap_or(ParkReason::Unreadable),
            failure: failure(),
        }),
        State::Ready | State::Running => None,
    })
}

/// The recorded outcome of a finished execution.
pub(crate) async fn outcome(inner: &Inner, record: &ExecutionRecord) -> Result<RunEnd, RunError> {
    let unreadable = |why: String| RunError::Unreadable(why);
    if record.state == State::Succeeded {
        let output = record
            .output
            .as_ref()
            .ok_or_else(|| unreadable("its output is missing".to_owned()))?;
        let step = last_step(inner, record).await?;
        let place = Place {
            run: record.run,
            slot: Slot::Output(&step),
        };
        return inner
            .codecs
            .decode(output, &place)
            .map(RunEnd::Succeeded)
            .map_err(unreadable);
    }
    if record.state == State::Cancelled {
        return Ok(RunEnd::Cancelled);
    }
    let failure = record
        .failure
        .as_ref()
        .and_then(|failure| inner.decode_failure(record.run, failure));
    let as_end = if record.state == State::Undone {
        RunEnd::Undone
    } else {
        RunEnd::Failed
    };
    failure
        .map(|failure| as_end(Box::new(failure)))
        .ok_or_else(|| unreadable("its failure can not be decoded".to_owned()))
}

/// The step that gave the output: the last one of the plan that the run was born with. A schema of
/// the same shape has the same names.
async fn last_step(inner: &Inner, record: &ExecutionRecord) -> Result<String, RunError> {
    if let Some(schema) = inner.schemas.get(&record.shape) {
        return Ok(schema
            .steps
            .last()
            .map_or_else(String::new, |step| step.name.to_string()));
    }
    let stored = inner.store.load_plan(record.plan).await;
    let stored = stored.map_err(|error| unavailable(&error))?;
    let plan = stored.and_then(|stored| Plan::read(&stored.body).ok());
    let last = plan.and_then(|mut plan| plan.steps.pop());
    // Most codecs do not ask for the place: a plan that can not be read need not stop them.
    Ok(last.map_or_else(String::new, |step| step.name))
}

/// Says who is at it and since when, as well as can be known.
pub(crate) async fn in_progress(
    inner: &Inner,
    id: ExecutionId,
    record: Option<&ExecutionRecord>,
) -> RunError {
    // An owner that has just taken it up does not know its step before it has loaded what is
    // recorded; the store does.
    let here = inner.registry.running(id).map(|run| run.at());
    if let Some((step @ Some(_), since)) = here {
        return RunError::InProgress {
            execution: id,
            step,
            since,
        };
    }
    let looking = stored_step(inner, id, record);
    let stored = tokio::time::timeout(DETAILS, looking).await.ok().flatten();
    let (step, since) = stored.unwrap_or_else(|| (None, inner.now()));
    RunError::InProgress {
        execution: id,
        step,
        since,
    }
}

/// How long a refusal may wait for its details.
const DETAILS: Duration = Duration::from_secs(1);

async fn stored_step(
    inner: &Inner,
    id: ExecutionId,
    record: Option<&ExecutionRecord>,
) -> Option<(Option<String>, SystemTime)> {
    if let Some(record) = record {
        return Some(current_step(inner, record).await);
    }
    let found = inner.store.find(vec![id]).await.ok()?;
    Some(current_step(inner, found.first()?).await)
}

/// The first step that is not recorded, and when the one before it was.
async fn current_step(inner: &Inner, record: &ExecutionRecord) -> (Option<String>, SystemTime) {
    let checkpoints = match inner.store.load(record.id, record.run).await {
        Ok(Some(progress)) => progress.checkpoints,
        Ok(None) | Err(_) => Vec::new(),
    };
    let schema = inner.schemas.get(&record.shape);
    let is_recorded = |name: &str| checkpoints.iter().any(|checkpoint| checkpoint.step == name);
    // Behind the last one: those before it may ride with it.
    let next = schema.map(|schema| {
        let last = schema.steps.iter().rposition(|step| is_recorded(&step.name));
        last.map_or(0, |last| last + 1)
    });
    let step = schema
        .zip(next)
        .and_then(|(schema, next)| schema.steps.get(next))
        .map(|step| step.name.to_string());
    let latest = checkpoints.iter().map(|checkpoint| checkpoint.at).max();
    let since = latest.map_or(record.acquired_at, |at| at.max(record.acquired_at));
    (step, since)
}

/// A store error as a caller sees it.
pub(crate) fn unavailable(error: &StoreError) -> RunError {
    match error {
        StoreError::Rejected(why) => RunError::Invalid(why.clone()),
        StoreError::Unreadable(why) => RunError::Unreadable(why.clone()),
        other => RunError::Unavailable(other.to_string()),
    }
}

/// What a caller is told that this process can not serve any more.
pub(crate) fn shutting_down() -> RunError {
    RunError::Unavailable("this process is shutting down".to_owned())
}
