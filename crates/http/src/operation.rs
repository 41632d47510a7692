//! What is decided for one keyed route? An [`Operation`]: every policy, with its default.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use keystep::{ExecutionId, Failure};

use crate::key::{KeyRules, KeySyntax};
use crate::policy::{Concurrency, Fingerprint, OnError, OnStoreDown};
use crate::problem::{Kind, Problem};
use crate::waiters::Waiters;

/// One keyed route and its policies. Cheap to clone; shared by the [layer](crate::KeyedHandler) and by
/// the [front door](crate::FrontDoor).
///
/// | policy | default |
/// |---|---|
/// | key | demanded, header `Idempotency-Key`, lenient syntax |
/// | body | `application/json`, at most 1 MiB |
/// | concurrent duplicates | wait five seconds, then 409 |
/// | most waiters | 64 for a key, 4,096 in all |
/// | after an error | persist-final |
/// | fingerprint | canonical |
/// | retention | 24 hours from the end |
/// | store down | 503 before anything is done |
///
/// ```
/// use std::time::Duration;
/// use keystep_http::{Concurrency, Operation};
///
/// let payments = Operation::post("payment.process", "/api/v1/payments")
///     .concurrency(Concurrency::Reject)
///     .status_url(|id| format!("/api/v1/operations/{id}"))
///     .policy_at("/api/v1/idempotency");
/// assert_eq!(payments.name(), "payment.process");
/// ```
#[derive(Clone)]
pub struct Operation(pub(crate) Arc<Settings>);

/// What an operation holds.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: KeyRules,
    pub(crate) demand: Demand,
    pub(crate) media_types: Vec<Cow<'static, str>>,
    pub(crate) max_body: usize,
    pub(crate) concurrency: Concurrency,
    pub(crate) patience: Duration,
    pub(crate) retry_after: Duration,
    pub(crate) waiters: Waiters,
    pub(crate) on_error: OnError,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) ignored: Vec<String>,
    pub(crate) retention: Duration,
    pub(crate) on_store_down: OnStoreDown,
    pub(crate) store_patience: Duration,
    pub(crate) stored_headers: Vec<HeaderName>,
    pub(crate) max_stored: usize,
    pub(crate) replay_header: HeaderName,
    pub(crate) status_url: Option<StatusUrl>,
    pub(crate) policy_at: Option<Cow<'static, str>>,
    pub(crate) problems_at: Cow<'static, str>,
    pub(crate) kinds: Vec<&'static Kind>,
    pub(crate) failures: Option<Failures>,
}

type StatusUrl = Arc<dyn Fn(ExecutionId) -> String + Send + Sync>;
type Failures = Arc<dyn Fn(&Failure) -> Option<Problem> + Send + Sync>;

/// Whether a request must have a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    Header,
    HeaderOrBody,
    Optional,
}

impl Operation {
    /// A keyed `POST`. `name` is the operation's name in metrics and the published policy, and the
    /// schema's name of a wrapped handler: durable. `path` is the route's template.
    pub fn post(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(Method::POST, name, path)
    }

    /// A keyed `PATCH`, whose key is not demanded: it may simply be sent again, too.
    pub fn patch(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, name, path).key_optional()
    }

    fn new(method: Method, name: impl Into<String>, path: impl Into<String>) -> Self {
        Self(Arc::new(Settings {
            name: name.into(),
            method,
            path: path.into(),
            key: KeyRules::default(),
            demand: Demand::Header,
            media_types: vec![Cow::Borrowed("application/json")],
            max_body: 1024 * 1024,
            concurrency: Concurrency::default(),
            patience: Duration::from_secs(30),
            retry_after: Duration::from_secs(1),
            waiters: Waiters::default(),
            on_error: OnError::default(),
            fingerprint: Fingerprint::default(),
            ignored: Vec::new(),
            retention: Duration::from_secs(24 * 3600),
            on_store_down: OnStoreDown::default(),
            store_patience: Duration::from_secs(10),
            stored_headers: crate::stored::allowed(),
            max_stored: 256 * 1024,
            replay_header: HeaderName::from_static("idempotent-replayed"),
            status_url: None,
            policy_at: None,
            problems_at: Cow::Borrowed("/problems/"),
            kinds: Vec::new(),
            failures: None,
        }))
    }

    /// The operation's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A request without a key is not keyed: it passes a layer untouched.
    #[must_use]
    pub fn key_optional(self) -> Self {
        self.with(|it| it.demand = Demand::Optional)
    }

    /// The body may bring the key instead of the header: [`FrontDoor::read`](crate::FrontDoor::read)
    /// does not miss it, and [`Arrived::key_or`](crate::Arrived::key_or) does.
    #[must_use]
    pub fn key_in_header_or_body(self) -> Self {
        self.with(|it| it.demand = Demand::HeaderOrBody)
    }

    /// Takes the key from, and echoes it in, another header.
    #[must_use]
    pub fn key_header(self, name: HeaderName) -> Self {
        self.with(|it| it.key.header = name)
    }

    /// How the key may be written.
    #[must_use]
    pub fn key_syntax(self, syntax: KeySyntax) -> Self {
        self.with(|it| it.key.syntax = syntax)
    }

    /// Takes UUIDs of version 4 only, in their usual form of 36 characters.
    #[must_use]
    pub fn key_must_be_uuid_v4(self) -> Self {
        self.with(|it| it.key.uuid_v4 = true)
    }

    /// The media types that are taken, without parameters. Empty: any, also none.
    #[must_use]
    pub fn media_types<T: Into<Cow<'static, str>>>(self, types: impl IntoIterator<Item = T>) -> Self {
        self.with(|it| it.media_types = types.into_iter().map(Into::into).collect())
    }

    /// The largest body, in bytes.
    #[must_use]
    pub fn max_body(self, bytes: usize) -> Self {
        self.with(|it| it.max_body = bytes)
    }

    /// What concurrent duplicates get.
    #[must_use]
    pub fn concurrency(self, policy: Concurrency) -> Self {
        self.with(|it| it.concurrency = policy)
    }

    /// How long the request that does the work waits for it, and at most a client that prefers to hear
    /// later; then 409 `idempotency-in-progress`, and the work goes on. 30 seconds by default.
    #[must_use]
    pub fn patience(self, limit: Duration) -> Self {
        self.with(|it| it.patience = limit)
    }

    /// When clients are told to come back, where nothing better is known. A second by default.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        self.with(|it| it.retry_after = pause)
    }

    /// How many requests may wait for others at once; give a clone to each operation for one limit.
    #[must_use]
    pub fn waiters(self, waiters: Waiters) -> Self {
        self.with(|it| it.waiters = waiters)
    }

    /// What a repeated request gets after an error.
    #[must_use]
    pub fn on_error(self, policy: OnError) -> Self {
        self.with(|it| it.on_error = policy)
    }

    /// What makes two requests equal.
    #[must_use]
    pub fn fingerprint(self, policy: Fingerprint) -> Self {
        self.with(|it| it.fingerprint = policy)
    }

    /// Leaves a member of a JSON body out of the canonical fingerprint: a JSON Pointer, such as
    /// `/sentAt`.
    #[must_use]
    pub fn ignore(self, pointer: impl Into<String>) -> Self {
        self.with(|it| it.ignored.push(pointer.into()))
    }

    /// How long a finished key answers. For a wrapped handler it is the schema's retention; a route that
    /// runs a schema says it there, and here for the published policy.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        self.with(|it| it.retention = retention)
    }

    /// What a wrapped handler's request gets while the store is down.
    #[must_use]
    pub fn on_store_down(self, policy: OnStoreDown) -> Self {
        self.with(|it| it.on_store_down = policy)
    }

    /// How long the store may take to say what it knows of a key, and to claim it. Ten seconds by default.
    #[must_use]
    pub fn store_patience(self, limit: Duration) -> Self {
        self.with(|it| it.store_patience = limit)
    }

    /// Stores one more header of a wrapped handler's answer, beside `Content-Type`, `Content-Language`,
    /// `Content-Location`, `Location`, `ETag`, `Link`, `Last-Modified` and `Retry-After`.
    #[must_use]
    pub fn store_header(self, name: HeaderName) -> Self {
        self.with(|it| it.stored_headers.push(name))
    }

    /// The largest body of a wrapped handler's answer that is stored, in bytes; of a larger one a repeat
    /// gets status, headers and a note. 256 KiB by default.
    #[must_use]
    pub fn max_stored_response(self, bytes: usize) -> Self {
        self.with(|it| it.max_stored = bytes)
    }

    /// The header that marks a replay, instead of `Idempotent-Replayed`.
    #[must_use]
    pub fn replay_header(self, name: HeaderName) -> Self {
        self.with(|it| it.replay_header = name)
    }

    /// Where the state of an execution can be seen; needed for 202.
    #[must_use]
    pub fn status_url(self, url: impl Fn(ExecutionId) -> String + Send + Sync + 'static) -> Self {
        self.with(|it| it.status_url = Some(Arc::new(url)))
    }

    /// Where the policy is published: the `Link` with `rel="describedby"` of problems of keys.
    #[must_use]
    pub fn policy_at(self, url: impl Into<Cow<'static, str>>) -> Self {
        self.with(|it| it.policy_at = Some(url.into()))
    }

    /// What stands before the slug in a problem's `type`; `/problems/` by default.
    #[must_use]
    pub fn problems_at(self, base: impl Into<Cow<'static, str>>) -> Self {
        self.with(|it| it.problems_at = base.into())
    }

    /// Answers a failure whose code is the slug of one of these kinds with a problem of that kind.
    #[must_use]
    pub fn kinds(self, kinds: impl IntoIterator<Item = &'static Kind>) -> Self {
        self.with(|it| it.kinds.extend(kinds))
    }

    /// Answers failures with problems of the application's own; `None` leaves one to
    /// [`kinds`](Self::kinds) and the defaults.
    #[must_use]
    pub fn failures(self, problem: impl Fn(&Failure) -> Option<Problem> + Send + Sync + 'static) -> Self {
        self.with(|it| it.failures = Some(Arc::new(problem)))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Whether it can answer with 202.
    pub(crate) fn can_accept(&self) -> bool {
        self.0.status_url.is_some()
    }

    /// Checks what only the whole can be checked for.
    #[track_caller]
    pub(crate) fn check(&self) {
        assert!(
            self.0.concurrency != Concurrency::Accept || self.can_accept(),
            "the operation `{}` accepts duplicates with 202, so it needs a status_url",
            self.name()
        );
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.0.name)
            .field("method", &self.0.method)
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}
