//! How does a test say what it wants? Under `/_test`, which exists only when the controls are open.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::{Fault, PUBLISH, STEPS};
use super::on::{DECLINED_CALLS, Hooks, Open};
use super::provider::Controls;
use super::settings::{BLOCKED, CLOCK, STORE, StoreSetting};
use crate::provider::Behaviour;

/// How far a reset moves the clock: over every retention, so that nothing that a process remembers of
/// the deleted data counts any more.
const OVER_ALL: Duration = Duration::from_secs(8 * 24 * 60 * 60);

type Answer = Result<StatusCode, Failed>;

impl Hooks {
    /// The routes with those of the controls, when these are open. Every request then first learns
    /// what was asked for, at whichever process.
    pub fn routes(&self, router: Router) -> Router {
        let Some(open) = &self.open else {
            return router;
        };
        let controls = Router::new()
            .route("/_test/reset", post(reset))
            .route("/_test/faults/{step}", put(put_fault))
            .route("/_test/effects", get(effects))
            .route("/_test/clock", post(move_clock))
            .route("/_test/store", put(put_store))
            .route("/_test/provider", put(put_provider))
            .route("/_test/users/{user}", put(put_user))
            .with_state(Arc::clone(open));
        router
            .merge(controls)
            .layer(middleware::from_fn_with_state(Arc::clone(open), catch_up))
    }
}

async fn catch_up(State(open): State<Arc<Open>>, request: Request, next: Next) -> Response {
    match open.catch_up().await {
        Ok(()) => next.run(request).await,
        Err(error) => Failed::from(error).into_response(),
    }
}

async fn reset(State(open): State<Arc<Open>>) -> Answer {
    provider(&open)?.forget().await?;
    open.tables.wipe().await?;
    advance(&open, OVER_ALL).await?;
    done()
}

async fn put_fault(
    State(open): State<Arc<Open>>,
    Path(step): Path<String>,
    Json(fault): Json<Fault>,
) -> Answer {
    if !STEPS.contains(&step.as_str()) {
        return Ok(StatusCode::NOT_FOUND);
    }
    open.tables.put_fault(&step, fault).await?;
    done()
}

/// What was done since the last reset.
async fn effects(State(open): State<Arc<Open>>) -> Result<Json<Value>, Failed> {
    let mut steps: BTreeMap<String, u64> = STEPS.map(|step| (step.to_owned(), 0)).into();
    let mut events: BTreeMap<String, u64> = BTreeMap::new();
    let stats = provider(&open)?.stats().await?;
    let mut calls = stats.charge_calls;
    for (name, times) in open.tables.effects().await? {
        if let Some(step) = name.strip_prefix("steps.") {
            // What is counted once per key has a row for each.
            let (step, times) = step
                .split_once('/')
                .map_or((step, times), |(step, _key)| (step, 1));
            *steps.entry(step.to_owned()).or_default() += times;
        } else if let Some(topic) = name.strip_prefix("events.") {
            events.insert(topic.replace('.', "_"), times);
            *steps.entry(PUBLISH.to_owned()).or_default() += times;
        } else if name == DECLINED_CALLS {
            calls += times;
        }
    }
    Ok(Json(json!({
        "steps": steps,
        "provider_calls": calls,
        "provider_charges": stats.charges,
        "stock_adds": {},
        "events_distinct": events,
    })))
}

#[derive(Deserialize)]
struct Advance {
    advance_s: u64,
}

async fn move_clock(State(open): State<Arc<Open>>, Json(Advance { advance_s }): Json<Advance>) -> Answer {
    advance(&open, Duration::from_secs(advance_s)).await?;
    done()
}

async fn advance(open: &Open, by: Duration) -> Result<(), Failed> {
    let now = open.asked().await?.clock + by;
    open.tables.put_setting(CLOCK, now.as_secs().to_string()).await?;
    open.asked().await?;
    Ok(())
}

async fn put_store(State(open): State<Arc<Open>>, Json(setting): Json<StoreSetting>) -> Answer {
    open.tables.put_setting(STORE, json!(setting).to_string()).await?;
    done()
}

async fn put_provider(State(open): State<Arc<Open>>, Json(behaviour): Json<Behaviour>) -> Answer {
    provider(&open)?.behave(behaviour).await?;
    done()
}

fn provider(open: &Open) -> Result<&Controls, Failed> {
    let provider = open.provider.get();
    provider.ok_or_else(|| Failed("it is not known where the payment provider is".into()))
}

#[derive(Deserialize)]
struct Blocked {
    blocked: bool,
}

async fn put_user(
    State(open): State<Arc<Open>>,
    Path(user): Path<String>,
    Json(Blocked { blocked }): Json<Blocked>,
) -> Answer {
    let name = format!("{BLOCKED}{user}");
    open.tables.put_setting(&name, blocked.to_string()).await?;
    done()
}

fn done() -> Answer {
    Ok(StatusCode::NO_CONTENT)
}

/// The database or the provider did not take it: ask again.
struct Failed(Box<dyn Error + Send + Sync>);

impl<E: Error + Send + Sync + 'static> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}
