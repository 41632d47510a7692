//! Who withholds the answer? The payment provider of the demo: it records the first authorization
//! on the disk like any other, and then does not answer it.

use std::future::{pending, ready};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::FutureExt;
use keystep::clock::monotonic;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::provider::Provider;

/// How long to wait for a call of the service.
const PATIENCE: Duration = Duration::from_secs(60);

/// A provider that never answers a request that it hears for the first time.
pub(super) struct WithholdingProvider {
    pub(super) url: String,
    heard: mpsc::UnboundedReceiver<Instant>,
    calls: usize,
    /// Ends the provider when this is dropped.
    _task: JoinSet<()>,
}

impl WithholdingProvider {
    pub(super) async fn start(ledger: &Path) -> anyhow::Result<Self> {
        let (hear, heard) = mpsc::unbounded_channel();
        let provider = Provider::open(ledger)?.before_answer(move |recorded| {
            hear.send(monotonic()).ok();
            if recorded.added {
                pending().boxed()
            } else {
                ready(()).boxed()
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut task = JoinSet::new();
        task.spawn(async move {
            provider.serve(listener, pending()).await.ok();
        });
        Ok(Self {
            url,
            heard,
            calls: 0,
            _task: task,
        })
    }

    /// Waits until the first authorization is on the disk.
    pub(super) async fn recorded(&mut self) -> anyhow::Result<()> {
        self.next().await.context("nobody asked the provider")?;
        Ok(())
    }

    /// Waits until the provider is asked again, and says when that was.
    pub(super) async fn asked_again(&mut self) -> anyhow::Result<Instant> {
        self.next()
            .await
            .context("nobody took the killed service's order over")
    }

    /// How often the provider was asked.
    pub(super) fn calls(&mut self) -> usize {
        while self.heard.try_recv().is_ok() {
            self.calls += 1;
        }
        self.calls
    }

    async fn next(&mut self) -> anyhow::Result<Instant> {
        let heard = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
        let at = heard
            .context("nothing was heard for a minute")?
            .context("the provider ended")?;
        self.calls += 1;
        Ok(at)
    }
}
