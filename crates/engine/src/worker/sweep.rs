//! What needs somebody? Executions that are due, and those whose owner died.
//!
//! The sweep is level-triggered: it looks at what is, not at what was told, so nothing that was
//! missed stays missed. It only reads; taking an execution is one compare-and-set of its row, so any
//! number of sweeps may see the same one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::monotonic;
use crate::execution::{ExecutionId, ParkReason, Seen, State, WriteId};
use crate::inner::Inner;
use crate::persist::note;
use crate::random;
use crate::store::{Acquire, Acquired, Commit, How, Shapes, StoreError, Then, Verdict, Wanted};
use crate::take::take_up;

/// How many executions one look asks for: as many as a store acquires in one batch.
const LOOK_ROWS: u32 = 256;
/// How soon to look again for what one look had no room for.
const ROOM: Duration = Duration::from_millis(10);
/// How often to look for executions that nobody alive can run, and for lost answers of takeovers.
const AUDIT: Duration = Duration::from_secs(5);
/// How long a look waits for the acquisitions it has begun. The others go on without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks for work until the engine closes.
pub(crate) async fn sweep(inner: Arc<Inner>) {
    let mut audit = Audit::default();
    let mut more = false;
    loop {
        if let Some(limit) = room(&inner) {
            more = look(&inner, limit).await;
        }
        // Also under a load that never ends; it knows itself how often.
        audit.look(&inner).await;
        let pause = if !more {
            inner.options.sweep.mul_f64(0.75 + random::fraction() / 2.0)
        } else if room(&inner) == Some(LOOK_ROWS) {
            continue;
        } else {
            ROOM
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = inner.sweep.notified() => {}
            () = inner.wakeups.next(&inner.clock) => {}
            () = inner.closing.cancelled() => return,
        }
    }
}

/// How many executions may be taken up now, as far as one look can find them.
fn room(inner: &Inner) -> Option<u32> {
    let room = inner.options.in_flight.saturating_sub(inner.registry.count());
    let limit = u32::try_from(room).map_or(LOOK_ROWS, |room| room.min(LOOK_ROWS));
    (limit > 0).then_some(limit)
}

/// Takes up what is due or orphaned; true when there may be more.
async fn look(inner: &Arc<Inner>, limit: u32) -> bool {
    if inner.closing.is_cancelled() || !inner.liveness.is_fresh() {
        return false;
    }
    let wanted = Wanted {
        shapes: Shapes::Only(inner.shapes()),
        limit,
    };
    let (due, orphans) = tokio::join!(inner.store.due(wanted.clone()), inner.store.orphans(wanted));
    let (due, orphans) = (found(due), found(orphans));
    let full = due.len() >= limit as usize || orphans.len() >= limit as usize;
    let resume = due
        .into_iter()
        .map(|seen| (seen, How::Resume { keep_tries: true }));
    let take_over = orphans.into_iter().map(|seen| (seen, How::TakeOver));
    let taking = resume
        .chain(take_over)
        .filter_map(|(seen, how)| take_up(inner, seen, how))
        .map(|taking| tokio::time::timeout(PATIENCE, taking));
    let won = futures::future::join_all(taking).await;
    full && won.iter().any(|won| matches!(won, Ok(Ok(true))))
}

/// What was found. A look that failed is made again next time, and hides nothing of the others.
fn found(looked: Result<Vec<Seen>, StoreError>) -> Vec<Seen> {
    looked.unwrap_or_else(|error| {
        note(&error);
        Vec::new()
    })
}

/// The slow look: what the fast one can not find.
#[derive(Default)]
struct Audit {
    last: Option<Instant>,
    /// Executions that nobody alive can run, since when.
    stranded: HashMap<ExecutionId, Instant>,
}

impl Audit {
    async fn look(&mut self, inner: &Arc<Inner>) {
        let now = monotonic();
        let often = AUDIT.min(inner.options.unknown_shape_after);
        if self.last.is_some_and(|last| now.duration_since(last) < often) {
            return;
        }
        self.last = Some(now);
        self.unknown_to_us(inner).await;
        self.unknown_to_all(inner, now).await;
    }

    /// Takes over what bears this worker as its owner and is unknown to it: a takeover or begin whose
    /// answer was lost. A run that ended here was forgotten after its row had changed, so what looks
    /// the same to a second look is none of those.
    async fn unknown_to_us(&self, inner: &Arc<Inner>) {
        let before = owned_but_unknown(inner).await;
        if before.is_empty() {
            return;
        }
        let still = owned_but_unknown(inner).await;
        for seen in still.into_iter().filter(|seen| before.contains(seen)) {
            tracing::warn!(execution = %seen.id, "owned by this worker but unknown to it: taking it over");
            let _goes_on_without_this = take_up(inner, seen, How::TakeOver);
        }
    }

    /// Parks what no live worker has registered for a while.
    async fn unknown_to_all(&mut self, inner: &Arc<Inner>, now: Instant) {
        let Some(mut alive) = inner.liveness.shapes_elsewhere() else {
            // How long nobody has known them is not known any more either.
            self.stranded.clear();
            return;
        };
        alive.extend(inner.shapes());
        let wanted = Wanted {
            shapes: Shapes::Except(alive),
            limit: LOOK_ROWS,
        };
        let mut candidates = found(inner.store.due(wanted.clone()).await);
        candidates.extend(found(inner.store.orphans(wanted).await));
        let before = std::mem::take(&mut self.stranded);
        for seen in candidates {
            let since = before.get(&seen.id).copied().unwrap_or(now);
            if now.duration_since(since) >= inner.options.unknown_shape_after {
                let inner_of_task = Arc::clone(inner);
                inner.spawn(async move {
                    if let Err(error) = park_unknown(&inner_of_task, seen).await {
                        note(&error);
                    }
                });
            } else {
                self.stranded.insert(seen.id, since);
            }
        }
    }
}

async fn owned_but_unknown(inner: &Inner) -> Vec<Seen> {
    let mut owned = found(inner.store.owned(inner.liveness.worker()).await);
    owned.retain(|seen| !inner.registry.accounts_for(seen));
    owned
}

/// Parks an execution that nobody alive can run; false when it changed since it was seen. It is
/// taken up as soon as a process that knows its shape looks for work.
pub(crate) async fn park_unknown(inner: &Inner, seen: Seen) -> Result<bool, StoreError> {
    let _known = inner.registry.taking(seen.id);
    let worker = inner.liveness.worker();
    let how = if seen.state == State::Running {
        How::TakeOver
    } else {
        How::Resume { keep_tries: true }
    };
    let acquire = Acquire {
        seen,
        owner: worker,
        token: random::unpredictable(),
        how,
    };
    let Acquired::Won { fence, .. } = inner.store.acquire(acquire).await? else {
        return Ok(false);
    };
    tracing::warn!(execution = %seen.id, "parked: no live worker has registered the shape of its plan");
    let commit = Commit {
        fence,
        write_id: WriteId::fresh(),
        worker,
        checkpoint: None,
        then: Then::Park {
            reason: ParkReason::UnknownShape,
            failure: None,
            wish: None,
        },
        enlisted: None,
        messages: Vec::new(),
    };
    Ok(inner.store.commit(commit).await? == Verdict::Written)
}
