//! Which headers does a request have? Each is described once.

use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::read;

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident [$($param:expr),+];)+) => {$(
        $(#[$doc])*
        pub(in crate::http) enum $name {}

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$(read($param)),+]
            }
        }
    )+};
}

params! {
    /// Of what makes an order.
    OfOrder [key(false), header("If-Match", "The version of the list of orders that the client knows.", "\"4\""), prefer()];
    /// Of what must have a key.
    OfPayment [key(true), prefer()];
    /// Of what changes something that the client has seen, with or without a key.
    OfChange [key(false), if_match(), prefer()];
    /// Of what cancels something that the client has seen.
    OfCancel [if_match()];
    /// Of what changes a cart.
    OfCart [header("If-Match", "The cart that the client has seen.", "\"c_7f3a.3\"")];
    /// Of what is about one order.
    OfOneOrder [json!({
        "name": "nr", "in": "path", "required": true, "description": "The order's number.",
        "schema": {"type": "string"}, "example": "20240102-000017",
    })];
    /// Of what may be known already.
    IfKnown [header("If-None-Match", "What the client has already.", "\"4\"")];
}

fn key(required: bool) -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": required,
        "description": "Names this request: the same key and body again do nothing and get the same answer. \
            A structured-field string, or a bare token.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 257},
        "example": "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"",
    })
}

fn prefer() -> Value {
    header(
        "Prefer",
        "Whether to wait, and how long: respond-async, wait=N.",
        "respond-async, wait=2",
    )
}

fn if_match() -> Value {
    header(
        "If-Match",
        "The versions of the order that the client has seen; needed.",
        "\"1\"",
    )
}

/// A header that need not be there as far as the document says.
fn header(name: &str, description: &str, example: &str) -> Value {
    json!({
        "name": name,
        "in": "header",
        "required": false,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    })
}
