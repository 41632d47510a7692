//! What does the service look like from outside? Its routes, and nothing else: each handler reads a
//! request, asks the shop or runs a schema, and writes the answer.
//!
//! | request | answer | file |
//! |---|---|---|
//! | `GET /api/v1/cart`, `PUT /api/v1/cart/items/{sku}` | the cart | `cart` |
//! | `POST /api/v2/cart/go-checkout` | offers, each with the id to order it by | `checkout` |
//! | `POST /api/v1/orders` | the order; the same bytes for the same request again | `create` |
//! | `GET /api/v1/orders`, `/{nr}`, `/{nr}/steps`; `PATCH`, `DELETE /{nr}` | orders and their versions | `orders` |
//! | `POST /api/v1/payments`, `GET /{id}` | money taken once | `payments` |
//! | `GET /api/v1/operations/{id}` | where the work on a key stands | `operations` |
//! | `GET /api/v1/idempotency`, `/problems/{slug}`, `/openapi.json`, `/docs` | what to expect | `pages`, `openapi` |
//! | `GET /livez`, `/readyz`, `/metrics` | for whoever runs it | `health`, `around` |
//!
//! The keyed routes are made in [`doors`]: the policies of each, once. Read `create` first: it is the
//! whole story.

pub mod doors;

mod around;
mod auth;
mod body;
mod cart;
mod checkout;
mod create;
mod fields;
mod health;
mod linger;
mod openapi;
mod operations;
mod orders;
mod pages;
mod payments;
mod problems;
mod respond;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use keystep::Engine;
use keystep_http::{Problem, kinds};
use metrics_exporter_prometheus::PrometheusHandle;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::compat::{self, OpenCompat};
use crate::config::Policies;
use crate::domain::OfferSecret;
use crate::shop::Shop;

use auth::Caller;
pub use auth::Gate;
use doors::Doors;
pub use orders::{StepRow, Steps};

// What the mounts of older services are made of as well.
pub(crate) use auth::Visitor;
pub(crate) use fields::{Errors, Fields};
pub(crate) use problems::{invalid, shop_unavailable};

/// What the handlers need.
pub struct Api {
    /// Says where executions stand.
    pub engine: Engine,
    /// Answers what there is.
    pub shop: Shop,
    /// The routes that run schemas.
    pub doors: Doors,
    /// The routes of older services.
    pub compat: OpenCompat,
    /// Decides who is let in.
    pub gate: Gate,
    /// What the ids of offers are derived with.
    pub offer_secret: OfferSecret,
    /// What was chosen.
    pub policies: Policies,
    /// Shows the numbers.
    pub metrics: PrometheusHandle,
}

/// All routes of the service.
pub fn router(api: Arc<Api>) -> Router {
    let (routes, document) = OpenApiRouter::with_openapi(openapi::document())
        .routes(routes!(cart::show))
        .routes(routes!(cart::set_quantity))
        .routes(routes!(checkout::go_checkout))
        .routes(routes!(create::create, orders::list))
        .routes(routes!(orders::show, orders::change, orders::cancel))
        .routes(routes!(orders::steps))
        .routes(routes!(payments::pay))
        .routes(routes!(payments::show))
        .routes(routes!(operations::show))
        .routes(routes!(pages::policy))
        .routes(routes!(pages::problem))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .split_for_parts();
    let hooks = api.gate.hooks.clone();
    let routes = routes
        .merge(compat::routes())
        .route("/problems", get(pages::problems))
        .fallback(|| async { Problem::new(kinds::NOT_FOUND, "There is no such resource.") })
        .method_not_allowed_fallback(|| async {
            let detail = "Use a method that the header Allow names.";
            Problem::new(kinds::METHOD_NOT_ALLOWED, detail)
        })
        // The bodies of keyed routes have their own limit, which is the same.
        .layer(DefaultBodyLimit::max(api.policies.max_body))
        .with_state(Arc::clone(&api));
    let routes = routes.merge(openapi::routes(document));
    hooks
        .routes(routes)
        .layer(middleware::from_fn_with_state(api, around::around))
}
