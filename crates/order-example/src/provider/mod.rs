//! Who holds the customers' money? A payment provider: another program, reached over HTTP.
//!
//! It stands for the foreign service that no transaction of ours can include. What makes it safe
//! to call again is its half of the bargain: it writes what it decides to its own durable ledger
//! under the caller's `Idempotency-Key` before it answers, and answers a repeated key from that
//! ledger.
//!
//! It is a fake in two respects only: the card named [`DECLINED_CARD`] is always declined, and in a build
//! for tests it can be told to keep its half of the bargain no longer ([`Behaviour`]), to see what then
//! becomes of ours.

pub(crate) mod api;
mod entry;

pub use api::Refusal;
pub use entry::{Behaviour, Decision, Entry, Kind, PaymentOrder, Stats};

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;

use crate::hooks;
use crate::ledger::{Ledger, Recorded};

/// The card that is always declined.
pub const DECLINED_CARD: &str = "card_declined";

/// Called after a decision is durable and before it is answered. The answer waits for it.
type BeforeAnswer = dyn Fn(&Recorded<Decision>) -> BoxFuture<'static, ()> + Send + Sync;

/// The payment provider. Cheap to clone. Several processes can be one provider, on one ledger.
#[derive(Clone)]
pub struct Provider {
    ledger: Ledger<Entry>,
    before_answer: Arc<BeforeAnswer>,
}

impl Provider {
    /// A provider that keeps what it decides in the file at `ledger`.
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
        wait: impl Fn(&Recorded<Decision>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
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
            .route(
                "/v1/authorizations",
                post(api::authorize).get(api::find_authorization),
            )
            .route("/v1/authorizations/{id}/void", post(api::void))
            .route("/v1/charges", post(api::charge).get(api::find_charge))
            .route("/livez", get(|| async { "ok" }));
        let router = hooks::provider_routes(router).with_state(self);
        axum::serve(listener, router)
            .with_graceful_shutdown(shutdown)
            .await
    }

    /// Decides once per key; every repetition gets the first decision, unless it behaves otherwise.
    async fn decide(&self, kind: Kind, key: &str, order: PaymentOrder) -> io::Result<Recorded<Decision>> {
        let decision = Decision {
            id: kind.new_id(),
            approved: order.card_id != DECLINED_CARD,
            request: order,
        };
        let entry = kind.entry(decision.clone());
        let recorded = self.ledger.append_once(kind.key(key), entry.clone()).await?;
        if recorded.added {
            return Ok(recorded_decision(decision, true));
        }
        if !self.behaviour().await?.dedupe {
            self.ledger.append_once(kind.another_key(key), entry).await?;
            return Ok(recorded_decision(decision, true));
        }
        if kind == Kind::Charge {
            self.ledger
                .append_once(Entry::key_of_repetition(), Entry::ChargeRepeated {})
                .await?;
        }
        let first = recorded.entry.decision().unwrap_or(decision);
        Ok(recorded_decision(first, false))
    }

    /// What was decided under a key.
    async fn decided(&self, kind: Kind, key: &str) -> io::Result<Option<Decision>> {
        let entry = self.ledger.get(kind.key(key)).await?;
        Ok(entry.and_then(Entry::decision))
    }

    /// Gives the money of an authorization back, once; false when there is no such authorization.
    async fn give_back(&self, id: &str) -> io::Result<bool> {
        let wanted = id.to_owned();
        let is_there = self.ledger.look(move |mut entries| {
            entries.any(|entry| {
                matches!(entry, Entry::Authorization(decision) if decision.id == wanted && decision.approved)
            })
        });
        if !is_there.await? {
            return Ok(false);
        }
        let voided = Entry::Voided { id: id.to_owned() };
        self.ledger.append_once(format!("void {id}"), voided).await?;
        Ok(true)
    }

    /// What was decided since it last forgot everything.
    ///
    /// # Errors
    ///
    /// The ledger can not be read.
    pub async fn stats(&self) -> io::Result<Stats> {
        self.ledger.look(|entries| entries.collect()).await
    }

    async fn behaviour(&self) -> io::Result<Behaviour> {
        let entry = self.ledger.get(Behaviour::KEY.to_owned()).await?;
        Ok(match entry {
            Some(Entry::Behaviour(behaviour)) => behaviour,
            _ => Behaviour::default(),
        })
    }

    /// Behaves so from now on, also after a restart.
    ///
    /// # Errors
    ///
    /// The ledger can not be written.
    pub async fn behave(&self, behaviour: Behaviour) -> io::Result<()> {
        let key = Behaviour::KEY.to_owned();
        self.ledger.set(key, Entry::Behaviour(behaviour)).await
    }

    /// Forgets everything.
    ///
    /// # Errors
    ///
    /// The ledger can not be written.
    pub async fn reset(&self) -> io::Result<()> {
        self.ledger.clear().await
    }
}

fn recorded_decision(entry: Decision, added: bool) -> Recorded<Decision> {
    Recorded { entry, added }
}
