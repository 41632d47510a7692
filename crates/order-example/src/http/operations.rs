//! Where does the work on a key stand? For clients that were told to look here, and for nobody else.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use keystep::execution::State as Stands;
use keystep::{Execution, ExecutionId, FailureKind, Filter, Key, RunError, Schema, WaitReason};
use keystep_http::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Api, Caller, openapi, orders, payments, problems};
use crate::domain::Receipt;

/// An operation, as it is shown.
#[derive(Debug, Serialize)]
struct Operation {
    id: String,
    state: &'static str,
    steps: Vec<Step>,
    result: Option<Outcome>,
}

#[derive(Debug, Serialize)]
struct Step {
    name: String,
    state: &'static str,
}

/// What the request that is repeated gets.
#[derive(Debug, Serialize)]
struct Outcome {
    status: u16,
    location: String,
}

/// Where the work on a keyed request stands.
///
/// Only for the user whose key it is. The answer itself is for the same request with the same key.
#[utoipa::path(
    get, path = "/api/v1/operations/{id}", operation_id = "show_operation", tag = "operations", security(("token" = [])),
    params(("id" = String, Path, description = "The operation.", example = "op_7a720d2420838b5b9682d59c459198d9")),
    responses(
        (status = 200, description = "Where it stands.", body = openapi::Operation, headers(("Retry-After" = i32))),
        openapi::ShowsOne,
    ),
)]
pub(super) async fn show(
    caller: Caller,
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let none = || problems::not_found("operation");
    let id = id.ok().and_then(|Path(id)| parse(&id)).ok_or_else(none)?;
    let execution = api.engine.find_id(id).await;
    let execution = execution.map_err(problems::engine_unavailable)?;
    let execution = execution.filter(|found| found.key.scope == caller.name());
    let execution = execution.ok_or_else(none)?;
    let result = match execution.state {
        Stands::Succeeded => result(&api, &execution).await?,
        _ => None,
    };
    let state = match execution.waits_for {
        Some(WaitReason::Child) => state_of_called(&api, &execution).await?,
        _ => state(&execution),
    };
    let steps = execution.steps.into_iter().map(|step| Step {
        name: step.name,
        state: "done",
    });
    let operation = Operation {
        id: format!("op_{}", id.0.simple()),
        state,
        steps: steps.collect(),
        result,
    };
    let mut response = Json(operation).into_response();
    if state == "running" || state == "retryable" {
        let seconds = pause(execution.due_in);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// What a client may do about where it stands.
fn state(execution: &Execution) -> &'static str {
    let exhausted = |kind| kind == FailureKind::Exhausted;
    match execution.state {
        Stands::Ready | Stands::Running => "running",
        Stands::Waiting => "retryable",
        Stands::Succeeded => "succeeded",
        Stands::Parked => "needs_attention",
        Stands::Failed
            if execution
                .failure
                .as_ref()
                .is_some_and(|failure| exhausted(failure.kind)) =>
        {
            "retryable"
        }
        _ => "failed",
    }
}

/// One that waits for an order stands where that order stands: on its way, unless it stands still.
async fn state_of_called(api: &Api, execution: &Execution) -> Result<&'static str, Problem> {
    let still = Filter {
        schema: Some(api.doors.schemas.create.name().to_owned()),
        scope: Some(execution.key.scope.clone()),
        states: vec![Stands::Waiting, Stands::Parked],
    };
    let page = api.engine.list(still, None).await;
    let page = page.map_err(problems::engine_unavailable)?;
    let is_called = |other: &&Execution| {
        // Of one that somebody else had begun it is recorded that this one waits for it.
        let id = other.id.to_string();
        let mut parts = execution.parts.iter();
        other.parent == Some(execution.id) || parts.any(|part| part.name.ends_with(&id))
    };
    Ok(page.executions.iter().find(is_called).map_or("running", state))
}

/// Where the thing is that was made.
async fn result(api: &Api, execution: &Execution) -> Result<Option<Outcome>, Problem> {
    let schemas = &api.doors.schemas;
    let key = Key::new(execution.key.key.as_str()).scope(execution.key.scope.as_str());
    let made = |receipt: Receipt| orders::location(&receipt.order.order_nr);
    let is = |name: &str| execution.key.schema == name;
    let (status, location) = if is(schemas.create.name()) {
        (201, output(api, &schemas.create, key).await?.map(made))
    } else if is(schemas.request.name()) {
        (201, output(api, &schemas.request, key).await?.map(made))
    } else if is(schemas.change.name()) {
        let order = output(api, &schemas.change, key).await?;
        (200, order.map(|order| orders::location(&order.order_nr)))
    } else if is(schemas.pay.name()) {
        let payment = output(api, &schemas.pay, key).await?;
        (
            201,
            payment.map(|payment| payments::location(&payment.payment_id)),
        )
    } else {
        return Ok(None);
    };
    Ok(location.map(|location| Outcome { status, location }))
}

/// The output of an execution that has succeeded; `None` when its retention ended just now.
async fn output<In, Out>(api: &Api, schema: &Schema<In, Out>, key: Key) -> Result<Option<Out>, Problem>
where
    In: 'static,
    Out: DeserializeOwned + Send + 'static,
{
    let found: Result<_, RunError> = async {
        match api.engine.lookup(schema, key).await? {
            Some(handle) => handle.wait().await.map(Some),
            None => Ok(None),
        }
    }
    .await;
    found.map_err(problems::engine_unavailable)
}

fn parse(id: &str) -> Option<ExecutionId> {
    let digits = id.strip_prefix("op_").filter(|digits| digits.len() == 32)?;
    Uuid::try_parse(digits).ok().map(ExecutionId)
}

fn pause(due_in: Option<Duration>) -> u64 {
    let due_in = due_in.unwrap_or_default();
    due_in.as_millis().div_ceil(1000).clamp(1, 3600) as u64
}
