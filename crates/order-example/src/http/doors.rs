//! Which routes are keyed, and how? One [`FrontDoor`] each: a schema, and the policies that were chosen.
//!
//! | route | schema | key |
//! |---|---|---|
//! | `POST /api/v1/orders` | `order.create` | `requestId`, or the header |
//! | the same, with both | `order.request`, whose only step runs `order.create` under `requestId` | the header |
//! | `PATCH /api/v1/orders/{nr}` | `order.change` | the header, if there is one |
//! | `POST /api/v1/payments` | `payment.process` | the header |

use axum::http::StatusCode;
use keystep::{Engine, EngineBuilder, ExecutionId, Failure, Schema};
use keystep_http::{self as http, FrontDoor, Operation, Problem, Waiters};

use super::problems;
use crate::config::{
    Concurrency, DuplicatePayload, Fingerprint, KeySyntax, OnError, Policies, PreconditionStatus,
};
use crate::domain::{Captured, Change, Checkout, Order, PaymentRequest, Receipt, Requested};
use crate::workflow::{Policy, order_change, order_create, order_request, payment_process};

/// Where the policies are published.
pub(super) const POLICY: &str = "/api/v1/idempotency";

/// What the state of an execution is shown under.
const OPERATIONS: &str = "/api/v1/operations/op_";

/// The schemas that routes run.
pub struct Schemas {
    pub(super) create: Schema<Checkout, Receipt>,
    pub(super) request: Schema<Requested, Receipt>,
    pub(super) change: Schema<Change, Order>,
    pub(super) pay: Schema<PaymentRequest, Captured>,
}

/// The keyed routes.
pub struct Doors {
    /// The schemas behind them.
    pub(super) schemas: Schemas,
    /// Makes an order, under the id of its offer or under the header.
    pub(super) create: FrontDoor<Checkout, Receipt>,
    /// Makes an order under the header, which also has the id of its offer.
    pub(super) request: FrontDoor<Requested, Receipt>,
    /// Changes an order.
    pub(super) change: FrontDoor<Change, Order>,
    /// Takes a payment.
    pub(super) pay: FrontDoor<PaymentRequest, Captured>,
}

impl Schemas {
    /// The schemas under these policies.
    pub fn new(policies: &Policies) -> Self {
        let policy = workflow_policy(policies);
        Self {
            create: order_create(policy),
            request: order_request(policy),
            change: order_change(policy),
            pay: payment_process(policy),
        }
    }

    /// Registers them with an engine.
    pub fn register(&self, builder: EngineBuilder) -> EngineBuilder {
        builder
            .schema(self.create.clone())
            .schema(self.request.clone())
            .schema(self.change.clone())
            .schema(self.pay.clone())
    }
}

impl Doors {
    /// The doors to an engine that knows the schemas.
    pub fn new(engine: &Engine, schemas: Schemas, policies: &Policies) -> Self {
        let waiters = Waiters::default();
        let with = |operation: Operation| {
            let operation = chosen(operation, policies).waiters(waiters.clone());
            operation.status_url(operation_url)
        };
        let orders = |name: &str| {
            let operation = with(Operation::post(name, "/api/v1/orders")).key_in_header_or_body();
            operation
                .ignore("/knownOrdersVersion")
                .concurrency(concurrency(policies.concurrency_orders, policies))
        };
        // Its only step runs an order: to go on there, and to begin anew, is to ask that order again.
        let request = match policies.on_error {
            OnError::SuccessOnly => orders("order.request").on_error(http::OnError::RetryErrors),
            _ => orders("order.request"),
        };
        let change = with(Operation::patch("order.change", "/api/v1/orders/{nr}"))
            .media_types(["application/json", "application/merge-patch+json"])
            .concurrency(concurrency(policies.concurrency_orders, policies));
        let pay = with(Operation::post("payment.process", "/api/v1/payments"))
            .concurrency(concurrency(policies.concurrency_payments, policies));
        Self {
            create: FrontDoor::new(engine.clone(), schemas.create.clone(), orders("order.create")),
            request: FrontDoor::new(engine.clone(), schemas.request.clone(), request),
            change: FrontDoor::new(engine.clone(), schemas.change.clone(), change),
            pay: FrontDoor::new(engine.clone(), schemas.pay.clone(), pay),
            schemas,
        }
    }
}

/// What of the policies holds for all schemas.
pub(crate) fn workflow_policy(policies: &Policies) -> Policy {
    Policy {
        charge_mode: policies.charge_mode,
        step_retries: policies.step_retries,
        refuse_equal_payments: policies.duplicate_payload == DuplicatePayload::Reject,
        retention: policies.ttl_s,
    }
}

/// Where the state of an execution is shown.
pub(super) fn operation_url(ExecutionId(id): ExecutionId) -> String {
    format!("{OPERATIONS}{}", id.simple())
}

/// The policies that hold for every keyed route.
pub(crate) fn chosen(operation: Operation, policies: &Policies) -> Operation {
    let precondition_status = status(policies.precondition_status);
    operation
        .max_body(policies.max_body)
        .max_stored_response(policies.max_stored_response)
        .retention(policies.ttl_s)
        .key_syntax(match policies.key_syntax {
            KeySyntax::Lenient => http::KeySyntax::Lenient,
            KeySyntax::Strict => http::KeySyntax::Strict,
        })
        .fingerprint(match policies.fingerprint {
            Fingerprint::Canonical => http::Fingerprint::Canonical,
            Fingerprint::Raw => http::Fingerprint::Raw,
            Fingerprint::Off => http::Fingerprint::Off,
        })
        .on_error(match policies.on_error {
            OnError::PersistFinal => http::OnError::PersistFinal,
            OnError::RetryErrors => http::OnError::RetryErrors,
            OnError::ReplayAll => http::OnError::ReplayAll,
            OnError::SuccessOnly => http::OnError::SuccessOnly,
        })
        .policy_at(POLICY)
        .failures(move |failure: &Failure| {
            let problem = problems::failed(failure)?;
            Some(with_precondition_status(problem, precondition_status))
        })
}

fn concurrency(chosen: Concurrency, policies: &Policies) -> http::Concurrency {
    match chosen {
        Concurrency::Wait => http::Concurrency::Wait(policies.wait_max_ms),
        Concurrency::Reject => http::Concurrency::Reject,
        Concurrency::Accept => http::Concurrency::Accept,
    }
}

/// The status of a precondition that does not hold.
pub(super) fn status(chosen: PreconditionStatus) -> StatusCode {
    match chosen {
        PreconditionStatus::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        PreconditionStatus::Conflict => StatusCode::CONFLICT,
    }
}

/// The same problem; one of a precondition with the status that was chosen for them.
pub(super) fn with_precondition_status(problem: Problem, chosen: StatusCode) -> Problem {
    if problem.status() == StatusCode::PRECONDITION_FAILED {
        problem.with_status(chosen)
    } else {
        problem
    }
}
