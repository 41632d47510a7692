//! How is a service started and killed? As a child process, plain `order-example serve`.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::place::Place;
use crate::ready::Ready;

/// How long a service may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

const SIGKILL: i32 = 9;

/// A service in a process of its own. Dropping it kills the process.
pub(super) struct ServiceProcess {
    pub(super) name: &'static str,
    pub(super) pid: u32,
    child: Child,
    /// Kept open, so that the service can go on printing.
    stdout: Lines<BufReader<ChildStdout>>,
    ready: Option<Ready>,
}

impl ServiceProcess {
    /// Starts a service.
    pub(super) fn spawn(name: &'static str, place: &Place, provider_url: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--provider-url", provider_url])
            .arg("--receipts")
            .arg(place.receipts())
            .arg("--events")
            .arg(place.events())
            .arg("--store-schema")
            .arg(place.schemas.store_schema.to_string())
            .arg("--shop-schema")
            .arg(place.schemas.shop_schema.to_string())
            // Not an argument: arguments of a process can be read by everybody.
            .env("ORDERS_DATABASE_URL", place.database.url())
            .env("ORDERS_TOKENS", place.tokens())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(place.log(name)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let stdout = child.stdout.take().context("the child has no stdout")?;
        Ok(Self {
            name,
            pid: child.id().context("the child has no process id")?,
            child,
            stdout: BufReader::new(stdout).lines(),
            ready: None,
        })
    }

    /// Waits until the service answers requests, and says where.
    pub(super) async fn ready(&mut self) -> anyhow::Result<String> {
        let name = self.name;
        let ready = tokio::time::timeout(PATIENCE, read_ready(&mut self.stdout))
            .await
            .with_context(|| format!("{name} was not ready within a minute"))?
            .with_context(|| format!("start {name}"))?;
        let url = format!("http://{}", ready.address);
        self.ready = Some(ready);
        Ok(url)
    }

    /// Whether this is the worker of that id in a step table.
    pub(super) fn is_worker(&self, id: &str) -> bool {
        let worker = self.ready.as_ref().and_then(|ready| ready.worker.as_deref());
        worker == Some(id)
    }

    /// Kills the process with SIGKILL if it runs, waits until it is gone, and answers whether that
    /// is what it died of.
    pub(super) async fn kill(&mut self) -> anyhow::Result<bool> {
        self.child.start_kill().ok();
        let status = self.child.wait().await?;
        Ok(status.signal() == Some(SIGKILL))
    }
}

async fn read_ready(stdout: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<Ready> {
    while let Some(line) = stdout.next_line().await? {
        if let Ok(ready) = line.parse() {
            return Ok(ready);
        }
    }
    bail!("it ended before it was ready")
}
