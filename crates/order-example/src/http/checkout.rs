//! For what can the cart be ordered? Offers, each with the id that makes its order one order.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use bytes::Bytes;
use keystep_http::Problem;
use serde_json::Value;

use super::fields::{Errors, Fields};
use super::{Api, Caller, body, openapi, problems};
use crate::domain::{Offers, Wanted};

/// The most ways to pay, and of delivery, that are asked for at once.
const MOST: usize = 10;

/// Offers for the cart.
///
/// The same cart with the same payment and delivery has the same `requestId`, whenever and wherever it is
/// asked for: a client that forgot it asks again, and does not order twice.
#[utoipa::path(
    post, path = "/api/v2/cart/go-checkout", tag = "cart", security(("token" = [])),
    request_body = openapi::CheckoutRequest,
    responses(
        (status = 200, description = "The offers.", body = openapi::Offers),
        openapi::MakesOffers,
    ),
)]
pub(super) async fn go_checkout(
    caller: Caller,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Offers>, Problem> {
    let wanted = wanted(&body::json(&api, &headers, body)?)?;
    let offers = api.shop.check_out(caller.name(), &wanted, &api.offer_secret);
    api.decided(offers.await).map(Json)
}

fn wanted(body: &Value) -> Result<Wanted, Problem> {
    let mut errors = Errors::default();
    let fields = Fields::of(body, &mut errors);
    let mut wanted = Wanted::default();
    if let Some(payment) = fields.payments("payment", MOST, &mut errors) {
        wanted.payment = payment;
    }
    if let Some(delivery) = fields.deliveries("delivery", MOST, &mut errors) {
        wanted.delivery = delivery;
    }
    errors.none(wanted).map_err(problems::invalid)
}
