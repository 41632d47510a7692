//! How is a handler made idempotent as it is? Wrapped: it becomes the only step of a schema whose output
//! is its answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use keystep::{Engine, InputHash, Retry, Schema, StepContext, StepError, StepResult};
use serde::{Deserialize, Serialize};

use super::desk::{Desk, Done};
use super::service::IdempotencyLayer;
use crate::door::FrontDoor;
use crate::operation::Operation;
use crate::policy::AfterCrash;
use crate::problem::Problem;
use crate::request::Arrived;
use crate::stored::StoredResponse;

/// Failure codes of a wrapped handler's step. They are stored: promises.
pub(super) const NO_REQUEST: &str = "no_request";
pub(super) const NOT_STORED: &str = "answer_not_stored";

type Scope = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;
type Check = Arc<dyn Fn(Arc<Arrived>) -> Future<Result<(), Problem>> + Send + Sync>;
type Latest = Arc<dyn Fn(StoredResponse) -> Future<Response<Bytes>> + Send + Sync>;
type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

impl Operation {
    /// Makes this the operation of a wrapped handler. `scope` says who the caller is, from what the
    /// server knows after authentication, such as an extension of the request: equal keys of two callers
    /// are two keys. A request of nobody is answered with 401.
    ///
    /// Never take it from a header that nobody has checked.
    pub fn scope(self, scope: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Scoped {
        Scoped {
            operation: self,
            scope: Arc::new(scope),
        }
    }
}

/// An operation that knows its callers. Say what a crash inside the handler means.
#[must_use = "say what happens after a crash: .after_crash(…)"]
pub struct Scoped {
    operation: Operation,
    scope: Scope,
}

impl Scoped {
    /// Ends the operation with what becomes of a request whose process dies inside the handler. There is
    /// no default, because only the handler's author knows.
    ///
    /// # Panics
    /// When the operation answers duplicates with 202 and has no [`status_url`](Operation::status_url),
    /// or its name or retention is not usable for a schema.
    #[track_caller]
    pub fn after_crash(self, policy: AfterCrash) -> KeyedHandler {
        self.operation.check();
        let desk = Desk::default();
        KeyedHandler {
            schema: schema(&self.operation, policy, &desk),
            operation: self.operation,
            scope: self.scope,
            check: None,
            latest: None,
            desk,
        }
    }
}

/// A handler that is run once per key. Register its [`schema`](Self::schema) with the engine, and put its
/// [`layer`](Self::layer) around the handler.
///
/// The handler finds its [`StepContext`] in the extensions of the request: the key to send to downstream
/// services, and a way to enlist a transaction, so that what it writes and its stored answer are one
/// commit.
#[derive(Clone)]
pub struct KeyedHandler {
    pub(super) schema: Schema<Claimed, StoredResponse>,
    pub(super) operation: Operation,
    pub(super) scope: Scope,
    pub(super) check: Option<Check>,
    pub(super) latest: Option<Latest>,
    pub(super) desk: Desk,
}

impl KeyedHandler {
    /// Runs between the lookup of the key and its claim: validation and preconditions that must not bind
    /// the key, and must not stand before a replay.
    #[must_use]
    pub fn check<F, Fut>(mut self, check: F) -> Self
    where
        F: Fn(Arc<Arrived>) -> Fut + Send + Sync + 'static,
        Fut: std::future::Future<Output = Result<(), Problem>> + Send + 'static,
    {
        self.check = Some(Arc::new(move |arrived| Box::pin(check(arrived))));
        self
    }

    /// Answers a repeat with a fresh view instead of the stored one: headers and body are what this
    /// makes, status and `Location` stay.
    #[must_use]
    pub fn replay_latest<F, Fut>(mut self, render: F) -> Self
    where
        F: Fn(StoredResponse) -> Fut + Send + Sync + 'static,
        Fut: std::future::Future<Output = Response<Bytes>> + Send + 'static,
    {
        self.latest = Some(Arc::new(move |stored| Box::pin(render(stored))));
        self
    }

    /// The schema that the handler becomes, for [`EngineBuilder::schema`](keystep::EngineBuilder::schema).
    pub fn schema(&self) -> Schema<Claimed, StoredResponse> {
        self.schema.clone()
    }

    /// The route's policies.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// The layer to put around the handler, and only around it. The engine must know the
    /// [`schema`](Self::schema): with one that does not, each request is answered with 500.
    pub fn layer(&self, engine: &Engine) -> IdempotencyLayer {
        let door = FrontDoor::new(engine.clone(), self.schema(), self.operation.clone());
        IdempotencyLayer::new(self.clone(), door)
    }
}

impl fmt::Debug for KeyedHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedHandler")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// The input of a wrapped handler's schema: which request it is, and nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claimed {
    fingerprint: String,
}

impl Claimed {
    pub(super) fn by(hash: InputHash) -> Self {
        Self {
            fingerprint: hash.to_string(),
        }
    }
}

fn schema(operation: &Operation, policy: AfterCrash, desk: &Desk) -> Schema<Claimed, StoredResponse> {
    let desk = desk.clone();
    let handler = move |cx: StepContext, claimed: Claimed| {
        let desk = desk.clone();
        async move { handle(&desk, cx, claimed).await }
    };
    let schema = Schema::new(operation.name())
        .retention(operation.0.retention)
        .step("handler", handler)
        // A further try would need a further request.
        .retry(Retry::none());
    match policy {
        AfterCrash::Rerun => schema.build(),
        AfterCrash::InDoubt => schema.at_most_once().build(),
    }
}

/// The body of the only step: it takes a request from the desk and runs the handler with it.
async fn handle(desk: &Desk, cx: StepContext, claimed: Claimed) -> StepResult<StoredResponse> {
    let request = (cx.execution_id(), claimed);
    let Some(work) = desk.take(&request) else {
        return Err(StepError::not_done("no request waits here: the next one goes on").code(NO_REQUEST));
    };
    match work(cx).await {
        Done::Stored(answer) => Ok(answer),
        Done::NotStored(answer) => {
            desk.tell(&request, &answer);
            // The handler has ended and said so itself: nobody is in doubt.
            let why = format!("the handler answered {}, which is not stored", answer.status());
            Err(StepError::not_done(why).code(NOT_STORED))
        }
        Done::Nothing => Err(StepError::retry("the service gave no answer").code(NOT_STORED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_of_a_wrapped_handler_is_a_promise() {
        let plan = |policy| {
            let operation = Operation::post("note.create", "/notes").scope(|_| None);
            operation.after_crash(policy).schema().plan().body
        };
        assert_eq!(
            plan(AfterCrash::Rerun),
            r#"{"schema":"note.create","steps":[{"name":"handler","body":"code"}]}"#
        );
        assert_eq!(
            plan(AfterCrash::InDoubt),
            r#"{"schema":"note.create","steps":[{"name":"handler","body":"code","effect":"at_most_once"}]}"#
        );
        let input = serde_json::to_string(&Claimed::by(InputHash([10; 32]))).expect("JSON");
        assert_eq!(input, format!(r#"{{"fingerprint":"{}"}}"#, "0a".repeat(32)));
        assert_eq!([NO_REQUEST, NOT_STORED], ["no_request", "answer_not_stored"]);
    }
}
