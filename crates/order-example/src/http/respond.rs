//! How is something shown that has versions? As JSON with its tag; or 304, when the client has it.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keystep_http::{Preconditions, Problem, Tag, Tags};
use serde::Serialize;

use super::Api;
use super::{doors, problems};
use crate::domain::{Refusal, Seen};
use crate::shop::Decided;

/// What there is, or 304 if the client has it.
///
/// # Errors
///
/// 400 for a header that can not be read.
pub(super) fn show(headers: &HeaderMap, tag: &Tag, what: &impl Serialize) -> Result<Response, Problem> {
    if Preconditions::of(headers)?.is_not_modified(tag) {
        return Ok(tagged(tag, StatusCode::NOT_MODIFIED));
    }
    Ok(tagged(tag, Json(what)))
}

/// An answer with the tag of what it shows.
pub(super) fn tagged(tag: &Tag, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    response.headers_mut().insert(header::ETAG, tag.to_value());
    response
}

/// An answer that says where the thing is.
pub(super) fn located(location: &str, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Which versions `If-Match` says that the client has seen; `None` when it is not there.
///
/// A weak tag is none of them, nor is one that no version has.
///
/// # Errors
///
/// 400 when it can not be read.
pub(super) fn seen(headers: &HeaderMap) -> Result<Option<Seen<String>>, Problem> {
    let tags = Preconditions::of(headers)?.if_match;
    Ok(tags.map(|tags| match tags {
        Tags::Any => Seen::Any,
        Tags::List(tags) => {
            let strong = tags.into_iter().filter(|tag| !tag.is_weak());
            Seen::OneOf(strong.map(|tag| tag.opaque().to_owned()).collect())
        }
    }))
}

/// The same for versions that are numbers.
///
/// # Errors
///
/// 400 when it can not be read.
pub(super) fn seen_numbers(headers: &HeaderMap) -> Result<Option<Seen<i64>>, Problem> {
    Ok(seen(headers)?.map(|seen| match seen {
        Seen::Any => Seen::Any,
        Seen::OneOf(tags) => Seen::OneOf(tags.iter().filter_map(|tag| number(tag)).collect()),
    }))
}

/// A tag is compared as text, so that `01` is not the tag of version 1.
fn number(tag: &str) -> Option<i64> {
    let number: i64 = tag.parse().ok()?;
    (number.to_string() == tag).then_some(number)
}

impl Api {
    /// What the shop has decided, or the problem to answer with.
    ///
    /// # Errors
    ///
    /// It refused, or does not answer.
    pub(super) fn decided<T>(&self, decided: Decided<T>) -> Result<T, Problem> {
        let decision = decided.map_err(problems::shop_unavailable)?;
        decision.map_err(|refusal| self.refused(&refusal))
    }

    /// The problem for a refusal, with the statuses that were chosen.
    pub(super) fn refused(&self, refusal: &Refusal) -> Problem {
        let status = doors::status(self.policies.precondition_status);
        doors::with_precondition_status(problems::refused(refusal), status)
    }
}
