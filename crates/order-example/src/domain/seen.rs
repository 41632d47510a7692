//! Which state does a caller act on? The one that it has seen, or whatever there is.
//!
//! This is what `If-Match` and `knownOrdersVersion` become. It is asked in the transaction that changes
//! something, so that nobody changes it in between.

use serde::{Deserialize, Serialize};

/// What a caller has seen of something that others may change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Seen<T> {
    /// It does not say, or says that any state will do (`*`).
    #[default]
    Any,
    /// One of these states; none at all when the list is empty.
    OneOf(Vec<T>),
}

impl<T: PartialEq> Seen<T> {
    /// One state.
    pub fn one(state: T) -> Self {
        Self::OneOf(vec![state])
    }

    /// Whether the caller knows the present state, and so may act on it.
    pub fn includes(&self, present: &T) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(states) => states.contains(present),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_state_that_was_seen_may_be_acted_on() {
        assert!(Seen::Any.includes(&7));
        assert!(Seen::OneOf(vec![6, 7]).includes(&7));
        assert!(!Seen::one(6).includes(&7));
        assert!(!Seen::OneOf(Vec::new()).includes(&7));
    }
}
