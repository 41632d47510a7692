//! What must hold of any bytes as a JSON body?

use keystep::canonical_json;

/// They are refused, or have a canonical form, which is its own.
pub(crate) fn try_one(bytes: &[u8]) {
    let Ok(form) = canonical_json(bytes, &[]) else {
        return;
    };
    assert_eq!(canonical_json(&form, &[]).as_ref(), Ok(&form));
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok());
}
