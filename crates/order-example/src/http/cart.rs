//! What is in the cart, and how does something get in?

use std::sync::Arc;

use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use keystep_http::{Problem, Tag};

use super::fields::{Errors, Fields};
use super::openapi;
use super::respond::{seen, show as respond, tagged};
use super::{Api, Caller, problems};
use crate::domain::{Cart, Quantity};

/// The most of one product in a cart.
const MOST: i64 = 999;

/// The present cart.
///
/// An order closes it; then it is a new and empty one.
#[utoipa::path(
    get, path = "/api/v1/cart", operation_id = "show_cart", tag = "cart", security(("token" = [])), params(openapi::IfKnown),
    responses(
        (status = 200, description = "The cart.", body = openapi::Cart, headers(("ETag" = String))),
        (status = 304, description = "It is as the client knows it.", headers(("ETag" = String))),
        openapi::ShowsConditionally,
    ),
)]
pub(super) async fn show(
    caller: Caller,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cart = api.shop.cart(caller.name()).await;
    let cart = cart.map_err(problems::shop_unavailable)?;
    respond(&headers, &tag(&cart), &cart)
}

/// Puts so many of a product into the cart.
///
/// None removes it. The revision rises only if something changes.
#[utoipa::path(
    put, path = "/api/v1/cart/items/{sku}", tag = "cart", security(("token" = [])),
    params(("sku" = String, Path, description = "The product.", example = "TEA"), openapi::OfCart),
    request_body = openapi::QuantityRequest,
    responses(
        (status = 200, description = "The cart as it is now.", body = openapi::Cart, headers(("ETag" = String))),
        openapi::ChangesCart,
    ),
)]
pub(super) async fn set_quantity(
    caller: Caller,
    State(api): State<Arc<Api>>,
    sku: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = super::body::json(&api, &headers, body)?;
    let mut errors = Errors::default();
    let qty = Fields::of(&body, &mut errors).number_in("qty", 0, MOST, &mut errors);
    let qty = errors.none(qty).map_err(problems::invalid)?.unwrap_or_default();
    let sku = sku.ok().map(|Path(sku)| sku).filter(|sku| !sku.contains('\0'));
    let sku = sku.ok_or_else(|| problems::not_found("product"))?;
    let wish = Quantity {
        owner: caller.name().to_owned(),
        sku,
        qty: i32::try_from(qty).unwrap_or_default(),
        seen: seen(&headers)?.unwrap_or_default(),
    };
    let cart = api.decided(api.shop.set_quantity(wish).await)?;
    Ok(tagged(&tag(&cart), axum::Json(cart)))
}

fn tag(cart: &Cart) -> Tag {
    Tag::strong(cart.tag())
}
