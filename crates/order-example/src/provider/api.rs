//! How does a shop talk to the provider? One POST, and an error is `{"code", "message"}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{AuthorizationRequest, Provider};

/// Why there is no authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A stable word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// `POST /v1/authorizations`: 201 with the authorization, the same 201 for the same key again.
pub(super) async fn authorize(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(key) = key(&headers) else {
        let message = "Send one Idempotency-Key of 1 to 255 printable characters.";
        return refuse(StatusCode::BAD_REQUEST, "key_required", message);
    };
    let Ok(request) = serde_json::from_slice::<AuthorizationRequest>(&body) else {
        let message = "The body must be an authorization request.";
        return refuse(StatusCode::BAD_REQUEST, "malformed_request", message);
    };
    if request.amount.amount <= 0 {
        let message = "The amount must be positive.";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "bad_amount", message);
    }
    let decided = match provider.decide(key, request.clone()).await {
        Ok(decided) => decided,
        Err(error) => {
            tracing::error!(%error, "the ledger can not be written");
            let message = "Nothing is known to be decided; send the same request again.";
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "ledger_down", message);
        }
    };
    (provider.before_answer)(&decided).await;

    let decision = decided.entry;
    if decision.request != request {
        let message = "This key belongs to another amount or card.";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", message);
    }
    if !decision.approved {
        let message = "The card was declined.";
        return refuse(StatusCode::PAYMENT_REQUIRED, "card_declined", message);
    }
    (StatusCode::CREATED, Json(decision)).into_response()
}

fn key(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all("idempotency-key").iter();
    let key = lines.next()?.to_str().ok()?;
    let fits = (1..=255).contains(&key.len());
    (fits && lines.next().is_none()).then_some(key)
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let refusal = Refusal {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    (status, Json(refusal)).into_response()
}
