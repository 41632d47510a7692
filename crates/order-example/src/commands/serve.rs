//! `order-example serve`: takes orders.

use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use tokio::net::TcpListener;

use super::{asked_to_end, say};
use crate::database::{Database, Schemas};
use crate::provider::Provider;
use crate::service::{Service, ServiceConfig};
use crate::workflow::ChargeMode;

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where to answer.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where everything is kept: sqlite:PATH or postgres://USER@HOST/DATABASE.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite:./orders.db",
        value_name = "URL"
    )]
    database_url: String,
    #[command(flatten)]
    schemas: Schemas,
    /// Where the payment provider is; without it, one runs inside this process.
    #[arg(long, value_name = "URL")]
    provider_url: Option<String>,
    /// The ledger of the payment provider inside this process.
    #[arg(long, default_value = "orders-payments.jsonl", value_name = "PATH")]
    payments: PathBuf,
    /// The file that remembers each receipt.
    #[arg(long, default_value = "orders-receipts.jsonl", value_name = "PATH")]
    receipts: PathBuf,
    /// The file that gets each message.
    #[arg(long, default_value = "orders-events.jsonl", value_name = "PATH")]
    events: PathBuf,
    /// Whether the payment provider may be asked twice under one key.
    #[arg(long, env = "ORDERS_CHARGE_MODE", value_enum, default_value_t)]
    charge_mode: ChargeMode,
}

impl ServeArgs {
    /// Answers until it is asked to end.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let shutdown = asked_to_end()?;
        let database = Database::from_url(&self.database_url)?;
        let provider_url = match &self.provider_url {
            Some(url) => url.clone(),
            None => self.embed_provider().await?,
        };
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("listen on {}", self.listen))?;
        let config = ServiceConfig {
            database,
            schemas: self.schemas,
            provider_url,
            receipts: self.receipts,
            events: self.events,
            charge_mode: self.charge_mode,
        };
        let service = Service::open(config, listener).await?;
        let ready = service.ready()?;
        say(&ready);
        say(how_to_try(ready.address));
        service.run(shutdown).await
    }

    /// The provider inside this process. It answers to the very end, since the orders that are
    /// finished during a shutdown need it.
    async fn embed_provider(&self) -> anyhow::Result<String> {
        let provider = Provider::open(&self.payments)
            .with_context(|| format!("open the payments in {}", self.payments.display()))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move {
            if let Err(error) = provider.serve(listener, pending()).await {
                tracing::error!(%error, "the payment provider ended");
            }
        });
        Ok(url)
    }
}

/// Two lines for a terminal. The key is new each time, so that the first one always runs.
fn how_to_try(address: SocketAddr) -> String {
    let key = keystep::random::unpredictable();
    let order = r#"{"items":[{"sku":"TEA","qty":1}],"payment":{"method":"card","cardId":"card_1"}}"#;
    let curl = format!(
        "curl -i http://{address}/api/v1/orders -H 'Content-Type: application/json' \
         -H 'Idempotency-Key: {key}' -d '{order}'"
    );
    format!(
        "Order some tea:\n  {curl}\n\
         The same request again runs nothing and gives the same order, marked Idempotent-Replayed:\n  {curl}"
    )
}
