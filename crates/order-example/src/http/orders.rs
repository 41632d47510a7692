//! Which orders are there, and how are they changed? Each has a version, and so has the list of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use keystep_http::{Arrived, Look, Problem, Tag, kinds};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Errors, Fields};
use super::respond::{seen_numbers, show as respond, tagged};
use super::{Api, Caller, openapi, problems};
use crate::domain::{Cancel, Change, Order, OrderPatch, Refusal, Seen, Status};
use crate::timestamp::rfc3339;
use crate::workflow::key_of;

/// The number in a path. What can not be an order's number is not asked for.
pub(super) struct OrderNr(String);

impl FromRequestParts<Arc<Api>> for OrderNr {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, api).await;
        let may_be = |byte: u8| byte.is_ascii_digit() || byte == b'-';
        match path {
            Ok(Path(nr)) if nr.bytes().all(may_be) => Ok(Self(nr)),
            _ => Ok(Self(String::new())),
        }
    }
}

/// Where an order is shown.
pub(super) fn location(order_nr: &str) -> String {
    format!("/api/v1/orders/{order_nr}")
}

/// All orders, the oldest first.
///
/// The version of the list rises with each order that is made, changed or cancelled.
#[utoipa::path(
    get, path = "/api/v1/orders", operation_id = "list_orders", tag = "orders", security(("token" = [])), params(openapi::IfKnown),
    responses(
        (status = 200, description = "The orders.", body = openapi::OrderList, headers(("ETag" = String))),
        (status = 304, description = "They are as the client knows them.", headers(("ETag" = String))),
        openapi::ShowsConditionally,
    ),
)]
pub(super) async fn list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let list = api.shop.orders(caller.name()).await;
    let list = list.map_err(problems::shop_unavailable)?;
    respond(&headers, &Tag::strong(list.version), &list)
}

/// An order.
#[utoipa::path(
    get, path = "/api/v1/orders/{nr}", operation_id = "show_order", tag = "orders", security(("token" = [])),
    params(openapi::OfOneOrder, openapi::IfKnown),
    responses(
        (status = 200, description = "The order.", body = openapi::Order, headers(("ETag" = String))),
        (status = 304, description = "It is as the client knows it.", headers(("ETag" = String))),
        openapi::ShowsOneConditionally,
    ),
)]
pub(super) async fn show(
    caller: Caller,
    State(api): State<Arc<Api>>,
    OrderNr(order_nr): OrderNr,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let order = find(&api, caller.name(), &order_nr).await?;
    respond(&headers, &tag(&order), &order)
}

/// Changes the comment or the address.
///
/// The order must be as the client has seen it. With a key the same request again gets the first answer,
/// whatever has become of the order since.
#[utoipa::path(
    patch, path = "/api/v1/orders/{nr}", operation_id = "change_order", tag = "orders", security(("token" = [])),
    params(openapi::OfOneOrder, openapi::OfChange),
    request_body = openapi::OrderPatch,
    responses(
        (
            status = 200, description = "The order as it is now.", body = openapi::Order,
            headers(("ETag" = String), ("Idempotency-Key" = String), ("Idempotent-Replayed" = String)),
        ),
        (
            status = 202, description = "It is being changed; look at Location.", body = openapi::Accepted,
            headers(("Location" = String), ("Retry-After" = i32), ("Idempotency-Key" = String)),
        ),
        openapi::ChangesOrder,
    ),
)]
pub(super) async fn change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    OrderNr(order_nr): OrderNr,
    request: Request,
) -> Response {
    let arrived = match api.doors.change.read(request).await {
        Ok(arrived) => arrived,
        Err(problem) => return problem.into_response(),
    };
    match change_it(&api, caller.name(), order_nr, &arrived).await {
        Ok(response) => response,
        Err(problem) => arrived.refuse(problem),
    }
}

async fn change_it(api: &Api, user: &str, order_nr: String, arrived: &Arrived) -> Result<Response, Problem> {
    let changed = |order: Order| tagged(&tag(&order), Json(order));
    let Some(key) = arrived.key() else {
        let change = check(api, user, order_nr, arrived).await?;
        return api.decided(api.shop.change_order(change).await).map(changed);
    };
    let answer = match api.doors.change.look_up(arrived, user, key).await {
        Ok(Look::Known(answer)) => Ok(answer),
        Ok(Look::Free(free)) => {
            let change = check(api, user, order_nr.clone(), arrived).await?;
            free.run(change).await
        }
        Err(problem) => Err(problem),
    };
    match answer {
        Ok(answer) => Ok(answer.respond(changed)),
        Err(problem) => Err(with_version(api, user, &order_nr, problem).await),
    }
}

/// That the order has changed was found in the transaction of the change, where the failure has no room
/// for its version: the present one.
async fn with_version(api: &Api, user: &str, order_nr: &str, problem: Problem) -> Problem {
    if problem.kind() != kinds::VERSION_MISMATCH {
        return problem;
    }
    match find(api, user, order_nr).await {
        Ok(order) => problems::with_version(problem, order.version),
        Err(_gone_or_away) => problem,
    }
}

/// Checks a change before it is made. What can be otherwise then is checked again, in its transaction.
async fn check(api: &Api, user: &str, order_nr: String, arrived: &Arrived) -> Result<Change, Problem> {
    let body: Value = arrived.json()?;
    let mut errors = Errors::default();
    let fields = Fields::of(&body, &mut errors);
    fields.only(&["comment", "address"], &mut errors);
    let patch = OrderPatch {
        comment: fields.text_change("comment", &mut errors),
        address: fields.address_change("address", &mut errors),
    };
    let patch = errors.none(patch).map_err(problems::invalid)?;
    let order = find(api, user, &order_nr).await?;
    let seen = needed(arrived.headers())?;
    if !seen.includes(&order.version) {
        let current = order.version;
        return Err(api.refused(&Refusal::VersionMismatch { current }));
    }
    Ok(Change {
        owner: user.to_owned(),
        order_nr,
        seen,
        patch,
    })
}

/// Cancels an order.
///
/// One that is cancelled stays so, whatever version of it the client has seen.
#[utoipa::path(
    delete, path = "/api/v1/orders/{nr}", operation_id = "cancel_order", tag = "orders", security(("token" = [])),
    params(openapi::OfOneOrder, openapi::OfCancel),
    responses((status = 204, description = "It is cancelled."), openapi::CancelsOrder),
)]
pub(super) async fn cancel(
    caller: Caller,
    State(api): State<Arc<Api>>,
    OrderNr(order_nr): OrderNr,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let order = find(&api, caller.name(), &order_nr).await?;
    let seen = needed(&headers)?;
    if order.status != Status::Cancelled {
        let cancel = Cancel {
            owner: caller.name().to_owned(),
            order_nr,
            seen,
        };
        api.decided(api.shop.cancel_order(cancel).await)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// How an order came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// The finished steps, in order.
    pub steps: Vec<StepRow>,
}

/// One finished step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    /// Its name.
    pub step: String,
    /// Which attempt succeeded, from 1.
    pub attempt: u32,
    /// The worker that ran it, as the service shows it at its start.
    pub worker: String,
    /// When it was recorded: RFC 3339, UTC.
    pub at: String,
}

/// How an order came about: nothing, when that is not kept or was kept under a key of the client's.
#[utoipa::path(
    get, path = "/api/v1/orders/{nr}/steps", operation_id = "show_order_steps", tag = "orders", security(("token" = [])),
    params(openapi::OfOneOrder),
    responses(
        (status = 200, description = "The steps that were done.", body = openapi::Steps),
        openapi::ShowsOne,
    ),
)]
pub(super) async fn steps(
    caller: Caller,
    State(api): State<Arc<Api>>,
    OrderNr(order_nr): OrderNr,
) -> Result<Json<Steps>, Problem> {
    let order = find(&api, caller.name(), &order_nr).await?;
    let key = order.request_id.map(|id| key_of(caller.name(), id));
    let execution = match key {
        Some(key) => api.engine.find(&api.doors.schemas.create, key).await,
        None => Ok(None),
    };
    let execution = execution.map_err(problems::engine_unavailable)?;
    let steps = execution.map(|execution| execution.steps).unwrap_or_default();
    let steps = steps.into_iter().map(|step| StepRow {
        step: step.name,
        attempt: step.attempt,
        worker: step.worker.to_string(),
        at: rfc3339(step.at),
    });
    Ok(Json(Steps {
        steps: steps.collect(),
    }))
}

/// An order of this user's.
async fn find(api: &Api, user: &str, order_nr: &str) -> Result<Order, Problem> {
    let order = match order_nr {
        "" => None,
        nr => api
            .shop
            .order(user, nr)
            .await
            .map_err(problems::shop_unavailable)?,
    };
    order.ok_or_else(|| problems::not_found("order"))
}

/// The versions that the client has seen: it has to say.
fn needed(headers: &HeaderMap) -> Result<Seen<i64>, Problem> {
    seen_numbers(headers)?.ok_or_else(|| {
        let detail = "Send If-Match with the version of the order that the request is about.";
        Problem::new(kinds::PRECONDITION_REQUIRED, detail)
    })
}

fn tag(order: &Order) -> Tag {
    Tag::strong(order.version)
}
