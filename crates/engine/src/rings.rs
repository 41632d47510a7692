//! Would an execution wait for itself? Each call is an edge from the caller to the called one: a row says who
//! has begun it, and a caller that waits for what somebody else has begun records that before it looks.
//!
//! So of those who close a ring together at least the last one sees it, whichever process runs it.

use std::collections::{BTreeSet, HashSet};

use uuid::Uuid;

use crate::dyn_store::DynStore;
use crate::error::{StepError, StepResult};
use crate::execution::ExecutionId;
use crate::marks::{Mark, SIGN};

/// How many executions may call each other in a chain.
pub(crate) const CALL_DEPTH: usize = 16;

/// Refuses to call an execution that has begun this one, or one that has.
///
/// # Errors
/// `call_cycle`; `call_depth` for a chain of too many; and when the store does not answer.
pub(crate) async fn refuse_ancestor(
    store: &dyn DynStore,
    own: ExecutionId,
    called: ExecutionId,
) -> StepResult<()> {
    let mut caller = own;
    for _depth in 0..CALL_DEPTH {
        if caller == called {
            return Err(cycle());
        }
        let found = store.find(vec![caller]).await?;
        match found.first().and_then(|record| record.parent) {
            Some(parent) => caller = parent,
            None => return Ok(()),
        }
    }
    Err(too_deep())
}

/// Refuses to wait for an execution that waits for this one, be it through others.
///
/// # Errors
/// As [`refuse_ancestor`].
pub(crate) async fn refuse_ring(
    store: &dyn DynStore,
    own: ExecutionId,
    called: ExecutionId,
) -> StepResult<()> {
    let mut seen = HashSet::new();
    let mut next = BTreeSet::from([called]);
    for _depth in 0..CALL_DEPTH {
        if next.contains(&own) {
            return Err(cycle());
        }
        let mut waited_for = BTreeSet::new();
        for id in next {
            if seen.insert(id) {
                waited_for.append(&mut waits_of(store, id).await?);
            }
        }
        if waited_for.is_empty() {
            return Ok(());
        }
        next = waited_for;
    }
    Err(too_deep())
}

/// The name of the wait for an execution that somebody else has begun.
pub(crate) fn wait_for(called: ExecutionId) -> String {
    format!("{WAITS_FOR}{called}")
}

/// In front of its id. No signal has such a name.
const WAITS_FOR: &str = "@call/";
const _: () = assert!(WAITS_FOR.as_bytes()[0] == SIGN as u8);

/// What an execution waits for: what it has begun and is not over, and what its present step has put down.
async fn waits_of(store: &dyn DynStore, id: ExecutionId) -> StepResult<BTreeSet<ExecutionId>> {
    let found = store.find(vec![id]).await?;
    let Some(record) = found.first().filter(|record| !record.state.is_finished()) else {
        return Ok(BTreeSet::new());
    };
    let children = store.children(id).await?;
    let mut waits: BTreeSet<_> = children.iter().map(|child| child.id).collect();
    if let Some(progress) = store.load(id, record.run).await? {
        let names = progress.checkpoints.iter();
        let names: HashSet<_> = names.map(|checkpoint| checkpoint.step.as_str()).collect();
        let is_open = |step: &str, called: ExecutionId| {
            let answered = Mark::Call(&called.to_string()).of(step);
            !names.contains(step) && !names.contains(answered.as_str())
        };
        waits.extend(names.iter().filter_map(|name| {
            let (step, mark) = Mark::read(name)?;
            let Some(Mark::Wait(wait)) = mark else {
                return None;
            };
            let called = ExecutionId(Uuid::parse_str(wait.strip_prefix(WAITS_FOR)?).ok()?);
            is_open(step, called).then_some(called)
        }));
    }
    Ok(waits)
}

fn cycle() -> StepError {
    StepError::stop("an execution calls itself, or one that waits for it").code("call_cycle")
}

fn too_deep() -> StepError {
    StepError::stop(format!("more than {CALL_DEPTH} executions call each other")).code("call_depth")
}
