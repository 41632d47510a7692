//! How is the order service started for a test from outside, and how does it never outlive it?

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long it may take until it is ready, or has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running service. Dropping it asks the process to end and waits for that.
pub(super) struct Service {
    child: Child,
    address: String,
    token: String,
    log: PathBuf,
}

impl Service {
    /// Starts it on a free port, with one user, and returns when it says that it is ready.
    pub(super) fn start(program: &Path, folder: &Path, database_url: &str) -> Result<Self> {
        let (token, line) = token(program)?;
        let tokens = folder.join("tokens");
        std::fs::write(&tokens, line)?;
        let log = folder.join("log");
        let mut child = Command::new(program)
            .arg("serve")
            .env("ORDERS_LISTEN", "127.0.0.1:0")
            .env("ORDERS_DATABASE_URL", database_url)
            .env("ORDERS_TOKENS", &tokens)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            // Ctrl-C is for us; it is told by us.
            .process_group(0)
            .spawn()
            .with_context(|| format!("could not start {}", program.display()))?;
        let stdout = child.stdout.take().context("no output")?;
        let mut service = Self {
            child,
            address: String::new(),
            token,
            log,
        };
        let mut lines = BufReader::new(stdout);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        let Some(address) = first.trim().strip_prefix("ready on http://") else {
            bail!("the service did not start:\n{}", service.log());
        };
        service.address = address.split(' ').next().unwrap_or(address).to_owned();
        // Whoever does not read stops the writer, sooner or later.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        service.is_ready()?;
        Ok(service)
    }

    /// Host and port.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The token of its user.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `/readyz` says so.
    fn is_ready(&self) -> Result<()> {
        let started = Instant::now();
        while !self.says_ready().unwrap_or(false) {
            if started.elapsed() > PATIENCE {
                bail!("the service is not ready:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn says_ready(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /readyz HTTP/1.0\r\nHost: {}\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1) == Some("200"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended already needs no signal.
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed())
            && kill_process(pid, Signal::TERM).is_ok()
        {
            let _ended = self.child.wait();
        }
    }
}

/// A token for a user, and the line of the file that lets it in.
fn token(program: &Path) -> Result<(String, String)> {
    let output = Command::new(program).args(["token", "postman"]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("  "));
    match (lines.next(), lines.next()) {
        (Some(token), Some(line)) => Ok((token.to_owned(), format!("{line}\n"))),
        _ => bail!("`order-example token` gave no token: {text}"),
    }
}
