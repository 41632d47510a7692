//! How do bodies look, to the letter? Written as JSON Schema, because that says more than types do:
//! bounds, patterns, an example each.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// Gives each name a schema of the document's components.
macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident $schema:expr;)+) => {
        $(
            $(#[$doc])*
            pub(in crate::http) enum $name {}

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    RefOr::Ref(Ref::from_schema_name(stringify!($name)))
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )+

        fn bodies() -> Vec<(&'static str, Value)> {
            vec![$((stringify!($name), $schema)),+]
        }
    };
}

/// All schemas of the document, by their names.
pub(super) fn components() -> Map<String, Value> {
    let all = bodies().into_iter().chain(parts());
    all.map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn component(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The same, or `null`.
fn nullable(name: &str) -> Value {
    json!({"oneOf": [{"type": "null"}, component(name)]})
}

fn text(most: u32) -> Value {
    json!({"type": "string", "maxLength": most, "pattern": "^[^\\u0000]*$"})
}

fn version() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

const NAME: &str = "^[!-~]+$";
const ORDER_NR: &str = "^[0-9]{8}-[0-9]{6,}$";

schemas! {
    /// A cart.
    Cart json!({
        "type": "object",
        "required": ["id", "revision", "state", "currency", "items", "total"],
        "properties": {
            "id": {"type": "string"},
            "revision": version(),
            "state": {"type": "string", "enum": ["open"]},
            "currency": {"type": "string"},
            "items": {"type": "array", "items": component("Line")},
            "total": component("Money"),
        },
    });
    /// How many of a product.
    QuantityRequest json!({
        "type": "object",
        "required": ["qty"],
        "properties": {"qty": {"type": "integer", "minimum": 0, "maximum": 999}},
        "example": {"qty": 2},
    });
    /// For what offers are wanted.
    CheckoutRequest json!({
        "type": "object",
        "properties": {
            "payment": {
                "description": "Ways to pay; without it those that everybody has.",
                "type": ["array", "null"], "minItems": 1, "maxItems": 10, "items": component("Payment"),
            },
            "delivery": {
                "description": "Ways of delivery; without it those that everybody has.",
                "type": ["array", "null"], "minItems": 1, "maxItems": 10,
                "items": {"type": "string", "enum": ["courier"]},
            },
        },
        "example": {"payment": [{"method": "card", "cardId": "card_1"}], "delivery": ["courier"]},
    });
    /// What a cart is offered for.
    Offers json!({
        "type": "object",
        "required": ["cartId", "revision", "offers"],
        "properties": {
            "cartId": {"type": "string"},
            "revision": version(),
            "offers": {"type": "array", "items": component("Offer")},
        },
    });
    /// An order to be made.
    OrderRequest json!({
        "type": "object",
        "description": "Either names an offer by its requestId, or describes it, as older clients do.",
        "properties": {
            "requestId": {"type": ["string", "null"], "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            "comment": {"oneOf": [{"type": "null"}, text(1000)]},
            "knownOrdersVersion": {
                "description": "The version of the list of orders that the client knows.",
                "type": ["integer", "null"], "minimum": 0, "maximum": 9_007_199_254_740_991_i64,
            },
            "payment": nullable("Payment"),
            "delivery": {"type": ["string", "null"], "minLength": 1, "maxLength": 64, "pattern": NAME},
            "expectedTotal": nullable("Price"),
        },
        "example": {"requestId": "req_9JxAq2mB0b4m8mQ1cC7dE5fG3hI6jK9l", "comment": "ring twice"},
    });
    /// An order.
    Order json!({
        "type": "object",
        "required": [
            "orderNr", "requestId", "status", "version", "ordersVersion", "cartId", "items", "total",
            "payment", "delivery", "deliveryStatus", "comment", "createdAt",
        ],
        "properties": {
            "orderNr": {"type": "string", "pattern": ORDER_NR},
            "requestId": {"type": ["string", "null"]},
            "status": {"type": "string", "enum": ["confirmed", "cancelled"]},
            "version": {"type": "integer", "minimum": 1},
            "ordersVersion": {"type": "integer", "minimum": 1},
            "cartId": {"type": ["string", "null"]},
            "items": {"type": "array", "items": component("Line")},
            "total": component("Money"),
            "payment": component("Payment"),
            "delivery": {"type": "string"},
            "deliveryStatus": {"type": ["string", "null"]},
            "comment": {"type": ["string", "null"]},
            "address": {"description": "As the customer wrote it: a text or an object."},
            "createdAt": time(),
        },
    });
    /// All orders of a customer.
    OrderList json!({
        "type": "object",
        "required": ["version", "orders"],
        "properties": {
            "version": version(),
            "orders": {"type": "array", "items": component("Order")},
        },
    });
    /// A merge patch of an order.
    OrderPatch json!({
        "type": "object",
        "description": "A merge patch (RFC 7396).",
        "additionalProperties": false,
        "properties": {
            "comment": {"oneOf": [{"type": "null"}, text(1000)]},
            "address": {"oneOf": [{"type": "null"}, text(1000), {"type": "object"}]},
        },
        "example": {"comment": "ring twice"},
    });
    /// How an order came about.
    Steps json!({
        "type": "object",
        "required": ["steps"],
        "properties": {
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["step", "attempt", "worker", "at"],
                    "properties": {
                        "step": {"type": "string"},
                        "attempt": {"type": "integer", "minimum": 0},
                        "worker": {"type": "string"},
                        "at": time(),
                    },
                },
            },
        },
    });
    /// A payment to be made.
    PaymentRequest json!({
        "type": "object",
        "required": ["orderNr", "amount", "method"],
        "properties": {
            "orderNr": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": NAME},
            "amount": component("Price"),
            "method": component("Payment"),
        },
        "example": {
            "orderNr": "20240102-000017",
            "amount": {"amount": 1000, "currency": "RUB"},
            "method": {"method": "card", "cardId": "card_1"},
        },
    });
    /// A payment.
    Captured json!({
        "type": "object",
        "required": ["paymentId", "orderNr", "amount", "status", "createdAt"],
        "properties": {
            "paymentId": {"type": "string"},
            "orderNr": {"type": "string", "pattern": ORDER_NR},
            "amount": component("Money"),
            "status": {"type": "string", "enum": ["captured"]},
            "createdAt": time(),
        },
    });
    /// Where the work on a keyed request stands.
    Operation json!({
        "type": "object",
        "required": ["id", "state", "steps", "result"],
        "properties": {
            "id": {"type": "string", "pattern": "^op_[0-9a-f]{32}$"},
            "state": {
                "type": "string",
                "enum": ["running", "succeeded", "failed", "retryable", "needs_attention"],
            },
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "state"],
                    "properties": {
                        "name": {"type": "string"},
                        "state": {"type": "string", "enum": ["done"]},
                    },
                },
            },
            "result": {"oneOf": [{"type": "null"}, {
                "type": "object",
                "required": ["status", "location"],
                "properties": {
                    "status": {"type": "integer", "minimum": 200, "maximum": 599},
                    "location": {"type": ["string", "null"]},
                },
            }]},
        },
    });
    /// Where to look for what is being done.
    Accepted json!({
        "type": "object",
        "required": ["operation", "state"],
        "properties": {
            "operation": {"type": "string"},
            "state": {"type": "string", "enum": ["running"]},
        },
    });
    /// The policy of keys.
    Policy json!({
        "type": "object",
        "required": [
            "header", "syntax", "maxLength", "scope", "fingerprint", "ttl", "inFlightLease", "replayHeader",
            "operations",
        ],
        "properties": {
            "header": {"type": "string"},
            "syntax": {"type": "string", "enum": ["lenient", "strict"]},
            "maxLength": {"type": "integer"},
            "scope": {"type": "array", "items": {"type": "string"}},
            "fingerprint": {"type": "string", "enum": ["canonical", "raw", "fields", "off"]},
            "ttl": {"type": "string", "pattern": "^PT"},
            "inFlightLease": {"type": "string", "pattern": "^PT"},
            "replayHeader": {"type": "string"},
            "operations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["method", "path", "required", "concurrency", "onError"],
                    "properties": {
                        "method": {"type": "string"},
                        "path": {"type": "string"},
                        "required": {"type": "boolean"},
                        "concurrency": {"type": "string", "enum": ["wait", "reject", "accept"]},
                        "onError": {
                            "type": "string",
                            "enum": ["persist-final", "retry-errors", "replay-all", "success-only"],
                        },
                    },
                },
            },
        },
    });
    /// What a problem means.
    ProblemPage json!({
        "type": "object",
        "required": ["type", "title", "status", "retryable", "sameKey", "next"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "retryable": {"type": "boolean"},
            "sameKey": {"type": "boolean"},
            "next": {"type": "string"},
        },
    });
}

/// What bodies are made of, and the body of every problem.
fn parts() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Money",
            json!({
                "type": "object",
                "description": "An amount in the currency's smallest unit.",
                "required": ["amount", "currency"],
                "properties": {
                    "amount": {"type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_i64},
                    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                },
                "example": {"amount": 1000, "currency": "RUB"},
            }),
        ),
        (
            "Price",
            json!({
                "type": "object",
                "description": "An amount above zero in the currency's smallest unit.",
                "required": ["amount", "currency"],
                "properties": {
                    "amount": {"type": "integer", "minimum": 1, "maximum": 9_007_199_254_740_991_i64},
                    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                },
                "example": {"amount": 1000, "currency": "RUB"},
            }),
        ),
        (
            "Payment",
            json!({
                "oneOf": [
                    {
                        "type": "object",
                        "required": ["method", "cardId"],
                        "properties": {
                            "method": {"type": "string", "enum": ["card"]},
                            "cardId": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": NAME},
                        },
                    },
                    {
                        "type": "object",
                        "required": ["method"],
                        "properties": {"method": {"type": "string", "enum": ["cash", "invoice"]}},
                    },
                ],
                "example": {"method": "card", "cardId": "card_1"},
            }),
        ),
        (
            "Line",
            json!({
                "type": "object",
                "required": ["sku", "qty", "unitPrice"],
                "properties": {
                    "sku": {"type": "string"},
                    "qty": {"type": "integer", "minimum": 1},
                    "unitPrice": component("Money"),
                },
            }),
        ),
        (
            "Offer",
            json!({
                "type": "object",
                "required": ["requestId", "available", "payment", "delivery", "total"],
                "properties": {
                    "requestId": {"type": ["string", "null"], "pattern": "^req_[A-Za-z0-9_-]{32}$"},
                    "available": {"type": "boolean"},
                    "payment": component("Payment"),
                    "delivery": {"type": "string", "enum": ["courier"]},
                    "total": component("Money"),
                },
            }),
        ),
        (
            "Problem",
            json!({
                "type": "object",
                "required": ["type", "title", "status", "detail", "instance", "retryable"],
                "properties": {
                    "type": {"type": "string", "pattern": "^/problems/[a-z-]+$"},
                    "title": {"type": "string"},
                    "status": {"type": "integer", "minimum": 400, "maximum": 599},
                    "detail": {"type": "string"},
                    "instance": {"type": "string", "pattern": "^urn:uuid:"},
                    "retryable": {"type": "boolean"},
                    "idempotency_key": {"type": "string"},
                    "specification": {"type": "string"},
                    "operation": {"description": "Where the work on this key is shown.", "type": "string"},
                    "current": {"description": "The version that there is.", "type": ["integer", "string"]},
                    "errors": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["pointer", "message"],
                            "properties": {"pointer": {"type": "string"}, "message": {"type": "string"}},
                        },
                    },
                },
            }),
        ),
    ]
}
