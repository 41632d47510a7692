//! What is kept of a wrapped handler's answer? Status, the headers on a list, and a body of bounded size.
//!
//! A larger body, or one without an end, is not kept: the work is done and bound to its key, so a repeat
//! gets status, headers and a note instead of a second run.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

/// The headers that are stored: what describes the answer. Never what describes one exchange, such as
/// `Set-Cookie`, `Date` or the ids of requests.
pub(crate) fn allowed() -> Vec<HeaderName> {
    vec![
        header::CONTENT_TYPE,
        header::CONTENT_LANGUAGE,
        header::CONTENT_LOCATION,
        header::LOCATION,
        header::ETAG,
        header::LINK,
        header::LAST_MODIFIED,
        header::RETRY_AFTER,
    ]
}

/// An answer as it is stored and replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredResponse {
    status: u16,
    headers: Vec<(String, Text)>,
    body: Kept,
}

/// What is kept of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Whole(Text),
    /// It was too large, or had no end.
    TooLarge,
}

/// Bytes in JSON: as a text where they are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Text {
    Utf8(String),
    Base64(String),
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Utf8(text) => Some(text.clone().into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}

impl StoredResponse {
    /// What is kept of an answer; no body when it was too large.
    pub(crate) fn of(
        status: StatusCode,
        headers: &HeaderMap,
        allowed: &[HeaderName],
        body: Option<&[u8]>,
    ) -> Self {
        // Without it the bytes could not be read.
        let encoding = body.map(|_kept| header::CONTENT_ENCODING);
        let kept = headers.iter().filter(|(name, _value)| {
            allowed.contains(name) || encoding.as_ref().is_some_and(|encoding| encoding == *name)
        });
        Self {
            status: status.as_u16(),
            headers: kept
                .map(|(name, value)| (name.as_str().to_owned(), Text::of(value.as_bytes())))
                .collect(),
            body: body.map_or(Kept::TooLarge, |body| Kept::Whole(Text::of(body))),
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The stored headers.
    pub fn headers(&self) -> HeaderMap {
        let headers = self.headers.iter().filter_map(|(name, value)| {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            let value = HeaderValue::from_bytes(&value.bytes()?).ok()?;
            Some((name, value))
        });
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        map
    }

    /// Whether the body was too large to be stored.
    pub fn is_tombstone(&self) -> bool {
        self.body == Kept::TooLarge
    }

    /// The answer again.
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut headers = self.headers();
        let body = match &self.body {
            Kept::Whole(text) => text.bytes().unwrap_or_default(),
            Kept::TooLarge => {
                let json = HeaderValue::from_static("application/json");
                headers.insert(header::CONTENT_TYPE, json);
                let location = headers.get(header::LOCATION).and_then(|it| it.to_str().ok());
                let note = serde_json::json!({
                    "detail": "This was done before. Its answer was too large to be stored; it is not done again.",
                    "location": location,
                });
                note.to_string().into_bytes()
            }
        };
        let mut response = Response::new(B::from(Bytes::from(body)));
        *response.status_mut() = self.status();
        *response.headers_mut() = headers;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/plain"),
            ("location", "/notes/1"),
            ("set-cookie", "session=1"),
            ("date", "today"),
            ("x-request-id", "7"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn again(stored: &StoredResponse) -> Response<Bytes> {
        let json = serde_json::to_vec(stored).expect("JSON");
        let read: StoredResponse = serde_json::from_slice(&json).expect("reads back");
        assert_eq!(&read, stored);
        read.into_response()
    }

    #[test]
    fn status_listed_headers_and_bytes_come_back_and_nothing_else() {
        for body in [b"plain".as_slice(), b"\xff\x00", b""] {
            let stored = StoredResponse::of(StatusCode::CREATED, &headers(), &allowed(), Some(body));
            let response = again(&stored);
            assert_eq!(response.status(), 201);
            assert_eq!(response.body(), body);
            let names: Vec<&str> = response.headers().keys().map(HeaderName::as_str).collect();
            assert_eq!(names, ["content-type", "location"]);
        }
    }

    #[test]
    fn the_stored_form_is_a_promise() {
        let stored = |body: Option<&[u8]>| {
            let stored = StoredResponse::of(StatusCode::OK, &headers(), &allowed()[..1], body);
            serde_json::to_string(&stored).expect("JSON")
        };
        let head = r#"{"status":200,"headers":[["content-type",{"utf8":"text/plain"}]],"body":"#;
        assert_eq!(
            stored(Some(b"hi")),
            format!(r#"{head}{{"whole":{{"utf8":"hi"}}}}}}"#)
        );
        assert_eq!(
            stored(Some(b"\xff")),
            format!(r#"{head}{{"whole":{{"base64":"/w=="}}}}}}"#)
        );
        assert_eq!(stored(None), format!(r#"{head}"too_large"}}"#));
    }

    #[test]
    fn of_what_was_too_large_a_note_is_left() {
        let stored = StoredResponse::of(StatusCode::CREATED, &headers(), &allowed(), None);
        let response = again(&stored);
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()[header::LOCATION], "/notes/1");
        let note: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(note["location"], "/notes/1");
    }
}
