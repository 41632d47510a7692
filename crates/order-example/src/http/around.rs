//! What has every answer, whatever it is about? An id of its own, a line in the log, and where it is asked
//! for, a second name for the mark of a replay.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::Api;
use super::linger::read_to_the_end;

/// Around all routes. The log has the route's pattern, never the path, which may hold what a client wrote.
pub(super) async fn around(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(read_to_the_end(request)).await;
    let id = keystep::random::unpredictable().to_string();
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    tracing::info!(%method, route, status = response.status().as_u16(), request = id, "answered");
    let headers = response.headers_mut();
    if let Some(alias) = &api.policies.replay_header
        && let Some(replayed) = headers.get("idempotent-replayed").cloned()
    {
        headers.insert(alias.clone(), replayed);
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}
