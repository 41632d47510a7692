//! How does an execution that was put down for one that it has called hear that this is over? From whoever
//! ends it, at once; what is missed so is found by its own wake-up.

use std::sync::Arc;

use crate::execution::{ExecutionId, ExecutionRecord, State, WaitReason};
use crate::inner::Inner;
use crate::persist::note;
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
        if read(&inner, called)
            .await
            .is_none_or(|record| record.state.is_finished())
        {
            take_up_caller(&inner, caller).await;
        }
    });
}

async fn take_up_caller(inner: &Arc<Inner>, caller: ExecutionId) {
    let waits = |record: &ExecutionRecord| {
        record.state == State::Waiting && record.waits_for == Some(WaitReason::Child)
    };
    let found = read(inner, caller).await.filter(waits);
    if let Some(record) = found.filter(|record| inner.schemas.contains_key(&record.shape)) {
        let _goes_on_without_this = take_up(inner, record.seen(), How::Resume { keep_tries: true });
    }
}

async fn read(inner: &Inner, id: ExecutionId) -> Option<ExecutionRecord> {
    match inner.store.find(vec![id]).await {
        Ok(found) => found.into_iter().next(),
        Err(error) => {
            note(&error);
            None
        }
    }
}
