//! How does a test get a pooler before its PostgreSQL server? A private PgBouncer, which is found or
//! installed as the server is, and ends with the process that started it.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::postgres::install::{Advice, Machine, advice, apt_get_install};
use crate::postgres::{Cluster, account, free_port, run_as};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who has a connection to the server for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A client, as long as it is connected.
    Session,
    /// A transaction: the next one of the same client may be on another connection.
    Transaction,
}

/// A private PgBouncer. Dropping it ends it.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    folder: PathBuf,
    keeper: Child,
}

impl PgBouncer {
    /// Finds PgBouncer and starts it before a server, for any user.
    ///
    /// # Errors
    /// When there is no PgBouncer: the text says what to install. When it does not start: the text is
    /// what it logged.
    pub fn before(server: &Cluster, mode: Mode) -> Result<Self> {
        let program = find_or_install()?;
        let account = account::for_server()?;
        let temporary = tempfile::Builder::new()
            .prefix("keystep-pgbouncer-")
            .tempdir()
            .context("could not make a temporary folder")?;
        let port = free_port()?;
        let file = temporary.path().join("pgbouncer.ini");
        fs::write(&file, configuration(server.port(), port, mode)).context("could not write its file")?;
        if let Some(account) = &account {
            for path in [temporary.path(), &file] {
                std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
                    .context("could not give its files away")?;
            }
        }
        let mut keeper = Command::new("sh");
        run_as(&mut keeper, account.as_ref());
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(program)
            .arg(temporary.path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let keeper = keeper.spawn().context("could not start a shell for PgBouncer")?;
        let bouncer = Self {
            port,
            folder: temporary.keep(),
            keeper,
        };
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if started.elapsed() > PATIENCE {
                bail!("PgBouncer did not start: {}", bouncer.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(bouncer)
    }

    /// Where to connect as the superuser, with no password.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // The end of its input is the keeper's sign.
        drop(self.keeper.stdin.take());
        let _ended = self.keeper.wait();
    }
}

/// Waits for the end of its input, then ends PgBouncer and removes its folder.
const KEEPER: &str = r#"
trap '' HUP INT TERM
"$1" "$2/pgbouncer.ini" >"$2/log" 2>&1 </dev/null &
cat >/dev/null
kill -9 $!
wait
rm -rf -- "$2"
"#;

fn configuration(server: u16, port: u16, mode: Mode) -> String {
    let mode = match mode {
        Mode::Session => "session",
        Mode::Transaction => "transaction",
    };
    format!(
        "[databases]
postgres = host=127.0.0.1 port={server} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
max_client_conn = 400
default_pool_size = 100
ignore_startup_parameters = extra_float_digits
"
    )
}

/// Where Debian puts it, which is not on everybody's path.
const DEBIAN: &str = "/usr/sbin/pgbouncer";

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("pgbouncer"))
        .chain([PathBuf::from(DEBIAN)])
        .find(|program| program.is_file())
}

fn find_or_install() -> Result<PathBuf> {
    // Tests that run side by side install it once. The lock goes with the file.
    let lock = std::env::temp_dir().join("keystep-pgbouncer.lock");
    let lock = fs::File::create(lock).context("could not make a lock file")?;
    lock.lock().context("could not lock a file")?;
    if let Some(program) = find() {
        return Ok(program);
    }
    let machine = Machine {
        registered: None,
        ..Machine::here()
    };
    if advice(&machine) != Advice::Install {
        bail!("PgBouncer was not found: install the package `pgbouncer`");
    }
    let by_hand = "install the package `pgbouncer` by hand";
    without_services(|| apt_get_install("pgbouncer").context(by_hand))?;
    find().context("Debian's package `pgbouncer` is installed, but it has no program of this name")
}

/// Asks Debian not to start a service of the package: nobody asked for one.
fn without_services(install: impl FnOnce() -> Result<()>) -> Result<()> {
    let policy = PathBuf::from("/usr/sbin/policy-rc.d");
    if policy.exists() {
        return install();
    }
    let reason = "could not switch off the package's own service";
    fs::write(&policy, "#!/bin/sh\nexit 101\n").context(reason)?;
    fs::set_permissions(&policy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).context(reason)?;
    let installed = install();
    fs::remove_file(&policy).context("could not restore the policy of services")?;
    installed
}
