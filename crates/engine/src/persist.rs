//! How does a write get its verdict, whatever happens to the connection? By asking until there is
//! one: an unknown outcome is resolved by the same write again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::clock::monotonic;
use crate::execution::WriteId;
use crate::inner::Inner;
use crate::random;
use crate::refusal::Asked;
use crate::runs::LocalRun;
use crate::store::{
    Commit, Confirm, Confirmed, Enlisted, NewCheckpoint, NewMessage, StoreError, Then, Verdict,
};
use crate::telemetry;

/// What came of a write.
pub(crate) enum Persisted {
    Written,
    /// This process does not own the execution any more.
    Fenced,
    /// The process has no time left to learn the verdict.
    Stopped,
    /// The database server was restarted: acquire anew, then load.
    Restarted,
    /// The store can not hold the value.
    Rejected(String),
    /// The step's own transaction was rolled back without a fault of the step: run it again.
    RolledBack(String),
    /// Somebody wants the run cancelled, which comes before what was to be written.
    Wished,
}

/// What an owner writes.
pub(crate) struct Write {
    pub(crate) checkpoint: Option<NewCheckpoint>,
    pub(crate) then: Then,
    pub(crate) enlisted: Option<Enlisted>,
    pub(crate) messages: Vec<NewMessage>,
}

impl Write {
    /// Records a checkpoint.
    pub(crate) fn of(checkpoint: NewCheckpoint, then: Then) -> Self {
        Self {
            checkpoint: Some(checkpoint),
            ..Self::only(then)
        }
    }

    /// Only changes the state.
    pub(crate) fn only(then: Then) -> Self {
        Self {
            checkpoint: None,
            then,
            enlisted: None,
            messages: Vec::new(),
        }
    }
}

/// Writes until there is a verdict. Ends early only when the ownership is known to be lost, or
/// when the process has no time left.
#[expect(
    clippy::manual_async_fn,
    reason = "an async function holds its arguments twice"
)]
pub(crate) fn persist(
    inner: &Inner,
    run: &LocalRun,
    mut write: Write,
) -> impl Future<Output = Persisted> + Send {
    async move { until_verdict(inner, run, &mut write).await }
}

async fn until_verdict(inner: &Inner, run: &LocalRun, write: &mut Write) -> Persisted {
    let write_id = WriteId::fresh();
    let own_transaction = write.enlisted.is_some();
    let mut pause = Pause::default();
    let mut asked = Asked::new(inner, run.id);
    loop {
        #[cfg(feature = "planted")]
        let write_id = if bugs::is_planted(Bug::ResentAsAnotherWrite) {
            WriteId::fresh()
        } else {
            write_id
        };
        let commit = Commit {
            fence: run.fence(),
            write_id,
            worker: run.worker,
            checkpoint: write.checkpoint.clone(),
            then: write.then.clone(),
            enlisted: write.enlisted.take(),
            messages: write.messages.clone(),
        };
        #[cfg(feature = "planted")]
        if bugs::is_planted(Bug::AcknowledgedBeforeVerdict) {
            let store = Arc::clone(&inner.store);
            inner.spawn(async move { store.commit(commit).await });
            return Persisted::Written;
        }
        let error = match inner.store.commit(commit).await {
            Ok(Verdict::Written) => return Persisted::Written,
            Ok(Verdict::Fenced) => return Persisted::Fenced,
            Ok(Verdict::Wished) => return Persisted::Wished,
            Ok(Verdict::Exists(other)) => {
                // Under a claim that still holds only this task writes, so this is a bug or a
                // database that was tampered with. Going on would build on somebody else's result.
                tracing::error!(execution = %run.id, write = ?other, "the step is recorded by a write that is not this owner's");
                return Persisted::Fenced;
            }
            Err(error) => error,
        };
        asked.failed(&error);
        #[cfg(feature = "planted")]
        if matches!(error, StoreError::Unknown(_)) {
            if bugs::is_planted(Bug::UnknownIsFailure) {
                return Persisted::RolledBack("no answer".into());
            }
            if bugs::is_planted(Bug::UnknownIsSuccess) {
                return Persisted::Written;
            }
        }
        match error {
            StoreError::Restarted => return Persisted::Restarted,
            StoreError::Rejected(why) => return Persisted::Rejected(why),
            StoreError::Unknown(_) if own_transaction => {
                return Box::pin(confirm(inner, run, write_id, write.checkpoint.as_ref())).await;
            }
            error if own_transaction => return Persisted::RolledBack(error.to_string()),
            _ => {}
        }
        if let Some(given_up) = Box::pin(pause.wait_for_verdict(inner, run)).await {
            return given_up;
        }
    }
}

/// Finds out whether a transaction whose commit got no answer was committed.
async fn confirm(
    inner: &Inner,
    run: &LocalRun,
    write_id: WriteId,
    checkpoint: Option<&NewCheckpoint>,
) -> Persisted {
    let Some(step) = checkpoint.map(|checkpoint| Arc::clone(&checkpoint.step)) else {
        return Persisted::RolledBack("the transaction carried no checkpoint".into());
    };
    let mut pause = Pause::default();
    let mut asked = Asked::new(inner, run.id);
    loop {
        let confirm = Confirm {
            fence: run.fence(),
            step: Arc::clone(&step),
            write_id,
        };
        match inner.store.confirm(confirm).await {
            Ok(Confirmed::Written) => return Persisted::Written,
            Ok(Confirmed::Absent) => {
                return Persisted::RolledBack("the connection was lost before the commit".into());
            }
            Ok(Confirmed::Fenced) => return Persisted::Fenced,
            Err(StoreError::Restarted) => return Persisted::Restarted,
            Err(error) => asked.failed(&error),
        }
        if let Some(given_up) = pause.wait_for_verdict(inner, run).await {
            return given_up;
        }
    }
}

/// How long an acquisition is sent again while its outcome is unknown: well below the shortest
/// retention, so that a begin can not bring back a key that was purged meanwhile. Counted is the time
/// that the machine runs, also while this process is stopped; not the time for which it is suspended.
const RESEND_LIMIT: Duration = Duration::from_secs(20);

/// Whether a begin or another acquisition is sent again. One of an unknown outcome is, also when the
/// next answer is only that the store is away: what it may have left in the store would wait for the
/// audit of owned rows.
pub(crate) struct Resend {
    started: Instant,
    unknown: bool,
    pause: Pause,
}

impl Resend {
    pub(crate) fn new() -> Self {
        Self {
            started: monotonic(),
            unknown: false,
            pause: Pause::default(),
        }
    }

    /// True, after a pause, when it is to be sent again. Not when its time is over, since the process
    /// stops: its worker is retired, so that others take up what it left.
    pub(crate) async fn after(&mut self, error: &StoreError, over: &CancellationToken) -> bool {
        note(error);
        self.unknown |= matches!(error, StoreError::Unknown(_));
        let helps = matches!(error, StoreError::Unknown(_) | StoreError::Unavailable(_));
        if !self.unknown || !helps || self.is_late() {
            return false;
        }
        tokio::select! {
            // The process may have been stopped in its pause, for much longer than the pause.
            () = self.pause.pass() => !self.is_late(),
            () = over.cancelled() => false,
        }
    }

    fn is_late(&self) -> bool {
        self.started.elapsed() >= RESEND_LIMIT
    }
}

/// Logs and counts a store error.
pub(crate) fn note(error: &StoreError) {
    let class = match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Unknown(_) => "unknown",
        StoreError::Restarted => "restarted",
        StoreError::Rejected(_) => "rejected",
        StoreError::Unreadable(_) => "unreadable",
        StoreError::Refused(_) => "refused",
    };
    telemetry::store_error(class);
    tracing::warn!(class, %error, "store call failed");
}

/// A pause that grows from 10 ms to 1 s, with jitter, between tries at a store that does not answer.
#[derive(Default)]
pub(crate) struct Pause {
    tries: i32,
}

impl Pause {
    /// False when waiting has no sense any more: the ownership is lost or the process stops.
    pub(crate) async fn wait(&mut self, inner: &Inner, run: &LocalRun) -> bool {
        tokio::select! {
            () = self.pass() => true,
            () = run.lost.cancelled() => false,
            () = inner.stopped.cancelled() => false,
        }
    }

    /// `None` to ask again; otherwise why not.
    async fn wait_for_verdict(&mut self, inner: &Inner, run: &LocalRun) -> Option<Persisted> {
        if self.wait(inner, run).await {
            None
        } else if run.lost.is_cancelled() {
            Some(Persisted::Fenced)
        } else {
            Some(Persisted::Stopped)
        }
    }

    pub(crate) async fn pass(&mut self) {
        let millis = (10.0 * 2_f64.powi(self.tries)).min(1000.0);
        self.tries += 1;
        let jittered = millis * (0.5 + random::fraction() / 2.0);
        tokio::time::sleep(Duration::from_secs_f64(jittered / 1000.0)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_sent_again_when_the_pause_before_it_was_too_long() {
        let (unknown, never) = (StoreError::Unknown("no answer".into()), CancellationToken::new());
        let mut resend = Resend::new();
        assert!(resend.after(&unknown, &never).await);
        // The next pause is of 10 ms or more.
        resend.started = monotonic() - (RESEND_LIMIT - Duration::from_millis(5));
        assert!(!resend.after(&unknown, &never).await);
    }
}
