//! When do two stores agree? What must be equal, and what the contract leaves open.
//!
//! Left open: the order of `due`, `orphans` and checkpoints among equals, the position that tries belong to when
//! there are none, times of the database, the number of an incarnation.

use std::collections::HashSet;
use std::fmt::Debug;
use std::time::{Duration, UNIX_EPOCH};

use keystep::execution::{CheckpointRecord, ExecutionRecord, Fence, Seen};
use keystep::store::{Acquired, Begun, Observation, Progress};

/// Why two stores differ, for the reader of a failed test.
pub(super) type Difference = String;

pub(super) fn same<T: PartialEq + Debug>(what: &str, model: &T, store: &T) -> Result<(), Difference> {
    if model == store {
        return Ok(());
    }
    Err(format!(
        "{what}: the model says\n  {model:?}\nthe store says\n  {store:?}"
    ))
}

pub(super) fn same_begun(model: &Begun, store: &Begun) -> Result<(), Difference> {
    match (model, store) {
        (Begun::Started(model), Begun::Started(store)) => same_fence(model, store),
        (Begun::Exists(model), Begun::Exists(store)) => same_record(model, store),
        _ => same("begin", model, store),
    }
}

pub(super) fn same_acquired(model: &Acquired, store: &Acquired) -> Result<(), Difference> {
    match (model, store) {
        (
            Acquired::Won { record, fence },
            Acquired::Won {
                record: stored,
                fence: granted,
            },
        ) => {
            same_fence(fence, granted)?;
            same_record(record, stored)
        }
        _ => same("acquire", model, store),
    }
}

fn same_fence(model: &Fence, store: &Fence) -> Result<(), Difference> {
    let store = Fence {
        incarnation: model.incarnation,
        ..*store
    };
    same("fence", model, &store)
}

pub(super) fn same_records(
    what: &str,
    model: &[ExecutionRecord],
    store: &[ExecutionRecord],
) -> Result<(), Difference> {
    let ids = |records: &[ExecutionRecord]| -> Vec<_> { records.iter().map(|one| one.id).collect() };
    same(what, &ids(model), &ids(store))?;
    for (model, store) in model.iter().zip(store) {
        same_record(model, store)?;
    }
    Ok(())
}

pub(super) fn same_record(model: &ExecutionRecord, store: &ExecutionRecord) -> Result<(), Difference> {
    near("time to the wake-up", model, store, model.wake_in, store.wake_in)?;
    near("time to expiry", model, store, model.expires_in, store.expires_in)?;
    let (model, store) = (timeless(model), timeless(store));
    same("execution", &model, &store)
}

fn near(
    what: &str,
    model: &ExecutionRecord,
    store: &ExecutionRecord,
    expected: Option<Duration>,
    found: Option<Duration>,
) -> Result<(), Difference> {
    let agree = match (expected, found) {
        (None, None) => true,
        (Some(expected), Some(found)) => {
            expected.is_zero() == found.is_zero() && expected.abs_diff(found) < Duration::from_secs(20)
        }
        _ => false,
    };
    if agree { Ok(()) } else { same(what, model, store) }
}

/// A record without what may differ.
fn timeless(record: &ExecutionRecord) -> ExecutionRecord {
    let tries_seq = if record.tries == 0 { 0 } else { record.tries_seq };
    ExecutionRecord {
        wake_in: None,
        expires_in: None,
        created_at: UNIX_EPOCH,
        acquired_at: UNIX_EPOCH,
        finished_at: record.finished_at.map(|_| UNIX_EPOCH),
        age: Duration::ZERO,
        tries_seq,
        ..record.clone()
    }
}

pub(super) fn same_progress(model: Option<Progress>, store: Option<Progress>) -> Result<(), Difference> {
    let timeless = |progress: Option<Progress>| {
        progress.map(|mut progress| {
            progress.now = UNIX_EPOCH;
            let place = |one: &CheckpointRecord| (one.seq, one.step.clone());
            progress.checkpoints.sort_by_key(place);
            for checkpoint in &mut progress.checkpoints {
                checkpoint.at = UNIX_EPOCH;
            }
            progress
        })
    };
    same("progress", &timeless(model), &timeless(store))
}

/// Compares without an order.
pub(super) fn same_set(what: &str, model: &[Seen], store: &[Seen]) -> Result<(), Difference> {
    let set = |all: &[Seen]| -> HashSet<_> {
        all.iter()
            .map(|one| (one.id, one.run, one.claim, one.state))
            .collect()
    };
    same(what, &(model.len(), set(model)), &(store.len(), set(store)))
}

/// Who is alive, and with which shapes. Beats are counted by each store as it likes, and the end
/// of a session may be noticed late.
pub(super) fn same_workers(model: &Observation, store: &Observation) -> Result<(), Difference> {
    let alive = |observation: &Observation| {
        let mut all: Vec<_> = observation
            .others
            .iter()
            .map(|one| (one.worker, one.shapes.clone()))
            .collect();
        all.sort();
        all
    };
    same("live workers", &alive(model), &alive(store))
}
