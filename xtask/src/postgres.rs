//! How does a test get a PostgreSQL server of its own, and how does that server never outlive it?
//!
//! [`Cluster::start`] makes a new cluster in a temporary folder, on a free port of 127.0.0.1, with
//! the settings that make an acknowledged commit durable. The server's programs are found by
//! [`binaries`], installed by [`install`] where that is possible, and run under the user that
//! [`account`] chooses, because PostgreSQL refuses to run as root.
//!
//! Taking away is the work of a *keeper*: a small shell that waits for the end of its input, then
//! stops the server and removes the folder. Its input is a pipe from this process, which ends when
//! the [`Cluster`] is dropped and also when the process dies in whatever way, `kill -9` included.
//! So there is one way to clean up, and it is used every time.

pub mod account;
pub mod binaries;
pub mod install;
mod standby;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use account::Account;
use binaries::Binaries;

/// How long the server may take to start or to stop, recovery included.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often another free port is tried when somebody was faster.
const PORTS: usize = 5;

/// What a cluster is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// `max_connections` of the server.
    pub max_connections: u32,
    /// More lines of `postgresql.conf`, as (name, value); a later one wins.
    pub settings: Vec<(String, String)>,
    /// Where the cluster's folder is made; with other temporary files by default. The server's user
    /// must be able to pass through it.
    pub place: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 400,
            settings: Vec::new(),
            place: None,
        }
    }
}

/// How the server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ends its sessions and writes everything down: an administrator's restart.
    Fast,
    /// Ends at once; the next start recovers from the log: a crash.
    Immediate,
}

/// A private server. Dropping it stops the server and removes its folder. [`Cluster::standby_of`]
/// makes a second one that follows it.
///
/// All methods block; from an async test call them in `spawn_blocking`, or accept that they take
/// about a second.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    account: Option<Account>,
    folder: PathBuf,
    port: u16,
    keeper: Child,
}

impl Cluster {
    /// Finds PostgreSQL, makes a new cluster and waits until it accepts connections.
    ///
    /// # Errors
    /// When there is no PostgreSQL: the text says what to install. When the server does not start:
    /// the text ends with the server's own words.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_with(options.place.as_deref(), |cluster| cluster.initialise(&options))
    }

    /// Starts a server in a new folder, once `fill` has made its data there.
    fn start_with(place: Option<&Path>, fill: impl FnOnce(&Self) -> Result<()>) -> Result<Self> {
        let binaries = install::find_or_install()?;
        let account = account::for_server()?;
        let temporary = tempfile::Builder::new()
            .prefix("keystep-postgres-")
            .tempdir_in(place.map_or_else(std::env::temp_dir, Path::to_path_buf))
            .context("could not make a temporary folder")?;
        if let Some(account) = &account {
            std::os::unix::fs::chown(temporary.path(), Some(account.uid), Some(account.gid))
                .with_context(|| format!("could not give the folder to {}", account.name))?;
        }
        let keeper = keeper(&binaries, account.as_ref(), temporary.path())?;
        let mut cluster = Self {
            binaries,
            account,
            folder: temporary.keep(),
            port: 0,
            keeper,
        };
        fill(&cluster)?;
        for attempt in 1.. {
            cluster.port = free_port()?;
            match cluster.start_again() {
                Err(error) if attempt < PORTS && is_taken(&error) => {}
                started => {
                    started?;
                    break;
                }
            }
        }
        Ok(cluster)
    }

    /// Where to connect as the superuser, with no password.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The port on 127.0.0.1. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the server's programs.
    pub fn bin(&self) -> &Path {
        self.binaries.bin()
    }

    /// The server's version as it calls itself, for example `PostgreSQL 15.18`.
    pub fn version(&self) -> &str {
        self.binaries.version()
    }

    /// The cluster's data folder, for settings and signal files.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the server has logged so far, over all its starts.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map_or_else(
            |_none_yet| String::new(),
            |log| String::from_utf8_lossy(&log).into_owned(),
        )
    }

    /// Stops the server and returns when it has stopped. [`start_again`](Self::start_again) goes on.
    ///
    /// # Errors
    /// When it does not run, or does not stop within a minute.
    pub fn stop(&self, how: Stop) -> Result<()> {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        let mut stop = self.program("pg_ctl");
        stop.args(["stop", "-w", "-m", mode, "-t"])
            .arg(PATIENCE.as_secs().to_string())
            .arg("-D")
            .arg(self.data());
        self.succeed(&mut stop)
    }

    /// Starts a stopped server and returns when it accepts connections.
    ///
    /// # Errors
    /// When it does not start within a minute: the text ends with the server's own words.
    pub fn start_again(&self) -> Result<()> {
        let silent = self.log().len();
        let mut start = self.program("pg_ctl");
        start
            .args(["start", "-w", "-t"])
            .arg(PATIENCE.as_secs().to_string())
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(self.log_file())
            .args(["-o", &format!("-p {}", self.port)]);
        self.succeed(&mut start)
            .with_context(|| self.log().split_off(silent))
            .context("the PostgreSQL server did not start")
    }

    /// Stops and starts the server; the port stays the same.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start_again`](Self::start_again).
    pub fn restart(&self, how: Stop) -> Result<()> {
        self.stop(how)?;
        self.start_again()
    }

    /// Changes settings that need no restart, for now and for later starts.
    ///
    /// # Errors
    /// When the server does not run, or its file can not be written.
    pub fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.add_to_configuration(&lines(settings.iter().copied()))?;
        let mut reload = self.program("pg_ctl");
        reload.arg("reload").arg("-D").arg(self.data());
        self.succeed(&mut reload)
    }

    fn initialise(&self, options: &Options) -> Result<()> {
        let mut initdb = self.program("initdb");
        initdb
            // The folder does not survive the machine, so making it need not be durable.
            .args(["--no-sync", "--username=postgres", "--auth=trust"])
            .args(["--encoding=UTF8", "--locale=C", "-D"])
            .arg(self.data());
        self.succeed(&mut initdb)?;
        self.add_to_configuration(&settings(options, self.binaries.has_statistics()))
    }

    fn add_to_configuration(&self, more: &str) -> Result<()> {
        let file = self.data().join("postgresql.conf");
        let mut text = fs::read_to_string(&file).context("could not read postgresql.conf")?;
        text.push_str(more);
        fs::write(&file, text).context("could not write postgresql.conf")
    }

    /// One of PostgreSQL's programs, to be run under the server's account.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.bin().join(name));
        run_as(&mut command, self.account.as_ref());
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .env("LC_ALL", "C")
            .env_remove("PGDATA")
            .env_remove("PGPORT");
        command
    }

    fn succeed(&self, command: &mut Command) -> Result<()> {
        let program = command.get_program().to_string_lossy().into_owned();
        let Output { status, stderr, .. } = command
            .output()
            .with_context(|| format!("could not start {program}"))?;
        if !status.success() {
            let who = self.account.as_ref().map_or("us", |account| &account.name);
            let words = String::from_utf8_lossy(&stderr);
            bail!("{program}, run as {who}, failed: {}", words.trim());
        }
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its input is the keeper's sign.
        drop(self.keeper.stdin.take());
        let ended = self.keeper.wait();
        if self.folder.exists() {
            eprintln!(
                "xtask: {} could not be cleaned up ({ended:?})",
                self.folder.display()
            );
        }
    }
}

/// Starts the keeper of a folder. It leads a process group of its own, so that a Ctrl-C that ends
/// us leaves it its work.
fn keeper(binaries: &Binaries, account: Option<&Account>, folder: &Path) -> Result<Child> {
    let mut command = Command::new("sh");
    run_as(&mut command, account);
    command
        .args(["-c", KEEPER, "keeper"])
        .arg(binaries.bin())
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("could not start a shell that cleans up after the server")
}

const KEEPER: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
"$1/pg_ctl" stop -w -m immediate -t 60 -D "$2/data"
rm -rf -- "$2"
"#;

/// Lets a program run under another user.
pub(crate) fn run_as(command: &mut Command, account: Option<&Account>) {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
}

/// The end of `postgresql.conf`. Durable on purpose: what tests prove about crashes would mean
/// nothing on a server that may forget a commit.
fn settings(options: &Options, statistics: bool) -> String {
    let connections = options.max_connections.to_string();
    let mut all = vec![
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("max_connections", &connections),
    ];
    if statistics {
        all.push(("shared_preload_libraries", "pg_stat_statements"));
    }
    let more = options.settings.iter();
    all.extend(more.map(|(name, value)| (name.as_str(), value.as_str())));
    lines(all)
}

/// Settings as lines of `postgresql.conf`.
fn lines<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let settings = settings.into_iter();
    settings
        .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
        .collect()
}

/// A port that was free a moment ago. Somebody may be faster; the server then says so.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("could not find a free port")?;
    Ok(listener.local_addr()?.port())
}

fn is_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("could not bind")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_durable_and_a_later_one_wins() {
        let options = Options {
            max_connections: 20,
            settings: vec![("work_mem".into(), "it's".into())],
            place: None,
        };
        let text = settings(&options, false);
        for line in ["fsync = 'on'", "max_connections = '20'", "work_mem = 'it''s'"] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("work_mem = 'it''s'\n"), "{text}");
        assert!(!text.contains("pg_stat_statements"), "{text}");
        assert!(settings(&options, true).contains("pg_stat_statements"));
    }

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port().expect("a port");
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("nobody took it");
    }
}
