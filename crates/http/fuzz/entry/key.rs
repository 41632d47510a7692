//! What must hold of any line of `Idempotency-Key`?

use keystep_http::{KeySyntax, MAX_KEY, parse_key};

/// Reads it in both syntaxes: what is a key reads back from its quoted form.
pub(crate) fn try_one(line: &[u8]) {
    let strict = parse_key(line, KeySyntax::Strict);
    let lenient = parse_key(line, KeySyntax::Lenient);
    if strict.is_some() {
        assert_eq!(
            strict, lenient,
            "the lenient syntax takes all that the strict one does"
        );
    }
    if let Some(key) = lenient {
        assert!((1..=MAX_KEY).contains(&key.as_str().len()));
        assert_eq!(parse_key(key.quoted().as_bytes(), KeySyntax::Strict), Some(key));
    }
}
