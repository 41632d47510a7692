//! Bugs of commit: fences that compare too little, verdicts that come from the wrong place.

use std::sync::Mutex;

use bytes::Bytes;
use keystep::execution::{ExecutionId, ExecutionRecord, Payload, RunId, State};
use keystep::store::{Begin, Begun, Commit, Progress, Store, StoreError, Verdict};

use super::{Plant, row};

/// The writes of whoever owned an execution once go through: nothing is compared.
#[derive(Debug, Clone, Copy)]
pub struct FenceMissing;

impl<S: Store> Plant<S> for FenceMissing {
    async fn commit(&self, store: &S, mut commit: Commit) -> Result<Verdict, StoreError> {
        if let Some(row) = row(store, commit.fence.execution).await? {
            commit.fence.run = row.run;
            commit.fence.claim = row.claim;
        }
        store.commit(commit).await
    }
}

/// The fence compares the epoch only, which a failover can use twice.
#[derive(Debug, Clone, Copy)]
pub struct ClaimNotCompared;

impl<S: Store> Plant<S> for ClaimNotCompared {
    async fn commit(&self, store: &S, mut commit: Commit) -> Result<Verdict, StoreError> {
        if let Some(row) = row(store, commit.fence.execution).await?
            && row.claim.epoch == commit.fence.claim.epoch
        {
            commit.fence.claim = row.claim;
        }
        store.commit(commit).await
    }
}

/// The fence does not require `running`: who has given an execution back still gets a yes.
#[derive(Debug, Clone, Copy)]
pub struct StateNotCompared;

impl<S: Store> Plant<S> for StateNotCompared {
    async fn commit(&self, store: &S, commit: Commit) -> Result<Verdict, StoreError> {
        let fence = commit.fence;
        let verdict = store.commit(commit).await?;
        let carries = |row: &ExecutionRecord| row.run == fence.run && row.claim == fence.claim;
        let ended = |row: &ExecutionRecord| row.state != State::Running && carries(row);
        Ok(match verdict {
            Verdict::Fenced if row(store, fence.execution).await?.as_ref().is_some_and(ended) => {
                Verdict::Written
            }
            verdict => verdict,
        })
    }
}

/// The caller hears `Written` when the write is queued, not when it is done.
#[derive(Debug, Default)]
pub struct AcknowledgedBeforeVerdict {
    queue: Mutex<Vec<Commit>>,
}

impl AcknowledgedBeforeVerdict {
    /// Does what was promised earlier, whatever comes of it.
    async fn flush<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        let queue = std::mem::take(&mut *self.queue.lock().expect("no panic under this lock"));
        for commit in queue {
            let _verdict_nobody_waits_for = store.commit(commit).await?;
        }
        Ok(())
    }
}

impl<S: Store> Plant<S> for AcknowledgedBeforeVerdict {
    async fn begin(&self, store: &S, begin: Begin) -> Result<Begun, StoreError> {
        self.flush(store).await?;
        store.begin(begin).await
    }

    async fn commit(&self, store: &S, commit: Commit) -> Result<Verdict, StoreError> {
        self.flush(store).await?;
        self.queue.lock().expect("no panic under this lock").push(commit);
        Ok(Verdict::Written)
    }

    async fn load(&self, store: &S, id: ExecutionId, run: RunId) -> Result<Option<Progress>, StoreError> {
        self.flush(store).await?;
        store.load(id, run).await
    }

    async fn find(&self, store: &S, ids: Vec<ExecutionId>) -> Result<Vec<ExecutionRecord>, StoreError> {
        self.flush(store).await?;
        store.find(ids).await
    }
}

/// A write that is sent again after a lost answer is not recognised.
#[derive(Debug, Clone, Copy)]
pub struct ResendIsFailure;

impl<S: Store> Plant<S> for ResendIsFailure {
    async fn commit(&self, store: &S, commit: Commit) -> Result<Verdict, StoreError> {
        let row = row(store, commit.fence.execution).await?;
        if row.is_some_and(|row| row.claim == commit.fence.claim && row.state != State::Running) {
            return Ok(Verdict::Fenced);
        }
        store.commit(commit).await
    }
}

/// The verdict is joined on the step and not on the write: another write of the same step is told
/// that it was the one.
#[derive(Debug, Clone, Copy)]
pub struct VerdictJoinedOnStep;

impl<S: Store> Plant<S> for VerdictJoinedOnStep {
    async fn commit(&self, store: &S, commit: Commit) -> Result<Verdict, StoreError> {
        Ok(match store.commit(commit).await? {
            Verdict::Exists(_) => Verdict::Written,
            verdict => verdict,
        })
    }
}

/// Outputs go through a text column.
#[derive(Debug, Clone, Copy)]
pub struct PayloadsAsText;

impl<S: Store> Plant<S> for PayloadsAsText {
    async fn commit(&self, store: &S, mut commit: Commit) -> Result<Verdict, StoreError> {
        if let Some(checkpoint) = &mut commit.checkpoint {
            let text = String::from_utf8_lossy(&checkpoint.output.0).into_owned();
            checkpoint.output = Payload(Bytes::from(text));
        }
        store.commit(commit).await
    }
}
