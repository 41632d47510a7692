//! How is money taken once? The payment's key is the header; what it was for is asked of the order.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use keystep_http::{Arrived, Look, Problem};
use serde_json::Value;

use super::fields::{Errors, Fields};
use super::respond::located;
use super::{Api, Caller, openapi, problems};
use crate::config::{DuplicatePayload, Replay};
use crate::domain::{Captured, PaymentRequest, Refusal};

/// Takes a payment for an order.
///
/// Needs a key. Send the same request again whenever the answer did not arrive: the money is taken once.
#[utoipa::path(
    post, path = "/api/v1/payments", tag = "payments", security(("token" = [])), params(openapi::OfPayment),
    request_body = openapi::PaymentRequest,
    responses(
        (
            status = 201, description = "The payment.", body = openapi::Captured,
            headers(
                ("Location" = String), ("Idempotency-Key" = String),
                ("Idempotent-Replayed" = String, description = "`true` when it was taken before."),
            ),
        ),
        (
            status = 202, description = "It is being taken; look at Location.", body = openapi::Accepted,
            headers(
                ("Location" = String), ("Retry-After" = i32), ("Idempotency-Key" = String),
                ("Preference-Applied" = String),
            ),
        ),
        openapi::TakesPayment,
    ),
)]
pub(super) async fn pay(caller: Caller, State(api): State<Arc<Api>>, request: Request) -> Response {
    let arrived = match api.doors.pay.read(request).await {
        Ok(arrived) => arrived,
        Err(problem) => return problem.into_response(),
    };
    match payment(&api, caller.name(), &arrived).await {
        Ok(response) => response,
        Err(problem) => arrived.refuse(problem),
    }
}

async fn payment(api: &Api, user: &str, arrived: &Arrived) -> Result<Response, Problem> {
    let key = arrived.key_or(None)?;
    let answer = match api.doors.pay.look_up(arrived, user, &key).await? {
        Look::Known(answer) => answer,
        Look::Free(free) => free.run(check(api, user, arrived).await?).await?,
    };
    if answer.how().is_replay() && api.policies.replay == Replay::Latest {
        let latest = async |payment: Captured| {
            let now = api.shop.payment(user, &payment.payment_id).await;
            let now = now.map_err(problems::shop_unavailable)?;
            Ok(created(&now.unwrap_or(payment)))
        };
        return answer.respond_with(latest).await;
    }
    Ok(answer.respond(|payment| created(&payment)))
}

/// Checks a payment whose key is free. Whether the order is paid already is asked in the first step, which
/// knows its own attempts from others', and there it is asked again whether the same was paid before.
async fn check(api: &Api, user: &str, arrived: &Arrived) -> Result<PaymentRequest, Problem> {
    let body: Value = arrived.json()?;
    let mut errors = Errors::default();
    let fields = Fields::of(&body, &mut errors);
    let order_nr = fields.name("orderNr", &mut errors);
    let amount = fields.money("amount", &mut errors);
    let method = fields.payment("method", &mut errors);
    if method.as_ref().is_some_and(|method| !method.is_available()) {
        errors.add("/method/method", "is not offered");
    }
    let read = order_nr.zip(amount).zip(method);
    let Some(((order_nr, amount), method)) = errors.none(read).map_err(problems::invalid)? else {
        return Err(problems::invalid(Vec::new()));
    };
    let order = api.shop.order(user, &order_nr).await;
    let order = order.map_err(problems::shop_unavailable)?;
    let order = order.ok_or_else(|| problems::not_found("order"))?;
    if amount.currency != order.total.currency {
        let mut errors = Errors::default();
        let message = format!("must be the currency of the order, {}", order.total.currency);
        errors.add("/amount/currency", message);
        return errors
            .none(())
            .map_err(problems::invalid)
            .and(Err(problems::invalid(Vec::new())));
    }
    let request = PaymentRequest {
        owner: user.to_owned(),
        order_nr,
        amount,
        method,
    };
    if api.policies.duplicate_payload == DuplicatePayload::Reject {
        let twin = api.shop.payment_like(&request).await;
        if let Some(twin) = twin.map_err(problems::shop_unavailable)? {
            let payment_id = twin.payment_id;
            return Err(problems::refused(&Refusal::DuplicatePayload { payment_id }));
        }
    }
    Ok(request)
}

/// A payment.
#[utoipa::path(
    get, path = "/api/v1/payments/{id}", operation_id = "show_payment", tag = "payments", security(("token" = [])),
    params(("id" = String, Path, description = "The payment.", example = "p_7f3a")),
    responses((status = 200, description = "The payment.", body = openapi::Captured), openapi::ShowsOne),
)]
pub(super) async fn show(
    caller: Caller,
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Captured>, Problem> {
    let none = || problems::not_found("payment");
    let Path(id) = id.map_err(|_| none())?;
    if id.contains('\0') {
        return Err(none());
    }
    let payment = api.shop.payment(caller.name(), &id).await;
    let payment = payment.map_err(problems::shop_unavailable)?;
    payment.map(Json).ok_or_else(none)
}

fn created(payment: &Captured) -> Response {
    located(
        &location(&payment.payment_id),
        (StatusCode::CREATED, Json(payment)),
    )
}

pub(super) fn location(id: &str) -> String {
    format!("/api/v1/payments/{id}")
}
