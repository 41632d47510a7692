//! Which policies does this deployment choose? Every switch, with its default, by environment.
//!
//! The library has each of them as a builder method: [`crate::http`] turns one into the other.

use std::num::ParseIntError;
use std::time::Duration;

use axum::http::HeaderName;
use clap::ValueEnum;

use crate::workflow::ChargeMode;

/// All switches. The names of the variables are a promise.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Policies")]
pub struct Policies {
    /// Where keys are kept.
    #[arg(long, env = "ORDERS_STORE", value_enum, default_value_t)]
    pub store: Store,
    /// What a second order with the same key does while the first is running.
    #[arg(long, env = "ORDERS_CONCURRENCY_ORDERS", value_enum, default_value = "wait")]
    pub concurrency_orders: Concurrency,
    /// What a second payment with the same key does while the first is running.
    #[arg(
        long,
        env = "ORDERS_CONCURRENCY_PAYMENTS",
        value_enum,
        default_value = "reject"
    )]
    pub concurrency_payments: Concurrency,
    /// How long a duplicate waits.
    #[arg(long, env = "ORDERS_WAIT_MAX_MS", value_name = "MS", default_value = "5000", value_parser = millis)]
    pub wait_max_ms: Duration,
    /// What the next request does after a failure.
    #[arg(long, env = "ORDERS_ON_ERROR", value_enum, default_value_t)]
    pub on_error: OnError,
    /// What makes two requests with one key equal.
    #[arg(long, env = "ORDERS_FINGERPRINT", value_enum, default_value_t)]
    pub fingerprint: Fingerprint,
    /// How the header may be written.
    #[arg(long, env = "ORDERS_KEY_SYNTAX", value_enum, default_value_t)]
    pub key_syntax: KeySyntax,
    /// How long an outcome is kept after it is known; less than a minute counts as a minute.
    #[arg(long, env = "ORDERS_TTL_S", value_name = "S", default_value = "86400", value_parser = retention)]
    pub ttl_s: Duration,
    /// How long a process that shows no life is believed to live; less than 100 ms counts as 100 ms.
    #[arg(long, env = "ORDERS_LEASE_MS", value_name = "MS", default_value = "10000", value_parser = lease)]
    pub lease_ms: Duration,
    /// How long at most what a dead process left waits to be finished by another one. A second is
    /// the longest that it ever waits.
    #[arg(long, env = "ORDERS_COMPLETER_GRACE_MS", value_name = "MS", default_value = "5000", value_parser = millis)]
    pub completer_grace_ms: Duration,
    /// How often a step is tried again before its request is answered.
    #[arg(long, env = "ORDERS_STEP_RETRIES", value_name = "N", default_value = "2")]
    pub step_retries: u32,
    /// The largest request body in bytes.
    #[arg(
        long,
        env = "ORDERS_MAX_BODY",
        value_name = "BYTES",
        default_value = "1048576"
    )]
    pub max_body: usize,
    /// The largest response body in bytes that is kept for a replay.
    #[arg(
        long,
        env = "ORDERS_MAX_STORED_RESPONSE",
        value_name = "BYTES",
        default_value = "262144"
    )]
    pub max_stored_response: usize,
    /// Whether an order must say which list of orders its client knows.
    #[arg(long, env = "ORDERS_IF_MATCH_ON_CREATE", value_enum, default_value_t)]
    pub if_match_on_create: IfMatchOnCreate,
    /// The status of a precondition that does not hold.
    #[arg(long, env = "ORDERS_PRECONDITION_STATUS", value_enum, default_value_t)]
    pub precondition_status: PreconditionStatus,
    /// Whether a repeated request gets the first answer, or its resource as it is now.
    #[arg(long, env = "ORDERS_REPLAY", value_enum, default_value_t)]
    pub replay: Replay,
    /// A second name for the header that marks replays.
    #[arg(long, env = "ORDERS_REPLAY_HEADER", value_name = "NAME")]
    pub replay_header: Option<HeaderName>,
    /// Whether the same payment may come under two keys.
    #[arg(long, env = "ORDERS_DUPLICATE_PAYLOAD", value_enum, default_value_t)]
    pub duplicate_payload: DuplicatePayload,
    /// Lets clients of the two older services in without a token, all as one customer.
    #[arg(long, env = "ORDERS_COMPAT_ANONYMOUS", default_value_t, value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::Set, value_name = "BOOL")]
    pub compat_anonymous: bool,
    /// Whether the payment provider may be asked twice under one key.
    #[arg(long, env = "ORDERS_CHARGE_MODE", value_enum, default_value_t)]
    pub charge_mode: ChargeMode,
}

/// Where keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Store {
    /// In the service's database.
    #[default]
    Db,
    /// In Redis. Not offered yet: the service says so and does not start.
    Redis,
    /// Nowhere that outlives this process: a database that is removed when it ends.
    Memory,
}

/// What a duplicate does while the first request is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Concurrency {
    /// It waits for the same answer.
    Wait,
    /// It is refused: 409.
    Reject,
    /// It is told where to look: 202.
    Accept,
}

/// What the next request does after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnError {
    /// Final answers are replayed, others are continued where they stopped.
    #[default]
    PersistFinal,
    /// Every final failure begins anew, others are continued where they stopped.
    RetryErrors,
    /// Every failure is replayed.
    ReplayAll,
    /// Every failure is continued where it stopped.
    SuccessOnly,
}

/// What makes two requests with one key equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Fingerprint {
    /// The same JSON, however it is written.
    #[default]
    Canonical,
    /// The same bytes.
    Raw,
    /// The key alone: the first request wins.
    Off,
}

/// How the header may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum KeySyntax {
    /// As a structured-field string or as a bare token.
    #[default]
    Lenient,
    /// As a structured-field string.
    Strict,
}

/// Whether an order must say which list of orders its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum IfMatchOnCreate {
    /// It may.
    #[default]
    Optional,
    /// It must, in `If-Match`; without it: 428.
    Required,
}

/// The status of a precondition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PreconditionStatus {
    /// Precondition Failed.
    #[default]
    #[value(name = "412")]
    PreconditionFailed,
    /// Conflict, as older clients know it.
    #[value(name = "409")]
    Conflict,
}

/// What a repeated request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Replay {
    /// The first answer, to the byte.
    #[default]
    Stored,
    /// The status of the first answer and its resource as it is now.
    Latest,
}

/// Whether the same payment may come under two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DuplicatePayload {
    /// It may: two keys are two payments.
    #[default]
    Allow,
    /// It is refused: 409.
    Reject,
}

fn millis(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}

fn lease(text: &str) -> Result<Duration, ParseIntError> {
    millis(text).map(|lease| lease.max(Duration::from_millis(100)))
}

fn retention(text: &str) -> Result<Duration, ParseIntError> {
    let seconds = text.parse().map(Duration::from_secs);
    seconds.map(|retention| retention.max(Duration::from_secs(60)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        policies: Policies,
    }

    fn read(args: &[&str]) -> Result<Policies, String> {
        let args = ["program"].iter().chain(args);
        let program = Program::try_parse_from(args).map_err(|error| error.to_string())?;
        Ok(program.policies)
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let policies = read(&[]).expect("defaults");
        assert_eq!(policies.store, Store::Db);
        assert_eq!(policies.concurrency_orders, Concurrency::Wait);
        assert_eq!(policies.concurrency_payments, Concurrency::Reject);
        assert_eq!(policies.wait_max_ms, Duration::from_secs(5));
        assert_eq!(policies.on_error, OnError::PersistFinal);
        assert_eq!(policies.fingerprint, Fingerprint::Canonical);
        assert_eq!(policies.key_syntax, KeySyntax::Lenient);
        assert_eq!(policies.ttl_s, Duration::from_secs(86_400));
        assert_eq!(policies.lease_ms, Duration::from_secs(10));
        assert_eq!(policies.step_retries, 2);
        assert_eq!(policies.max_body, 1_048_576);
        assert_eq!(policies.max_stored_response, 262_144);
        assert_eq!(policies.if_match_on_create, IfMatchOnCreate::Optional);
        assert_eq!(
            policies.precondition_status,
            PreconditionStatus::PreconditionFailed
        );
        assert_eq!(policies.replay, Replay::Stored);
        assert_eq!(policies.replay_header, None);
        assert_eq!(policies.duplicate_payload, DuplicatePayload::Allow);
    }

    #[test]
    fn what_the_engine_can_not_do_counts_as_the_least_that_it_can() {
        let policies = read(&["--ttl-s", "0", "--lease-ms", "0", "--step-retries", "0"]).expect("numbers");
        assert_eq!(policies.ttl_s, Duration::from_secs(60));
        assert_eq!(policies.lease_ms, Duration::from_millis(100));
        assert!(read(&["--ttl-s", "-1"]).is_err());
        assert!(read(&["--ttl-s", "a day"]).is_err());
    }

    #[test]
    fn each_word_of_the_contract_is_read() {
        for (option, words) in [
            ("--store", &["db", "redis", "memory"][..]),
            ("--concurrency-orders", &["wait", "reject", "accept"]),
            ("--concurrency-payments", &["wait", "reject", "accept"]),
            (
                "--on-error",
                &["persist-final", "retry-errors", "replay-all", "success-only"],
            ),
            ("--fingerprint", &["canonical", "raw", "off"]),
            ("--key-syntax", &["lenient", "strict"]),
            ("--if-match-on-create", &["optional", "required"]),
            ("--precondition-status", &["412", "409"]),
            ("--replay", &["stored", "latest"]),
            ("--duplicate-payload", &["allow", "reject"]),
            ("--charge-mode", &["idempotent", "at_most_once"]),
        ] {
            for word in words {
                read(&[option, word]).expect(word);
            }
            assert!(read(&[option, "nonsense"]).is_err(), "{option}");
        }
    }
}
