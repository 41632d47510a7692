//! How does a step call another schema? As an execution of its own, which it waits for: the step may run
//! again, the called execution runs once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StepContext;
use super::outputs::decode;
use crate::asks::{Desk, Wait};
use crate::engine::Engine;
use crate::error::{Failure, FailureKind, StepError, StepResult};
use crate::execution::{ExecutionId, ExecutionRecord, InputHash, WaitReason};
use crate::key::Key;
use crate::marks::Mark;
use crate::policy::{AfterFailure, OnDuplicate, Verdict};
use crate::rings::{refuse_ancestor, refuse_ring, wait_for};
use crate::run_error::RunError;
use crate::runs::locked;
use crate::schema::Schema;

/// How long an execution is put down at most for one that it has called.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// When to look again after a child that nobody can bring on.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How a step calls another schema, where the called one's defaults are not what is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallAs {
    /// The fingerprint of the key, instead of the input's own.
    pub fingerprint: Option<InputHash>,
    /// What to do when the last run of the key failed. A step that runs again asks again: what it has
    /// restarted and has failed meanwhile begins anew.
    pub after_failure: Option<AfterFailure>,
}

impl StepContext {
    /// Calls another schema for a key, and waits for its output, which is recorded with this step. When
    /// this step runs again the called execution does not: it is waited for, or answers with its outcome.
    ///
    /// A failure of the called execution is a failure of this step, with its code (`child_failed` if it has
    /// none): final when it is final, and without a further try now when its tries are used up; a later
    /// call resumes both. A key that was used with another input is final too (`input_mismatch`). While the
    /// called execution waits, so does this one, put down. Cancelling this one cancels the called ones.
    ///
    /// # Errors
    /// As above. The key of an execution that waits for this one, also when it was begun by somebody
    /// else (`call_cycle`), a chain of more than 16 calls (`call_depth`), and what is said at
    /// [`step`](Self::step): no further try now.
    pub async fn call<In, Out>(
        &self,
        schema: &Schema<In, Out>,
        key: impl Into<Key>,
        input: In,
    ) -> StepResult<Out>
    where
        In: Serialize + DeserializeOwned + Send + 'static,
        Out: Serialize + DeserializeOwned + Send + 'static,
    {
        self.call_as(schema, key, input, CallAs::default()).await
    }

    /// The same, said more exactly: for front doors, which call so too.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_as<In, Out>(
        &self,
        schema: &Schema<In, Out>,
        key: impl Into<Key>,
        input: In,
        how: CallAs,
    ) -> StepResult<Out>
    where
        In: Serialize + DeserializeOwned + Send + 'static,
        Out: Serialize + DeserializeOwned + Send + 'static,
    {
        let key = key.into();
        let desk = self.put_down()?;
        let full = key.clone().within(schema.name());
        let full = full.map_err(|why| StepError::stop(why).code("bad_name"))?;
        let child = ExecutionId::of(&full);
        let mark = Mark::Call(&child.to_string()).of(&self.inner.recorded_as);
        if let Some((output, _at)) = self.inner.recorded.get(&mark) {
            return decode(&output, &mark);
        }
        let _under_way = OneCall::begin(&self.inner.names, &mark)?;
        let Some(inner) = self.inner.engine.upgrade() else {
            return Err(StepError::retry("the engine is gone"));
        };
        let engine = Engine { inner };
        refuse_ancestor(&*engine.inner.store, self.execution_id(), child).await?;
        let mut call = engine
            .run(schema, key, input)
            .on_duplicate(OnDuplicate::Attach)
            .called_by(self.execution_id());
        if let Some(hash) = how.fingerprint {
            call = call.fingerprint(hash);
        }
        if let Some(policy) = how.after_failure {
            call = call.after_failure(policy);
        }
        let called = call.submit().await;
        let is_there = match &called {
            Ok(called) => called.verdict() != Verdict::Started,
            Err(error) => matches!(error, RunError::Waiting { .. } | RunError::Parked { .. }),
        };
        if is_there {
            self.note_wait(desk, &engine, child).await?;
        }
        let told = match called {
            Ok(called) => called.wait().await,
            Err(error) => Err(error),
        };
        let wait = |delay| Wait {
            mark: None,
            delay: Some(delay),
            reason: WaitReason::Child,
            signals: None,
            called: Some(child),
        };
        match told {
            Ok(output) => {
                let bytes = self.encode(&output, "the output")?;
                self.record(desk, mark.clone(), bytes).await?;
                Ok(output)
            }
            Err(RunError::Waiting { due_in, .. }) => {
                // Whoever ends the child wakes this one; should that be missed, it looks again while the
                // outcome is kept.
                let kept = schema
                    .core()
                    .options
                    .retention
                    .map_or(LONGEST_WAIT, |kept| kept / 2);
                let patience = kept.min(LONGEST_WAIT);
                Err(desk.wait(wait(due_in.unwrap_or(LOOK_AGAIN).min(patience))).await)
            }
            Err(RunError::Parked { .. }) => Err(desk.wait(wait(LOOK_AGAIN)).await),
            Err(error) => Err(failed_child(error)),
        }
    }

    /// Records that this execution waits for one that somebody else has begun, if it does, and refuses to
    /// when that one waits for this one.
    async fn note_wait(&self, desk: &Desk, engine: &Engine, called: ExecutionId) -> StepResult<()> {
        let (store, own) = (&*engine.inner.store, self.execution_id());
        let found = store.find(vec![called]).await?;
        let is_anothers =
            |record: &ExecutionRecord| !record.state.is_finished() && record.parent != Some(own);
        if !found.first().is_some_and(is_anothers) {
            return Ok(());
        }
        let mark = Mark::Wait(&wait_for(called)).of(&self.inner.recorded_as);
        if !self.inner.recorded.has(&mark) {
            self.record(desk, mark, Bytes::from_static(b"null")).await?;
        }
        refuse_ring(store, own, called).await
    }
}

/// A call that is under way: a second one of the same execution beside it would record the same.
struct OneCall<'a> {
    names: &'a Names,
    mark: &'a str,
}

type Names = Mutex<HashMap<String, u32>>;

impl<'a> OneCall<'a> {
    fn begin(names: &'a Names, mark: &'a str) -> StepResult<Self> {
        let mut uses = locked(names);
        let under_way = uses.entry(mark.to_owned()).or_default();
        if *under_way > 0 {
            let why = "a step calls an execution twice at once: call it once";
            return Err(StepError::stop(why).code("name_used_twice"));
        }
        *under_way = 1;
        Ok(Self { names, mark })
    }
}

impl Drop for OneCall<'_> {
    fn drop(&mut self) {
        locked(self.names).remove(self.mark);
    }
}

/// What the end of a called execution means for the step that called it.
fn failed_child(error: RunError) -> StepError {
    match error {
        RunError::Failed(failure) if failure.kind == FailureKind::Exhausted => {
            // It was tried as often as it says: trying it again here would multiply that.
            passed_on(StepError::stop, failure)
        }
        RunError::Failed(failure) | RunError::Undone(failure) => passed_on(StepError::terminal, failure),
        RunError::Cancelled { .. } => {
            StepError::terminal("the called execution was cancelled").code("child_cancelled")
        }
        RunError::InputMismatch { .. } => {
            StepError::terminal("the key of the called execution was used with another input")
                .code("input_mismatch")
        }
        RunError::Invalid(_) | RunError::Unreadable(_) => {
            StepError::stop(format!("the call is not possible: {error}"))
        }
        other => StepError::retry(format!("the called execution gave no outcome: {other}")),
    }
}

/// The failure of a called execution as the failure of the step that called it, in its own words.
fn passed_on(meaning: impl FnOnce(String) -> StepError, failure: Failure) -> StepError {
    let code = failure.code.unwrap_or_else(|| "child_failed".to_owned());
    meaning(failure.message).code(code)
}
