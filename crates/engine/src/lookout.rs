//! How does an owner learn that it was given up, when its beats do not get through? It reads the
//! row: the writes of one process may be shut out for long while reads go on.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use crate::execution::State;
use crate::inner::Inner;
use crate::refusal::Asked;
use crate::runs::LocalRun;
use crate::store::StoreError;

/// Does a part of a run's work that keeps its fence. While the beat is not fresh, the row is looked
/// at now and then, and the run is lost as soon as the row is not this owner's any more: its callers
/// then look for the outcome elsewhere.
///
/// The work stays where its owner has pinned it: it is large, and would be held twice otherwise.
pub(crate) async fn on_the_lookout<T>(
    inner: &Inner,
    run: &LocalRun,
    work: Pin<&mut impl Future<Output = T>>,
) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = lookout(inner, run) => match never {},
    }
}

async fn lookout(inner: &Inner, run: &LocalRun) -> Infallible {
    let every = (inner.options.beat_limit / 4).min(Duration::from_secs(1));
    let mut asked = Asked::new(inner, run.id);
    loop {
        tokio::time::sleep(every).await;
        if inner.liveness.is_fresh() {
            continue;
        }
        match still_owned(inner, run).await {
            Ok(true) => asked.answered(),
            Ok(false) => {
                tracing::warn!(execution = %run.id, "this process does not own it any more");
                run.lost.cancel();
                return pending().await;
            }
            Err(error) => asked.failed(&error),
        }
    }
}

/// Whether the row still waits for a write under the run's fence.
async fn still_owned(inner: &Inner, run: &LocalRun) -> Result<bool, StoreError> {
    let fence = run.fence();
    let found = inner.store.find(vec![run.id]).await?;
    Ok(found.first().is_some_and(|record| {
        record.state == State::Running && record.run == fence.run && record.claim == fence.claim
    }))
}
