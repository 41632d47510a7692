//! What do callers hear when the store can not be used at all? Not silence: the engine keeps asking,
//! since a refusal may end (a replica is promoted, a file comes back), but whoever waits is told.

use std::collections::HashMap;
use std::future::pending;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::monotonic;
use crate::execution::ExecutionId;
use crate::inner::Inner;
use crate::persist::note;
use crate::store::StoreError;

/// How long the store must refuse, without another answer in between, until callers are told.
const LIMIT: Duration = Duration::from_secs(5);

/// Executions of this process that the store has refused to carry on for a while.
#[derive(Debug, Default)]
pub(crate) struct Refusals(watch::Sender<HashMap<ExecutionId, StoreError>>);

impl Refusals {
    /// Waits until the store is known to refuse this execution.
    pub(crate) async fn of(&self, id: ExecutionId) -> StoreError {
        let mut refused = self.0.subscribe();
        let told = refused.wait_for(|refused| refused.contains_key(&id)).await;
        let error = told.ok().and_then(|refused| refused.get(&id).cloned());
        match error {
            Some(error) => error,
            // The sender lives in `self`, so the wait ends with a refusal only.
            None => pending().await,
        }
    }
}

/// Since when the store has refused.
#[derive(Default)]
pub(crate) struct Refused {
    since: Option<Instant>,
}

impl Refused {
    /// Takes in what came of a look or a write; true when the store has refused for long.
    pub(crate) fn lasts(&mut self, error: Option<&StoreError>) -> bool {
        if !matches!(error, Some(StoreError::Refused(_))) {
            self.since = None;
            return false;
        }
        self.since.get_or_insert_with(monotonic).elapsed() >= LIMIT
    }
}

/// Something that a run asks of the store again and again. Its callers hear of a refusal that lasts,
/// as long as this lives.
pub(crate) struct Asked<'a> {
    inner: &'a Inner,
    id: ExecutionId,
    refused: Refused,
    told: bool,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(inner: &'a Inner, id: ExecutionId) -> Self {
        Self {
            inner,
            id,
            refused: Refused::default(),
            told: false,
        }
    }

    pub(crate) fn failed(&mut self, error: &StoreError) {
        note(error);
        if self.refused.lasts(Some(error)) {
            self.told = true;
            let refusals = &self.inner.refusals.0;
            refusals.send_modify(|refused| _ = refused.insert(self.id, error.clone()));
        } else {
            self.forget();
        }
    }

    pub(crate) fn answered(&mut self) {
        self.refused.lasts(None);
        self.forget();
    }

    fn forget(&mut self) {
        if std::mem::take(&mut self.told) {
            let refusals = &self.inner.refusals.0;
            refusals.send_modify(|refused| _ = refused.remove(&self.id));
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}
