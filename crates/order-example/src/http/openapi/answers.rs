//! With which problems can an operation answer? One list each, by their slugs; the document has one
//! answer for each status among them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use super::super::problems::kind;
use super::read;

/// Where somebody must be known.
const PRIVATE: &[&str] = &["unauthorized", "forbidden", "idempotency-store-unavailable"];
/// Where a body is read.
const BODY: &[&str] = &[
    "malformed-body",
    "body-too-large",
    "unsupported-media-type",
    "validation-failed",
];
/// Where a key is read.
const KEYED: &[&str] = &[
    "idempotency-key-missing",
    "idempotency-key-malformed",
    "idempotency-key-reused",
    "idempotency-in-progress",
    "upstream-unavailable",
    "needs-attention",
];

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident [$($group:expr),*] $($slug:literal)*;)+) => {$(
        $(#[$doc])*
        pub(in crate::http) enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                problems(&[$($group,)* &[$($slug),*]])
            }
        }
    )+};
}

answers! {
    /// Of what shows something of a user's, if the client does not have it.
    ShowsConditionally [PRIVATE] "malformed-precondition";
    /// Of what shows one thing of a user's, if the client does not have it.
    ShowsOneConditionally [PRIVATE] "not-found" "malformed-precondition";
    /// Of what shows one thing of a user's.
    ShowsOne [PRIVATE] "not-found";
    /// Of what changes the cart.
    ChangesCart [PRIVATE, BODY] "not-found" "malformed-precondition" "version-mismatch";
    /// Of what makes offers.
    MakesOffers [PRIVATE, BODY] "cart-not-orderable";
    /// Of what makes an order.
    MakesOrder [PRIVATE, BODY, KEYED] "malformed-precondition" "precondition-required" "offer-unknown"
        "offer-no-match" "offer-stale" "cart-not-orderable" "orders-changed" "out-of-stock"
        "payment-declined" "order-state-conflict";
    /// Of what changes an order.
    ChangesOrder [PRIVATE, BODY, KEYED] "not-found" "malformed-precondition" "precondition-required"
        "version-mismatch" "order-state-conflict";
    /// Of what cancels an order.
    CancelsOrder [PRIVATE] "not-found" "malformed-precondition" "precondition-required"
        "version-mismatch" "order-state-conflict";
    /// Of what takes a payment.
    TakesPayment [PRIVATE, BODY, KEYED] "not-found" "order-already-paid" "order-state-conflict"
        "payment-declined" "duplicate-payload";
    /// Of what anybody may ask for by its name.
    Explains [] "not-found";
    /// Of whether the service can do its work.
    Ready [] "idempotency-store-unavailable";
}

/// One answer for each status of these problems.
fn problems(groups: &[&[&str]]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for slug in groups.iter().copied().flatten() {
        let Some(kind) = kind(slug) else {
            unreachable!("{slug} is no problem of this service");
        };
        by_status.entry(kind.status.as_u16()).or_default().push(slug);
    }
    let answer = |(status, slugs): (u16, Vec<&str>)| {
        let response = json!({
            "description": slugs.join(", "),
            "headers": headers(status),
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
            },
        });
        (status.to_string(), RefOr::T(read(response)))
    };
    by_status.into_iter().map(answer).collect()
}

/// The headers that problems of a status have.
fn headers(status: u16) -> Value {
    let text = |what: &str| json!({"description": what, "schema": {"type": "string"}});
    let mut headers = Map::new();
    let mut add = |name: &str, header: Value| headers.insert(name.into(), header);
    match status {
        401 => add("WWW-Authenticate", text("How to say who you are.")),
        409 | 422 => add("Link", text("Where to go on, or the policy of keys.")),
        412 => add("ETag", text("The version that there is.")),
        503 => add(
            "Retry-After",
            json!({"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}),
        ),
        _ => None,
    };
    headers.into()
}
