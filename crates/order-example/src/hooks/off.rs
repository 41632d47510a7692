//! What are the doors in a program that people run? Empty: a store is the store, a step is the step.

use axum::Router;
use keystep::{StepContext, StepResult};
use keystep_postgres::PostgresStore;
use keystep_sqlite::SqliteStore;

use crate::database::Schemas;
use crate::provider::Provider;
use crate::shop::ShopError;

/// No controls. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hooks;

/// The provider's own routes.
pub(crate) fn provider_routes(router: Router<Provider>) -> Router<Provider> {
    router
}

/// The effect of a step, which nothing disturbs.
#[derive(Debug)]
pub struct Effect;

/// Called by a step before its effect.
///
/// # Errors
///
/// None.
pub async fn before(_cx: &StepContext) -> StepResult<Effect> {
    Ok(Effect)
}

impl Effect {
    /// Called by a step when its effect is done, before the engine records it.
    pub async fn done(self) {}
}

impl Hooks {
    /// The controls of a service on SQLite.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn in_sqlite(_store: &SqliteStore) -> Result<Self, ShopError> {
        Ok(Self)
    }

    /// The controls of a service on PostgreSQL.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn in_postgres(
        _store: &PostgresStore,
        _url: &str,
        _schemas: &Schemas,
    ) -> Result<Self, ShopError> {
        Ok(Self)
    }

    /// The store itself.
    pub fn around<S>(&self, store: S) -> S {
        store
    }

    /// Nothing is asked of the payment provider.
    pub fn pays_at(&self, _provider_url: &str) {}

    /// The publisher itself.
    pub fn watching<P>(&self, publisher: P) -> P {
        publisher
    }

    /// The routes as they are.
    pub fn routes(&self, router: Router) -> Router {
        router
    }

    /// Never.
    pub fn are_open(&self) -> bool {
        false
    }

    /// Nobody.
    pub fn user(&self, _token: &str) -> Option<String> {
        None
    }

    /// Never.
    pub fn is_blocked(&self, _user: &str) -> bool {
        false
    }
}
