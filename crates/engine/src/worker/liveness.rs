//! Who is alive? This worker shows that it is, and watches the others.
//!
//! The loop has an operating-system thread and a small runtime of its own, so that a step that
//! blocks the main runtime does not stop the beat. A main runtime that stands still for longer than
//! the beat limit does stop it, since nothing here makes progress then.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::clock::monotonic;
use crate::execution::{ShapeId, WorkerId};
use crate::inner::Inner;
use crate::persist::note;
use crate::random;
use crate::runs::locked;
use crate::store::{Beat, Register, StoreError};
use crate::telemetry;
use crate::worker::Vital;
use crate::worker::judge::{Judge, Patience};

/// What the rest of the engine knows of liveness.
#[derive(Debug)]
pub(crate) struct Liveness {
    worker: watch::Sender<WorkerId>,
    /// When the last successful beat was sent; `None` while this worker is known to be dead.
    beaten: watch::Sender<Option<Instant>>,
    beat_limit: Duration,
    /// Shapes that other live workers have registered, and when they were looked at; `None` before
    /// the first look.
    elsewhere: Mutex<Option<(Instant, Vec<ShapeId>)>>,
    /// Rises while the main runtime makes progress.
    pulse: AtomicU64,
    pub(crate) ended: tokio_util::sync::CancellationToken,
}

impl Liveness {
    pub(crate) fn new(beat_limit: Duration) -> Self {
        Self {
            worker: watch::Sender::new(WorkerId::fresh()),
            beaten: watch::Sender::new(None),
            beat_limit,
            elsewhere: Mutex::default(),
            pulse: AtomicU64::new(0),
            ended: tokio_util::sync::CancellationToken::new(),
        }
    }

    /// The id under which this process works now.
    pub(crate) fn worker(&self) -> WorkerId {
        *self.worker.borrow()
    }

    /// Whether another live worker has registered the shape, or may have: nobody was seen lately.
    pub(crate) fn elsewhere(&self, shape: ShapeId) -> bool {
        self.shapes_elsewhere()
            .is_none_or(|shapes| shapes.contains(&shape))
    }

    /// Shapes that other live workers have registered; `None` while that is not known. What was seen
    /// before this process was stopped, or before the store went away, tells nothing of now.
    pub(crate) fn shapes_elsewhere(&self) -> Option<Vec<ShapeId>> {
        let seen = locked(&self.elsewhere);
        let (at, shapes) = seen.as_ref()?;
        self.is_young(&Some(*at)).then(|| shapes.clone())
    }

    /// Waits until the last beat is young enough to start a step. This narrows the time in which
    /// an owner that was given up works on; the fence closes it.
    pub(crate) async fn fresh(&self) {
        let mut beaten = self.beaten.subscribe();
        // The sender lives in `self`, so the wait can not end without a young beat.
        let _beat = beaten.wait_for(|at| self.is_young(at)).await;
    }

    /// Whether the last beat is young enough to take up work.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_young(&self.beaten.borrow())
    }

    fn is_young(&self, beaten: &Option<Instant>) -> bool {
        beaten.is_some_and(|sent| monotonic().duration_since(sent) < self.beat_limit / 2)
    }

    /// Shows that the main runtime makes progress.
    pub(crate) fn pulse(&self) {
        self.pulse.fetch_add(1, Ordering::Relaxed);
    }
}

/// Registers this process and starts its liveness thread.
///
/// # Errors
/// When the store refuses the first registration, or the thread can not be started.
pub(crate) async fn start(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let (ready, registered) = oneshot::channel();
    let inner = Arc::clone(inner);
    let spawned = std::thread::Builder::new()
        .name("keystep-liveness".to_owned())
        .spawn(move || {
            let _ended = inner.liveness.ended.clone().drop_guard();
            let _vital = Vital(Arc::clone(&inner));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(live(&inner, ready)),
                Err(error) => {
                    let _gone = ready.send(Err(StoreError::Unavailable(error.to_string())));
                }
            }
        });
    if let Err(error) = spawned {
        return Err(StoreError::Unavailable(format!(
            "no thread for liveness: {error}"
        )));
    }
    registered
        .await
        .unwrap_or_else(|_gone| Err(StoreError::Unavailable("the liveness thread ended".to_owned())))
}

async fn live(inner: &Inner, ready: oneshot::Sender<Result<(), StoreError>>) {
    let first = register(inner, inner.liveness.worker()).await;
    if let Err(error) = first {
        let _gone = ready.send(Err(error));
        return;
    }
    if ready.send(Ok(())).is_err() {
        // Whoever built the engine did not wait for it.
        retire(inner).await;
        return;
    }
    let mut life = Life {
        inner,
        judge: Judge::new(Patience {
            grace: inner.options.grace,
            beat_limit: inner.options.beat_limit,
            reconnect_budget: inner.options.reconnect_budget,
        }),
        pulse_seen: (0, monotonic()),
    };
    tokio::select! {
        () = life.go_on() => {}
        () = inner.stopped.cancelled() => {}
    }
    // The runs have been handed back by then, or their time is over.
    inner.tasks.wait().await;
    retire(inner).await;
}

async fn retire(inner: &Inner) {
    if let Err(error) = inner.store.retire(inner.liveness.worker()).await {
        note(&error);
    }
}

async fn register(inner: &Inner, worker: WorkerId) -> Result<(), StoreError> {
    let register = Register {
        worker,
        name: format!("pid {}", std::process::id()),
        shapes: inner.shapes(),
    };
    let sent = monotonic();
    inner.store.register(register).await?;
    let before = inner.liveness.worker.send_replace(worker);
    if before != worker {
        // What began under the dead one since it was known to be dead.
        inner.registry.lose_all(before);
    }
    inner.liveness.beaten.send_replace(Some(sent));
    Ok(())
}

struct Life<'a> {
    inner: &'a Inner,
    judge: Judge,
    /// The last pulse of the main runtime, and when it changed.
    pulse_seen: (u64, Instant),
}

impl Life<'_> {
    async fn go_on(&mut self) {
        let options = &self.inner.options;
        let mut next_beat = monotonic();
        loop {
            if monotonic() >= next_beat && self.main_runtime_moves() {
                self.beat().await;
                next_beat = monotonic() + options.beat;
            }
            self.look().await;
            let jittered = options.look().mul_f64(0.75 + random::fraction() / 2.0);
            tokio::time::sleep(self.until_death().map_or(jittered, |left| left.min(jittered))).await;
        }
    }

    /// How long until somebody can be declared dead. Once that has not been possible in its time, it
    /// is tried as often as anything else.
    fn until_death(&self) -> Option<Duration> {
        let left = self.judge.next_death()?.checked_duration_since(monotonic())?;
        (!left.is_zero()).then_some(left)
    }

    fn main_runtime_moves(&mut self) -> bool {
        let pulse = self.inner.liveness.pulse.load(Ordering::Relaxed);
        let now = monotonic();
        if pulse != self.pulse_seen.0 {
            self.pulse_seen = (pulse, now);
        }
        now.duration_since(self.pulse_seen.1) < self.inner.options.beat_limit
    }

    async fn beat(&mut self) {
        let worker = self.inner.liveness.worker();
        let sent = monotonic();
        match self.inner.store.beat(worker).await {
            Ok(Beat::Alive) => {
                self.inner.liveness.beaten.send_replace(Some(sent));
            }
            Ok(Beat::Dead) => self.reborn(worker).await,
            Err(error) => note(&error),
        }
    }

    /// This worker was declared dead while it lived: its steps end, and it goes on as a new one.
    /// Until that is registered, no step starts and no work is taken up.
    async fn reborn(&mut self, dead: WorkerId) {
        tracing::warn!(worker = %dead, "declared dead: ending its steps, going on as a new worker");
        self.inner.liveness.beaten.send_replace(None);
        self.inner.registry.lose_all(dead);
        let fresh = WorkerId::fresh();
        while let Err(error) = register(self.inner, fresh).await {
            note(&error);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.inner.sweep.notify_one();
    }

    async fn look(&mut self) {
        let asked = monotonic();
        let observation = match self.inner.store.observe(self.inner.liveness.worker()).await {
            Ok(observation) => observation,
            Err(error) => {
                note(&error);
                self.judge.could_not_look();
                self.inner.outcomes.unseen();
                return;
            }
        };
        self.inner.outcomes.seen(observation.incarnation);
        let shapes = observation
            .others
            .iter()
            .flat_map(|other| other.shapes.iter().copied());
        *locked(&self.inner.liveness.elsewhere) = Some((asked, shapes.collect()));
        for (worker, beat) in self.judge.look(&observation, monotonic()) {
            match self.inner.store.bury(worker, beat).await {
                Ok(true) => {
                    tracing::warn!(%worker, "declared dead");
                    telemetry::buried();
                    self.inner.sweep.notify_one();
                }
                Ok(false) => {}
                Err(error) => note(&error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_of_the_others_before_a_pause_is_not_believed_after_it() {
        let (limit, shape) = (Duration::from_millis(20), ShapeId(uuid::Uuid::nil()));
        let liveness = Liveness::new(2 * limit);
        assert!(liveness.elsewhere(shape), "nobody was seen yet");
        let nobody = |ago: Duration| *locked(&liveness.elsewhere) = Some((monotonic() - ago, Vec::new()));
        nobody(limit);
        assert!(liveness.elsewhere(shape), "somebody may have come");
        assert_eq!(liveness.shapes_elsewhere(), None);

        let liveness = Liveness::new(Duration::from_secs(3600));
        *locked(&liveness.elsewhere) = Some((monotonic(), Vec::new()));
        assert!(!liveness.elsewhere(shape));
        assert_eq!(liveness.shapes_elsewhere(), Some(Vec::new()));
    }
}
