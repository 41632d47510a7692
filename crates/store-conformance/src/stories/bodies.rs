//! What do the steps of a story do? They are noted, wait at gates, and fail as said.

use futures::future::BoxFuture;
use keystep::{StepContext, StepError, StepResult};

use super::town::note;
use crate::faulty::Gate;

/// A step that is noted under this name, and gives its input plus one.
pub(super) fn does(what: &'static str) -> impl Fn(StepContext, u64) -> BoxFuture<'static, StepResult<u64>> {
    move |cx, n| {
        Box::pin(async move {
            note(&cx, what)?;
            Ok(n + 1)
        })
    }
}

/// An undo of it, noted with its number of attempt and the output.
pub(super) fn undoes(what: &'static str) -> impl Fn(StepContext, u64) -> BoxFuture<'static, StepResult<()>> {
    move |cx, output| {
        Box::pin(async move { note(&cx, format!("undo {what} {output} attempt {}", cx.attempt())) })
    }
}

/// A step that fails for good.
pub(super) fn fails(what: &'static str) -> impl Fn(StepContext, u64) -> BoxFuture<'static, StepResult<u64>> {
    move |cx, _n| {
        Box::pin(async move {
            note(&cx, what)?;
            Err(StepError::terminal("it is not possible").code("impossible"))
        })
    }
}

/// A step that is noted under this name, and waits at the gate.
pub(super) fn waits_at(
    gate: &Gate,
    what: &'static str,
) -> impl Fn(StepContext, u64) -> BoxFuture<'static, StepResult<u64>> + use<> {
    let gate = gate.clone();
    move |cx, n| {
        let gate = gate.clone();
        Box::pin(async move {
            note(&cx, what)?;
            gate.pass().await;
            Ok(n + 1)
        })
    }
}
