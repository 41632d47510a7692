//! How does an admitted call get its outcome? It waits for the run, here or in another process, and
//! looks again when somebody else took it up.

use std::time::Duration;

use bytes::Bytes;

use crate::admission::{Admitted, Known, Request, find_worker};
use crate::execution::RunId;
use crate::follow::Follower;
use crate::outcome::{end_of, in_progress, shutting_down, unavailable};
use crate::persist::Pause;
use crate::policy::{OnDuplicate, Verdict};
use crate::run_error::RunError;
use crate::runs::RunEnd;

/// Waits for the outcome of an admitted call.
pub(crate) async fn settle(request: &Request, admitted: Admitted) -> Result<Bytes, RunError> {
    let limit = match (admitted.verdict(), request.on_duplicate) {
        (Verdict::Attached, OnDuplicate::Wait(limit)) => Some(limit),
        _ => None,
    };
    match limit {
        None => wait(request, admitted).await,
        // Boxed, so that who waits without a limit has no room for this.
        Some(limit) => Box::pin(wait_within(request, admitted, limit)).await,
    }
}

async fn wait_within(request: &Request, admitted: Admitted, limit: Duration) -> Result<Bytes, RunError> {
    match tokio::time::timeout(limit, wait(request, admitted)).await {
        Ok(settled) => settled,
        Err(_late) => Err(in_progress(&request.inner, request.id, None).await),
    }
}

async fn wait(request: &Request, mut admitted: Admitted) -> Result<Bytes, RunError> {
    let mut pause = Pause::default();
    let since = request.inner.clock.elapsed();
    loop {
        let (end, known) = match admitted {
            Admitted::Finished(end) => (end, Known::default()),
            Admitted::Here(run, _) => {
                let end = tokio::select! {
                    biased;
                    end = run.ended() => end,
                    refused = request.inner.refusals.of(request.id) => return Err(unavailable(&refused)),
                };
                (
                    end,
                    Known::waited_for(run.fence().run, run.fence().claim.epoch, since),
                )
            }
            Admitted::There(run, epoch) => (
                Box::pin(followed(request, run, epoch)).await?,
                Known::waited_for(run, epoch, since),
            ),
        };
        match end {
            RunEnd::Succeeded(output) => return Ok(output),
            RunEnd::Failed(failure) => return Err(RunError::Failed(*failure)),
            RunEnd::Undone(failure) => return Err(RunError::Undone(*failure)),
            RunEnd::Cancelled => {
                return Err(RunError::Cancelled {
                    execution: request.id,
                });
            }
            RunEnd::Waiting {
                failure,
                due_in,
                reason,
            } => {
                return Err(RunError::Waiting {
                    execution: request.id,
                    reason,
                    failure: failure.map(|failure| *failure),
                    due_in,
                });
            }
            RunEnd::Parked { reason, failure } => {
                return Err(RunError::Parked {
                    execution: request.id,
                    reason,
                    failure: failure.map(|failure| *failure),
                });
            }
            RunEnd::Released => return Err(shutting_down()),
            // Somebody else runs it: whoever it is, this caller still wants the outcome.
            RunEnd::Lost => {
                admitted = Box::pin(look_again(request, known, &mut pause)).await?;
            }
        }
    }
}

/// Finds out who works on it now.
async fn look_again(request: &Request, known: Known, pause: &mut Pause) -> Result<Admitted, RunError> {
    // It may stay as it is for long: due, and nobody who can run it has room.
    pause.pass().await;
    find_worker(request, known).await
}

/// Waits for an execution of another process, and reads its outcome.
async fn followed(request: &Request, run: RunId, epoch: i64) -> Result<RunEnd, RunError> {
    let inner = &request.inner;
    let followed = Follower::follow(inner, request.id).await;
    let Some(record) = followed.map_err(|refused| unavailable(&refused))? else {
        return Ok(RunEnd::Lost);
    };
    // A look that was under way when this caller came may show what was before.
    if record.run != run || record.claim.epoch < epoch {
        return Ok(RunEnd::Lost);
    }
    Ok(end_of(inner, &record).await?.unwrap_or(RunEnd::Lost))
}
