//! Which numbers does it give? All names in one place.
//!
//! | metric | |
//! |---|---|
//! | `idempotency_requests_total{operation,outcome}` | keyed requests by outcome: executed, replayed, waited, rejected, accepted, mismatch, missing, malformed, resumed |
//! | `idempotency_store_errors_total{operation}` | keyed requests that the store did not serve |
//! | `idempotency_in_flight{operation}` | keyed requests that wait for their answer at the moment |

use metrics::{counter, gauge};

use crate::operation::Operation;

/// A keyed request came to this.
pub(crate) fn outcome(operation: &Operation, outcome: &'static str) {
    counter!("idempotency_requests_total", "operation" => operation.name().to_owned(), "outcome" => outcome)
        .increment(1);
}

/// The store did not serve a keyed request.
pub(crate) fn store_error(operation: &Operation) {
    counter!("idempotency_store_errors_total", "operation" => operation.name().to_owned()).increment(1);
}

/// A keyed request is answered from now until the value is dropped.
pub(crate) struct InFlight(metrics::Gauge);

impl InFlight {
    pub(crate) fn of(operation: &Operation) -> Self {
        let now = gauge!("idempotency_in_flight", "operation" => operation.name().to_owned());
        now.increment(1);
        Self(now)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
