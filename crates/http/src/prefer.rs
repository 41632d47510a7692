//! How long does the client want to wait? `Prefer: respond-async, wait=N` (RFC 7240).
//!
//! Preferences are wishes: what can not be read is as if it were not there.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// The preferences of a request that this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prefer {
    /// Whether it would rather hear where to look than wait.
    pub respond_async: bool,
    /// How long it wants to wait.
    pub wait: Option<Duration>,
}

impl Prefer {
    /// Reads all lines of the header.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut wishes = Self::default();
        for line in headers.get_all("prefer") {
            // Preferences are written in any case; as a dictionary their names are in small letters.
            let text = line.to_str().unwrap_or_default().to_ascii_lowercase();
            let read: Result<Dictionary, _> = Parser::new(text.trim()).parse();
            let Ok(read) = read else { continue };
            let value = |name: &str| match read.get(name)? {
                ListEntry::Item(item) => Some(&item.bare_item),
                ListEntry::InnerList(_) => None,
            };
            if matches!(value("respond-async"), Some(BareItem::Boolean(true))) {
                wishes.respond_async = true;
            }
            let seconds = match value("wait") {
                Some(BareItem::Integer(seconds)) => u64::try_from(i64::from(*seconds)).ok(),
                Some(BareItem::String(seconds)) => seconds.as_str().parse().ok(),
                _ => None,
            };
            wishes.wait = wishes.wait.or(seconds.map(Duration::from_secs));
        }
        wishes
    }

    /// What `Preference-Applied` says when all of it was followed.
    pub(crate) fn applied(&self) -> Option<HeaderValue> {
        let wait = self.wait.map(|wait| format!("wait={}", wait.as_secs()));
        let names = [self.respond_async.then(|| "respond-async".to_owned()), wait];
        let names: Vec<String> = names.into_iter().flatten().collect();
        if names.is_empty() {
            return None;
        }
        HeaderValue::try_from(names.join(", ")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> (bool, Option<u64>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("prefer", HeaderValue::from_str(line).expect("ASCII"));
        }
        let prefer = Prefer::of(&headers);
        (prefer.respond_async, prefer.wait.map(|wait| wait.as_secs()))
    }

    #[test]
    fn both_preferences_are_read_in_any_form() {
        assert_eq!(of(&["respond-async, wait=10"]), (true, Some(10)));
        assert_eq!(of(&["Respond-Async", "wait=\"3\""]), (true, Some(3)));
        assert_eq!(of(&["handling=lenient, wait=2; foo=bar"]), (false, Some(2)));
        assert_eq!(
            of(&["wait=1", "wait=2"]),
            (false, Some(1)),
            "the first one counts"
        );
    }

    #[test]
    fn what_can_not_be_read_is_as_if_it_were_not_there() {
        for bad in [
            "",
            "wait",
            "wait=",
            "wait=-1",
            "wait=soon",
            "wait=1.5",
            ";;,",
            "respond-async=1",
        ] {
            assert_eq!(of(&[bad]), (false, None), "{bad}");
        }
        assert_eq!(of(&["???", "wait=4"]), (false, Some(4)));
    }

    #[test]
    fn what_was_applied_is_named() {
        let prefer = Prefer {
            respond_async: true,
            wait: Some(Duration::from_secs(2)),
        };
        assert_eq!(prefer.applied().expect("two"), "respond-async, wait=2");
        assert_eq!(Prefer::default().applied(), None);
    }
}
