//! What does a caller say? The key, the input, and what to do about duplicates and failures.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, TryFutureExt, lazy};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admission::{Aim, Request, admit};
use crate::context::StepContext;
use crate::engine::Engine;
use crate::execution::{ExecutionId, InputHash};
use crate::fingerprint::fingerprint;
use crate::handle::{Handle, outcome};
use crate::inner::Inner;
use crate::json;
use crate::key::Key;
use crate::limits::Limits;
use crate::policy::{AfterFailure, OnDuplicate, OnExpired};
use crate::run_error::RunError;
use crate::schema::{Schema, SchemaCore};
use crate::submission::Submission;

/// A call that is being made. Await it, or [`submit`](Self::submit) it.
#[must_use = "a call does nothing until it is awaited or submitted"]
pub struct Call<In, Out> {
    engine: Engine,
    schema: Schema<In, Out>,
    key: Key,
    input: In,
    on_duplicate: OnDuplicate,
    after_failure: Option<AfterFailure>,
    on_expired: OnExpired,
    parent: Option<ExecutionId>,
    in_transaction: bool,
    within: Option<Duration>,
    fingerprint: Option<InputHash>,
}

impl<In, Out> Call<In, Out> {
    pub(crate) fn new(engine: Engine, schema: Schema<In, Out>, key: Key, input: In) -> Self {
        Self {
            engine,
            schema,
            key,
            input,
            on_duplicate: OnDuplicate::default(),
            after_failure: None,
            on_expired: OnExpired::default(),
            parent: None,
            in_transaction: false,
            within: None,
            fingerprint: None,
        }
    }

    /// What to do while another call of this key is being worked on.
    pub fn on_duplicate(mut self, policy: OnDuplicate) -> Self {
        self.on_duplicate = policy;
        self
    }

    /// What to do when the last run of this key failed. By default a failure whose tries were used
    /// up is resumed, and a terminal one is replayed.
    pub fn after_failure(mut self, policy: AfterFailure) -> Self {
        self.after_failure = Some(policy);
        self
    }

    /// What to do when the key was used before and the retention of that use is over.
    pub fn on_expired(mut self, policy: OnExpired) -> Self {
        self.on_expired = policy;
        self
    }

    /// The execution whose step makes this call.
    pub(crate) fn called_by(mut self, parent: ExecutionId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// This caller's own limit: then [`RunError::TimedOut`], and the work goes on.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    /// Compares this instead of the input's own fingerprint, for front doors that know better what
    /// makes two requests equal.
    pub fn fingerprint(mut self, hash: InputHash) -> Self {
        self.fingerprint = Some(hash);
        self
    }
}

impl<In, Out> Call<In, Out>
where
    In: Serialize + DeserializeOwned + Send + 'static,
    Out: DeserializeOwned + Send + 'static,
{
    /// Starts the call and returns as soon as it is known who works on it, with the verdict.
    ///
    /// # Errors
    /// See [`RunError`]: each variant says what to do next.
    pub async fn submit(self) -> Result<Handle<Out>, RunError> {
        let within = self.within;
        let request = self.request()?;
        let admitted = in_time(within, admit(&request)).await?;
        Ok(Handle::new(request, admitted, within))
    }

    /// Checks and encodes the call for a store's `submit_in`, which begins the execution inside the
    /// caller's own transaction. Nothing is written; policies and limits of the call have no meaning.
    ///
    /// # Errors
    /// [`RunError::Invalid`]: mend the call.
    pub fn prepare(mut self) -> Result<Submission, RunError> {
        // A transaction of the caller's is what this is for.
        self.in_transaction = true;
        Submission::new(&self.request()?)
    }

    /// Checks everything that can be checked before anything is written.
    fn request(self) -> Result<Request, RunError> {
        let inner = &self.engine.inner;
        if !self.in_transaction {
            StepContext::refuse_in_transaction().map_err(RunError::Invalid)?;
        }
        let schema = self.schema.core();
        check_registered(inner, schema)?;
        let key = self.key.within(&schema.name).map_err(RunError::Invalid)?;
        let input = encode_input(&self.input, &inner.limits)?;
        let hash = match self.fingerprint {
            Some(hash) => hash,
            None => fingerprint(&input, &schema.options.ignored)
                .map_err(|error| RunError::Invalid(format!("the input: {}", json::describe(&error))))?,
        };
        Ok(Request {
            inner: Arc::clone(inner),
            schema: Arc::clone(schema),
            id: ExecutionId::of(&key),
            key: Arc::new(key),
            aim: Aim::Run { input, hash },
            on_duplicate: self.on_duplicate,
            after_failure: self.after_failure,
            on_expired: self.on_expired,
            parent: self.parent,
        })
    }
}

/// Only what is registered can run here.
pub(crate) fn check_registered(inner: &Inner, schema: &SchemaCore) -> Result<(), RunError> {
    let name = &schema.name;
    let difference = match inner.schemas.get(&schema.plan.shape) {
        None => "is not registered with this engine",
        // A step has another name now; the plan is not stored.
        Some(registered) if registered.former => "is registered with this engine under newer names",
        Some(registered) if registered.plan.id != schema.plan.id => {
            // Only the plans of registered schemas are stored for whoever takes the run over.
            "is registered with this engine with other stored parameters"
        }
        Some(_) => return Ok(()),
    };
    Err(RunError::Invalid(format!("the schema `{name}` {difference}")))
}

/// Gives a caller up whose own limit has passed.
pub(crate) async fn in_time<T>(
    within: Option<Duration>,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    match within {
        Some(limit) => tokio::time::timeout(limit, work)
            .await
            .unwrap_or(Err(RunError::TimedOut(limit))),
        None => work.await,
    }
}

fn encode_input<In: Serialize + DeserializeOwned>(input: &In, limits: &Limits) -> Result<Bytes, RunError> {
    let bytes = json::encode_checked(input, limits.check_bytes)
        .map_err(|error| RunError::Invalid(format!("the input: {error}")))?;
    let (size, limit) = (bytes.len(), limits.payload_bytes);
    if size > limit {
        return Err(RunError::Invalid(format!(
            "the input has {size} bytes, the limit is {limit}"
        )));
    }
    Ok(bytes)
}

impl<In, Out> IntoFuture for Call<In, Out>
where
    In: Serialize + DeserializeOwned + Send + 'static,
    Out: DeserializeOwned + Send + 'static,
{
    type Output = Result<Out, RunError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let within = self.within;
        // One after the other in the same room: the call, then what waits for its outcome.
        let work = lazy(|_polled| self.request()).and_then(|request| async move {
            let admitted = admit(&request).await?;
            outcome(&request, admitted).await
        });
        match within {
            Some(_) => Box::pin(in_time(within, work)),
            None => Box::pin(work),
        }
    }
}

impl<In, Out> std::fmt::Debug for Call<In, Out> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("schema", &self.schema.name())
            .field("on_duplicate", &self.on_duplicate)
            .field("after_failure", &self.after_failure)
            .finish_non_exhaustive()
    }
}

/// Keeps the output type of a handle without a value of it.
pub(crate) type OutputType<Out> = PhantomData<fn() -> Out>;
