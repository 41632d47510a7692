//! How does the shop reach the payment provider, and what may it conclude from the answer?
//!
//! Three things can happen: the provider said yes, it said no, or we do not know. Not knowing is
//! the usual case after a lost connection, and the only safe reply to it is to ask again with the
//! same key.

use std::time::Duration;

use keystep::StepError;
use reqwest::StatusCode;

use crate::domain::{Money, Payment, Refusal};
use crate::provider::{self, Decision, PaymentOrder};

/// How long we wait for the provider before we call the outcome unknown.
const PATIENCE: Duration = Duration::from_secs(30);

/// The code of a failure that says that the provider was not reached, or gave no answer.
pub const UNAVAILABLE: &str = "upstream-unavailable";

/// The code of a failure that says that somebody else is paying, and that it may be known soon how it ends.
pub const UNDER_WAY: &str = "idempotency-in-progress";

/// The provider's word for a key that belongs to another request.
pub const KEY_REUSED: &str = "key_reused";

/// A client of the payment provider.
pub struct PaymentGateway {
    http: reqwest::Client,
    authorizations: String,
    charges: String,
}

/// Why no money is held back or taken, sorted by what to do next.
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

/// What the provider says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The money is held back, or taken.
    Approved(Decision),
    /// It decided against it.
    Declined,
    /// It knows nothing of the key.
    Nothing,
    /// It does not say.
    CanNotTell,
}

/// What to ask the provider for. It has nothing to do with what is not paid with a card.
pub fn payment_order(payment: Payment, amount: Money) -> Option<PaymentOrder> {
    match payment {
        Payment::Card { card_id } => Some(PaymentOrder { amount, card_id }),
        Payment::Cash | Payment::Invoice => None,
    }
}

impl PaymentError {
    /// The failure of a step that it means.
    pub fn into_failure(self) -> StepError {
        match self {
            Self::Declined => Refusal::PaymentDeclined.into_failure(),
            Self::Refused { .. } => StepError::terminal(self).code(Refusal::PaymentDeclined.slug()),
            Self::NotSent(_) => StepError::not_done(self).code(UNAVAILABLE),
            Self::Unknown(_) => StepError::retry(self).code(UNAVAILABLE),
        }
    }
}

impl PaymentGateway {
    /// A client of the provider at `base`, such as `http://127.0.0.1:8081`.
    ///
    /// # Errors
    ///
    /// The HTTP client can not be set up.
    pub fn new(base: &str) -> Result<Self, reqwest::Error> {
        let base = base.trim_end_matches('/');
        Ok(Self {
            http: reqwest::Client::builder().timeout(PATIENCE).build()?,
            authorizations: format!("{base}/v1/authorizations"),
            charges: format!("{base}/v1/charges"),
        })
    }

    /// Asks the provider to hold money back. The same `key` never does so twice.
    ///
    /// # Errors
    ///
    /// Each kind of [`PaymentError`] says what to do next.
    pub async fn authorize(&self, key: &str, order: &PaymentOrder) -> Result<Decision, PaymentError> {
        self.ask(&self.authorizations, key, order).await
    }

    /// Asks the provider to take money. The same `key` never does so twice.
    ///
    /// # Errors
    ///
    /// Each kind of [`PaymentError`] says what to do next.
    pub async fn charge(&self, key: &str, order: &PaymentOrder) -> Result<Decision, PaymentError> {
        self.ask(&self.charges, key, order).await
    }

    /// What the provider decided when it was asked under a key to hold money back.
    ///
    /// # Errors
    ///
    /// It gave no answer: ask again.
    pub async fn find_authorization(&self, key: &str) -> Result<Found, PaymentError> {
        self.find(&self.authorizations, key).await
    }

    /// What the provider decided when it was asked under a key to take money.
    ///
    /// # Errors
    ///
    /// It gave no answer: ask again.
    pub async fn find_charge(&self, key: &str) -> Result<Found, PaymentError> {
        self.find(&self.charges, key).await
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

    async fn ask(&self, url: &str, key: &str, order: &PaymentOrder) -> Result<Decision, PaymentError> {
        let response = self
            .http
            .post(url)
            .header("idempotency-key", key)
            .json(order)
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
        let refusal: provider::Refusal = response.json().await.map_err(no_answer)?;
        Err(match refusal.code.as_str() {
            "card_declined" => PaymentError::Declined,
            _ => PaymentError::Refused { code: refusal.code },
        })
    }

    async fn find(&self, url: &str, key: &str) -> Result<Found, PaymentError> {
        let request = self.http.get(url).header("idempotency-key", key);
        let response = request.send().await.map_err(not_sent_or_no_answer)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(Found::Nothing),
            StatusCode::NOT_IMPLEMENTED => Ok(Found::CanNotTell),
            status if status.is_success() => {
                let decision: Decision = response.json().await.map_err(no_answer)?;
                Ok(if decision.approved {
                    Found::Approved(decision)
                } else {
                    Found::Declined
                })
            }
            status => Err(PaymentError::Unknown(status.to_string())),
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
