//! Which text names this request? The header `Idempotency-Key`, a structured-field string.
//!
//! `"8e03…"` is a string of RFC 9651. Many clients send a bare token instead; the lenient syntax takes
//! it as the same key.

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, Item, Parser};

use crate::problem::{Problem, kinds};

/// Longest key, in characters.
pub const MAX_KEY: usize = 255;

/// A key that a client chose: 1 to 255 printable ASCII characters.
///
/// Its `Debug` form hides it: keys can be e-mail addresses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientKey(String);

impl ClientKey {
    /// A key that came in another place than the header, such as a member of the body.
    ///
    /// # Errors
    /// [`IDEMPOTENCY_KEY_MALFORMED`](kinds::IDEMPOTENCY_KEY_MALFORMED): answer with it.
    pub fn new(text: impl Into<String>) -> Result<Self, Problem> {
        let text = text.into();
        if fits(&text) {
            Ok(Self(text))
        } else {
            Err(malformed("A key has 1 to 255 printable ASCII characters."))
        }
    }

    /// The key's text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as a structured-field string, as answers echo it.
    pub fn quoted(&self) -> HeaderValue {
        let escaped = self.0.replace('\\', "\\\\").replace('"', "\\\"");
        HeaderValue::from_str(&format!("\"{escaped}\"")).expect("a key holds printable ASCII characters only")
    }
}

impl std::fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientKey(…)")
    }
}

/// How the header may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeySyntax {
    /// A structured-field string, or a bare token of `A-Z a-z 0-9 . _ ~ : / + = @ -`. The default.
    #[default]
    Lenient,
    /// A structured-field string only.
    Strict,
}

impl KeySyntax {
    /// The word for it in the published policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lenient => "lenient",
            Self::Strict => "strict",
        }
    }
}

/// Where the key of an operation stands, and what it may be.
#[derive(Debug, Clone)]
pub(crate) struct KeyRules {
    pub(crate) header: HeaderName,
    pub(crate) syntax: KeySyntax,
    pub(crate) uuid_v4: bool,
}

impl Default for KeyRules {
    fn default() -> Self {
        Self {
            header: HeaderName::from_static("idempotency-key"),
            syntax: KeySyntax::default(),
            uuid_v4: false,
        }
    }
}

impl KeyRules {
    /// The key in the headers, if there is one.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Result<Option<ClientKey>, Problem> {
        let mut lines = headers.get_all(&self.header).iter();
        let Some(line) = lines.next() else {
            return Ok(None);
        };
        let header = || as_written(&self.header);
        if lines.next().is_some() {
            return Err(malformed(format!("There is more than one {}.", header())));
        }
        let key = parse(line.as_bytes(), self.syntax).ok_or_else(|| {
            malformed(format!(
                "{} must be a string of 1 to 255 printable ASCII characters, in double quotes.",
                header()
            ))
        })?;
        if self.uuid_v4 && !is_uuid_v4(key.as_str()) {
            return Err(malformed(format!("{} must be a UUID of version 4.", header())));
        }
        Ok(Some(key))
    }
}

/// Reads the value of one header line; `None` when it is no key.
///
/// ```
/// use keystep_http::{KeySyntax, parse_key};
/// let quoted = parse_key(br#""8e03978e";v=1"#, KeySyntax::Strict);
/// let bare = parse_key(b"8e03978e", KeySyntax::Lenient);
/// assert_eq!(quoted, bare);
/// assert_eq!(parse_key(b"8e03978e", KeySyntax::Strict), None);
/// ```
pub fn parse(line: &[u8], syntax: KeySyntax) -> Option<ClientKey> {
    let line = line.trim_ascii();
    if line.first() != Some(&b'"') {
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~:/+=@-".contains(byte);
        let bare = syntax == KeySyntax::Lenient && line.iter().all(token);
        return bare.then(|| str::from_utf8(line).ok()).flatten().and_then(usable);
    }
    match Parser::new(line).parse::<Item>().ok()?.bare_item {
        BareItem::String(text) => usable(text.as_str()),
        _ => None,
    }
}

/// A header's name as people write it: `Idempotency-Key`.
pub(crate) fn as_written(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

fn usable(text: &str) -> Option<ClientKey> {
    fits(text).then(|| ClientKey(text.to_owned()))
}

fn fits(text: &str) -> bool {
    (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn is_uuid_v4(text: &str) -> bool {
    // Only the usual form of 36 characters: a key is compared as text, so it shall have one form.
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok_and(|uuid| uuid.get_version_num() == 4)
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(kinds::IDEMPOTENCY_KEY_MALFORMED, detail)
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
        match KeyRules::default().read(&headers) {
            Ok(key) => Ok(key.map(|key| key.as_str().to_owned())),
            Err(problem) => Err(problem.kind().slug),
        }
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        let key = Ok(Some("8e03978e-40d5".to_owned()));
        assert_eq!(read(&[b"\"8e03978e-40d5\""]), key);
        assert_eq!(read(&[b"8e03978e-40d5"]), key);
        assert_eq!(read(&[b" \"8e03978e-40d5\";a=b"]), key);
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn the_strict_syntax_takes_strings_only() {
        assert_eq!(parse(b"abc", KeySyntax::Strict), None);
        assert!(parse(b"\"abc\"", KeySyntax::Strict).is_some());
    }

    #[test]
    fn escapes_are_undone_and_made_again() {
        let line = br#""a \"b\" \\ c""#;
        assert_eq!(read(&[line]), Ok(Some(r#"a "b" \ c"#.into())));
        let key = ClientKey::new(r#"a "b" \ c"#).expect("a key");
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
            &[b"(a)"],
            &[b"\"a\"; ?"],
            &[b"\"a\tb\""],
            &["\"ключ\"".as_bytes()],
            &[long.as_bytes()],
        ];
        for case in cases {
            assert_eq!(read(case), Err("idempotency-key-malformed"), "{case:?}");
        }
    }

    #[test]
    fn a_demand_for_uuids_takes_version_4_in_its_usual_form_only() {
        let rules = KeyRules {
            uuid_v4: true,
            ..KeyRules::default()
        };
        let takes = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", HeaderValue::from_str(text).expect("ASCII"));
            rules.read(&headers).is_ok()
        };
        assert!(takes("8e03978e-40d5-43e8-bc93-6894a57f9324"));
        assert!(!takes("8e03978e40d543e8bc936894a57f9324"));
        assert!(!takes("0192f0c1-7f3e-7000-8000-000000000000"), "version 7");
        assert!(!takes("abc"));
    }

    #[test]
    fn a_key_does_not_show_in_a_log() {
        let key = ClientKey::new("someone@example.org").expect("a key");
        assert!(!format!("{key:?}").contains("example"));
    }
}
