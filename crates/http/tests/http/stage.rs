//! The stage: a service with one keyed route, as many processes of it as a test wants, and a handler
//! that does what the test says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use keystep::clock::Clock;
use keystep::testing::faulty::{Faults, FaultyStore, Gate};
use keystep::{Engine, EngineBuilder, MemoryStore, WorkerOptions};
use keystep_http::{AfterCrash, KeyedHandler, Operation, Waiters};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

/// A database that several processes share.
pub(crate) enum Place {
    Memory(MemoryStore, Clock),
    Sqlite(TempDir, Clock),
}

impl Place {
    pub(crate) fn both() -> [Self; 2] {
        let folder = tempfile::tempdir().expect("a folder");
        [Self::memory(), Self::Sqlite(folder, Clock::new())]
    }

    pub(crate) fn memory() -> Self {
        let clock = Clock::new();
        Self::Memory(MemoryStore::with_clock(clock.clone()), clock)
    }

    /// Moves the clock by which retention is judged.
    pub(crate) fn advance(&self, by: Duration) {
        match self {
            Self::Memory(_, clock) | Self::Sqlite(_, clock) => clock.advance(by),
        }
    }

    /// An engine as another process would have it.
    pub(crate) async fn engine(
        &self,
        faults: &Faults,
        set_up: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Engine {
        let builder = match self {
            Self::Memory(store, _) => {
                Engine::builder(FaultyStore::with(store.another_handle(), faults.clone()))
            }
            Self::Sqlite(folder, clock) => {
                let path = folder.path().join("keys.db");
                let options = SqliteOptions::new(path.to_str().expect("a plain path")).clock(clock.clone());
                let store = SqliteStore::open(options).await.expect("a database");
                Engine::builder(FaultyStore::with(store, faults.clone()))
            }
        };
        let quick = WorkerOptions {
            sweep: Duration::from_millis(50),
            grace: Duration::ZERO,
            beat: Duration::from_millis(50),
            drain: Duration::ZERO,
            ..WorkerOptions::default()
        };
        set_up(builder.worker(quick)).build().await.expect("an engine")
    }
}

/// What the handler does.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) runs: Arc<AtomicU32>,
    /// Where it waits; it does not, without one.
    gate: Arc<Mutex<Option<Gate>>>,
    answers: Arc<Mutex<VecDeque<Response>>>,
}

impl Script {
    pub(crate) fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    /// Lets the handler wait from now on.
    pub(crate) fn hold(&self) -> Gate {
        let gate = Gate::closed();
        *self.gate.lock().expect("no panic") = Some(gate.clone());
        gate
    }

    /// The next answer that is no 201.
    pub(crate) fn answer(&self, response: impl IntoResponse) {
        let response = response.into_response();
        self.answers.lock().expect("no panic").push_back(response);
    }

    async fn run(self, body: Bytes) -> Response {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        let gate = self.gate.lock().expect("no panic").clone();
        if let Some(gate) = gate {
            gate.pass().await;
        }
        if let Some(answer) = self.answers.lock().expect("no panic").pop_front() {
            return answer;
        }
        let headers = [
            ("location", format!("/notes/{run}")),
            ("etag", "\"1\"".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("set-cookie", "demo=1".to_owned()),
            ("x-request-id", format!("{run}")),
        ];
        let note = format!("{{\"note\":{run},\"of\":{}}}", body.len());
        (StatusCode::CREATED, headers, note).into_response()
    }
}

/// One process of the service.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) engine: Engine,
    router: Router,
}

#[derive(Clone)]
pub(crate) struct User(pub(crate) String);

/// The usual operation of these tests.
pub(crate) fn notes() -> Operation {
    Operation::post("note.create", "/notes")
        .status_url(|id| format!("/operations/{id}"))
        .policy_at("/idempotency")
}

pub(crate) fn rerun(operation: Operation) -> KeyedHandler {
    operation.scope(user).after_crash(AfterCrash::Rerun)
}

pub(crate) fn user(parts: &http::request::Parts) -> Option<String> {
    parts.extensions.get::<User>().map(|user| user.0.clone())
}

impl Service {
    pub(crate) async fn start(place: &Place, handler: &KeyedHandler, script: &Script) -> Self {
        Self::start_with(place, handler, script, &Faults::default()).await
    }

    pub(crate) async fn start_with(
        place: &Place,
        handler: &KeyedHandler,
        script: &Script,
        faults: &Faults,
    ) -> Self {
        let schema = handler.schema();
        let engine = place.engine(faults, |builder| builder.schema(schema)).await;
        let script = script.clone();
        let run = move |body: Bytes| script.clone().run(body);
        let route = post(run.clone())
            .get(run.clone())
            .put(run.clone())
            .delete(run.clone())
            .options(run.clone())
            .patch(run);
        let router = Router::new().route("/notes", route.layer(handler.layer(&engine)));
        Self::of(engine, router)
    }

    /// Any routes, behind the authentication.
    pub(crate) fn of(engine: Engine, router: Router) -> Self {
        Self {
            engine,
            router: router.layer(middleware::from_fn(authenticate)),
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    /// Sends it in a task of its own.
    pub(crate) fn begin(&self, request: Request<Body>) -> tokio::task::JoinHandle<Answer> {
        let service = self.clone();
        tokio::spawn(async move { service.send(request).await })
    }
}

/// Stands for real authentication.
async fn authenticate(mut request: AxumRequest, next: Next) -> Response {
    let user = request.headers().get(header::AUTHORIZATION);
    if let Some(user) = user.and_then(|user| user.to_str().ok()).map(str::to_owned) {
        request.extensions_mut().insert(User(user));
    }
    next.run(request).await
}

/// An answer that has been read whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// The problem's slug.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let kind = self.json()["type"].as_str().expect("a type").to_owned();
        kind.trim_start_matches("/problems/").to_owned()
    }
}

/// A `POST /notes` of Ann's.
pub(crate) fn request(key: &str, body: &str) -> Request<Body> {
    request_of("ann", key, body)
}

pub(crate) fn request_of(user: &str, key: &str, body: &str) -> Request<Body> {
    Request::post("/notes")
        .header(header::AUTHORIZATION, user)
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", format!("\"{key}\""))
        .body(Body::from(body.to_owned()))
        .expect("a request")
}

/// With one more header.
pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request
        .headers_mut()
        .append(name, value.parse().expect("a value"));
    request
}

/// Ends when so many requests wait for others.
pub(crate) async fn all_wait(waiters: &Waiters, count: usize) {
    while waiters.waiting() < count {
        tokio::task::yield_now().await;
    }
}

/// No wait of a test is longer than this.
pub(crate) async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("in time")
}
