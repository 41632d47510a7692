//! What can a player do? One call of its store, and what it is told.

use futures::FutureExt;
use futures::future::BoxFuture;
use keystep::execution::{ExecutionRecord, Fence, InputHash, RunId, Seen};
use keystep::store::{
    Acquired, Begin, Begun, Commit, Enlisted, Fresh, How, Progress, Store, StoreError, Verdict,
};
use keystep_postgres::PostgresStore;

use super::stage::Player;
use crate::common::{PLAN, SHAPE, acquire_of, payload};

/// An act of a player, to be played on a stage.
pub(crate) type Act = BoxFuture<'static, Told>;

/// What a player is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Verdict(Verdict),
    /// Nothing of a transaction was written, and there is no verdict.
    RolledBack,
    /// The row as it was acquired, and what the new owner loaded.
    Won(Box<ExecutionRecord>, Progress),
    Lost,
    Begun(Begun),
    Purged(u32),
}

impl Told {
    pub(crate) fn won(&self) -> bool {
        matches!(self, Self::Won(..))
    }

    pub(crate) fn started(&self) -> bool {
        matches!(self, Self::Begun(Begun::Started(_)))
    }
}

impl Player {
    pub(crate) fn commits(&self, commit: Commit) -> Act {
        let store = self.store.clone();
        async move { Told::Verdict(store.commit(commit).await.expect("a verdict")) }.boxed()
    }

    pub(crate) fn commits_with(&self, mut commit: Commit, enlisted: Enlisted) -> Act {
        commit.enlisted = Some(enlisted);
        let store = self.store.clone();
        async move {
            match store.commit(commit).await {
                Ok(verdict) => Told::Verdict(verdict),
                Err(StoreError::Unavailable(_)) => Told::RolledBack,
                Err(error) => panic!("a transaction ended with {error}"),
            }
        }
        .boxed()
    }

    /// Acquires what was seen and, when it has won, loads what there is.
    pub(crate) fn acquires(&self, seen: Seen, how: How) -> Act {
        let store = self.store.clone();
        async move {
            match store.acquire(acquire_of(seen, how)).await.expect("an answer") {
                Acquired::Lost => Told::Lost,
                Acquired::Won { record, fence } => {
                    let loaded = store.load(fence.execution, fence.run).await;
                    Told::Won(record, loaded.expect("an answer").expect("the run is there"))
                }
            }
        }
        .boxed()
    }

    pub(crate) fn begins(&self, begin: Begin) -> Act {
        let store = self.store.clone();
        async move { Told::Begun(store.begin(begin).await.expect("an answer")) }.boxed()
    }

    pub(crate) fn purges(&self) -> Act {
        let store = self.store.clone();
        async move { Told::Purged(store.purge(10).await.expect("an answer")) }.boxed()
    }
}

/// A new generation.
pub(crate) fn restart() -> How {
    How::Restart(Box::new(Fresh {
        run: RunId::fresh(),
        plan: PLAN,
        shape: SHAPE,
        input: payload("new input"),
        input_hash: InputHash([8; 32]),
    }))
}

/// The row of a fence as it is now.
pub(crate) async fn row(store: &PostgresStore, fence: &Fence) -> ExecutionRecord {
    let mut found = store.find(vec![fence.execution]).await.expect("an answer");
    found.pop().expect("the row is there")
}

/// How many steps of a fence's run are recorded.
pub(crate) async fn recorded(store: &PostgresStore, fence: &Fence) -> usize {
    let loaded = store.load(fence.execution, fence.run).await.expect("an answer");
    loaded.map_or(0, |progress| progress.checkpoints.len())
}
