//! What does a client get when the engine gives no order? The one place where that is decided.
//!
//! | the engine says | the client gets |
//! |---|---|
//! | the key was used with another order | 422 `idempotency-key-reused` |
//! | somebody works on it | 409 `idempotency-in-progress`, `Retry-After` |
//! | a step said it is final | 422, by the step's code, the same for every repetition |
//! | a step's tries are used up | 502 `upstream-failed`; the next request goes on there |
//! | a step waits to be tried again | 503 `upstream-unavailable`, `Retry-After` |
//! | it takes longer than the request may | 504 `timed-out`, `Retry-After`; the work goes on |
//! | the database is away | 503 `idempotency-store-unavailable`, `Retry-After` |
//! | it is parked or can not be read | 500 `needs-attention` |
//! | the call itself is wrong | 400 `idempotency-key-malformed` |

use std::time::Duration;

use keystep::execution::ExecutionId;
use keystep::{Failure, FailureKind, RunError};

use super::key::ClientKey;
use super::problem::{
    IN_PROGRESS, KEY_MALFORMED, KEY_REUSED, Kind, NEEDS_ATTENTION, ORDER_FAILED, OUT_OF_STOCK,
    PAYMENT_DECLINED, Problem, STORE_UNAVAILABLE, TIMED_OUT, UPSTREAM_FAILED, UPSTREAM_UNAVAILABLE,
};

/// When to come back, where nothing better is known.
const SOON: Duration = Duration::from_secs(1);

/// The problem for a call with `key` that gave no order. `execution` is known once it was accepted.
pub(super) fn problem(error: &RunError, key: &ClientKey, execution: Option<ExecutionId>) -> Problem {
    let problem = match error {
        RunError::InputMismatch { .. } => Problem::new(
            KEY_REUSED,
            "This key was used for another order. Nothing was done. Use a new key.",
        ),
        RunError::InProgress { .. } => {
            Problem::new(IN_PROGRESS, "Send the same request again after the given time.").retry_after(SOON)
        }
        RunError::Failed(failure) | RunError::Undone(failure) => failed(failure, execution),
        RunError::Waiting { due_in, .. } => Problem::new(
            UPSTREAM_UNAVAILABLE,
            "The order will be tried again. Send the same request again to hear how it went.",
        )
        .retry_after(due_in.unwrap_or(SOON).max(SOON)),
        RunError::TimedOut(_) => Problem::new(
            TIMED_OUT,
            "The work goes on. Send the same request again to hear how it went.",
        )
        .retry_after(SOON),
        RunError::Parked { .. } | RunError::Unreadable(_) => {
            tracing::error!(%error, "an order needs attention");
            let detail = "Whether the order was carried out must be looked up by us.";
            stable(Problem::new(NEEDS_ATTENTION, detail), execution)
        }
        RunError::Invalid(why) => Problem::new(KEY_MALFORMED, why.clone()),
        // Everything else is of this kind too: nothing final is known, the same key is safe.
        _ => store_unavailable(error),
    };
    problem.key(key)
}

/// The problem for a call that the engine or its store could not serve.
pub(super) fn store_unavailable(error: &RunError) -> Problem {
    tracing::warn!(%error, "the engine does not answer");
    Problem::new(
        STORE_UNAVAILABLE,
        "Send the same request again after the given time. It will not be done twice.",
    )
    .retry_after(SOON)
}

fn failed(failure: &Failure, execution: Option<ExecutionId>) -> Problem {
    if failure.kind != FailureKind::Terminal {
        // What went wrong inside is for the log of whoever runs the service.
        tracing::warn!(
            step = failure.step,
            attempt = failure.attempt,
            "an order is stuck"
        );
        return Problem::new(
            UPSTREAM_FAILED,
            "The order stopped half-way and nothing is lost. Send the same request again to go on.",
        );
    }
    let kind: &'static Kind = match failure.code.as_deref() {
        Some("out_of_stock") => OUT_OF_STOCK,
        Some("card_declined") => PAYMENT_DECLINED,
        _ => ORDER_FAILED,
    };
    stable(Problem::new(kind, sentence(&failure.message)), execution)
}

/// A terminal failure is replayed, so its problem is the same each time.
fn stable(problem: Problem, execution: Option<ExecutionId>) -> Problem {
    match execution {
        Some(ExecutionId(id)) => problem.instance(id),
        None => problem,
    }
}

fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let first = first.map(String::from).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use axum::http::header::RETRY_AFTER;
    use axum::response::IntoResponse;
    use keystep::{InputHash, ParkReason, WaitReason};
    use uuid::Uuid;

    use super::*;

    const EXECUTION: ExecutionId = ExecutionId(Uuid::nil());

    fn failure(kind: FailureKind, code: Option<&str>) -> Failure {
        Failure {
            step: "authorize_payment".into(),
            attempt: 8,
            kind,
            code: code.map(str::to_owned),
            message: "connection refused".into(),
        }
    }

    /// Status, slug and `Retry-After` that a client gets.
    fn answer(error: &RunError) -> (u16, &'static str, Option<String>) {
        let key = ClientKey::of(&Default::default(), Some("k".into())).expect("a key");
        let problem = problem(error, &key, Some(EXECUTION));
        let slug = problem.slug();
        let response = problem.into_response();
        let pause = response.headers().get(RETRY_AFTER);
        let pause = pause.map(|pause| pause.to_str().expect("digits").to_owned());
        (response.status().as_u16(), slug, pause)
    }

    #[test]
    fn each_error_of_the_engine_has_its_answer() {
        let soon = |seconds: &str| Some(seconds.to_owned());
        let hash = InputHash([0; 32]);
        let terminal = |code| RunError::Failed(failure(FailureKind::Terminal, code));
        let cases = [
            (
                RunError::InputMismatch {
                    expected: hash,
                    got: hash,
                },
                (422, "idempotency-key-reused", None),
            ),
            (
                RunError::InProgress {
                    execution: EXECUTION,
                    step: None,
                    since: SystemTime::UNIX_EPOCH,
                },
                (409, "idempotency-in-progress", soon("1")),
            ),
            (terminal(Some("out_of_stock")), (422, "out-of-stock", None)),
            (terminal(Some("card_declined")), (422, "payment-declined", None)),
            (terminal(Some("payment_refused")), (422, "order-failed", None)),
            (terminal(None), (422, "order-failed", None)),
            (
                RunError::Failed(failure(FailureKind::Exhausted, None)),
                (502, "upstream-failed", None),
            ),
            (
                RunError::Waiting {
                    execution: EXECUTION,
                    reason: WaitReason::Retry,
                    failure: None,
                    due_in: Some(Duration::from_millis(2500)),
                },
                (503, "upstream-unavailable", soon("3")),
            ),
            (
                RunError::Parked {
                    execution: EXECUTION,
                    reason: ParkReason::Unreadable,
                    failure: None,
                },
                (500, "needs-attention", None),
            ),
            (
                RunError::Unreadable("a field".into()),
                (500, "needs-attention", None),
            ),
            (
                RunError::TimedOut(Duration::from_secs(20)),
                (504, "timed-out", soon("1")),
            ),
            (
                RunError::Unavailable("away".into()),
                (503, "idempotency-store-unavailable", soon("1")),
            ),
            (
                RunError::Invalid("the key is empty".into()),
                (400, "idempotency-key-malformed", None),
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(answer(&error), expected, "{error}");
        }
    }
}
