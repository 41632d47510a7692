//! May somebody send requests here? `/livez`: the process runs. `/readyz`: it can take orders.

use std::time::Duration;

use axum::extract::State;

use super::Api;
use super::problem::{Problem, STORE_UNAVAILABLE};

/// `GET /livez`.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the database answers.
pub(super) async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    match api.shop.ping().await {
        Ok(()) => Ok("ok\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            let detail = "The database does not answer.";
            Err(Problem::new(STORE_UNAVAILABLE, detail).retry_after(Duration::from_secs(1)))
        }
    }
}
