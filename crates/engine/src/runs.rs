//! What runs in this process? The registry of local runs, so that a thousand duplicates of one key
//! are one waiter, and a key is begun by one task at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::error::Failure;
use crate::execution::{
    CancelWish, ExecutionId, ExecutionRecord, Fence, FullKey, InputHash, ParkReason, Seen, WaitReason,
    WorkerId,
};
use crate::store::StoreError;

/// How a local run ended. Failures are boxed: tens of thousands of calls have room for an end while they wait.
#[derive(Debug, Clone)]
pub(crate) enum RunEnd {
    /// The output, as JSON.
    Succeeded(Bytes),
    Failed(Box<Failure>),
    /// It failed, and what was done is undone.
    Undone(Box<Failure>),
    Cancelled,
    /// Put down; due after this time, if it has one.
    Waiting {
        failure: Option<Box<Failure>>,
        due_in: Option<Duration>,
        reason: WaitReason,
    },
    Parked {
        reason: ParkReason,
        failure: Option<Box<Failure>>,
    },
    /// Somebody else owns it now.
    Lost,
    /// Handed back because this process shuts down.
    Released,
}

impl RunEnd {
    /// Whether it is over, and not only put down or somebody else's.
    pub(crate) fn is_outcome(&self) -> bool {
        matches!(
            self,
            Self::Succeeded(_) | Self::Failed(_) | Self::Undone(_) | Self::Cancelled
        )
    }
}

/// An execution that this process owns.
#[derive(Debug)]
pub(crate) struct LocalRun {
    pub(crate) id: ExecutionId,
    pub(crate) key: Arc<FullKey>,
    pub(crate) worker: WorkerId,
    pub(crate) hash: InputHash,
    /// Ends the run's steps at once: the ownership is lost.
    pub(crate) lost: CancellationToken,
    /// Somebody wants the execution cancelled.
    pub(crate) cancelled: CancellationToken,
    cancel: Mutex<Option<CancelWish>>,
    fence: Mutex<Fence>,
    at: Mutex<(Option<Arc<str>>, SystemTime)>,
    end: OnceLock<RunEnd>,
    over: Notify,
}

impl LocalRun {
    pub(crate) fn new(
        fence: Fence,
        key: Arc<FullKey>,
        worker: WorkerId,
        hash: InputHash,
        since: SystemTime,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: fence.execution,
            key,
            worker,
            hash,
            lost: CancellationToken::new(),
            cancelled: CancellationToken::new(),
            cancel: Mutex::new(None),
            fence: Mutex::new(fence),
            at: Mutex::new((None, since)),
            end: OnceLock::new(),
            over: Notify::new(),
        })
    }

    /// The claim under which it runs now; a restart of the database server can change it.
    pub(crate) fn fence(&self) -> Fence {
        *locked(&self.fence)
    }

    pub(crate) fn set_fence(&self, fence: Fence) {
        *locked(&self.fence) = fence;
    }

    /// Wants it cancelled.
    pub(crate) fn cancel(&self, wish: CancelWish) {
        *locked(&self.cancel) = Some(wish);
        self.cancelled.cancel();
    }

    pub(crate) fn cancel_wish(&self) -> Option<CancelWish> {
        *locked(&self.cancel)
    }

    /// Whether it owns the same run under a later claim than another.
    fn is_ahead_of(&self, other: &Self) -> bool {
        let (own, other) = (self.fence(), other.fence());
        own.run == other.run && own.claim.epoch > other.claim.epoch && !self.lost.is_cancelled()
    }

    /// The step it is in, and since when.
    pub(crate) fn at(&self) -> (Option<String>, SystemTime) {
        let at = locked(&self.at);
        (at.0.as_deref().map(str::to_owned), at.1)
    }

    /// When the step was entered that it is in.
    pub(crate) fn since(&self) -> SystemTime {
        locked(&self.at).1
    }

    pub(crate) fn enter(&self, step: &Arc<str>, since: SystemTime) {
        *locked(&self.at) = (Some(Arc::clone(step)), since);
    }

    /// Tells how it ended; the first word stands.
    pub(crate) fn finish(&self, end: RunEnd) {
        let _known = self.end.set(end);
        self.over.notify_waiters();
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> RunEnd {
        #[cfg(feature = "planted")]
        if bugs::is_planted(Bug::WaitsAfterItsLook) {
            self.over.notified().await;
        }
        loop {
            // Before the look, so that an end that comes after it is heard of.
            let over = self.over.notified();
            if let Some(end) = self.end.get() {
                return end.clone();
            }
            over.await;
        }
    }
}

/// What came of asking the store for a key.
#[derive(Debug, Clone)]
pub(crate) enum Opened {
    /// It is new, and runs here.
    Started(Arc<LocalRun>),
    /// The key has an execution already. With the time of the engine's clock before it was asked for.
    Exists(Arc<ExecutionRecord>, Duration),
    /// The key has none, and who asked begins none.
    Free,
    /// The store did not answer.
    Failed(StoreError),
}

/// An ask that is under way; every caller of the key in this process shares it.
pub(crate) type Opening = watch::Receiver<Option<Opened>>;

#[derive(Debug, Default)]
struct Slot {
    run: Option<Arc<LocalRun>>,
    opening: Option<Opening>,
    /// Acquisitions that wait for the store's answer.
    taking: usize,
}

impl Slot {
    fn look(&self) -> Option<Look> {
        let run = self.run.as_ref().map(|run| Look::Running(Arc::clone(run)));
        run.or_else(|| self.opening.clone().map(Look::Opening))
    }
}

/// All local runs and openings, by execution.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: Slots,
}

type Slots = Arc<Mutex<HashMap<ExecutionId, Slot>>>;

/// What this process knows of a key.
pub(crate) enum Look {
    Running(Arc<LocalRun>),
    /// Another caller asks the store at this moment.
    Opening(Opening),
    /// Nothing: the caller asks the store, and publishes what it hears.
    Ask(watch::Sender<Option<Opened>>),
}

impl Registry {
    /// Looks a key up; when nothing is known the caller becomes the one who asks.
    pub(crate) fn look(&self, id: ExecutionId) -> Look {
        let mut slots = locked(&self.slots);
        let slot = slots.entry(id).or_default();
        slot.look().unwrap_or_else(|| {
            let (sender, opening) = watch::channel(None);
            slot.opening = Some(opening);
            Look::Ask(sender)
        })
    }

    /// The same for one who does not ask.
    pub(crate) fn peek(&self, id: ExecutionId) -> Option<Look> {
        locked(&self.slots).get(&id)?.look()
    }

    /// Ends an opening.
    pub(crate) fn opened(&self, id: ExecutionId) {
        change(&self.slots, id, |slot| slot.opening = None);
    }

    pub(crate) fn running(&self, id: ExecutionId) -> Option<Arc<LocalRun>> {
        locked(&self.slots).get(&id)?.run.clone()
    }

    /// Whether this process has anything to do with the execution.
    #[cfg(feature = "testing")]
    pub(crate) fn knows(&self, id: ExecutionId) -> bool {
        locked(&self.slots).contains_key(&id)
    }

    /// Whether what was seen as this process's own is known as such, or about to be.
    pub(crate) fn accounts_for(&self, seen: &Seen) -> bool {
        locked(&self.slots)
            .get(&seen.id)
            .is_some_and(|slot| slot.accounts_for(seen))
    }

    /// Makes an execution known while it is being acquired, so that the audit does not take it for
    /// one whose answer was lost.
    pub(crate) fn taking(&self, id: ExecutionId) -> Taking {
        locked(&self.slots).entry(id).or_default().taking += 1;
        Taking {
            slots: Arc::clone(&self.slots),
            id,
        }
    }

    /// The same, for one that was found by a look: `None` when it is being acquired already, or runs
    /// here as it was seen.
    pub(crate) fn try_taking(&self, seen: &Seen) -> Option<Taking> {
        {
            let mut slots = locked(&self.slots);
            let slot = slots.entry(seen.id).or_default();
            let runs = |run: &Arc<LocalRun>| run.fence().claim == seen.claim;
            if slot.taking > 0 || slot.run.as_ref().is_some_and(runs) {
                return None;
            }
            slot.taking += 1;
        }
        Some(Taking {
            slots: Arc::clone(&self.slots),
            id: seen.id,
        })
    }

    /// Adds a run. Of two of one execution the one under the older claim is lost. Epochs are compared
    /// within one run only: a key that was purged begins anew at the first.
    pub(crate) fn insert(&self, run: &Arc<LocalRun>) {
        let mut slots = locked(&self.slots);
        let known = &mut slots.entry(run.id).or_default().run;
        if known.as_ref().is_some_and(|known| known.is_ahead_of(run)) {
            run.lost.cancel();
        } else if let Some(older) = known.replace(Arc::clone(run)) {
            older.lost.cancel();
        }
    }

    /// Forgets a run, unless a newer one of the same execution took its place.
    pub(crate) fn remove(&self, run: &Arc<LocalRun>) {
        change(&self.slots, run.id, |slot| {
            if slot.run.as_ref().is_some_and(|known| Arc::ptr_eq(known, run)) {
                slot.run = None;
            }
        });
    }

    pub(crate) fn count(&self) -> usize {
        locked(&self.slots).len()
    }

    /// Ends all runs of a worker that was declared dead.
    pub(crate) fn lose_all(&self, worker: WorkerId) {
        for slot in locked(&self.slots).values() {
            if let Some(run) = slot.run.as_ref().filter(|run| run.worker == worker) {
                run.lost.cancel();
            }
        }
    }
}

impl Slot {
    fn accounts_for(&self, seen: &Seen) -> bool {
        // A run that is not lost may be acquiring its execution anew at this moment.
        let is_it = |run: &Arc<LocalRun>| {
            let fence = run.fence();
            fence.claim == seen.claim || fence.run == seen.run && !run.lost.is_cancelled()
        };
        self.opening.is_some() || self.taking > 0 || self.run.as_ref().is_some_and(is_it)
    }
}

/// Changes a slot, and forgets it when nothing is left in it.
fn change(slots: &Slots, id: ExecutionId, change: impl FnOnce(&mut Slot)) {
    let mut slots = locked(slots);
    if let Some(slot) = slots.get_mut(&id) {
        change(slot);
        if slot.run.is_none() && slot.opening.is_none() && slot.taking == 0 {
            slots.remove(&id);
        }
    }
}

/// An acquisition that waits for the store's answer.
pub(crate) struct Taking {
    slots: Slots,
    id: ExecutionId,
}

impl Drop for Taking {
    fn drop(&mut self) {
        change(&self.slots, self.id, |slot| slot.taking -= 1);
    }
}

/// The state behind these locks is valid after each single change, so a panic elsewhere does not
/// spoil it.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::execution::{Claim, RunId, State};

    const LIFE: RunId = RunId(Uuid::nil());
    const NEXT_LIFE: RunId = RunId(Uuid::max());

    fn run_under(epoch: i64) -> Arc<LocalRun> {
        run_of_life(LIFE, epoch)
    }

    fn run_of_life(life: RunId, epoch: i64) -> Arc<LocalRun> {
        let fence = Fence {
            execution: ExecutionId(Uuid::nil()),
            run: life,
            claim: Claim {
                epoch,
                token: Uuid::nil(),
            },
            incarnation: 0,
        };
        let key = FullKey {
            schema: String::new(),
            scope: String::new(),
            key: String::new(),
        };
        LocalRun::new(
            fence,
            Arc::new(key),
            WorkerId(1),
            InputHash([0; 32]),
            SystemTime::UNIX_EPOCH,
        )
    }

    #[test]
    fn of_two_runs_of_one_execution_the_older_claim_is_lost_in_whatever_order_they_come() {
        for epochs in [[1, 2], [2, 1]] {
            let registry = Registry::default();
            let runs = epochs.map(run_under);
            runs.iter().for_each(|run| registry.insert(run));
            for (run, epoch) in runs.iter().zip(epochs) {
                assert_eq!(run.lost.is_cancelled(), epoch == 1);
            }
            registry.remove(&run_of(&runs, 1));
            assert_eq!(registry.count(), 1, "the newer one stays known");
            registry.remove(&run_of(&runs, 2));
            assert_eq!(registry.count(), 0);
        }
    }

    fn run_of(runs: &[Arc<LocalRun>], epoch: i64) -> Arc<LocalRun> {
        let run = runs.iter().find(|run| run.fence().claim.epoch == epoch);
        Arc::clone(run.expect("one of them"))
    }

    #[test]
    fn a_run_of_a_new_life_of_its_key_takes_the_place_of_one_that_was_purged() {
        let (registry, stale, new) = (Registry::default(), run_under(5), run_of_life(NEXT_LIFE, 1));
        registry.insert(&stale);
        registry.insert(&new);
        assert!(stale.lost.is_cancelled());
        assert!(!new.lost.is_cancelled(), "epochs of two lives say nothing");
        assert!(Arc::ptr_eq(&registry.running(new.id).expect("known"), &new));
    }

    #[test]
    fn a_run_that_is_lost_already_stands_in_nobodys_way() {
        let (registry, lost, new) = (Registry::default(), run_under(2), run_under(1));
        registry.insert(&lost);
        lost.lost.cancel();
        registry.insert(&new);
        assert!(!new.lost.is_cancelled());
        assert!(Arc::ptr_eq(&registry.running(new.id).expect("known"), &new));
    }

    fn seen_under(run: RunId, epoch: i64) -> Seen {
        let LocalRun { id, .. } = *run_under(epoch);
        Seen {
            id,
            run,
            claim: run_of_life(run, epoch).fence().claim,
            state: State::Running,
        }
    }

    #[test]
    fn an_execution_is_accounted_for_while_its_acquisition_waits_for_an_answer() {
        let (registry, seen) = (Registry::default(), seen_under(LIFE, 1));
        assert!(!registry.accounts_for(&seen));
        let taking = registry.try_taking(&seen).expect("nobody else takes it");
        assert!(registry.accounts_for(&seen));
        assert!(registry.try_taking(&seen).is_none(), "not twice at once");
        registry.insert(&run_under(1));
        drop(taking);
        assert!(registry.accounts_for(&seen));
        assert!(
            registry.try_taking(&seen).is_none(),
            "it runs here as it was seen"
        );
        assert_eq!(registry.count(), 1);
    }

    #[test]
    fn a_stale_run_does_not_account_for_what_is_owned_under_another_claim() {
        let (registry, run) = (Registry::default(), run_under(1));
        registry.insert(&run);
        let (again, anew) = (seen_under(LIFE, 2), seen_under(NEXT_LIFE, 2));
        assert!(!registry.accounts_for(&anew), "another life of the key");
        assert!(registry.accounts_for(&again), "it may be acquiring anew");
        run.lost.cancel();
        assert!(!registry.accounts_for(&again), "a lost one acquires nothing");
        assert!(registry.accounts_for(&seen_under(LIFE, 1)), "its own claim");
    }
}
