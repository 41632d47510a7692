//! How is the order service put together? A store, the schema with what its steps need, and HTTP.
//!
//! This is the composition root: the only place that knows all parts.

use std::future::Future;
use std::path::PathBuf;

use anyhow::Context;
use futures::FutureExt;
use keystep::{Engine, EngineBuilder, Relay};
use keystep_postgres::{PostgresOptions, PostgresStore};
use keystep_sqlite::SqliteStore;
use tokio::net::TcpListener;

use crate::database::{Database, Schemas};
use crate::events::Events;
use crate::http::{self, Api};
use crate::payments::PaymentGateway;
use crate::ready::Ready;
use crate::receipts::Receipts;
use crate::shop::Shop;
use crate::workflow::{ChargeMode, order_create};

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
    /// How the payment provider is asked.
    pub charge_mode: ChargeMode,
}

/// A service that is ready to answer.
pub struct Service {
    api: Api,
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
        let (builder, shop) = open_database(&config.database, &config.schemas).await?;
        let receipts = Receipts::open(&config.receipts)
            .with_context(|| format!("open the receipts in {}", config.receipts.display()))?;
        let events = Events::open(&config.events)
            .with_context(|| format!("open the messages in {}", config.events.display()))?;
        let schema = order_create(config.charge_mode);
        let engine = builder
            .schema(schema.clone())
            .provide(shop.clone())
            .provide(PaymentGateway::new(&config.provider_url)?)
            .provide(receipts)
            .build()
            .await
            .context("start the engine")?;
        let relay = engine.relay(events);
        let api = Api { engine, schema, shop };
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

/// Opens the engine's store and the shop's tables beside it.
///
/// # Errors
///
/// The database is away or can not be used; the error says which.
pub async fn open_database(database: &Database, schemas: &Schemas) -> anyhow::Result<(EngineBuilder, Shop)> {
    let what = || format!("open {database}");
    Ok(match database {
        Database::Sqlite(file) => {
            let path = file.to_str().context("the file's name is not UTF-8")?;
            let store = SqliteStore::open(path).await.with_context(what)?;
            let shop = Shop::in_sqlite(store.clone(), file).await;
            (Engine::builder(store), shop.with_context(what)?)
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
            (Engine::builder(store), shop.with_context(what)?)
        }
    })
}
