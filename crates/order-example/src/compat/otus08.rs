//! The older of the two: an order is a quantity for a profile, and its answer a bare id.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use keystep_http::{Fingerprint, KeySyntax, Operation, Problem, kinds};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tea;
use crate::domain::Order;
use crate::http::{Api, Errors, Fields, Visitor, invalid, shop_unavailable};

/// What the older service promised: the first request with a key wins, whatever the others say.
pub(super) fn operation(operation: Operation) -> Operation {
    operation
        .key_syntax(KeySyntax::Lenient)
        .fingerprint(Fingerprint::Off)
}

/// An order as the older service showed it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OldOrder {
    id: String,
    profile_id: Option<String>,
    product_quantity: i32,
}

impl From<Order> for OldOrder {
    fn from(order: Order) -> Self {
        Self {
            id: order.order_nr,
            profile_id: order.comment,
            product_quantity: order.items.iter().map(|line| line.qty).sum(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Whose {
    profile_id: Option<String>,
}

/// `POST /compat/otus08/?profileId=P`.
pub(super) async fn create(
    visitor: Visitor,
    State(api): State<Arc<Api>>,
    whose: Result<Query<Whose>, QueryRejection>,
    request: Request,
) -> Response {
    let owner = owner(&visitor);
    let door = &api.compat.otus08;
    door.serve(
        request,
        &owner,
        async |arrived| {
            let body: Value = arrived.json()?;
            let mut errors = Errors::default();
            let fields = Fields::of(&body, &mut errors);
            let qty = fields.number_in("productQuantity", 1, 999, &mut errors);
            let profile = whose.ok().and_then(|Query(whose)| whose.profile_id);
            if profile
                .as_ref()
                .is_some_and(|profile| profile.len() > 255 || profile.contains('\0'))
            {
                errors.add("", "profileId must have at most 255 bytes and no NUL");
            }
            let qty = errors.none(qty).map_err(invalid)?.unwrap_or_default();
            tea(
                &api,
                owner.clone(),
                i32::try_from(qty).unwrap_or_default(),
                profile,
            )
            .await
        },
        |receipt| (StatusCode::CREATED, Json(receipt.order.order_nr)).into_response(),
    )
    .await
}

/// `GET /compat/otus08/{id}`.
pub(super) async fn show(
    visitor: Visitor,
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let none = || Problem::new(kinds::NOT_FOUND, "You have no such order.");
    let Path(id) = id.map_err(|_| none())?;
    if id.contains('\0') {
        return Err(none());
    }
    let order = api
        .shop
        .order(&owner(&visitor), &id)
        .await
        .map_err(shop_unavailable)?;
    order
        .map(|order| Json(OldOrder::from(order)).into_response())
        .ok_or_else(none)
}

/// `GET /compat/otus08/`.
pub(super) async fn list(visitor: Visitor, State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let list = api
        .shop
        .orders(&owner(&visitor))
        .await
        .map_err(shop_unavailable)?;
    let orders: Vec<OldOrder> = list.orders.into_iter().map(OldOrder::from).collect();
    Ok(Json(orders).into_response())
}

/// Who these orders belong to: a user's name has no `/`.
fn owner(visitor: &Visitor) -> String {
    format!("otus08/{}", visitor.name())
}
