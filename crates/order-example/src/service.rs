//! How is the order service put together? A store, the schemas with what their steps need, and HTTP.
//!
//! This is the composition root: the only place that knows all parts.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use keystep::{Engine, EngineBuilder, Relay, WorkerOptions};
use keystep_postgres::{PostgresOptions, PostgresStore};
use keystep_sqlite::SqliteStore;
use tokio::net::TcpListener;

use crate::compat::Compat;
use crate::config::Policies;
use crate::database::{Database, Schemas};
use crate::domain::OfferSecret;
use crate::events::Events;
use crate::hooks::Hooks;
use crate::http::doors::{Doors, Schemas as OrderSchemas};
use crate::http::{self, Api, Gate};
use crate::numbers;
use crate::payments::PaymentGateway;
use crate::ready::Ready;
use crate::receipts::Receipts;
use crate::shop::Shop;
use crate::tokens::Tokens;

/// What a service needs to know.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Where the engine and the shop keep their tables.
    pub database: Database,
    /// Which schemas, on PostgreSQL.
    pub schemas: Schemas,
    /// Where the payment provider is.
    pub provider_url: String,
    /// The ledger of receipts.
    pub receipts: PathBuf,
    /// The ledger of messages.
    pub events: PathBuf,
    /// Who may use it.
    pub tokens: Tokens,
    /// What the ids of offers are derived with; without it, what the database keeps for that.
    pub offer_secret: Option<OfferSecret>,
    /// How keys, duplicates, failures and replays are treated.
    pub policies: Policies,
}

/// A service that is ready to answer.
pub struct Service {
    api: Arc<Api>,
    listener: TcpListener,
    /// Ends with the service.
    _relay: Relay,
}

impl Service {
    /// Opens everything the service needs. From then on it also finishes what others left.
    ///
    /// # Errors
    ///
    /// Something can not be opened; the error says what.
    pub async fn open(config: ServiceConfig, listener: TcpListener) -> anyhow::Result<Self> {
        let policies = config.policies;
        let (builder, shop, hooks) = open_database(&config.database, &config.schemas).await?;
        hooks.pays_at(&config.provider_url);
        let receipts = Receipts::open(&config.receipts)
            .with_context(|| format!("open the receipts in {}", config.receipts.display()))?;
        let events = Events::open(&config.events)
            .with_context(|| format!("open the messages in {}", config.events.display()))?;
        let offer_secret = match config.offer_secret {
            Some(secret) => secret,
            None => shop.offer_secret().await.context("read the secret of offers")?,
        };
        let metrics = numbers::record().context("set up the numbers")?;
        let schemas = OrderSchemas::new(&policies);
        let compat = Compat::new(&policies);
        let builder = compat.register(schemas.register(builder));
        let engine = builder
            .worker(worker(&policies))
            .provide(shop.clone())
            .provide(PaymentGateway::new(&config.provider_url)?)
            .provide(receipts)
            .provide(hooks.clone())
            .build()
            .await
            .context("start the engine")?;
        let relay = engine.relay(hooks.watching(events));
        let api = Arc::new(Api {
            doors: Doors::new(&engine, schemas, &policies),
            compat: compat.open(&engine),
            engine,
            shop,
            gate: Gate {
                tokens: config.tokens,
                hooks,
            },
            offer_secret,
            policies,
            metrics,
        });
        Ok(Self {
            api,
            listener,
            _relay: relay,
        })
    }

    /// Where it answers, and as which worker it works.
    ///
    /// # Errors
    ///
    /// The listener has no address.
    pub fn ready(&self) -> anyhow::Result<Ready> {
        Ok(Ready {
            address: self.listener.local_addr()?,
            worker: Some(self.api.engine.worker_id().to_string()),
        })
    }

    /// Answers requests and works until `shutdown` resolves; then answers what it has begun, hands
    /// the rest to other processes, and returns.
    ///
    /// # Errors
    ///
    /// The listener failed.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let shutdown = shutdown.shared();
        let worker = self.api.engine.worker().run(shutdown.clone());
        let answers = axum::serve(self.listener, http::router(self.api.clone()))
            .with_graceful_shutdown(shutdown)
            .into_future();
        let (answered, ()) = tokio::join!(answers, worker);
        answered.context("answer requests")
    }
}

/// How this process takes part in the work. What a dead process left is looked for every second, or more
/// often when it may wait for less.
fn worker(policies: &Policies) -> WorkerOptions {
    let usual = WorkerOptions::default();
    let soon = policies.completer_grace_ms.max(Duration::from_millis(10));
    WorkerOptions {
        beat_limit: policies.lease_ms,
        grace: usual.grace.min(soon),
        sweep: usual.sweep.min(soon),
        ..usual
    }
}

/// Opens the engine's store, the shop's tables beside it, and the doors for tests.
///
/// # Errors
///
/// The database is away or can not be used; the error says which.
pub async fn open_database(
    database: &Database,
    schemas: &Schemas,
) -> anyhow::Result<(EngineBuilder, Shop, Hooks)> {
    let what = || format!("open {database}");
    Ok(match database {
        Database::Sqlite(file) => {
            let path = file.to_str().context("the file's name is not UTF-8")?;
            let store = SqliteStore::open(path).await.with_context(what)?;
            let shop = Shop::in_sqlite(store.clone(), file).await.with_context(what)?;
            let hooks = Hooks::in_sqlite(&store).await.with_context(what)?;
            (Engine::builder(hooks.around(store)), shop, hooks)
        }
        Database::Postgres(url) => {
            let options = PostgresOptions {
                schema: schemas.store_schema.to_string(),
                ..PostgresOptions::default()
            };
            let store = PostgresStore::connect_with(url, options)
                .await
                .with_context(what)?;
            store.migrate().await.with_context(what)?;
            let shop = Shop::in_postgres(store.clone(), url, schemas.shop_schema.clone()).await;
            let shop = shop.with_context(what)?;
            let hooks = Hooks::in_postgres(&store, url, schemas)
                .await
                .with_context(what)?;
            (Engine::builder(hooks.around(store)), shop, hooks)
        }
    })
}
