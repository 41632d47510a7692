//! Bugs of what stands beside the steps: progress, signals, wishes, messages, tombstones.

use std::time::Duration;

use keystep::execution::{CancelWish, ExecutionId, RunId, Seen, State, WorkerId, WriteId};
use keystep::store::{Commit, Message, NewProgress, NewSignal, Signalled, Store, StoreError, Then, Verdict};

use super::{Plant, row};

/// Progress is recorded as a step is: what is there stays.
#[derive(Debug, Clone, Copy)]
pub struct FirstProgressStays;

impl<S: Store> Plant<S> for FirstProgressStays {
    async fn progress(&self, store: &S, progress: NewProgress) -> Result<Verdict, StoreError> {
        let fence = progress.fence;
        let recorded = store.load(fence.execution, fence.run).await?;
        let recorded = recorded.map_or_else(Vec::new, |recorded| recorded.checkpoints);
        let known = recorded
            .iter()
            .find(|known| *known.step == *progress.checkpoint.step);
        match known {
            Some(known) => Ok(Verdict::Exists(known.write_id)),
            None => store.progress(progress).await,
        }
    }
}

/// A signal whose answer was lost is another signal when it is sent again.
#[derive(Debug, Clone, Copy)]
pub struct SignalsSentTwice;

impl<S: Store> Plant<S> for SignalsSentTwice {
    async fn signal(&self, store: &S, mut signal: NewSignal) -> Result<Signalled, StoreError> {
        signal.write_id = WriteId::fresh();
        store.signal(signal).await
    }
}

/// Who is put down does not look whether a signal came meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct CountNotCompared;

impl<S: Store> Plant<S> for CountNotCompared {
    async fn commit(&self, store: &S, mut commit: Commit) -> Result<Verdict, StoreError> {
        if let Then::Wait { signals, .. } = &mut commit.then {
            *signals = None;
        }
        store.commit(commit).await
    }
}

/// Who is put down is due under every wish, also under the one on which its owner acts.
#[derive(Debug, Clone, Copy)]
pub struct WishNotCompared;

impl<S: Store> Plant<S> for WishNotCompared {
    async fn commit(&self, store: &S, mut commit: Commit) -> Result<Verdict, StoreError> {
        if let Then::Wait { wish, .. } = &mut commit.then {
            *wish = None;
        }
        store.commit(commit).await
    }
}

/// A wish is told to owners only: what nobody owns sleeps on.
#[derive(Debug, Clone, Copy)]
pub struct WishForOwnersOnly;

impl<S: Store> Plant<S> for WishForOwnersOnly {
    async fn wish_cancel(
        &self,
        store: &S,
        id: ExecutionId,
        run: RunId,
        wish: CancelWish,
    ) -> Result<Option<Seen>, StoreError> {
        let row = row(store, id).await?.filter(|row| row.run == run);
        match row.filter(|row| !row.state.is_finished() && row.state != State::Running) {
            Some(row) => Ok(Some(row.seen())),
            None => store.wish_cancel(id, run, wish).await,
        }
    }
}

/// Messages are written beside the write and not with it: as often as it is sent, whatever comes of it.
#[derive(Debug, Clone, Copy)]
pub struct MessagesWithEachSend;

impl<S: Store> Plant<S> for MessagesWithEachSend {
    async fn commit(&self, store: &S, mut commit: Commit) -> Result<Verdict, StoreError> {
        let messages = std::mem::take(&mut commit.messages);
        let fence = commit.fence;
        // Under whatever claim the row has now: nothing is compared.
        if let Some(row) = row(store, fence.execution)
            .await?
            .filter(|_row| !messages.is_empty())
        {
            let mut beside = Commit {
                fence,
                write_id: WriteId::fresh(),
                worker: commit.worker,
                checkpoint: None,
                then: Then::Continue,
                enlisted: None,
                messages,
            };
            beside.fence.run = row.run;
            beside.fence.claim = row.claim;
            let _verdict_nobody_waits_for = store.commit(beside).await?;
        }
        store.commit(commit).await
    }
}

/// The outbox is read from its end.
#[derive(Debug, Clone, Copy)]
pub struct OutboxBackwards;

impl<S: Store> Plant<S> for OutboxBackwards {
    async fn outbox(&self, store: &S, but: Vec<ExecutionId>, limit: u32) -> Result<Vec<Message>, StoreError> {
        let mut all = store.outbox(but, u32::MAX).await?;
        all.reverse();
        all.truncate(limit as usize);
        Ok(all)
    }
}

/// Nobody asks whether somebody else leads.
#[derive(Debug, Clone, Copy)]
pub struct EveryWorkerLeads;

impl<S: Store> Plant<S> for EveryWorkerLeads {
    async fn lead(&self, store: &S, worker: WorkerId) -> Result<bool, StoreError> {
        let live = store.observe(WorkerId(0)).await?.others;
        Ok(live.iter().any(|other| other.worker == worker))
    }
}

/// A purge leaves nothing, whatever was asked.
#[derive(Debug, Clone, Copy)]
pub struct NothingRemembered;

impl<S: Store> Plant<S> for NothingRemembered {
    async fn purge(&self, store: &S, limit: u32, _remember: Option<Duration>) -> Result<u32, StoreError> {
        store.purge(limit, None).await
    }
}
