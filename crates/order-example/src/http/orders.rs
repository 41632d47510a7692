//! How does a request become an order? `create` is the whole story: read, check, run, render.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keystep::{Key, OnDuplicate, Verdict};
use serde::{Deserialize, Serialize};

use super::body::{OrderRequest, unknown_products};
use super::key::ClientKey;
use super::problem::{
    BODY_TOO_LARGE, MALFORMED_BODY, NOT_FOUND, Problem, STORE_UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE,
};
use super::{Api, DUPLICATE_WAIT, REQUEST_LIMIT, outcome};
use crate::domain::{Checkout, Order};
use crate::shop::ShopError;
use crate::timestamp::rfc3339;

/// `POST /api/v1/orders`: 201 with the order, whoever finished it and however often it is sent.
pub(super) async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    expect_json(&headers)?;
    let body = body.map_err(unreadable_body)?;
    // Before the body is parsed, so that a bad header is reported as such.
    ClientKey::from_headers(&headers)?;
    let mut request = OrderRequest::read(&body)?;
    let key = ClientKey::of(&headers, request.request_id.take())?;
    let checkout = request.checkout()?;
    refuse_unknown_products(&api, &key, &checkout).await?;

    let call = api
        .engine
        .run(&api.schema, execution_key(&key), checkout)
        .on_duplicate(OnDuplicate::Wait(DUPLICATE_WAIT))
        .within(REQUEST_LIMIT)
        .submit()
        .await;
    let handle = call.map_err(|error| outcome::problem(&error, &key, None))?;
    let replayed = matches!(handle.verdict(), Verdict::Attached | Verdict::Finished);
    let id = handle.id();
    let mut response = match handle.wait().await {
        Ok(receipt) => created(&receipt.order, &key),
        Err(error) => outcome::problem(&error, &key, Some(id)).into_response(),
    };
    if replayed {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert("idempotent-replayed", yes);
    }
    Ok(response)
}

/// `GET /api/v1/orders/{nr}`.
pub(super) async fn show(
    State(api): State<Api>,
    order_nr: Result<Path<String>, PathRejection>,
) -> Result<Json<Order>, Problem> {
    Ok(Json(find(&api, order_nr).await?))
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

/// `GET /api/v1/orders/{nr}/steps`.
pub(super) async fn steps(
    State(api): State<Api>,
    order_nr: Result<Path<String>, PathRejection>,
) -> Result<Json<Steps>, Problem> {
    let order = find(&api, order_nr).await?;
    let key = Key::new(order.request_id);
    let execution = api.engine.find(&api.schema, key).await;
    let execution = execution.map_err(|error| outcome::store_unavailable(&error))?;
    let Some(execution) = execution else {
        let detail = "The record of how this order came about is no longer kept.";
        return Err(Problem::new(NOT_FOUND, detail));
    };
    let steps = execution.steps.into_iter().map(|step| StepRow {
        step: step.name,
        attempt: step.attempt,
        worker: step.worker.to_string(),
        at: rfc3339(step.at),
    });
    Ok(Json(Steps {
        steps: steps.collect(),
    }))
}

/// The engine's key for a client's. There is no scope yet, because there are no users: with them,
/// the scope is who the server knows the caller to be, never anything the caller wrote.
fn execution_key(key: &ClientKey) -> Key {
    Key::new(key.as_str())
}

fn created(order: &Order, key: &ClientKey) -> Response {
    let mut response = (StatusCode::CREATED, Json(order)).into_response();
    let headers = response.headers_mut();
    let location = format!("/api/v1/orders/{}", order.order_nr);
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(header::LOCATION, location);
    }
    headers.insert("idempotency-key", key.quoted());
    response
}

/// The order that the path names. What can not be an order's number is not asked for.
async fn find(api: &Api, order_nr: Result<Path<String>, PathRejection>) -> Result<Order, Problem> {
    let no_order = || Problem::new(NOT_FOUND, "There is no order with this number.");
    let Path(order_nr) = order_nr.map_err(|_| no_order())?;
    let may_be = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    if !order_nr.bytes().all(may_be) {
        return Err(no_order());
    }
    let order = api.shop.order(&order_nr).await.map_err(shop_unavailable)?;
    order.ok_or_else(no_order)
}

/// Refuses what is not in the catalogue before the key is used up. An order that exists already is
/// answered for, even if a product has left the catalogue since.
async fn refuse_unknown_products(api: &Api, key: &ClientKey, checkout: &Checkout) -> Result<(), Problem> {
    let unknown = api.shop.unknown_products(&checkout.items).await;
    let unknown = unknown.map_err(shop_unavailable)?;
    if unknown.is_empty() {
        return Ok(());
    }
    let known = api.engine.find(&api.schema, execution_key(key)).await;
    match known.map_err(|error| outcome::store_unavailable(&error))? {
        Some(_) => Ok(()),
        None => Err(unknown_products(&unknown)),
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    if media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let detail = "Send the order as application/json.";
    Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, detail))
}

fn unreadable_body(rejection: BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("A body may have at most {} bytes.", super::MAX_BODY);
        return Problem::new(BODY_TOO_LARGE, detail);
    }
    Problem::new(MALFORMED_BODY, "The body ended early.")
}

fn shop_unavailable(error: ShopError) -> Problem {
    tracing::warn!(%error, "the shop's tables do not answer");
    let detail = "Nothing is known to be done. Send the same request again.";
    Problem::new(STORE_UNAVAILABLE, detail).retry_after(Duration::from_secs(1))
}
