//! How does a caller learn the outcome of an execution that another process runs? One poll for all
//! of them.
//!
//! However many callers wait for however many keys, the process asks the store with one statement:
//! after 10 ms at first, growing to 500 ms while nothing happens.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::execution::{ExecutionId, ExecutionRecord, State};
use crate::inner::Inner;
use crate::persist::note;
use crate::refusal::Refused;
use crate::runs::locked;
use crate::store::StoreError;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What a follower sees of an execution that is not running elsewhere any more.
pub(crate) type Seen = Option<Arc<ExecutionRecord>>;

/// One followed execution: its callers listen, the poll tells what it saw, or that the store refuses
/// to be used.
type Followed = watch::Sender<Option<Result<Seen, StoreError>>>;

#[derive(Debug, Default)]
pub(crate) struct Follower {
    followed: Mutex<HashMap<ExecutionId, Followed>>,
    look: Notify,
    polling: Mutex<bool>,
}

impl Follower {
    /// Waits until the execution is not running any more, or is gone (`None`).
    ///
    /// # Errors
    /// When the store has refused to be used for a while.
    pub(crate) async fn follow(inner: &Arc<Inner>, id: ExecutionId) -> Result<Seen, StoreError> {
        let this = &inner.follower;
        let mut changes = locked(&this.followed).entry(id).or_default().subscribe();
        if !std::mem::replace(&mut *locked(&this.polling), true) {
            inner.runtime.spawn(poll(Arc::clone(inner)));
        }
        this.look.notify_one();
        let told = changes.wait_for(Option::is_some).await;
        told.ok().and_then(|seen| seen.clone()).unwrap_or(Ok(None))
    }

    /// Something happened to this execution here: look at once.
    pub(crate) fn look_again(&self, id: ExecutionId) {
        if locked(&self.followed).contains_key(&id) {
            self.look.notify_one();
        }
    }

    /// Ends the poll and tells everybody, so that they look for themselves. Whoever comes later
    /// starts a poll of their own; when the process shuts down, that one ends here too.
    fn close(&self) {
        *locked(&self.polling) = false;
        for (_id, changes) in locked(&self.followed).drain() {
            changes.send_replace(Some(Ok(None)));
        }
    }

    fn ids(&self) -> Vec<ExecutionId> {
        let mut followed = locked(&self.followed);
        followed.retain(|_id, changes| changes.receiver_count() > 0);
        followed.keys().copied().collect()
    }

    fn still_followed(&self, mut ids: Vec<ExecutionId>) -> HashSet<ExecutionId> {
        let followed = locked(&self.followed);
        ids.retain(|id| followed.contains_key(id));
        ids.into_iter().collect()
    }

    fn tell(&self, id: ExecutionId, seen: Result<Seen, StoreError>) {
        if let Some(changes) = locked(&self.followed).remove(&id) {
            changes.send_replace(Some(seen));
        }
    }
}

/// Asks for all followed executions until nobody follows one any more.
async fn poll(inner: Arc<Inner>) {
    let this = &inner.follower;
    let mut polling_ends = PollEnds {
        follower: this,
        nobody_waits: false,
    };
    let mut pause = FIRST_PAUSE;
    let mut refused = Refused::default();
    let mut known = HashSet::new();
    loop {
        let ids = this.ids();
        if ids.is_empty() {
            let mut polling = locked(&this.polling);
            // Somebody may have come between the two locks; they saw that a poll was running.
            if this.ids().is_empty() {
                *polling = false;
                polling_ends.nobody_waits = true;
                return;
            }
            continue;
        }
        // Whoever comes later is looked for as often as the first, however long others have waited.
        if !ids.iter().all(|id| known.contains(id)) {
            pause = FIRST_PAUSE;
        }
        let failed = look(&inner, ids.clone()).await.inspect_err(note).err();
        let lasts = refused.lasts(failed.as_ref());
        if let Some(refusal) = failed.filter(|_error| lasts) {
            ids.iter().for_each(|id| this.tell(*id, Err(refusal.clone())));
        }
        known = this.still_followed(ids);
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 3 / 2).min(LONGEST_PAUSE),
            () = this.look.notified() => {}
            () = inner.closing.cancelled() => return,
        }
    }
}

/// Ends a poll in whatever way it ends, also by a panic in the store or together with its runtime.
struct PollEnds<'a> {
    follower: &'a Follower,
    nobody_waits: bool,
}

impl Drop for PollEnds<'_> {
    fn drop(&mut self) {
        if !self.nobody_waits {
            self.follower.close();
        }
    }
}

async fn look(inner: &Inner, ids: Vec<ExecutionId>) -> Result<(), StoreError> {
    match inner.store.find(ids.clone()).await {
        Ok(records) => told(&inner.follower, &ids, records),
        Err(StoreError::Unreadable(why)) => {
            note(&StoreError::Unreadable(why));
            // One row that can not be read must not hide the others. Its own callers look again by
            // themselves, and hear it as their own error.
            for id in ids {
                match inner.store.find(vec![id]).await {
                    Ok(records) => told(&inner.follower, &[id], records),
                    Err(StoreError::Unreadable(_)) => inner.follower.tell(id, Ok(None)),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn told(this: &Follower, ids: &[ExecutionId], records: Vec<ExecutionRecord>) {
    let mut records: HashMap<_, _> = records.into_iter().map(|record| (record.id, record)).collect();
    for id in ids {
        match records.remove(id) {
            Some(record) if record.state == State::Running => {}
            other => this.tell(*id, Ok(other.map(Arc::new))),
        }
    }
}
