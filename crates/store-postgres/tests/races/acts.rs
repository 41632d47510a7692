//! What can a player do? One call of its store, and what it is told.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use keystep::execution::{
    CancelWish, ExecutionRecord, Fence, InputHash, RunId, Seen, State, WorkerId, WriteId,
};
use keystep::store::{
    Acquired, Begin, Begun, Commit, Enlisted, Fresh, How, NewSignal, Progress, Signalled, Store, StoreError,
    Verdict,
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
    Signalled(Signalled),
    /// The state of the row whose cancel is wanted; none when it is finished.
    Wished(Option<State>),
    Leads(bool),
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
        async move { Told::Purged(store.purge(10, None).await.expect("an answer")) }.boxed()
    }

    /// Purges, and leaves rows without payloads.
    pub(crate) fn purges_but_remembers(&self) -> Act {
        let store = self.store.clone();
        let remember = Some(Duration::from_secs(3600));
        async move { Told::Purged(store.purge(10, remember).await.expect("an answer")) }.boxed()
    }

    pub(crate) fn signals(&self, signal: NewSignal) -> Act {
        let store = self.store.clone();
        async move { Told::Signalled(store.signal(signal).await.expect("an answer")) }.boxed()
    }

    /// Wants what a fence is for cancelled.
    pub(crate) fn cancels(&self, fence: Fence) -> Act {
        let store = self.store.clone();
        async move {
            let wished = store.wish_cancel(fence.execution, fence.run, CancelWish::Undo);
            Told::Wished(wished.await.expect("an answer").map(|seen| seen.state))
        }
        .boxed()
    }

    pub(crate) fn leads(&self, worker: WorkerId) -> Act {
        let store = self.store.clone();
        async move { Told::Leads(store.lead(worker).await.expect("an answer")) }.boxed()
    }
}

/// A signal of the name `go`.
pub(crate) fn signal_to(fence: &Fence, once: bool) -> NewSignal {
    NewSignal {
        id: fence.execution,
        run: fence.run,
        name: "go".into(),
        payload: payload("news"),
        once,
        write_id: WriteId::fresh(),
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
        parent: None,
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
