//! How does a test learn what the payment provider did, and tell it how to behave? Over HTTP: both sides of
//! that are here.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use reqwest::{Method, RequestBuilder};

use crate::provider::api::ledger_down;
use crate::provider::{Behaviour, Provider, Stats};

/// Adds the controls to the provider's own routes.
pub(crate) fn provider_routes(router: Router<Provider>) -> Router<Provider> {
    router
        .route("/v1/stats", get(stats))
        .route("/v1/behaviour", put(behave))
        .route("/v1/reset", post(reset))
}

/// `GET /v1/stats`: what was decided, counted.
async fn stats(State(provider): State<Provider>) -> Response {
    match provider.stats().await {
        Ok(stats) => Json(stats).into_response(),
        Err(error) => ledger_down(&error),
    }
}

/// `PUT /v1/behaviour`: 204, and so it behaves from now on.
async fn behave(State(provider): State<Provider>, Json(behaviour): Json<Behaviour>) -> Response {
    match provider.behave(behaviour).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => ledger_down(&error),
    }
}

/// `POST /v1/reset`: 204, and all is forgotten.
async fn reset(State(provider): State<Provider>) -> Response {
    match provider.reset().await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => ledger_down(&error),
    }
}

/// Where the controls are.
pub(super) struct Controls {
    http: reqwest::Client,
    base: String,
}

impl Controls {
    pub(super) fn at(url: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            base: url.trim_end_matches('/').to_owned(),
        }
    }

    /// What it decided since it last forgot everything.
    pub(super) async fn stats(&self) -> reqwest::Result<Stats> {
        let stats = self.request(Method::GET, "stats").send().await?;
        stats.error_for_status()?.json().await
    }

    pub(super) async fn behave(&self, behaviour: Behaviour) -> reqwest::Result<()> {
        let told = self.request(Method::PUT, "behaviour").json(&behaviour).send();
        told.await?.error_for_status().map(drop)
    }

    pub(super) async fn forget(&self) -> reqwest::Result<()> {
        let told = self.request(Method::POST, "reset").send();
        told.await?.error_for_status().map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/v1/{path}", self.base))
    }
}
