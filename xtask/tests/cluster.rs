//! Does a private server do what tests need, and is nothing left of it? With real servers.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use xtask::postgres::{Cluster, Options, Stop};

const LIMIT: Duration = Duration::from_secs(60);

/// Waits for a condition, at most so long that a broken promise is not taken for a slow machine.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_open(port: u16) -> bool {
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        Ok(_stream) => true,
        Err(error) => error.kind() != ErrorKind::ConnectionRefused,
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("the folder").next().is_none()
}

/// A folder for temporary files that any user may pass through, as `/tmp`.
fn temporary() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("our folder");
    folder
}

/// `cargo xtask postgres` as a child, once its server is ready, and the port of that server.
fn child(temporary: &Path) -> (Child, u16) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("postgres")
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped())
        .spawn()
        .expect("xtask");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let url = lines
        .map(|line| line.expect("text"))
        .find(|line| line.starts_with("KEYSTEP_TEST_POSTGRES_URL="))
        .expect("the URL");
    let port = url.split([':', '/']).find_map(|part| part.parse().ok());
    (child, port.expect("a port"))
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a pid");
    kill_process(pid, signal).expect("it runs");
}

#[test]
fn a_dropped_server_is_gone_with_its_folder() {
    let server = Cluster::start(Options::default()).expect("a server");
    let (port, data) = (server.port(), server.data());
    assert!(is_open(port) && data.exists());
    drop(server);
    assert!(!is_open(port), "it still listens");
    assert!(!data.exists(), "its folder is still there");
}

#[test]
fn a_server_can_crash_and_come_back_on_its_port() {
    let server = Cluster::start(Options::default()).expect("a server");
    let recovered = "database system was not properly shut down";

    server.restart(Stop::Fast).expect("a planned restart");
    assert!(is_open(server.port()));
    assert!(!server.log().contains(recovered), "{}", server.log());

    server.stop(Stop::Immediate).expect("a crash");
    assert!(!is_open(server.port()));
    server.start_again().expect("a recovery");
    assert!(is_open(server.port()));
    assert!(server.log().contains(recovered), "{}", server.log());
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let options = Options {
        settings: vec![("no_such_setting".into(), "1".into())],
        ..Options::default()
    };
    let error = Cluster::start(options).expect_err("the setting is unknown");
    assert!(format!("{error:#}").contains("no_such_setting"), "{error:#}");
}

#[test]
fn a_server_dies_with_the_process_that_started_it() {
    let temporary = temporary();
    let (mut child, port) = child(temporary.path());
    assert!(is_open(port));
    send(&child, Signal::KILL);
    child.wait().expect("it ended");
    eventually("nobody listens", || !is_open(port));
    eventually("the folder is removed", || is_empty(temporary.path()));
}

#[test]
fn a_signal_stops_the_server_and_is_the_exit_code() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let temporary = temporary();
        let (mut child, port) = child(temporary.path());
        send(&child, signal);
        let status = child.wait().expect("it ended");
        assert_eq!(status.code(), Some(code));
        assert!(!is_open(port), "it still listens");
        assert!(is_empty(temporary.path()), "its folder is still there");
    }
}

#[test]
fn a_command_beside_a_server_knows_its_url_and_passes_its_exit_code_on() {
    let temporary = temporary();
    let script = "case $KEYSTEP_TEST_POSTGRES_URL in postgres://*) exit 7;; esac";
    let status = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["postgres", "sh", "-c", script])
        .env("TMPDIR", temporary.path())
        .status()
        .expect("xtask");
    assert_eq!(status.code(), Some(7));
    assert!(is_empty(temporary.path()), "something is left behind");
}
