//! What arrived? A keyed request, read whole: media type, size, key and body are in order, and nothing
//! is decided yet.

use std::error::Error;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use keystep::InputHash;
use serde::de::DeserializeOwned;

use crate::fingerprint;
use crate::key::{ClientKey, as_written};
use crate::operation::{Demand, Operation, Settings};
use crate::prefer::Prefer;
use crate::problem::{FieldError, Problem, kinds};

type BoxError = Box<dyn Error + Send + Sync>;

/// A keyed request that has been read whole.
#[derive(Debug)]
pub struct Arrived {
    pub(crate) operation: Operation,
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    pub(crate) key: Option<ClientKey>,
    pub(crate) hash: InputHash,
    pub(crate) prefer: Prefer,
}

impl Arrived {
    /// The key of the header.
    pub fn key(&self) -> Option<&ClientKey> {
        self.key.as_ref()
    }

    /// The key of the header, or else this one from the body.
    ///
    /// # Errors
    /// [`IDEMPOTENCY_KEY_MISSING`](kinds::IDEMPOTENCY_KEY_MISSING), [`IDEMPOTENCY_KEY_MALFORMED`](kinds::IDEMPOTENCY_KEY_MALFORMED).
    pub fn key_or(&self, from_body: Option<&str>) -> Result<ClientKey, Problem> {
        match (&self.key, from_body) {
            (Some(key), _) => Ok(key.clone()),
            (None, Some(text)) => ClientKey::new(text).map_err(|problem| self.malformed_key(problem)),
            (None, None) => Err(self.missing_key()),
        }
    }

    /// The request's method, path and headers.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The request's body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as a value. That it is JSON is known; what does not fit the type is a field's fault.
    ///
    /// # Errors
    /// [`VALIDATION_FAILED`](kinds::VALIDATION_FAILED), naming the type's expectation.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let problem = Problem::new(
                kinds::VALIDATION_FAILED,
                "Nothing was done. Mend what errors names; the same key may be used.",
            );
            problem.errors(&[FieldError {
                pointer: String::new(),
                message: error.to_string(),
            }])
        })
    }

    /// The problem for a key that was used for another request, for routes that compare more than one
    /// schema does.
    pub fn reused(&self, key: &ClientKey) -> Problem {
        crate::metrics::outcome(&self.operation, "mismatch");
        self.operation.reused(key)
    }

    /// Answers it with a problem that was found before the key was claimed: it echoes the key.
    pub fn refuse<B: From<Bytes>>(&self, problem: Problem) -> Response<B> {
        match &self.key {
            Some(key) => self.operation.echo(problem, key).into_response(),
            None => self.operation.dress(problem).into_response(),
        }
    }

    /// What makes it equal to another one.
    pub fn fingerprint(&self) -> InputHash {
        self.hash
    }

    /// What the client prefers.
    pub fn prefer(&self) -> Prefer {
        self.prefer
    }

    fn missing_key(&self) -> Problem {
        crate::metrics::outcome(&self.operation, "missing");
        missing(&self.operation)
    }

    fn malformed_key(&self, problem: Problem) -> Problem {
        crate::metrics::outcome(&self.operation, "malformed");
        self.operation.about_keys(problem, "2.1")
    }
}

impl Operation {
    /// Whether a request is one of this operation's, by its method.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        *method == self.0.method
    }

    /// Whether a request has something in the header of the key.
    pub(crate) fn has_key(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&self.0.key.header)
    }

    /// Reads a request whole: media type, size and body, the key's syntax, the body's.
    pub(crate) async fn read<B>(&self, request: Request<B>) -> Result<Arrived, Problem>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let key = self.0.key.read(&parts.headers);
        let echo = |problem: Problem| match &key {
            Ok(Some(key)) => self.echo(problem, key),
            _ => self.dress(problem),
        };
        let media_type = self.media_type(&parts.headers).map_err(echo)?;
        let body = self.body(&parts.headers, body).await.map_err(echo)?;
        let key = key.as_ref().map_err(|problem| {
            crate::metrics::outcome(self, "malformed");
            self.about_keys(problem.clone(), "2.1")
        })?;
        if key.is_none() && self.0.demand == Demand::Header {
            crate::metrics::outcome(self, "missing");
            return Err(missing(self));
        }
        let hash = fingerprint::of(&self.0, &parts, &media_type, &body).map_err(|why| {
            let detail = format!("The body can not be read: {why}.");
            echo(Problem::new(kinds::MALFORMED_BODY, detail))
        })?;
        Ok(Arrived {
            operation: self.clone(),
            prefer: Prefer::of(&parts.headers),
            key: key.clone(),
            parts,
            body,
            hash,
        })
    }

    /// The media type without its parameters, in small letters; empty when there is none.
    fn media_type(&self, headers: &HeaderMap) -> Result<String, Problem> {
        let value = headers.get(header::CONTENT_TYPE);
        let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = text.split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        let taken = &self.0.media_types;
        if taken.is_empty() || taken.iter().any(|taken| *taken == media_type) {
            return Ok(media_type);
        }
        let detail = format!("Send the body as {}.", taken.join(" or "));
        Err(Problem::new(kinds::UNSUPPORTED_MEDIA_TYPE, detail))
    }

    async fn body<B>(&self, headers: &HeaderMap, body: B) -> Result<Bytes, Problem>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let limit = self.0.max_body;
        let too_large = || {
            let detail = format!("A body may have at most {limit} bytes.");
            Problem::new(kinds::BODY_TOO_LARGE, detail)
        };
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        match Limited::new(body, limit).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(error) => {
                tracing::debug!(%error, operation = self.name(), "a body ended early");
                Err(Problem::new(kinds::MALFORMED_BODY, "The body ended early."))
            }
        }
    }

    /// A problem as all of this operation's: its type where the application has its pages.
    pub(crate) fn dress(&self, problem: Problem) -> Problem {
        problem.types_at(self.0.problems_at.clone())
    }

    /// A problem of a keyed request: it echoes the key.
    pub(crate) fn echo(&self, problem: Problem, key: &ClientKey) -> Problem {
        self.dress(problem)
            .set_header(self.0.key.header.clone(), key.quoted())
    }

    /// A problem about keys: it names the section of the specification, and where the policy is.
    pub(crate) fn about_keys(&self, problem: Problem, section: &str) -> Problem {
        let specification = format!("draft-ietf-httpapi-idempotency-key-header-07#section-{section}");
        let problem = self.dress(problem).member("specification", specification);
        match self.0.policy_link() {
            Some(link) => problem.header(header::LINK, link),
            None => problem,
        }
    }
}

impl Settings {
    fn policy_link(&self) -> Option<http::HeaderValue> {
        let url = self.policy_at.as_ref()?;
        http::HeaderValue::try_from(format!("<{url}>; rel=\"describedby\"")).ok()
    }
}

fn missing(operation: &Operation) -> Problem {
    let header = as_written(&operation.0.key.header);
    let detail = match operation.0.demand {
        Demand::HeaderOrBody => format!("Send the header {header}, or the key in the body."),
        _ => format!("Send the header {header}."),
    };
    let problem = Problem::new(kinds::IDEMPOTENCY_KEY_MISSING, detail);
    operation.about_keys(problem, "2.7")
}
