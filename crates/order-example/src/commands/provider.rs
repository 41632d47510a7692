//! `order-example provider`: the payment provider as a program of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use tokio::net::TcpListener;

use super::{asked_to_end, say};
use crate::provider::Provider;
use crate::ready::Ready;

/// Options of `provider`.
#[derive(Debug, clap::Args)]
pub struct ProviderArgs {
    /// Where to answer.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDR")]
    listen: SocketAddr,
    /// The file that remembers each authorization.
    #[arg(long, default_value = "orders-payments.jsonl", value_name = "PATH")]
    ledger: PathBuf,
}

impl ProviderArgs {
    /// Answers until it is asked to end.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let provider = Provider::open(&self.ledger)
            .with_context(|| format!("open the ledger {}", self.ledger.display()))?;
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("listen on {}", self.listen))?;
        let shutdown = asked_to_end()?;
        say(Ready {
            address: listener.local_addr()?,
            worker: None,
        });
        Ok(provider.serve(listener, shutdown).await?)
    }
}
