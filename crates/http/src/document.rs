//! What may a client rely on? The policy as it is published, for `GET /api/v1/idempotency`.

use std::time::Duration;

use serde::Serialize;

use crate::key::{MAX_KEY, as_written};
use crate::operation::{Demand, Operation};

/// The published policy of a service: serialize it as JSON.
///
/// ```
/// use std::time::Duration;
/// use keystep_http::{Operation, PolicyDocument};
///
/// let notes = Operation::post("note.create", "/notes");
/// let document = PolicyDocument::of(&[&notes], Duration::from_secs(10));
/// let json = serde_json::to_value(&document).unwrap();
/// assert_eq!(json["ttl"], "PT24H");
/// assert_eq!(json["operations"][0]["onError"], "persist-final");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDocument {
    /// The header that carries the key.
    pub header: String,
    /// How the key is written: `lenient` or `strict`.
    pub syntax: String,
    /// The longest key, in characters.
    pub max_length: usize,
    /// What keeps equal keys apart.
    pub scope: Vec<String>,
    /// What makes two requests equal.
    pub fingerprint: String,
    /// How long a finished key answers, as an ISO 8601 duration.
    pub ttl: String,
    /// After how long a process that is not heard of is given up, as an ISO 8601 duration.
    pub in_flight_lease: String,
    /// The header that marks a replay.
    pub replay_header: String,
    /// The keyed operations.
    pub operations: Vec<PublishedOperation>,
}

/// One keyed operation of the published policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedOperation {
    /// The method.
    pub method: String,
    /// The route's template.
    pub path: String,
    /// Whether a request without a key is refused.
    pub required: bool,
    /// What concurrent duplicates get: `wait`, `reject` or `accept`.
    pub concurrency: String,
    /// What a repeat gets after an error.
    pub on_error: String,
}

impl PolicyDocument {
    /// The policy of these operations. What holds for all of them is taken from the first. `lease` is the
    /// engine's beat limit.
    pub fn of(operations: &[&Operation], lease: Duration) -> Self {
        let blank = Operation::post("", "");
        let first = &operations.first().copied().unwrap_or(&blank).0;
        Self {
            header: as_written(&first.key.header),
            syntax: first.key.syntax.as_str().to_owned(),
            max_length: MAX_KEY,
            scope: vec!["user".to_owned(), "operation".to_owned()],
            fingerprint: first.fingerprint.as_str().to_owned(),
            ttl: iso_8601(first.retention),
            in_flight_lease: iso_8601(lease),
            replay_header: as_written(&first.replay_header),
            operations: operations.iter().map(|it| published(it)).collect(),
        }
    }
}

fn published(operation: &Operation) -> PublishedOperation {
    let settings = &operation.0;
    PublishedOperation {
        method: settings.method.to_string(),
        path: settings.path.clone(),
        required: settings.demand != Demand::Optional,
        concurrency: settings.concurrency.as_str().to_owned(),
        on_error: settings.on_error.as_str().to_owned(),
    }
}

/// `PT24H`, `PT1M30S`, `PT0.5S`.
fn iso_8601(duration: Duration) -> String {
    let (whole, part) = (duration.as_secs(), duration.subsec_millis());
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    let mut text = "PT".to_owned();
    for (count, unit) in [(hours, 'H'), (minutes, 'M')] {
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if part > 0 {
        let exact = format!("{seconds}.{part:03}");
        text.push_str(exact.trim_end_matches('0'));
        text.push('S');
    } else if seconds > 0 || whole == 0 {
        text.push_str(&format!("{seconds}S"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_the_standard_wants() {
        let written = |millis| iso_8601(Duration::from_millis(millis));
        assert_eq!(written(24 * 3_600_000), "PT24H");
        assert_eq!(written(90_000), "PT1M30S");
        assert_eq!(written(10_000), "PT10S");
        assert_eq!(written(1_500), "PT1.5S");
        assert_eq!(written(0), "PT0S");
    }

    #[test]
    fn the_document_names_each_operation() {
        let orders = Operation::post("order.create", "/api/v1/orders").key_in_header_or_body();
        let change = Operation::patch("order.change", "/api/v1/orders/{nr}");
        let document = PolicyDocument::of(&[&orders, &change], Duration::from_secs(10));
        let json = serde_json::to_value(document).expect("JSON");
        assert_eq!(json["header"], "Idempotency-Key");
        assert_eq!(json["replayHeader"], "Idempotent-Replayed");
        assert_eq!(json["maxLength"], 255);
        assert_eq!(json["inFlightLease"], "PT10S");
        assert_eq!(json["operations"][0]["required"], true);
        assert_eq!(json["operations"][1]["method"], "PATCH");
        assert_eq!(json["operations"][1]["required"], false);
    }
}
