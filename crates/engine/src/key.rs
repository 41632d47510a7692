//! What may a key be? Any text of the caller, within limits, inside a scope of the server.

use serde::Serialize;

use crate::execution::FullKey;
use crate::fingerprint::fingerprint;
use crate::json::{self, ValueError};
use crate::limits::{KEY_BYTES, SCOPE_BYTES};

/// The key of a call: what shall happen once.
///
/// Compares byte for byte, and nothing is normalised. It is checked when it is used, so making one
/// never fails.
///
/// ```
/// use keystep::Key;
/// let key = Key::new("0192f0c1-7f3e").scope("user-7");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    text: String,
    scope: String,
}

impl Key {
    /// A key of the caller's own, in the empty scope.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            scope: String::new(),
        }
    }

    /// A key made from content, for callers that have none: the same for equal content, such as a
    /// message and its redelivery. `fields` are JSON Pointers that do not count; the rest is
    /// compared in canonical form.
    ///
    /// # Errors
    /// [`ValueError`] when the value is not JSON.
    pub fn from_content<T: Serialize>(value: &T, ignored: &[&str]) -> Result<Self, ValueError> {
        let bytes = json::encode(value)?;
        let ignored: Vec<String> = ignored.iter().map(|&field| field.to_owned()).collect();
        let hash =
            fingerprint(&bytes, &ignored).map_err(|error| ValueError::NotJson(json::describe(&error)))?;
        Ok(Self::new(hash.to_string()))
    }

    /// Keeps this key apart from equal keys of other tenants, users or operations. Make it from
    /// what the server knows of the caller, never from the request's body.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// The full key in a schema.
    ///
    /// # Errors
    /// A sentence that names the limit.
    pub(crate) fn within(self, schema: &str) -> Result<FullKey, String> {
        if self.text.is_empty() {
            return Err("the key is empty".to_owned());
        }
        check("key", &self.text, KEY_BYTES)?;
        check("scope", &self.scope, SCOPE_BYTES)?;
        Ok(FullKey {
            schema: schema.to_owned(),
            scope: self.scope,
            key: self.text,
        })
    }
}

/// Texts that are stored have a length limit and no NUL, which PostgreSQL can not hold.
pub(crate) fn check(what: &str, text: &str, limit: usize) -> Result<(), String> {
    if text.len() > limit {
        return Err(format!(
            "the {what} has {} bytes, the limit is {limit}",
            text.len()
        ));
    }
    if text.contains('\0') {
        return Err(format!("the {what} contains a NUL character"));
    }
    Ok(())
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(key: Key) -> String {
        key.within("s").expect_err("refused")
    }

    #[test]
    fn a_bad_key_is_refused_with_the_limit_in_the_text() {
        assert_eq!(refusal(Key::new("")), "the key is empty");
        assert_eq!(
            refusal(Key::new("k".repeat(1025))),
            "the key has 1025 bytes, the limit is 1024"
        );
        assert_eq!(refusal(Key::new("a\0b")), "the key contains a NUL character");
        assert_eq!(
            refusal(Key::new("k").scope("s".repeat(513))),
            "the scope has 513 bytes, the limit is 512"
        );
        assert_eq!(
            refusal(Key::new("k").scope("\0")),
            "the scope contains a NUL character"
        );
    }

    #[test]
    fn equal_content_gives_an_equal_key() {
        let one = Key::from_content(&serde_json::json!({"a": 1, "b": 2, "sent": 3}), &["/sent"]);
        let two = Key::from_content(&serde_json::json!({"b": 2, "a": 1}), &["/sent"]);
        assert_eq!(one.expect("JSON"), two.expect("JSON"));
    }
}
