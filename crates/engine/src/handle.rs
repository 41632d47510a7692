//! How does a caller wait for an outcome that somebody works on?

use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::admission::{Admitted, Request};
use crate::call::{OutputType, in_time};
use crate::context::StepContext;
use crate::execution::ExecutionId;
use crate::json;
use crate::policy::Verdict;
use crate::run_error::RunError;
use crate::settle::settle;

/// A submitted call. Dropping it never stops the work.
pub struct Handle<Out> {
    request: Request,
    admitted: Admitted,
    verdict: Verdict,
    within: Option<Duration>,
    output: OutputType<Out>,
}

impl<Out> Handle<Out> {
    pub(crate) fn new(request: Request, admitted: Admitted, within: Option<Duration>) -> Self {
        Self {
            verdict: admitted.verdict(),
            request,
            admitted,
            within,
            output: PhantomData,
        }
    }

    /// The execution.
    pub fn id(&self) -> ExecutionId {
        self.request.id
    }

    /// Who works on it.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl<Out: DeserializeOwned> Handle<Out> {
    /// Waits for the outcome, within the limits of the call.
    ///
    /// # Errors
    /// See [`RunError`]: each variant says what to do next.
    pub async fn wait(self) -> Result<Out, RunError> {
        in_time(self.within, outcome(&self.request, self.admitted)).await
    }
}

/// Waits for the outcome of an admitted call.
pub(crate) async fn outcome<Out: DeserializeOwned>(
    request: &Request,
    admitted: Admitted,
) -> Result<Out, RunError> {
    StepContext::refuse_in_transaction().map_err(RunError::Invalid)?;
    let output = settle(request, admitted).await?;
    serde_json::from_slice(&output).map_err(|error| RunError::Unreadable(json::describe(&error)))
}

impl<Out> std::fmt::Debug for Handle<Out> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("execution", &self.id())
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}
