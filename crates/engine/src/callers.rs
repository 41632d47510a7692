//! How does an execution that was put down for one that it has called hear that this is over? From whoever
//! ends it, at once, when it has begun it: the row says so. When somebody else has, from the process that put
//! it down, which looks for all of these with one statement. What is missed so is found by its own wake-up.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::execution::{ExecutionId, ExecutionRecord, State, WaitReason};
use crate::inner::Inner;
use crate::persist::note;
use crate::runs::locked;
use crate::store::How;
use crate::take::take_up;

/// Takes the caller of an execution up, if it was put down for it and this process can run it.
pub(crate) fn wake_caller(inner: &Arc<Inner>, caller: ExecutionId) {
    if inner.closing.is_cancelled() || inner.registry.running(caller).is_some() {
        return;
    }
    let inner_of_task = Arc::clone(inner);
    inner.spawn(async move { take_up_caller(&inner_of_task, caller).await });
}

/// The same for an execution that was put down just now: what it has called may have ended meanwhile.
pub(crate) fn look_after_called(inner: &Arc<Inner>, caller: ExecutionId, called: ExecutionId) {
    let inner_of_task = Arc::clone(inner);
    inner.spawn(async move {
        let inner = inner_of_task;
        match read(&inner, vec![called]).await.pop() {
            Some(record) if !record.state.is_finished() => {
                if record.parent != Some(caller) {
                    inner.awaited.add(Pair { caller, called });
                }
            }
            _ => take_up_caller(&inner, caller).await,
        }
    });
}

/// An execution that was put down here for one that somebody else has begun.
#[derive(Debug, Clone, Copy)]
struct Pair {
    caller: ExecutionId,
    called: ExecutionId,
}

/// All of these, by what they wait for: their rows do not say so.
#[derive(Debug, Default)]
pub(crate) struct Awaited(Mutex<HashMap<ExecutionId, HashSet<ExecutionId>>>);

impl Awaited {
    fn add(&self, pair: Pair) {
        locked(&self.0)
            .entry(pair.called)
            .or_default()
            .insert(pair.caller);
    }

    fn all(&self) -> Vec<Pair> {
        let by_called = locked(&self.0);
        let pairs = by_called.iter().flat_map(|(called, callers)| {
            let called = *called;
            callers.iter().map(move |caller| Pair {
                caller: *caller,
                called,
            })
        });
        pairs.collect()
    }

    fn forget(&self, pair: &Pair) {
        let mut by_called = locked(&self.0);
        if let Some(callers) = by_called.get_mut(&pair.called) {
            callers.remove(&pair.caller);
            if callers.is_empty() {
                by_called.remove(&pair.called);
            }
        }
    }

    /// Who was put down here for this one.
    pub(crate) fn callers_of(&self, called: ExecutionId) -> Vec<ExecutionId> {
        let by_called = locked(&self.0);
        by_called
            .get(&called)
            .map_or_else(Vec::new, |callers| callers.iter().copied().collect())
    }
}

/// How often to look for them, at the least.
const OFTEN: Duration = Duration::from_millis(500);

/// Takes up who was put down here for what is over now, until the engine closes.
pub(crate) async fn watch(inner: Arc<Inner>) {
    let pause = inner.options.sweep.min(OFTEN);
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = inner.closing.cancelled() => return,
        }
        look(&inner).await;
    }
}

async fn look(inner: &Arc<Inner>) {
    let pairs = inner.awaited.all();
    if pairs.is_empty() {
        return;
    }
    let ids = pairs.iter().flat_map(|pair| [pair.caller, pair.called]).collect();
    let found = match inner.store.find(ids).await {
        Ok(found) => found,
        Err(error) => return note(&error),
    };
    let found: HashMap<_, _> = found.iter().map(|record| (record.id, record)).collect();
    for pair in &pairs {
        let Some(caller) = found.get(&pair.caller).filter(|caller| waits_for_child(caller)) else {
            // Somebody else took it up.
            inner.awaited.forget(pair);
            continue;
        };
        if found
            .get(&pair.called)
            .is_none_or(|called| called.state.is_finished())
        {
            inner.awaited.forget(pair);
            go_on(inner, caller);
        }
    }
}

async fn take_up_caller(inner: &Arc<Inner>, caller: ExecutionId) {
    let found = read(inner, vec![caller]).await.pop();
    if let Some(record) = found.filter(waits_for_child) {
        go_on(inner, &record);
    }
}

fn go_on(inner: &Arc<Inner>, caller: &ExecutionRecord) {
    if inner.schemas.contains_key(&caller.shape) {
        let _goes_on_without_this = take_up(inner, caller.seen(), How::Resume { keep_tries: true });
    }
}

fn waits_for_child(record: &ExecutionRecord) -> bool {
    record.state == State::Waiting && record.waits_for == Some(WaitReason::Child)
}

async fn read(inner: &Inner, ids: Vec<ExecutionId>) -> Vec<ExecutionRecord> {
    inner.store.find(ids).await.unwrap_or_else(|error| {
        note(&error);
        Vec::new()
    })
}
