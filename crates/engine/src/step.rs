//! What is a step? A typed piece of work; outside typed, inside erased, once.
//!
//! Users write plain async functions ([`Schema::step`](crate::Schema)) or a struct whose fields
//! are stored with the plan ([`StoredStep`]). Both become an [`ErasedStep`], which takes and gives
//! JSON. This file is the only place where the types disappear.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::StepContext;
use crate::error::{StepError, StepResult};
use crate::json::{self, ValueError};

/// A step written as a struct.
///
/// Needed only for stored steps; a step that is code is an async function.
pub trait Step: Send + Sync + 'static {
    /// What it takes: the output of the step before it.
    type Input: DeserializeOwned + Send + 'static;
    /// What it gives; recorded before the next step starts.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Does the work once.
    ///
    /// # Errors
    /// See [`StepError`]: `?` means try again, `.terminal()` means final.
    fn run(
        &self,
        cx: StepContext,
        input: Self::Input,
    ) -> impl Future<Output = StepResult<Self::Output>> + Send;
}

/// A step that is data: its fields travel with the plan, so an execution keeps the parameters that
/// it was born with.
///
/// The tag is stored: it is a promise. The user's crate depends on `typetag` itself.
///
/// ```
/// use keystep::{Step, StepContext, StepResult, StoredStep};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SendReceipt { template: String }
///
/// impl Step for SendReceipt {
///     type Input = u64;
///     type Output = String;
///     async fn run(&self, _cx: StepContext, order: u64) -> StepResult<String> {
///         Ok(format!("{}-{order}", self.template))
///     }
/// }
///
/// #[typetag::serde(name = "send_receipt")]
/// impl StoredStep for SendReceipt {}
/// ```
#[typetag::serde(tag = "type")]
pub trait StoredStep: ErasedStep {}

/// What one attempt of an erased step gave.
#[doc(hidden)]
#[derive(Debug)]
pub enum Attempted {
    /// The output as JSON.
    Done(Bytes),
    /// The step's own error.
    Failed(StepError),
    /// The recorded input can not be read by this code.
    Unreadable(String),
}

/// A step without its types. Implemented for every [`Step`]; never by hand.
#[doc(hidden)]
pub trait ErasedStep: Send + Sync + 'static {
    /// Runs the step on JSON. `check_bytes`: outputs up to this size are read back before they
    /// count.
    fn run_erased(
        self: Arc<Self>,
        cx: StepContext,
        input: Bytes,
        check_bytes: usize,
    ) -> BoxFuture<'static, Attempted>;

    /// Says why the step can not read this as its input.
    fn reads(&self, input: &[u8]) -> Result<(), String>;

    /// Whether this can be an output of it. Otherwise why not.
    fn gives(&self, output: &[u8]) -> Result<(), String>;
}

impl<S: Step> ErasedStep for S {
    fn run_erased(
        self: Arc<Self>,
        cx: StepContext,
        input: Bytes,
        check_bytes: usize,
    ) -> BoxFuture<'static, Attempted> {
        Box::pin(async move {
            let input = match serde_json::from_slice::<S::Input>(&input) {
                Ok(input) => input,
                Err(error) => return Attempted::Unreadable(json::describe(&error)),
            };
            match self.run(cx, input).await {
                Ok(output) => match json::encode_checked(&output, check_bytes) {
                    Ok(bytes) => Attempted::Done(bytes),
                    Err(error) => Attempted::Failed(unstorable(&error)),
                },
                Err(error) => Attempted::Failed(error),
            }
        })
    }

    fn reads(&self, input: &[u8]) -> Result<(), String> {
        let read = serde_json::from_slice::<S::Input>(input);
        read.map(|_input| ()).map_err(|error| json::describe(&error))
    }

    fn gives(&self, output: &[u8]) -> Result<(), String> {
        let read = serde_json::from_slice::<S::Output>(output);
        read.map(|_output| ()).map_err(|error| json::describe(&error))
    }
}

/// A value that can not be recorded: running the step again would give it again.
fn unstorable(error: &ValueError) -> StepError {
    StepError::stop(format!("the output can not be recorded: {error}")).code(ValueError::CODE)
}

/// An async function as a [`Step`].
pub(crate) struct FnStep<F, In, Out> {
    function: F,
    types: PhantomData<fn(In) -> Out>,
}

impl<F, In, Out> FnStep<F, In, Out> {
    pub(crate) fn new(function: F) -> Self {
        Self {
            function,
            types: PhantomData,
        }
    }
}

impl<F, Fut, In, Out> Step for FnStep<F, In, Out>
where
    F: Fn(StepContext, In) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<Out>> + Send + 'static,
    In: DeserializeOwned + Send + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
{
    type Input = In;
    type Output = Out;

    fn run(&self, cx: StepContext, input: In) -> impl Future<Output = StepResult<Out>> + Send {
        (self.function)(cx, input)
    }
}
