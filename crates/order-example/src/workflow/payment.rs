//! What happens to payments?

use keystep::Schema;

use super::{ChargeMode, Policy};
use crate::domain::{Captured, PaymentRequest};
use crate::steps::{charge, find_charge, record_payment};

/// The schema `payment.process`. Payments that were begun in another charge mode are finished in theirs.
pub fn payment_process(policy: Policy) -> Schema<PaymentRequest, Captured> {
    let of = |charge_mode| {
        payment_process_in(Policy {
            charge_mode,
            ..policy
        })
    };
    match policy.charge_mode {
        ChargeMode::Idempotent => of(ChargeMode::Idempotent).accepts(of(ChargeMode::AtMostOnce)),
        ChargeMode::AtMostOnce => of(ChargeMode::AtMostOnce).accepts(of(ChargeMode::Idempotent)),
    }
}

fn payment_process_in(policy: Policy) -> Schema<PaymentRequest, Captured> {
    let schema = Schema::new("payment.process")
        .retention(policy.retention)
        .step("charge", move |cx, request: PaymentRequest| {
            charge(cx, policy.refuse_equal_payments, request)
        })
        .retry(policy.retry());
    let schema = match policy.charge_mode {
        ChargeMode::Idempotent => schema,
        ChargeMode::AtMostOnce => schema.at_most_once().verify(find_charge),
    };
    schema
        .step("record_payment", record_payment)
        .retry(policy.retry())
        .build()
}
