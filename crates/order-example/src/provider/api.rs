//! How does a shop talk to the provider? It asks for money, asks what was decided, gives back; an error is
//! `{"code", "message"}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Kind, PaymentOrder, Provider};
use crate::payments::KEY_REUSED;

/// The code of an answer that says neither yes nor no.
const CAN_NOT_TELL: &str = "can_not_tell";

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A stable word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// `POST /v1/authorizations`: 201 with the authorization, the same 201 for the same key again.
pub(super) async fn authorize(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    decide(&provider, Kind::Authorization, &headers, &body).await
}

/// `POST /v1/charges`: 201 with the charge, the same 201 for the same key again.
pub(super) async fn charge(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    decide(&provider, Kind::Charge, &headers, &body).await
}

async fn decide(provider: &Provider, kind: Kind, headers: &HeaderMap, body: &[u8]) -> Response {
    let Some(key) = key(headers) else {
        return no_key();
    };
    let Ok(request) = serde_json::from_slice::<PaymentOrder>(body) else {
        let message = "The body must say how much to take from which card.";
        return refuse(StatusCode::BAD_REQUEST, "malformed_request", message);
    };
    if request.amount.amount <= 0 {
        let message = "The amount must be positive.";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "bad_amount", message);
    }
    let decided = match provider.decide(kind, key, request.clone()).await {
        Ok(decided) => decided,
        Err(error) => return ledger_down(&error),
    };
    (provider.before_answer)(&decided).await;

    let decision = decided.entry;
    if decision.request != request {
        let message = "This key belongs to another amount or card.";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, KEY_REUSED, message);
    }
    if !decision.approved {
        let message = "The card was declined.";
        return refuse(StatusCode::PAYMENT_REQUIRED, "card_declined", message);
    }
    (StatusCode::CREATED, Json(decision)).into_response()
}

/// `GET /v1/authorizations`: what was decided under the `Idempotency-Key`, or 404.
pub(super) async fn find_authorization(State(provider): State<Provider>, headers: HeaderMap) -> Response {
    find(&provider, Kind::Authorization, &headers).await
}

/// `GET /v1/charges`: what was decided under the `Idempotency-Key`, or 404.
pub(super) async fn find_charge(State(provider): State<Provider>, headers: HeaderMap) -> Response {
    find(&provider, Kind::Charge, &headers).await
}

async fn find(provider: &Provider, kind: Kind, headers: &HeaderMap) -> Response {
    let Some(key) = key(headers) else {
        return no_key();
    };
    let found = async {
        let can_tell = provider.behaviour().await?.verify;
        Ok::<_, std::io::Error>((can_tell, provider.decided(kind, key).await?))
    };
    match found.await {
        Ok((false, _)) => refuse(
            StatusCode::NOT_IMPLEMENTED,
            CAN_NOT_TELL,
            "It is not known what was decided under this key.",
        ),
        Ok((true, Some(decision))) => Json(decision).into_response(),
        Ok((true, None)) => refuse(
            StatusCode::NOT_FOUND,
            "not_found",
            "Nothing was decided under this key.",
        ),
        Err(error) => ledger_down(&error),
    }
}

/// `POST /v1/authorizations/{id}/void`: gives the money back, 204 also the second time.
pub(super) async fn void(State(provider): State<Provider>, Path(id): Path<String>) -> Response {
    match provider.give_back(&id).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => refuse(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is no such authorization.",
        ),
        Err(error) => ledger_down(&error),
    }
}

fn no_key() -> Response {
    let message = "Send one Idempotency-Key of 1 to 255 printable characters.";
    refuse(StatusCode::BAD_REQUEST, "key_required", message)
}

/// The answer of a provider that can not remember.
pub(crate) fn ledger_down(error: &std::io::Error) -> Response {
    tracing::error!(%error, "the ledger can not be written");
    let message = "Nothing is known to be decided; send the same request again.";
    refuse(StatusCode::SERVICE_UNAVAILABLE, "ledger_down", message)
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
