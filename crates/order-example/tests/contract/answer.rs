//! What does a client send, and what does it get? A request is awaited, and gives an [`Answer`] that has
//! what every answer must have.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::service::PATIENCE;

/// A request that is not sent yet: await it, or [`spawn`](Self::spawn) it.
pub(crate) struct Request {
    inner: RequestBuilder,
}

impl Request {
    pub(crate) fn new(inner: RequestBuilder) -> Self {
        Self { inner }
    }

    /// As this user.
    pub(crate) fn by(self, user: &str) -> Self {
        self.header("authorization", &format!("Bearer test-{user}"))
    }

    /// Under this key, as a quoted string.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", &format!("\"{key}\""))
    }

    pub(crate) fn if_match(self, tag: &str) -> Self {
        self.header("if-match", tag)
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self::new(self.inner.header(name, value))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Self::new(self.inner.json(body))
    }

    /// Bytes as JSON.
    pub(crate) fn text(self, body: impl Into<reqwest::Body>) -> Self {
        let inner = self.inner.header("content-type", "application/json");
        Self::new(inner.body(body))
    }

    /// Bytes as they are.
    pub(crate) fn body(self, media_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self::new(self.inner.header("content-type", media_type).body(body))
    }

    /// Sends it now; the answer can be awaited later.
    pub(crate) fn spawn(self) -> tokio::task::JoinHandle<Answer> {
        tokio::spawn(self.into_future())
    }

    /// Sends it, for a process that may die meanwhile: `None` when there is no answer.
    pub(crate) async fn try_send(self) -> Option<Answer> {
        let response = self.inner.timeout(PATIENCE).send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.ok()?.to_vec();
        Some(Answer {
            status,
            headers,
            body,
        })
    }

    pub(crate) fn into_inner(self) -> RequestBuilder {
        self.inner
    }
}

impl IntoFuture for Request {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let answer = self.try_send().await.expect("an answer");
            answer.has_what_every_answer_has();
            answer
        })
    }
}

/// What a client got.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Each problem with its status and whether the same request may be sent again.
const PROBLEMS: [(&str, &[u16], bool); 29] = [
    ("idempotency-key-missing", &[400], false),
    ("idempotency-key-malformed", &[400], false),
    ("idempotency-key-reused", &[422], false),
    ("idempotency-in-progress", &[409], true),
    ("idempotency-store-unavailable", &[503], true),
    ("upstream-unavailable", &[503], true),
    ("needs-attention", &[500], false),
    ("duplicate-payload", &[409], false),
    ("malformed-body", &[400], false),
    ("malformed-precondition", &[400], false),
    ("validation-failed", &[422], false),
    ("offer-unknown", &[422], false),
    ("offer-no-match", &[422], false),
    ("offer-stale", &[409], false),
    ("cart-not-orderable", &[409], false),
    ("orders-changed", &[412, 409], false),
    ("version-mismatch", &[412, 409], false),
    ("precondition-required", &[428], false),
    ("order-state-conflict", &[409], false),
    ("order-already-paid", &[409], false),
    ("out-of-stock", &[409], false),
    ("payment-declined", &[402], false),
    ("unauthorized", &[401], false),
    ("forbidden", &[403], false),
    ("not-found", &[404], false),
    ("method-not-allowed", &[405], false),
    ("body-too-large", &[413], false),
    ("unsupported-media-type", &[415], false),
    ("internal", &[500], true),
];

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?}\n{body}", self.status, self.headers)
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// Whether it says that nothing ran for it.
    pub(crate) fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// Where the resource is.
    pub(crate) fn location(&self) -> &str {
        self.header("location")
            .unwrap_or_else(|| panic!("no Location: {self:?}"))
    }

    /// How many seconds to wait.
    pub(crate) fn retry_after(&self) -> u64 {
        let header = self.header("retry-after");
        let seconds = header.and_then(|seconds| seconds.parse().ok());
        seconds.unwrap_or_else(|| panic!("no Retry-After in whole seconds: {self:?}"))
    }

    /// The status and the problem, where it is one.
    pub(crate) fn outcome(&self) -> (u16, String) {
        let slug = match self.header("content-type") {
            Some("application/problem+json") => self.slug(),
            _ => String::new(),
        };
        (self.status, slug)
    }

    /// The problem, which must be this one.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.outcome(), (status, slug.to_owned()), "{self:?}");
        self.json()
    }

    /// An answer of this status that is no problem.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.outcome(), (status, String::new()), "{self:?}");
        self.json()
    }

    /// The same as another one in everything that a client acts on.
    #[track_caller]
    pub(crate) fn repeats(&self, first: &Self) {
        assert!(self.is_replay(), "{self:?}");
        assert_eq!(self.status, first.status);
        assert_eq!(text(&self.body), text(&first.body));
        for name in ["content-type", "location", "etag", "link", "idempotency-key"] {
            assert_eq!(self.header(name), first.header(name), "{name}");
        }
        assert_eq!(self.header("set-cookie"), None);
    }

    fn slug(&self) -> String {
        let kind = self.json()["type"].as_str().map(str::to_owned);
        let slug = kind.as_deref().and_then(|kind| kind.strip_prefix("/problems/"));
        slug.unwrap_or_else(|| panic!("no type: {self:?}")).to_owned()
    }

    fn has_what_every_answer_has(&self) {
        assert!(self.header("x-request-id").is_some(), "{self:?}");
        if let Some(replayed) = self.header("idempotent-replayed") {
            assert_eq!(replayed, "true");
        }
        if self.status < 400 || self.body.is_empty() {
            return;
        }
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let (problem, slug) = (self.json(), self.slug());
        let known = PROBLEMS.iter().find(|(known, ..)| *known == slug);
        let (_, statuses, retryable) = known.unwrap_or_else(|| panic!("an unknown problem: {self:?}"));
        assert!(statuses.contains(&self.status), "{self:?}");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["retryable"], *retryable, "{self:?}");
        for member in ["title", "detail"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "{self:?}"
            );
        }
        let instance = problem["instance"].as_str().expect("an instance");
        assert!(instance.starts_with("urn:uuid:"), "{instance}");
        if slug.starts_with("idempotency-") {
            assert!(problem["specification"].is_string(), "{self:?}");
            let link = self.header("link").expect("a link");
            assert!(
                link.contains("</api/v1/idempotency>; rel=\"describedby\""),
                "{link}"
            );
        }
        if let Some(key) = problem["idempotency_key"].as_str() {
            let quoted = format!("\"{key}\"");
            assert_eq!(self.header("idempotency-key"), Some(quoted.as_str()));
        }
        if self.status == 503 || slug == "idempotency-in-progress" {
            assert!(self.retry_after() >= 1, "{self:?}");
        }
        if self.status == 401 {
            assert!(self.header("www-authenticate").is_some(), "{self:?}");
        }
    }
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}
