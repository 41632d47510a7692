//! What does a client get instead of an order? A problem: RFC 9457's `application/problem+json`.
//!
//! Each kind is sorted by the client's next move, and the table below is all there are. Slugs are
//! durable: programs compare them.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use uuid::Uuid;

use super::key::ClientKey;

/// A kind of problem: what it is called, and whether the same request may be sent again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The last part of the problem's type.
    pub(super) slug: &'static str,
    /// The HTTP status.
    pub(super) status: StatusCode,
    /// A sentence for people, the same for every problem of the kind.
    pub(super) title: &'static str,
    /// Whether the same request with the same key may succeed later.
    pub(super) retryable: bool,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $status:ident $slug:literal, $retryable:literal, $title:literal;)+) => {
        $($(#[$doc])* pub(super) const $name: &Kind = &Kind {
            slug: $slug,
            status: StatusCode::$status,
            title: $title,
            retryable: $retryable,
        };)+
        /// Every kind there is.
        pub(super) const ALL: &[&Kind] = &[$($name),+];
    };
}

kinds! {
    /// Fix the request.
    KEY_MISSING BAD_REQUEST "idempotency-key-missing", false, "The request has no key";
    /// Fix the request.
    KEY_MALFORMED BAD_REQUEST "idempotency-key-malformed", false, "The key can not be read";
    /// Fix the request.
    MALFORMED_BODY BAD_REQUEST "malformed-body", false, "The body is not the JSON it should be";
    /// Look the thing up again.
    NOT_FOUND NOT_FOUND "not-found", false, "There is nothing here";
    /// Use a method from `Allow`.
    METHOD_NOT_ALLOWED METHOD_NOT_ALLOWED "method-not-allowed", false, "This can not be done here";
    /// Send less.
    BODY_TOO_LARGE PAYLOAD_TOO_LARGE "body-too-large", false, "The body is too large";
    /// Send JSON.
    UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_MEDIA_TYPE "unsupported-media-type", false, "The body is not JSON";
    /// Fix what `errors` names; the key may be used again.
    VALIDATION_FAILED UNPROCESSABLE_ENTITY "validation-failed", false, "The order is not valid";
    /// Use a new key.
    KEY_REUSED UNPROCESSABLE_ENTITY "idempotency-key-reused", false, "The key belongs to another request";
    /// Same key after `Retry-After`.
    IN_PROGRESS CONFLICT "idempotency-in-progress", true, "A request with this key is still running";
    /// Order something else, with a new key.
    OUT_OF_STOCK UNPROCESSABLE_ENTITY "out-of-stock", false, "A product is out of stock";
    /// Take another card, with a new key.
    PAYMENT_DECLINED UNPROCESSABLE_ENTITY "payment-declined", false, "The payment was declined";
    /// Show it; the key is used up.
    ORDER_FAILED UNPROCESSABLE_ENTITY "order-failed", false, "The order can not be carried out";
    /// Same key after a while: it goes on where it stopped.
    UPSTREAM_FAILED BAD_GATEWAY "upstream-failed", true, "A service that the order needs does not work";
    /// Same key after `Retry-After`: it goes on where it stopped.
    UPSTREAM_UNAVAILABLE SERVICE_UNAVAILABLE "upstream-unavailable", true, "The order waits for a service that it needs";
    /// Same key after `Retry-After`.
    STORE_UNAVAILABLE SERVICE_UNAVAILABLE "idempotency-store-unavailable", true, "The database can not be reached";
    /// Same key after `Retry-After`: the work goes on meanwhile.
    TIMED_OUT GATEWAY_TIMEOUT "timed-out", true, "The order takes longer than this request may";
    /// Contact us; never repeat blindly.
    NEEDS_ATTENTION INTERNAL_SERVER_ERROR "needs-attention", false, "The order needs somebody's attention";
}

/// A problem on its way to a client.
#[derive(Debug)]
pub(super) struct Problem {
    kind: &'static Kind,
    detail: String,
    instance: Uuid,
    retry_after: Option<Duration>,
    key: Option<ClientKey>,
    errors: Vec<FieldError>,
}

/// One thing that is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FieldError {
    /// Where: a JSON pointer, `""` for the whole body.
    pub(super) pointer: String,
    /// What.
    pub(super) message: String,
}

impl Problem {
    /// A problem with a sentence about this one case.
    pub(super) fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            instance: keystep::random::unpredictable(),
            retry_after: None,
            key: None,
            errors: Vec::new(),
        }
    }

    /// The last part of its type.
    #[cfg(test)]
    pub(super) fn slug(&self) -> &'static str {
        self.kind.slug
    }

    /// Says when to come back, rounded up to whole seconds, at least one.
    #[must_use]
    pub(super) fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// Says which key it is about.
    #[must_use]
    pub(super) fn key(mut self, key: &ClientKey) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Names this problem for good, so that a repeated answer is the same to the byte.
    #[must_use]
    pub(super) fn instance(mut self, instance: Uuid) -> Self {
        self.instance = instance;
        self
    }

    /// Lists what is wrong with the body.
    #[must_use]
    pub(super) fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: format!("/problems/{}", self.kind.slug),
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            detail: &self.detail,
            instance: format!("urn:uuid:{}", self.instance),
            retryable: self.kind.retryable,
            idempotency_key: self.key.as_ref().map(ClientKey::as_str),
            errors: &self.errors,
        };
        let mut response = (self.kind.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        let problem_json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem_json);
        if let Some(pause) = self.retry_after {
            let seconds = pause.as_millis().div_ceil(1000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(key) = &self.key {
            headers.insert("idempotency-key", key.quoted());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_slug() {
        for (at, kind) in ALL.iter().enumerate() {
            let twin = ALL[..at].iter().find(|other| other.slug == kind.slug);
            assert_eq!(twin, None, "{}", kind.slug);
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_zero() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let response = Problem::new(IN_PROGRESS, "wait")
                .retry_after(Duration::from_millis(millis))
                .into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }
}
