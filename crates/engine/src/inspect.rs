//! What can people and programs read about executions?

use std::time::{Duration, SystemTime};

use crate::codec::{Place, Slot};
use crate::engine::Engine;
use crate::error::Failure;
use crate::execution::{
    CancelWish, CheckpointRecord, ExecutionId, ExecutionRecord, FullKey, ParkReason, RunId, State,
    WaitReason, WorkerId,
};
use crate::inner::Inner;
use crate::key::Key;
use crate::limits::LIST_ROWS;
use crate::marks;
use crate::outcome::unavailable;
use crate::run_error::RunError;
use crate::schema::Schema;
use crate::store::ListQuery;

/// An execution as people read it. Without payloads.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Execution {
    /// The derived id.
    pub id: ExecutionId,
    /// The key's three parts.
    pub key: FullKey,
    /// The current run.
    pub run: RunId,
    /// How often the key has been used, from 1.
    pub generation: i64,
    /// Where it stands.
    pub state: State,
    /// The present or last owner's epoch.
    pub epoch: i64,
    /// Who runs it; only while running.
    pub owner: Option<WorkerId>,
    /// What went wrong last.
    pub failure: Option<Failure>,
    /// Why it is parked; only while parked.
    pub parked: Option<ParkReason>,
    /// What it waits for; only while waiting.
    pub waits_for: Option<WaitReason>,
    /// Whether somebody wants it cancelled; not when finished.
    pub cancel: Option<CancelWish>,
    /// The execution whose step called it.
    pub parent: Option<ExecutionId>,
    /// Time until it is tried again by itself.
    pub due_in: Option<Duration>,
    /// When the run began.
    pub created_at: SystemTime,
    /// When it finished.
    pub finished_at: Option<SystemTime>,
    /// The recorded steps, in order. Empty in lists.
    pub steps: Vec<RecordedStep>,
    /// What else is recorded of them, by its durable name: parts (`reserve::line/7`), sleeps, signals
    /// that came, undone steps. Empty in lists.
    pub parts: Vec<RecordedStep>,
}

/// A recorded step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedStep {
    /// The step's name.
    pub name: String,
    /// Which attempt succeeded, from 1, each lost owner counted as one.
    pub attempt: u32,
    /// The worker that recorded it.
    pub worker: WorkerId,
    /// When it was recorded.
    pub at: SystemTime,
}

/// Which executions to list. All by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only of this schema.
    pub schema: Option<String>,
    /// Only in this scope.
    pub scope: Option<String>,
    /// Only in these states; empty for all.
    pub states: Vec<State>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// At most 500 executions, ordered by id.
    pub executions: Vec<Execution>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// A place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(ExecutionId);

impl Engine {
    /// Reads the execution of a key, with its recorded steps.
    ///
    /// # Errors
    /// [`RunError::Invalid`] for a key that can not be; [`RunError::Unavailable`] when the store
    /// does not answer.
    pub async fn find<In, Out>(
        &self,
        schema: &Schema<In, Out>,
        key: impl Into<Key>,
    ) -> Result<Option<Execution>, RunError> {
        let key = key.into().within(schema.name()).map_err(RunError::Invalid)?;
        self.find_id(ExecutionId::of(&key)).await
    }

    /// Reads an execution by its id, with its recorded steps.
    ///
    /// # Errors
    /// [`RunError::Unavailable`] when the store does not answer.
    pub async fn find_id(&self, id: ExecutionId) -> Result<Option<Execution>, RunError> {
        let Some(record) = self.record(id).await? else {
            return Ok(None);
        };
        let progress = self
            .inner
            .store
            .load(id, record.run)
            .await
            .map_err(|error| unavailable(&error))?;
        let mut execution = view(&self.inner, record);
        let checkpoints = progress.map_or_else(Vec::new, |progress| progress.checkpoints);
        for checkpoint in checkpoints {
            let recorded = |name: String| RecordedStep {
                name,
                attempt: u32::try_from(checkpoint.attempt).unwrap_or(0),
                worker: checkpoint.worker,
                at: checkpoint.at,
            };
            let riders = self.riders(execution.run, &checkpoint);
            execution.steps.extend(riders.into_iter().map(recorded));
            if marks::is_step(&checkpoint.step) {
                execution.steps.push(recorded(checkpoint.step.clone()));
            } else {
                execution.parts.push(recorded(checkpoint.step.clone()));
            }
        }
        Ok(Some(execution))
    }

    /// Lists executions, a page at a time, ordered by id.
    ///
    /// # Errors
    /// [`RunError::Unavailable`] when the store does not answer.
    pub async fn list(&self, filter: Filter, after: Option<Cursor>) -> Result<Page, RunError> {
        let query = ListQuery {
            schema: filter.schema,
            scope: filter.scope,
            states: filter.states,
            after: after.map(|Cursor(id)| id),
            limit: LIST_ROWS,
        };
        let records = self
            .inner
            .store
            .list(query)
            .await
            .map_err(|error| unavailable(&error))?;
        let full = records.len() >= LIST_ROWS as usize;
        let next = records.last().filter(|_last| full).map(|last| Cursor(last.id));
        let executions = records
            .into_iter()
            .map(|record| view(&self.inner, record))
            .collect();
        Ok(Page { executions, next })
    }

    /// The lazy steps whose outputs ride with a checkpoint; none where it can not be read.
    fn riders(&self, run: RunId, checkpoint: &CheckpointRecord) -> Vec<String> {
        let place = Place {
            run,
            slot: Slot::Output(&checkpoint.step),
        };
        let decoded = self.inner.codecs.decode_all(&checkpoint.output, &place);
        let riders = decoded.map(|decoded| decoded.riders).unwrap_or_default();
        riders.into_iter().map(|(name, _output)| name).collect()
    }

    pub(crate) async fn record(&self, id: ExecutionId) -> Result<Option<ExecutionRecord>, RunError> {
        let found = self.inner.store.find(vec![id]).await;
        Ok(found.map_err(|error| unavailable(&error))?.into_iter().next())
    }
}

fn view(inner: &Inner, record: ExecutionRecord) -> Execution {
    Execution {
        id: record.id,
        run: record.run,
        generation: record.generation,
        state: record.state,
        epoch: record.claim.epoch,
        owner: record.owner,
        failure: record
            .failure
            .as_ref()
            .and_then(|failure| inner.decode_failure(record.run, failure)),
        parked: record.parked,
        waits_for: record.waits_for,
        cancel: record.cancel,
        parent: record.parent,
        due_in: record.wake_in,
        created_at: record.created_at,
        finished_at: record.finished_at,
        steps: Vec::new(),
        parts: Vec::new(),
        key: record.key,
    }
}
