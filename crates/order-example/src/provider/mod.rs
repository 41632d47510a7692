//! Who holds the customers' money? A payment provider: another program, reached over HTTP.
//!
//! It stands for the foreign service that no transaction of ours can include. What makes it safe
//! to call again is its half of the bargain: it writes an authorization to its own durable ledger
//! under the caller's `Idempotency-Key` before it answers, and answers a repeated key from that
//! ledger.
//!
//! It is a fake in one respect only: the card named [`DECLINED_CARD`] is always declined.

mod api;

pub use api::Refusal;

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::domain::Money;
use crate::ledger::{Ledger, Recorded};

/// The card that is always declined.
pub const DECLINED_CARD: &str = "card_declined";

/// What a shop asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizationRequest {
    /// How much to hold back for the shop.
    pub amount: Money,
    /// On which card.
    pub card_id: String,
}

/// What the provider decided, as it stands in its ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// The provider's id.
    pub id: String,
    /// What was asked.
    pub request: AuthorizationRequest,
    /// Whether the money is held back.
    pub approved: bool,
    /// Whether this line says that the money of an earlier one was given back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub voided: bool,
}

/// Called after a decision is durable and before it is answered. The answer waits for it.
type BeforeAnswer = dyn Fn(&Recorded<Authorization>) -> BoxFuture<'static, ()> + Send + Sync;

/// The payment provider. Cheap to clone.
#[derive(Clone)]
pub struct Provider {
    ledger: Ledger<Authorization>,
    before_answer: Arc<BeforeAnswer>,
}

impl Provider {
    /// A provider that keeps its authorizations in the file at `ledger`.
    ///
    /// # Errors
    ///
    /// As for [`Ledger::open`].
    pub fn open(ledger: &Path) -> io::Result<Self> {
        Ok(Self {
            ledger: Ledger::open(ledger)?,
            before_answer: Arc::new(|_| futures::future::ready(()).boxed()),
        })
    }

    /// Calls `wait` between the fsync of each decision and its answer, and answers when the future
    /// ends. A slow provider, a lost answer, an event for somebody who watches: all of it is here.
    pub fn before_answer(
        mut self,
        wait: impl Fn(&Recorded<Authorization>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        self.before_answer = Arc::new(wait);
        self
    }

    /// Answers on `listener` until `shutdown` resolves.
    ///
    /// # Errors
    ///
    /// The listener failed.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let router = Router::new()
            .route("/v1/authorizations", post(api::authorize).get(api::find))
            .route("/v1/authorizations/{id}/void", post(api::void))
            .route("/livez", get(|| async { "ok" }))
            .with_state(self);
        axum::serve(listener, router)
            .with_graceful_shutdown(shutdown)
            .await
    }

    /// Decides once per key; every repetition gets the first decision.
    async fn decide(&self, key: &str, request: AuthorizationRequest) -> io::Result<Recorded<Authorization>> {
        let decision = Authorization {
            id: format!("auth_{}", keystep::random::unpredictable().simple()),
            approved: request.card_id != DECLINED_CARD,
            request,
            voided: false,
        };
        self.ledger.append_once(key.to_owned(), decision).await
    }

    /// What was decided under a key.
    async fn decided(&self, key: &str) -> io::Result<Option<Authorization>> {
        let wanted = key.to_owned();
        self.ledger.find(move |key, _decision| key == wanted).await
    }

    /// Gives the money of an authorization back, once; false when there is no such authorization.
    async fn give_back(&self, id: &str) -> io::Result<bool> {
        let wanted = id.to_owned();
        let found = self
            .ledger
            .find(move |_key, decision| decision.id == wanted && decision.approved);
        let Some(authorization) = found.await? else {
            return Ok(false);
        };
        let voided = Authorization {
            approved: false,
            voided: true,
            ..authorization
        };
        self.ledger.append_once(format!("void {id}"), voided).await?;
        Ok(true)
    }
}
