//! What does the service look like from outside? Its routes, and nothing else: each handler reads
//! a request, makes one call, and writes the answer.
//!
//! | request | answer |
//! |---|---|
//! | `POST /api/v1/orders` | 201 with the order; the same bytes for the same key again |
//! | `GET /api/v1/orders/{nr}` | the order |
//! | `GET /api/v1/orders/{nr}/steps` | how it came about: step, attempt, worker, time |
//! | `GET /problems/{slug}` | what a problem means |
//! | `GET /livez`, `GET /readyz` | whether the process lives, whether it can take orders |

mod body;
mod health;
mod key;
mod orders;
mod outcome;
mod problem;

use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use keystep::{Engine, Schema};

use crate::domain::{Checkout, Receipt};
use crate::shop::Shop;

pub use orders::{StepRow, Steps};
use problem::Problem;

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// How long a duplicate waits for the first request before it is told to come back.
const DUPLICATE_WAIT: Duration = Duration::from_secs(5);

/// How long any request waits for its order. The work goes on without it.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    /// Runs the schema.
    pub engine: Engine,
    /// `order.create`.
    pub schema: Schema<Checkout, Receipt>,
    /// Answers what is ordered and what there is.
    pub shop: Shop,
}

/// All routes of the service.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/api/v1/orders", post(orders::create))
        .route("/api/v1/orders/{nr}", get(orders::show))
        .route("/api/v1/orders/{nr}/steps", get(orders::steps))
        .route("/problems/{slug}", get(explain))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .fallback(|| async { Problem::new(problem::NOT_FOUND, "There is no such resource.") })
        .method_not_allowed_fallback(|| async {
            let detail = "Use a method that the header Allow names.";
            Problem::new(problem::METHOD_NOT_ALLOWED, detail)
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(log_request))
        .with_state(api)
}

/// `GET /problems/{slug}`.
async fn explain(slug: Result<Path<String>, PathRejection>) -> Response {
    let slug = slug.map_or_else(|_| String::new(), |Path(slug)| slug);
    match problem::ALL.iter().find(|kind| kind.slug == slug) {
        Some(kind) => {
            let again = if kind.retryable {
                "The same request with the same key may be sent again."
            } else {
                "The same request will not succeed."
            };
            format!("{} ({})\n\n{again}\n", kind.title, kind.status).into_response()
        }
        None => Problem::new(problem::NOT_FOUND, "There is no such problem.").into_response(),
    }
}

/// One line per request: the route's pattern, never the path, which may hold what a client wrote.
async fn log_request(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    tracing::info!(%method, route, status = response.status().as_u16(), "answered");
    response
}
