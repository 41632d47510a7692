//! May somebody send requests here, and how does it go? `/livez`: the process runs. `/readyz`: it can do
//! its work. `/metrics`: the numbers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use keystep_http::{Problem, kinds};

use super::{Api, openapi};

/// Whether the process runs.
#[utoipa::path(
    get, path = "/livez", tag = "for whoever runs it",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain; charset=utf-8")),
)]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the database answers, so that requests may be sent here.
#[utoipa::path(
    get, path = "/readyz", tag = "for whoever runs it",
    responses(
        (status = 200, description = "It does.", body = String, content_type = "text/plain; charset=utf-8"),
        openapi::Ready,
    ),
)]
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Result<&'static str, Problem> {
    match api.shop.ping().await {
        Ok(()) => Ok("ok\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            let problem = Problem::new(
                kinds::IDEMPOTENCY_STORE_UNAVAILABLE,
                "The database does not answer.",
            );
            Err(problem.retry_after(Duration::from_secs(1)))
        }
    }
}

/// The numbers, in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "for whoever runs it",
    responses((status = 200, description = "The numbers.", body = String, content_type = "text/plain; version=0.0.4")),
)]
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let media_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (media_type, api.metrics.render())
}
