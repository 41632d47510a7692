//! How is one attempt of a step run so that nothing it does can hurt the engine? In a task of its
//! own: a panic is a failed attempt, and losing the ownership ends it at once.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinError;
use tracing::Instrument;

use crate::context::StepContext;
use crate::error::StepError;
use crate::inner::Inner;
use crate::runs::LocalRun;
use crate::step::{Attempted, ErasedStep};

/// How an attempt ended.
pub(crate) enum AttemptEnd {
    Attempted(Attempted),
    /// The ownership was lost; the step was cancelled.
    Lost,
    /// The process stops; the step was cancelled.
    Stopped,
}

/// Runs one attempt.
pub(crate) async fn attempt(
    inner: &Inner,
    run: &LocalRun,
    step: Arc<dyn ErasedStep>,
    cx: StepContext,
    input: Bytes,
) -> AttemptEnd {
    let check_bytes = inner.limits.check_bytes;
    let body = {
        let cx = cx.clone();
        async move {
            let work = step.run_erased(cx.clone(), input, check_bytes);
            cx.scope(work).await
        }
    };
    let mut task = tokio::spawn(body.in_current_span());
    tokio::select! {
        ended = &mut task => AttemptEnd::Attempted(ended.unwrap_or_else(panicked)),
        () = run.lost.cancelled() => {
            task.abort();
            AttemptEnd::Lost
        }
        () = inner.stopped.cancelled() => {
            task.abort();
            // The key is handed back next: another process must not start the step beside a body
            // that still runs. One that blocks its thread can not be waited for; it is fenced.
            let _ended = tokio::time::timeout(ABORT_LIMIT, task).await;
            AttemptEnd::Stopped
        }
    }
}

/// How long a cancelled step may take to reach its next await.
const ABORT_LIMIT: Duration = Duration::from_secs(1);

fn panicked(error: JoinError) -> Attempted {
    let message = match error.try_into_panic() {
        Ok(panic) => text_of(panic.as_ref()),
        Err(_cancelled) => "the runtime is shutting down".to_owned(),
    };
    Attempted::Failed(StepError::retry(format!("the step panicked: {message}")).code("panic"))
}

/// The words of a panic.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "not a text".to_owned())
}
