//! How does a route run a schema once per key? Through a front door: read the request, look the key up,
//! check, run.
//!
//! The order is a promise: what a key has already is looked up before anything is validated, nothing
//! before the claim binds the key, and a repeated request meets no check that its own first attempt made
//! fail.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use keystep::{
    AfterFailure, Engine, ExecutionId, FailureKind, FullKey, Handle, InputHash, Key, OnDuplicate, RunError,
    Schema, Verdict,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, Dress, Ended, How};
use crate::key::ClientKey;
use crate::metrics::{self, InFlight};
use crate::operation::Operation;
use crate::policy::{Concurrency, OnError};
use crate::prefer::Prefer;
use crate::problem::Problem;
use crate::request::Arrived;

/// A route that runs a schema once per key. Cheap to clone.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use keystep_http::{FrontDoor, Look, Problem};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Payment { cents: u64 }
///
/// async fn pay(door: FrontDoor<Payment, String>, user: &str, request: Request<String>) -> Result<Response<Bytes>, Problem> {
///     let arrived = door.read(request).await?;
///     let key = arrived.key_or(None)?;
///     let created = |id: String| Response::builder().status(201).body(id.into()).expect("a response");
///     let free = match door.look_up(&arrived, user, &key).await? {
///         Look::Known(answer) => return Ok(answer.respond(created)),
///         Look::Free(free) => free,
///     };
///     let payment: Payment = arrived.json()?; // checks stand here: they never bind the key
///     Ok(free.run(payment).await?.respond(created))
/// }
/// ```
pub struct FrontDoor<In, Out> {
    engine: Engine,
    schema: Schema<In, Out>,
    operation: Operation,
}

/// What a key has already.
#[derive(Debug)]
pub enum Look<'a, In, Out> {
    /// An equal request was here: this is its answer.
    Known(Answer<Out>),
    /// Nothing: check the request, then [`run`](Free::run) it.
    Free(Free<'a, In, Out>),
}

/// A key that is free, or shall be used anew.
pub struct Free<'a, In, Out> {
    door: &'a FrontDoor<In, Out>,
    ask: Ask,
    wish: Option<AfterFailure>,
}

/// Who asks for what.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) scope: String,
    pub(crate) key: ClientKey,
    pub(crate) hash: InputHash,
    pub(crate) prefer: Prefer,
}

/// What came of a call: how it ended, and how the wait for it did.
pub(crate) struct Settled<Out> {
    pub(crate) id: ExecutionId,
    pub(crate) verdict: Verdict,
    pub(crate) applied: Option<Prefer>,
    pub(crate) result: Waited<Out>,
}

pub(crate) enum Waited<Out> {
    Ended(Result<Out, RunError>),
    /// Nobody waits any longer: 409.
    Busy,
    /// Nobody waits any longer: 202.
    Accepted,
}

impl<In, Out> FrontDoor<In, Out> {
    /// The front door of a route that runs a schema.
    ///
    /// # Panics
    /// When the operation answers duplicates with 202 and has no [`status_url`](Operation::status_url).
    #[track_caller]
    pub fn new(engine: Engine, schema: Schema<In, Out>, operation: Operation) -> Self {
        operation.check();
        Self {
            engine,
            schema,
            operation,
        }
    }

    /// The route's policies.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Reads a request whole: media type, size and body, the key, the body's syntax.
    ///
    /// # Errors
    /// The problem to answer with; the key is not bound.
    pub async fn read<B>(&self, request: Request<B>) -> Result<Arrived, Problem>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.operation.read(request).await
    }

    /// The execution of a user's key.
    pub fn execution_of(&self, scope: &str, key: &ClientKey) -> ExecutionId {
        ExecutionId::of(&FullKey {
            schema: self.schema.name().to_owned(),
            scope: scope.to_owned(),
            key: key.as_str().to_owned(),
        })
    }
}

impl<In, Out> FrontDoor<In, Out>
where
    In: Serialize + DeserializeOwned + Send + 'static,
    Out: DeserializeOwned + Send + 'static,
{
    /// Looks up what a user's key has already; takes up what was left half-way. `scope` is who the server
    /// knows the caller to be: never anything that the caller wrote.
    ///
    /// # Errors
    /// The problem to answer with: another request's key, one in progress, a failure that is replayed, a
    /// store that does not answer.
    pub async fn look_up(
        &self,
        arrived: &Arrived,
        scope: &str,
        key: &ClientKey,
    ) -> Result<Look<'_, In, Out>, Problem> {
        let ask = Ask {
            scope: scope.to_owned(),
            key: key.clone(),
            hash: arrived.hash,
            prefer: arrived.prefer,
        };
        let _in_flight = InFlight::of(&self.operation);
        let wish = self.operation.0.on_error.wish();
        let Some(handle) = self.find(&ask, wish).await? else {
            return Ok(Look::Free(Free {
                door: self,
                ask,
                wish,
            }));
        };
        let settled = self.settle(&ask, handle).await;
        if let Waited::Ended(Err(error)) = &settled.result
            && settled.verdict == Verdict::Finished
            && self.begins_anew(error, &ask.key, settled.id)
        {
            let wish = Some(AfterFailure::Restart);
            return Ok(Look::Free(Free {
                door: self,
                ask,
                wish,
            }));
        }
        self.answer(ask, settled).map(Look::Known)
    }

    /// Whether a user's key was used here and is still kept: for routes with more than one schema, where
    /// a key that another one knows belongs to another request ([`Arrived::reused`]).
    ///
    /// # Errors
    /// The problem to answer with when the store does not say.
    pub async fn is_used(&self, scope: &str, key: &ClientKey) -> Result<bool, Problem> {
        let lookup = self
            .engine
            .lookup(&self.schema, Key::new(key.as_str()).scope(scope))
            .on_duplicate(OnDuplicate::Reject)
            .after_failure(AfterFailure::Replay);
        match tokio::time::timeout(self.operation.0.store_patience, lookup).await {
            Ok(Ok(found)) => Ok(found.is_some()),
            Ok(Err(RunError::InProgress { .. } | RunError::Waiting { .. } | RunError::Parked { .. })) => {
                Ok(true)
            }
            Ok(Err(error)) => {
                let id = self.execution_of(scope, key);
                Err(self.operation.problem_of(&error, key, id))
            }
            Err(late) => Err(self.operation.store_unavailable(&late, key)),
        }
    }

    /// The whole way of a request whose key is in the header: `check` gives the input, `render` the
    /// answer.
    pub async fn serve<B, R>(
        &self,
        request: Request<B>,
        scope: &str,
        check: impl AsyncFnOnce(&Arrived) -> Result<In, Problem>,
        render: impl FnOnce(Out) -> Response<R>,
    ) -> Response<R>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        R: From<Bytes>,
    {
        let arrived = match self.read(request).await {
            Ok(arrived) => arrived,
            Err(problem) => return problem.into_response(),
        };
        let answer = async {
            let key = arrived.key_or(None)?;
            let free = match self.look_up(&arrived, scope, &key).await? {
                Look::Known(answer) => return Ok(answer),
                Look::Free(free) => free,
            };
            let input = check(&arrived).await?;
            free.run(input).await
        };
        match answer.await {
            Ok(answer) => answer.respond(render),
            Err(problem) => arrived.refuse(problem),
        }
    }

    /// Asks the engine what the key has.
    pub(crate) async fn find(
        &self,
        ask: &Ask,
        wish: Option<AfterFailure>,
    ) -> Result<Option<Handle<Out>>, Problem> {
        let operation = &self.operation;
        let mut lookup = self
            .engine
            .lookup(&self.schema, ask.key())
            .fingerprint(ask.hash)
            .on_duplicate(OnDuplicate::Attach);
        if let Some(wish) = wish {
            lookup = lookup.after_failure(wish);
        }
        match tokio::time::timeout(operation.0.store_patience, lookup).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(self.refused(&error, ask)),
            Err(late) => Err(operation.store_unavailable(&late, &ask.key)),
        }
    }

    /// Claims the key for an input, or meets whoever did meanwhile.
    pub(crate) async fn claim(
        &self,
        ask: &Ask,
        input: In,
        wish: Option<AfterFailure>,
    ) -> Result<Handle<Out>, Problem> {
        let mut call = self
            .engine
            .run(&self.schema, ask.key(), input)
            .fingerprint(ask.hash)
            .on_duplicate(OnDuplicate::Attach);
        if let Some(wish) = wish {
            call = call.after_failure(wish);
        }
        // Dropping the call stops nothing: what it began goes on, and the next equal request finds it.
        match tokio::time::timeout(self.operation.0.store_patience, call.submit()).await {
            Ok(submitted) => submitted.map_err(|error| self.refused(&error, ask)),
            Err(late) => Err(self.operation.store_unavailable(&late, &ask.key)),
        }
    }

    async fn settle(&self, ask: &Ask, handle: Handle<Out>) -> Settled<Out> {
        let (id, verdict) = (handle.id(), handle.verdict());
        self.wait(ask.prefer, id, verdict, pin!(handle.wait())).await
    }

    /// Waits for a call as long as the policies and the client say.
    pub(crate) async fn wait(
        &self,
        prefer: Prefer,
        id: ExecutionId,
        verdict: Verdict,
        outcome: Pin<&mut impl Future<Output = Result<Out, RunError>>>,
    ) -> Settled<Out> {
        let Wait { limit, late, applied } = self.wait_for(prefer, verdict);
        let needs_place = verdict == Verdict::Attached && !limit.is_zero();
        let place = needs_place.then(|| self.operation.0.waiters.enter(id)).flatten();
        let limit = if needs_place && place.is_none() {
            Duration::ZERO
        } else {
            limit
        };
        let result = match tokio::time::timeout(limit, outcome).await {
            Ok(result) => Waited::Ended(result),
            Err(_late) => late,
        };
        let applied = match (&result, applied) {
            // Nothing was put off.
            (Waited::Ended(_), Some(prefer)) if prefer.respond_async => None,
            (_, applied) => applied,
        };
        Settled {
            id,
            verdict,
            applied,
            result,
        }
    }

    fn wait_for(&self, prefer: Prefer, verdict: Verdict) -> Wait<Out> {
        let settings = &self.operation.0;
        let wait = |limit, late, applied| Wait { limit, late, applied };
        if prefer.respond_async && self.operation.can_accept() && verdict != Verdict::Finished {
            let limit = prefer.wait.unwrap_or_default().min(settings.patience);
            return wait(limit, Waited::Accepted, Some(prefer));
        }
        match (verdict, settings.concurrency) {
            (Verdict::Attached, Concurrency::Wait(most)) => match prefer.wait {
                Some(less) if less < most => {
                    let applied = Prefer {
                        respond_async: false,
                        ..prefer
                    };
                    wait(less, Waited::Busy, Some(applied))
                }
                _ => wait(most, Waited::Busy, None),
            },
            (Verdict::Attached, Concurrency::Reject) => wait(Duration::ZERO, Waited::Busy, None),
            (Verdict::Attached, Concurrency::Accept) => wait(Duration::ZERO, Waited::Accepted, None),
            _ => wait(settings.patience, Waited::Busy, None),
        }
    }

    /// Makes an answer of what came of a call.
    pub(crate) fn answer(&self, ask: Ask, settled: Settled<Out>) -> Result<Answer<Out>, Problem> {
        let operation = &self.operation;
        let how = How::of(settled.verdict);
        let (ended, how) = match settled.result {
            Waited::Ended(Ok(output)) => (Ended::Done(output), how),
            Waited::Ended(Err(error)) => {
                metrics::outcome(operation, how.as_str());
                let problem = operation.problem_of(&error, &ask.key, settled.id);
                let ended = match &error {
                    // Tried again by the next request, unless this is what was asked to be repeated.
                    RunError::Failed(failure) => {
                        failure.kind == FailureKind::Terminal || how == How::Replayed
                    }
                    RunError::Undone(_) | RunError::Cancelled { .. } => true,
                    _ => false,
                };
                // What is no outcome can not be one again.
                let how = if ended { how } else { How::Executed };
                return Err(self.dress(ask.key, settled.id, how, settled.applied).on(problem));
            }
            Waited::Busy => {
                metrics::outcome(operation, "rejected");
                let problem = operation.in_progress(&ask.key, settled.id, None);
                let dress = self.dress(ask.key, settled.id, How::Executed, settled.applied);
                return Err(dress.on(problem));
            }
            // It is no replay, whoever does the work.
            Waited::Accepted => (Ended::Accepted, How::Executed),
        };
        let word = match &ended {
            Ended::Done(_) => how.as_str(),
            Ended::Accepted => "accepted",
        };
        metrics::outcome(operation, word);
        Ok(Answer {
            ended,
            dress: self.dress(ask.key, settled.id, how, settled.applied),
        })
    }

    pub(crate) fn dress(
        &self,
        key: ClientKey,
        execution: ExecutionId,
        how: How,
        applied: Option<Prefer>,
    ) -> Dress {
        Dress {
            operation: self.operation.clone(),
            key,
            execution,
            how,
            applied,
        }
    }

    /// The problem for a call that was not admitted.
    fn refused(&self, error: &RunError, ask: &Ask) -> Problem {
        if matches!(error, RunError::InputMismatch { .. }) {
            metrics::outcome(&self.operation, "mismatch");
        }
        let id = self.execution_of(&ask.scope, &ask.key);
        self.operation.problem_of(error, &ask.key, id)
    }

    /// Whether the next equal request after this failure begins anew: one that says that the key may be
    /// used again, or one that can not be gone on with.
    fn begins_anew(&self, error: &RunError, key: &ClientKey, id: ExecutionId) -> bool {
        let is_gone = matches!(error, RunError::Undone(_) | RunError::Cancelled { .. });
        let is_final = match error {
            RunError::Failed(failure) => failure.kind == FailureKind::Terminal,
            _ => is_gone,
        };
        let same_key = || self.operation.problem_of(error, key, id).kind().same_key;
        is_final
            && match self.operation.0.on_error {
                OnError::ReplayAll => false,
                OnError::RetryErrors => true,
                OnError::SuccessOnly => is_gone || same_key(),
                OnError::PersistFinal => same_key(),
            }
    }
}

struct Wait<Out> {
    limit: Duration,
    late: Waited<Out>,
    applied: Option<Prefer>,
}

impl Ask {
    fn key(&self) -> Key {
        Key::new(self.key.as_str()).scope(self.scope.as_str())
    }
}

impl<In, Out> Free<'_, In, Out>
where
    In: Serialize + DeserializeOwned + Send + 'static,
    Out: DeserializeOwned + Send + 'static,
{
    /// Claims the key and runs the schema. The work is the engine's: a client that hangs up changes
    /// nothing.
    ///
    /// # Errors
    /// The problem to answer with.
    pub async fn run(self, input: In) -> Result<Answer<Out>, Problem> {
        let _in_flight = InFlight::of(&self.door.operation);
        let handle = self.door.claim(&self.ask, input, self.wish).await?;
        let settled = self.door.settle(&self.ask, handle).await;
        self.door.answer(self.ask, settled)
    }
}

impl<In, Out> Clone for FrontDoor<In, Out> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            schema: self.schema.clone(),
            operation: self.operation.clone(),
        }
    }
}

impl<In, Out> std::fmt::Debug for FrontDoor<In, Out> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrontDoor")
            .field("operation", &self.operation)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl<In, Out> std::fmt::Debug for Free<'_, In, Out> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Free")
            .field("door", &self.door)
            .finish_non_exhaustive()
    }
}
