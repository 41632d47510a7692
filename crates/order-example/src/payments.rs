//! How does the shop reach the payment provider, and what may it conclude from the answer?
//!
//! Three things can happen: the provider said yes, it said no, or we do not know. Not knowing is
//! the usual case after a lost connection, and the only safe reply to it is to ask again with the
//! same key.

use std::time::Duration;

use reqwest::StatusCode;

use crate::provider::{Authorization, AuthorizationRequest, Refusal};

/// How long we wait for the provider before we call the outcome unknown.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the payment provider.
pub struct PaymentGateway {
    http: reqwest::Client,
    authorizations: String,
}

/// Why there is no authorization, sorted by what to do next.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// The provider decided against this card. Final.
    #[error("the card was declined")]
    Declined,
    /// The provider does not accept the request. Final: asking again changes nothing.
    #[error("the payment provider refuses the request: {code}")]
    Refused {
        /// The provider's word for it.
        code: String,
    },
    /// The provider was not reached: it did nothing.
    #[error("the payment provider can not be reached: {0}")]
    NotSent(String),
    /// Nobody knows what the provider did. Ask again with the same key.
    #[error("the payment provider gave no answer: {0}")]
    Unknown(String),
}

impl PaymentGateway {
    /// A client of the provider at `base`, such as `http://127.0.0.1:8081`.
    ///
    /// # Errors
    ///
    /// The HTTP client can not be set up.
    pub fn new(base: &str) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reqwest::Client::builder().timeout(PATIENCE).build()?,
            authorizations: format!("{}/v1/authorizations", base.trim_end_matches('/')),
        })
    }

    /// Asks the provider to hold money back. The same `key` never does so twice.
    ///
    /// # Errors
    ///
    /// Each kind of [`PaymentError`] says what to do next.
    pub async fn authorize(
        &self,
        key: &str,
        request: &AuthorizationRequest,
    ) -> Result<Authorization, PaymentError> {
        let response = self
            .http
            .post(&self.authorizations)
            .header("idempotency-key", key)
            .json(request)
            .send()
            .await
            .map_err(not_sent_or_no_answer)?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(no_answer);
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(PaymentError::Unknown(status.to_string()));
        }
        let refusal: Refusal = response.json().await.map_err(no_answer)?;
        Err(match refusal.code.as_str() {
            "card_declined" => PaymentError::Declined,
            _ => PaymentError::Refused { code: refusal.code },
        })
    }

    /// What the provider decided under a key, if it has.
    ///
    /// # Errors
    ///
    /// It gave no answer: ask again.
    pub async fn find(&self, key: &str) -> Result<Option<Authorization>, PaymentError> {
        let request = self.http.get(&self.authorizations).header("idempotency-key", key);
        let response = request.send().await.map_err(not_sent_or_no_answer)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => response.json().await.map(Some).map_err(no_answer),
            status => Err(PaymentError::Unknown(status.to_string())),
        }
    }

    /// Gives the money of an authorization back. A second time changes nothing.
    ///
    /// # Errors
    ///
    /// It may or may not be given back: call again.
    pub async fn void(&self, authorization: &str) -> Result<(), PaymentError> {
        let url = format!("{}/{authorization}/void", self.authorizations);
        let response = self.http.post(url).send().await.map_err(not_sent_or_no_answer)?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(PaymentError::Unknown(status.to_string()))
        }
    }
}

fn not_sent_or_no_answer(error: reqwest::Error) -> PaymentError {
    if error.is_connect() {
        PaymentError::NotSent(error.without_url().to_string())
    } else {
        no_answer(error)
    }
}

/// Leaves the URL out: it is configuration and may hold a secret.
fn no_answer(error: reqwest::Error) -> PaymentError {
    PaymentError::Unknown(error.without_url().to_string())
}
