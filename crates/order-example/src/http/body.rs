//! What does a request without a key say? Its body as JSON, checked as the layer checks those with one.

use std::fmt::Display;

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use keystep_http::{Problem, kinds};
use serde_json::Value;

use super::Api;

/// The body, if it is JSON of a size that is taken.
///
/// # Errors
///
/// 415, 413 or 400: answer with it.
pub(super) fn json(
    api: &Api,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Value, Problem> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    if !media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
        let detail = "Send the body as application/json.";
        return Err(Problem::new(kinds::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let body = body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("A body may have at most {} bytes.", api.policies.max_body);
            return Problem::new(kinds::BODY_TOO_LARGE, detail);
        }
        Problem::new(kinds::MALFORMED_BODY, "The body ended early.")
    })?;
    let malformed =
        |why: &dyn Display| Problem::new(kinds::MALFORMED_BODY, format!("The body can not be read: {why}."));
    let canonical = keystep::canonical_json(&body, &[]).map_err(|why| malformed(&why))?;
    serde_json::from_slice(&canonical).map_err(|why| malformed(&why))
}
