//! Which text names this request? The header `Idempotency-Key`, or `requestId` in the body.
//!
//! Either alone is enough. The header is a structured-field string (`"8e03…"`); a bare token means
//! the same key, because many clients send that.

use axum::http::{HeaderMap, HeaderValue};

use super::problem::{KEY_MALFORMED, KEY_MISSING, Problem};

/// Longest key in characters.
const MAX_LENGTH: usize = 255;

/// A key that a client chose: 1 to 255 printable ASCII characters. Never logged.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ClientKey(String);

impl std::fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientKey(…)")
    }
}

impl ClientKey {
    /// The key of a request that carries `headers` and, in its body, `request_id`.
    ///
    /// # Errors
    ///
    /// The problem to answer with: there is no key, it can not be read, or there are two.
    pub(super) fn of(headers: &HeaderMap, request_id: Option<String>) -> Result<Self, Problem> {
        let header = Self::from_headers(headers)?;
        let body = request_id.map(Self::from_body).transpose()?;
        match (header, body) {
            (Some(header), Some(body)) if header != body => Err(malformed(
                "Idempotency-Key and requestId differ: send one of them, or the same text in both.",
            )),
            (Some(key), _) | (None, Some(key)) => Ok(key),
            (None, None) => Err(Problem::new(
                KEY_MISSING,
                "Send the header Idempotency-Key, or requestId in the body.",
            )),
        }
    }

    /// The key in the headers, if there is one.
    ///
    /// # Errors
    ///
    /// The problem to answer with: the header can not be read.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut lines = headers.get_all("idempotency-key").iter();
        let Some(line) = lines.next() else {
            return Ok(None);
        };
        if lines.next().is_some() {
            return Err(malformed("There is more than one Idempotency-Key."));
        }
        let text = line.to_str().ok().and_then(|line| unquote(line.trim()));
        match text {
            Some(text) if fits(&text) => Ok(Some(Self(text))),
            _ => Err(malformed(
                "Idempotency-Key must be a string of 1 to 255 printable ASCII characters.",
            )),
        }
    }

    fn from_body(request_id: String) -> Result<Self, Problem> {
        if fits(&request_id) {
            Ok(Self(request_id))
        } else {
            Err(malformed(
                "requestId must have 1 to 255 printable ASCII characters.",
            ))
        }
    }

    /// The key's text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as a structured-field string.
    pub(super) fn quoted(&self) -> HeaderValue {
        let escaped = self.0.replace('\\', "\\\\").replace('"', "\\\"");
        HeaderValue::from_str(&format!("\"{escaped}\"")).expect("a key holds printable ASCII characters only")
    }
}

fn malformed(detail: &str) -> Problem {
    Problem::new(KEY_MALFORMED, detail)
}

fn fits(text: &str) -> bool {
    (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Reads a structured-field string (RFC 9651, 4.2.5) and ignores its parameters, or a bare token.
fn unquote(line: &str) -> Option<String> {
    let Some(inner) = line.strip_prefix('"') else {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:/+=@-".contains(&byte);
        return line.bytes().all(token).then(|| line.to_owned());
    };
    let mut text = String::new();
    let mut characters = inner.chars();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => text.push(escaped),
                _ => return None,
            },
            other => text.push(other),
        }
    }
    let parameters = characters.as_str().trim_start();
    (parameters.is_empty() || parameters.starts_with(';')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line).expect("a header value");
            headers.append("Idempotency-Key", value);
        }
        match ClientKey::from_headers(&headers) {
            Ok(key) => Ok(key.map(|key| key.as_str().to_owned())),
            Err(_) => Err("malformed"),
        }
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        let key = Ok(Some("8e03978e-40d5".to_owned()));
        assert_eq!(read(&[b"\"8e03978e-40d5\""]), key);
        assert_eq!(read(&[b"8e03978e-40d5"]), key);
        assert_eq!(read(&[b" \"8e03978e-40d5\" ; a=b"]), key);
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn escapes_are_undone_and_made_again() {
        let line = br#""a \"b\" \\ c""#;
        assert_eq!(read(&[line]), Ok(Some(r#"a "b" \ c"#.into())));
        let key = ClientKey(r#"a "b" \ c"#.into());
        assert_eq!(key.quoted().as_bytes(), line);
    }

    #[test]
    fn anything_else_is_malformed() {
        let long = "k".repeat(256);
        let longest = "k".repeat(255);
        assert_eq!(read(&[longest.as_bytes()]), Ok(Some(longest.clone())));
        let cases: &[&[&[u8]]] = &[
            &[b""],
            &[b"\"\""],
            &[b"a", b"a"],
            &[b"a, b"],
            &[b"\"a\", \"b\""],
            &[b"\"a"],
            &[b"\"a\"b"],
            &[b"\"a\\n\""],
            &[b"a b"],
            &[b"\"a\tb\""],
            &["\"ключ\"".as_bytes()],
            &[long.as_bytes()],
        ];
        for case in cases {
            assert_eq!(read(case), Err("malformed"), "{case:?}");
        }
    }
}
