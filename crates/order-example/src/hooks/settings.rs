//! What has a test asked for, apart from faults of steps? Kept in the database, so that every process
//! and the next one knows; read again with each request and each call of the store.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// All that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// How far time was moved, in all.
    pub(super) clock: Duration,
    pub(super) store: StoreSetting,
    /// Users that may do nothing.
    pub(super) blocked: BTreeSet<String>,
}

/// What the engine's store refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StoreSetting {
    /// Whether it answers at all.
    pub(super) available: bool,
    /// The kind of write that it refuses.
    pub(super) fail_on: Option<Refused>,
}

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Refused {
    /// Coming to own an execution.
    Claim,
    /// Recording its end.
    Finish,
}

impl Default for StoreSetting {
    fn default() -> Self {
        Self {
            available: true,
            fail_on: None,
        }
    }
}

/// The names under which the parts are kept.
pub(super) const CLOCK: &str = "clock";
pub(super) const STORE: &str = "store";
pub(super) const BLOCKED: &str = "blocked:";

impl Settings {
    /// Reads what is kept, as (name, value). What can not be read counts as not asked for: nobody
    /// but this program writes there.
    pub(super) fn read(rows: Vec<(String, String)>) -> Self {
        let mut settings = Self::default();
        for (name, value) in rows {
            match name.as_str() {
                CLOCK => settings.clock = Duration::from_secs(value.parse().unwrap_or_default()),
                STORE => settings.store = serde_json::from_str(&value).unwrap_or_default(),
                _ => {
                    if let Some(user) = name.strip_prefix(BLOCKED)
                        && value == "true"
                    {
                        settings.blocked.insert(user.to_owned());
                    }
                }
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_is_as_always() {
        let settings = Settings::read(Vec::new());
        assert!(settings.store.available && settings.store.fail_on.is_none());
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let settings = Settings::read(vec![
            row(CLOCK, "90"),
            row(STORE, r#"{"fail_on":"finish"}"#),
            row("blocked:ada", "true"),
            row("blocked:bob", "false"),
        ]);
        assert_eq!(settings.clock, Duration::from_secs(90));
        assert_eq!(settings.store.fail_on, Some(Refused::Finish));
        assert!(settings.store.available);
        assert!(settings.blocked.contains("ada") && !settings.blocked.contains("bob"));
    }
}
