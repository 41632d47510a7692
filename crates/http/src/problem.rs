//! What does a client get instead of what it asked for? A problem: RFC 9457's
//! `application/problem+json`.
//!
//! Each [`Kind`] is sorted by the client's next move. Slugs are durable: programs compare them.

pub mod kinds;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::key::ClientKey;

/// A kind of problem: what it is called, and what the client does next. Applications add their own.
///
/// ```
/// use http::StatusCode;
/// use keystep_http::{Kind, Problem};
///
/// static OUT_OF_STOCK: Kind = Kind {
///     slug: "out-of-stock",
///     status: StatusCode::CONFLICT,
///     title: "A product is out of stock",
///     retryable: false,
///     same_key: false,
///     next: "Show it; order something else with a new key.",
/// };
/// let problem = Problem::new(&OUT_OF_STOCK, "There is one samovar left.");
/// assert_eq!(problem.kind().slug, "out-of-stock");
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The last part of the problem's type.
    pub slug: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// A sentence for people, the same for every problem of the kind.
    pub title: &'static str,
    /// Whether the same request with the same key may succeed later by itself.
    pub retryable: bool,
    /// Whether the same key may be used again once the cause is mended: a failure of this kind does not
    /// use the key up, and the next equal request begins anew.
    pub same_key: bool,
    /// The client's next move, as a sentence.
    pub next: &'static str,
}

/// A problem on its way to a client: status, headers and a body of `application/problem+json`.
///
/// With the feature `axum` it is an answer of axum's handlers; [`into_response`](Self::into_response)
/// makes one for everything else.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: &'static Kind,
    status: StatusCode,
    types: Cow<'static, str>,
    detail: String,
    instance: Option<Uuid>,
    key: Option<ClientKey>,
    members: Map<String, Value>,
    headers: HeaderMap,
}

/// One thing that is wrong with a body, a member of the problem's `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: a JSON Pointer, `""` for the whole body.
    pub pointer: String,
    /// What.
    pub message: String,
}

impl Problem {
    /// A problem with a sentence about this one case.
    pub fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            status: kind.status,
            types: Cow::Borrowed("/problems/"),
            detail: detail.into(),
            instance: None,
            key: None,
            members: Map::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// What kind of problem it is.
    pub fn kind(&self) -> &'static Kind {
        self.0.kind
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The sentence about this one case.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Answers with another status than its kind has, such as 409 where old clients expect it.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// What stands before the slug in `type`; `/problems/` by default.
    #[must_use]
    pub fn types_at(mut self, base: impl Into<Cow<'static, str>>) -> Self {
        self.0.types = base.into();
        self
    }

    /// Says when to come back, rounded up to whole seconds, at least one.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        self.header(header::RETRY_AFTER, seconds(pause))
    }

    /// Says which key it is about.
    #[must_use]
    pub fn key(mut self, key: &ClientKey) -> Self {
        self.0.key = Some(key.clone());
        self
    }

    /// Names this problem for good, so that a repeated answer is the same to the byte. Without it each
    /// answer has a fresh `instance`.
    #[must_use]
    pub fn instance(mut self, instance: Uuid) -> Self {
        self.0.instance = Some(instance);
        self
    }

    /// Lists what is wrong with the body.
    #[must_use]
    pub fn errors(self, errors: &[FieldError]) -> Self {
        let list = errors.iter().map(|error| {
            let mut members = Map::new();
            members.insert("pointer".into(), error.pointer.clone().into());
            members.insert("message".into(), error.message.clone().into());
            Value::Object(members)
        });
        let list = list.collect();
        self.member("errors", Value::Array(list))
    }

    /// Adds a member of its own, such as `current`. One that the standard or this crate defines can not
    /// be replaced.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.into(), value.into());
        self
    }

    /// Adds a header, beside those of the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// Sets a header, instead of those of the same name.
    pub(crate) fn set_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    pub(crate) fn has_header(&self, name: &HeaderName) -> bool {
        self.0.headers.contains_key(name)
    }

    /// The answer.
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let parts = *self.0;
        let body = Body {
            r#type: format!("{}{}", parts.types, parts.kind.slug),
            title: parts.kind.title,
            status: parts.status.as_u16(),
            detail: &parts.detail,
            instance: format!(
                "urn:uuid:{}",
                parts.instance.unwrap_or_else(keystep::random::unpredictable)
            ),
            retryable: parts.kind.retryable,
            idempotency_key: parts.key.as_ref().map(ClientKey::as_str),
            members: &parts.members,
        };
        let json = serde_json::to_vec(&body).expect("texts, numbers and JSON values are JSON");
        let mut response = Response::new(B::from(Bytes::from(json)));
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers;
        let media_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Problem {
    fn into_response(self) -> axum_core::response::Response {
        Problem::into_response(self)
    }
}

/// A pause as `Retry-After` has it: whole seconds, rounded up, at least one.
pub(crate) fn seconds(pause: Duration) -> HeaderValue {
    let seconds = pause.as_millis().div_ceil(1000).max(1);
    HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(problem: Problem) -> Value {
        let response: Response<Bytes> = problem.into_response();
        serde_json::from_slice(response.body()).expect("JSON")
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_zero() {
        for (millis, whole) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            assert_eq!(seconds(Duration::from_millis(millis)), whole);
        }
    }

    #[test]
    fn a_problem_has_all_its_members_and_a_fresh_instance_each_time() {
        let key = ClientKey::new("k-1").expect("a key");
        let problem = Problem::new(kinds::IDEMPOTENCY_IN_PROGRESS, "Later.")
            .key(&key)
            .member("operation", "/operations/1");
        let (one, two) = (json(problem.clone()), json(problem));
        assert_eq!(one["type"], "/problems/idempotency-in-progress");
        assert_eq!(one["status"], 409);
        assert_eq!(one["retryable"], true);
        assert_eq!(one["idempotency_key"], "k-1");
        assert_eq!(one["operation"], "/operations/1");
        assert_ne!(one["instance"], two["instance"]);
    }

    #[test]
    fn a_stable_problem_is_the_same_to_the_byte() {
        let problem = || {
            let stable = Problem::new(kinds::NEEDS_ATTENTION, "Ask us.").instance(Uuid::nil());
            let response: Response<Bytes> = stable.into_response();
            response.into_body()
        };
        assert_eq!(problem(), problem());
    }
}
