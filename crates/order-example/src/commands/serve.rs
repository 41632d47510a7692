//! `order-example serve`: takes orders.

use std::future::pending;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{asked_to_end, say};
use crate::config::{Policies, Store};
use crate::database::{Database, Schemas};
use crate::domain::OfferSecret;
use crate::provider::Provider;
use crate::service::{Service, ServiceConfig};
use crate::tokens::{DEMO_USER, Tokens};

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where to answer.
    #[arg(
        long,
        env = "ORDERS_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "HOST:PORT"
    )]
    listen: String,
    /// Where everything is kept: sqlite:PATH or postgres://USER@HOST/DATABASE. Without it,
    /// DATABASE_URL says it, or else it is sqlite:./orders.db.
    #[arg(long, env = "ORDERS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    #[command(flatten)]
    schemas: Schemas,
    /// Who may use the service: a file of hashed tokens with their users, see the command `token`.
    /// Without it there is one user, whose token is made and printed at the start.
    #[arg(long, env = "ORDERS_TOKENS", value_name = "PATH")]
    tokens: Option<PathBuf>,
    /// What the ids of offers are derived with, the same for all processes. Without it, one that is
    /// made once and kept in the database.
    #[arg(
        long,
        env = "ORDERS_OFFER_SECRET",
        hide_env_values = true,
        value_name = "TEXT"
    )]
    offer_secret: Option<OfferSecret>,
    /// Where the payment provider is; without it, one runs inside this process.
    #[arg(long, env = "ORDERS_PROVIDER_URL", hide_env_values = true, value_name = "URL")]
    provider_url: Option<String>,
    /// The ledger of the payment provider inside this process.
    #[arg(long, value_name = "PATH")]
    payments: Option<PathBuf>,
    /// The file that remembers each receipt.
    #[arg(long, value_name = "PATH")]
    receipts: Option<PathBuf>,
    /// The file that gets each message.
    #[arg(long, value_name = "PATH")]
    events: Option<PathBuf>,
    #[command(flatten)]
    policies: Policies,
}

impl ServeArgs {
    /// Answers until it is asked to end.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let shutdown = asked_to_end()?;
        // Removed when this returns.
        let (database, _kept_for_now) = self.database()?;
        let (tokens, demo_token) = match &self.tokens {
            Some(file) => (Tokens::read(file)?, None),
            None => {
                let (tokens, token) = Tokens::demo();
                (tokens, Some(token))
            }
        };
        let folder = beside(&database);
        let file = |chosen: &Option<PathBuf>, name: &str| match chosen {
            Some(path) => path.clone(),
            None => folder.join(name),
        };
        let provider_url = match &self.provider_url {
            Some(url) => url.clone(),
            None => embed_provider(&file(&self.payments, "orders-payments.jsonl")).await?,
        };
        let listener = TcpListener::bind(&self.listen)
            .await
            .with_context(|| format!("listen on {}", self.listen))?;
        let config = ServiceConfig {
            receipts: file(&self.receipts, "orders-receipts.jsonl"),
            events: file(&self.events, "orders-events.jsonl"),
            database,
            schemas: self.schemas,
            provider_url,
            tokens,
            offer_secret: self.offer_secret,
            policies: self.policies,
        };
        let service = Service::open(config, listener).await?;
        let ready = service.ready()?;
        say(&ready);
        say(how_to_try(ready.address, demo_token.as_deref()));
        service.run(shutdown).await
    }

    /// Where everything is kept, and what removes it at the end if it is kept for this process only.
    fn database(&self) -> anyhow::Result<(Database, Option<TempDir>)> {
        match self.policies.store {
            Store::Db => {
                let url = self.database_url.clone();
                let url = url.or_else(|| std::env::var("DATABASE_URL").ok());
                let url = url.as_deref().unwrap_or("sqlite:./orders.db");
                Ok((Database::from_url(url)?, None))
            }
            Store::Memory => {
                let folder = tempfile::Builder::new().prefix("order-example-").tempdir()?;
                let file = folder.path().join("orders.db");
                Ok((Database::Sqlite(file), Some(folder)))
            }
            Store::Redis => bail!(
                "ORDERS_STORE=redis is not offered: this service keeps its keys in the database of its \
                 orders, so that both are written in one transaction; use ORDERS_STORE=db"
            ),
        }
    }
}

/// Ledgers belong to the database whose orders they are about: its folder, or the present one.
fn beside(database: &Database) -> PathBuf {
    let folder = match database {
        Database::Sqlite(file) => file.parent().map(Path::to_owned),
        Database::Postgres(_) => None,
    };
    folder.unwrap_or_default()
}

/// The provider inside this process. It answers to the very end, since the orders that are finished
/// during a shutdown need it.
async fn embed_provider(ledger: &Path) -> anyhow::Result<String> {
    let provider =
        Provider::open(ledger).with_context(|| format!("open the payments in {}", ledger.display()))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        if let Err(error) = provider.serve(listener, pending()).await {
            tracing::error!(%error, "the payment provider ended");
        }
    });
    Ok(url)
}

/// Lines for a terminal. The key is new each time, so that the order is a new one.
fn how_to_try(address: SocketAddr, demo_token: Option<&str>) -> String {
    let key = keystep::random::unpredictable();
    let (who, token) = match demo_token {
        Some(token) => (
            format!(
                "Without ORDERS_TOKENS the only user is {DEMO_USER}, whose token is shown here and kept nowhere.\n"
            ),
            token,
        ),
        None => (String::new(), "$TOKEN"),
    };
    let curl = format!("curl -i -H \"Authorization: Bearer {token}\" -H 'Content-Type: application/json'");
    let order = r#"{"payment":{"method":"cash"},"delivery":"courier","expectedTotal":{"amount":1000,"currency":"RUB"}}"#;
    format!(
        "{who}Put tea in the cart, and order it:\n  \
         {curl} http://{address}/api/v1/cart/items/TEA -X PUT -d '{{\"qty\":1}}'\n  \
         {curl} http://{address}/api/v1/orders -H 'Idempotency-Key: {key}' -d '{order}'\n\
         The second one again runs nothing and gives the same order, marked Idempotent-Replayed.\n\
         All there is to ask for: http://{address}/docs"
    )
}
