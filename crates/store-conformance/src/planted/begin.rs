//! Bugs of begin: two statements in one, and keys that are not compared byte for byte.

use std::sync::Arc;

use keystep::execution::{ExecutionId, Fence, FullKey};
use keystep::store::{Begin, Begun, Store, StoreError};

use super::{Plant, row, widen_window};

/// Insert and read in one statement: the read looks at the moment before the statement, so a
/// caller that meets a row begun meanwhile neither starts nor finds anything.
#[derive(Debug, Clone, Copy)]
pub struct AttachMergedIntoBegin;

impl<S: Store> Plant<S> for AttachMergedIntoBegin {
    async fn begin(&self, store: &S, begin: Begin) -> Result<Begun, StoreError> {
        let before = row(store, begin.id).await?;
        widen_window().await;
        match (store.begin(begin).await?, before) {
            (Begun::Exists(_), None) => Err(StoreError::Unavailable("the statement returned no row".into())),
            (answer, _) => Ok(answer),
        }
    }
}

/// No row returned is taken for a row inserted: whoever meets an execution believes to own it.
#[derive(Debug, Clone, Copy)]
pub struct BeginStartsTwice;

impl<S: Store> Plant<S> for BeginStartsTwice {
    async fn begin(&self, store: &S, begin: Begin) -> Result<Begun, StoreError> {
        let (run, token) = (begin.run, begin.token);
        Ok(match store.begin(begin).await? {
            Begun::Exists(found) => Begun::Started(Fence {
                execution: found.id,
                run,
                claim: keystep::execution::Claim { epoch: 1, token },
                incarnation: 0,
            }),
            started => started,
        })
    }
}

/// A column type that does not keep trailing spaces: two keys become one.
#[derive(Debug, Clone, Copy)]
pub struct KeysTrimmed;

impl<S: Store> Plant<S> for KeysTrimmed {
    async fn begin(&self, store: &S, mut begin: Begin) -> Result<Begun, StoreError> {
        let trimmed = begin.key.key.trim_end_matches(' ');
        if trimmed.len() < begin.key.key.len() {
            begin.key = Arc::new(FullKey {
                key: trimmed.to_owned(),
                ..(*begin.key).clone()
            });
            begin.id = ExecutionId::of(&begin.key);
        }
        store.begin(begin).await
    }
}
