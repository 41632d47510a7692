//! The other one: an order is a key and nothing else, and its answer an object with the id.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::response::{IntoResponse, Response};
use keystep_http::{Fingerprint, KeySyntax, Operation};
use serde_json::json;

use super::tea;
use crate::http::{Api, Visitor};

/// What the older service promised: a key in a header of its own, and a body of any kind or none.
pub(super) fn operation(operation: Operation) -> Operation {
    operation
        .key_header(HeaderName::from_static("x-idempotency-key"))
        .key_syntax(KeySyntax::Lenient)
        .fingerprint(Fingerprint::Off)
        .media_types(std::iter::empty::<&str>())
}

/// `POST /compat/otusma/v1/order`.
pub(super) async fn create(visitor: Visitor, State(api): State<Arc<Api>>, request: Request) -> Response {
    let owner = format!("otusma/{}", visitor.name());
    let door = &api.compat.otusma;
    door.serve(
        request,
        &owner,
        async |_arrived| tea(&api, owner.clone(), 1, None).await,
        |receipt| Json(json!({"order_id": receipt.order.order_nr})).into_response(),
    )
    .await
}
