//! Bugs of the row's life: generations that run into each other, counters that fall, purges
//! without an end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keystep::execution::{ExecutionId, ExecutionRecord, Fence, State};
use keystep::store::{
    Acquire, Acquired, Begin, Begun, Commit, Confirm, Confirmed, How, Store, StoreError, Verdict,
};

use super::{Plant, row};

/// A cache of outcomes by key: once finished, always finished, also in the next generation.
#[derive(Debug, Clone, Default)]
pub struct OldOutcomeCached {
    outcomes: Arc<Mutex<HashMap<ExecutionId, ExecutionRecord>>>,
}

impl<S: Store> Plant<S> for OldOutcomeCached {
    async fn begin(&self, store: &S, begin: Begin) -> Result<Begun, StoreError> {
        let cached = self
            .outcomes
            .lock()
            .expect("no panic under this lock")
            .get(&begin.id)
            .cloned();
        match cached {
            Some(outcome) => Ok(Begun::Exists(Box::new(outcome))),
            None => store.begin(begin).await,
        }
    }

    async fn commit(&self, store: &S, commit: Commit) -> Result<Verdict, StoreError> {
        let id = commit.fence.execution;
        let verdict = store.commit(commit).await?;
        if let Some(row) = row(store, id).await?.filter(|row| row.state == State::Succeeded) {
            self.outcomes
                .lock()
                .expect("no panic under this lock")
                .insert(id, row);
        }
        Ok(verdict)
    }
}

/// Checkpoints belong to the key and not to the run: a step of the last generation counts as done.
#[derive(Debug, Clone, Default)]
pub struct CheckpointsByKey {
    recorded: Arc<Mutex<Recorded>>,
}

/// What was recorded, by key and step.
type Recorded = HashMap<(ExecutionId, Arc<str>), Commit>;

impl<S: Store> Plant<S> for CheckpointsByKey {
    async fn commit(&self, store: &S, commit: Commit) -> Result<Verdict, StoreError> {
        let Some(step) = commit.checkpoint.as_ref().map(|new| new.step.clone()) else {
            return store.commit(commit).await;
        };
        let place = (commit.fence.execution, step);
        let sent = Commit {
            enlisted: None,
            checkpoint: commit.checkpoint.clone(),
            then: commit.then.clone(),
            messages: commit.messages.clone(),
            ..commit
        };
        let earlier = {
            let recorded = self.recorded.lock().expect("no panic under this lock");
            recorded
                .get(&place)
                .map(|other| (other.fence.run, other.write_id))
        };
        if let Some((_, other)) = earlier.filter(|(run, _)| *run != commit.fence.run) {
            return Ok(Verdict::Exists(other));
        }
        let verdict = store.commit(commit).await?;
        if verdict == Verdict::Written {
            self.recorded
                .lock()
                .expect("no panic under this lock")
                .insert(place, sent);
        }
        Ok(verdict)
    }
}

/// A new generation starts its epochs at 1 again. All that goes in and out is mapped, so that
/// within a generation nothing else is wrong.
#[derive(Debug, Clone, Default)]
pub struct EpochFalls {
    /// By how much the epochs of a key are shown too low.
    hidden: Arc<Mutex<HashMap<ExecutionId, i64>>>,
}

impl EpochFalls {
    fn hidden(&self, id: ExecutionId) -> i64 {
        let hidden = self.hidden.lock().expect("no panic under this lock");
        hidden.get(&id).copied().unwrap_or(0)
    }

    fn inside(&self, mut fence: Fence) -> Fence {
        fence.claim.epoch += self.hidden(fence.execution);
        fence
    }

    fn outside(&self, mut record: ExecutionRecord) -> ExecutionRecord {
        record.claim.epoch -= self.hidden(record.id);
        record
    }
}

impl<S: Store> Plant<S> for EpochFalls {
    async fn begin(&self, store: &S, begin: Begin) -> Result<Begun, StoreError> {
        Ok(match store.begin(begin).await? {
            Begun::Exists(record) => Begun::Exists(Box::new(self.outside(*record))),
            started => started,
        })
    }

    async fn acquire(&self, store: &S, mut acquire: Acquire) -> Result<Acquired, StoreError> {
        let id = acquire.seen.id;
        acquire.seen.claim.epoch += self.hidden(id);
        let restarts = matches!(acquire.how, How::Restart(_));
        let answer = store.acquire(acquire).await?;
        let Acquired::Won { record, mut fence } = answer else {
            return Ok(answer);
        };
        if restarts {
            let epoch = record.claim.epoch;
            self.hidden
                .lock()
                .expect("no panic under this lock")
                .insert(id, epoch - 1);
        }
        fence.claim.epoch -= self.hidden(id);
        Ok(Acquired::Won {
            record: Box::new(self.outside(*record)),
            fence,
        })
    }

    async fn commit(&self, store: &S, mut commit: Commit) -> Result<Verdict, StoreError> {
        commit.fence = self.inside(commit.fence);
        store.commit(commit).await
    }

    async fn confirm(&self, store: &S, mut confirm: Confirm) -> Result<Confirmed, StoreError> {
        confirm.fence = self.inside(confirm.fence);
        store.confirm(confirm).await
    }

    async fn find(&self, store: &S, ids: Vec<ExecutionId>) -> Result<Vec<ExecutionRecord>, StoreError> {
        let found = store.find(ids).await?;
        Ok(found.into_iter().map(|record| self.outside(record)).collect())
    }
}

/// One purge deletes everything that is over, however much that is.
#[derive(Debug, Clone, Copy)]
pub struct PurgeWithoutLimit;

impl<S: Store> Plant<S> for PurgeWithoutLimit {
    async fn purge(&self, store: &S, _limit: u32, remember: Option<Duration>) -> Result<u32, StoreError> {
        store.purge(u32::MAX, remember).await
    }
}
