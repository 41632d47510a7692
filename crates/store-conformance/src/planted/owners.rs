//! Bugs of ownership: acquisitions that do not look, and the dead who are not dead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keystep::execution::{ExecutionId, RunId, Seen, State, WorkerId};
use keystep::store::{
    Acquire, Acquired, Commit, How, ListQuery, Progress, Shapes, Store, StoreError, Verdict, Wanted,
};

use super::{Plant, row, widen_window};

/// The condition of an acquisition is not on the row itself: two that saw the same row both win,
/// one after the other.
#[derive(Debug, Clone, Copy)]
pub struct AcquireByKeyOnly;

impl<S: Store> Plant<S> for AcquireByKeyOnly {
    async fn acquire(&self, store: &S, mut acquire: Acquire) -> Result<Acquired, StoreError> {
        if let Some(row) = row(store, acquire.seen.id).await?
            && row.claim.token != acquire.token
        {
            acquire.seen = row.seen();
        }
        store.acquire(acquire).await
    }
}

/// Takeover and load are one statement: the new owner goes on from the checkpoints of the moment
/// before it took over.
#[derive(Debug, Clone, Default)]
pub struct LoadFromBeforeTakeover {
    before: Arc<Mutex<HashMap<RunId, Progress>>>,
}

impl<S: Store> Plant<S> for LoadFromBeforeTakeover {
    async fn acquire(&self, store: &S, acquire: Acquire) -> Result<Acquired, StoreError> {
        let before = match acquire.how {
            How::Restart(_) => None,
            _ => store.load(acquire.seen.id, acquire.seen.run).await?,
        };
        widen_window().await;
        let answer = store.acquire(acquire).await?;
        if let (Acquired::Won { fence, .. }, Some(progress)) = (&answer, before) {
            let mut all = self.before.lock().expect("no panic under this lock");
            all.insert(fence.run, progress);
        }
        Ok(answer)
    }

    async fn commit(&self, store: &S, commit: Commit) -> Result<Verdict, StoreError> {
        let run = commit.fence.run;
        let verdict = store.commit(commit).await?;
        if verdict == Verdict::Written {
            self.before.lock().expect("no panic under this lock").remove(&run);
        }
        Ok(verdict)
    }

    async fn load(&self, store: &S, id: ExecutionId, run: RunId) -> Result<Option<Progress>, StoreError> {
        let before = self.before.lock().expect("no panic under this lock").remove(&run);
        match before {
            Some(progress) => Ok(Some(progress)),
            None => store.load(id, run).await,
        }
    }
}

/// A worker is declared dead without a second look at its beat.
#[derive(Debug, Clone, Copy)]
pub struct BuriedUnseen;

impl<S: Store> Plant<S> for BuriedUnseen {
    async fn bury(&self, store: &S, worker: WorkerId, beat: i64) -> Result<bool, StoreError> {
        let nobody = WorkerId(0);
        let others = store.observe(nobody).await?.others;
        let now = others.iter().find(|other| other.worker == worker);
        store.bury(worker, now.map_or(beat, |now| now.beat)).await
    }
}

/// The sweep looks at all running executions, whoever owns them.
#[derive(Debug, Clone, Copy)]
pub struct SweepOfTheLiving;

impl<S: Store> Plant<S> for SweepOfTheLiving {
    async fn orphans(&self, store: &S, wanted: Wanted) -> Result<Vec<Seen>, StoreError> {
        let running = ListQuery {
            states: vec![State::Running],
            limit: 10_000,
            ..ListQuery::default()
        };
        let found = store.list(running).await?;
        let wished = found.into_iter().filter(|row| match &wanted.shapes {
            Shapes::Only(shapes) => shapes.contains(&row.shape),
            Shapes::Except(shapes) => !shapes.contains(&row.shape),
        });
        Ok(wished.take(wanted.limit as usize).map(|row| row.seen()).collect())
    }
}
