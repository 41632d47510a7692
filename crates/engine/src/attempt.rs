//! How is one attempt of a step run so that nothing it does can hurt the engine? Inside the task that
//! drives its execution, but caught: a panic is a failed attempt, and losing the ownership drops it.
//!
//! A task of its own would cost two wake-ups for each step.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;

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

/// Runs one attempt. What it is when the ownership is lost or the process stops is dropped where it
/// waits; a body that never waits is seen to be over when it answers.
pub(crate) async fn attempt(
    inner: &Inner,
    run: &LocalRun,
    step: Arc<dyn ErasedStep>,
    cx: StepContext,
    input: Bytes,
) -> AttemptEnd {
    let work = step.run_erased(cx.clone(), input, inner.limits.check_bytes);
    // Boxed, so that it is gone before anything is written for an attempt that was cancelled.
    let mut body = Box::pin(AssertUnwindSafe(cx.scope(work)).catch_unwind());
    let cancelled = tokio::select! {
        biased;
        ended = &mut body => return AttemptEnd::Attempted(ended.unwrap_or_else(panicked)),
        () = run.lost.cancelled() => AttemptEnd::Lost,
        () = inner.stopped.cancelled() => AttemptEnd::Stopped,
    };
    let _what_a_destructor_says = std::panic::catch_unwind(AssertUnwindSafe(|| drop(body)));
    cancelled
}

fn panicked(panic: Box<dyn Any + Send>) -> Attempted {
    let message = text_of(panic.as_ref());
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
