//! Does the demonstration keep its promises, and does it leave nothing behind?

use std::path::Path;
use std::process::{Output, Stdio};

use order_example::demo::Report;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::server::{PATIENCE, PROGRAM, postgres_url};

async fn play(temp: &Path, args: &[&str]) -> Output {
    let demo = Command::new(PROGRAM)
        .arg("demo")
        .args(args)
        .env("TMPDIR", temp)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE * 3, demo).await;
    output.expect("in time").expect("runs")
}

/// The one JSON document, checked against what is promised.
fn kept(output: &Output, store: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Report = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(report.store, store);
    assert!(report.resume_ms > 0);
    assert_eq!(report.broken_promise(), None);
}

#[tokio::test]
async fn the_demo_keeps_its_promises_on_sqlite() {
    let temp = tempfile::tempdir().expect("a folder");
    kept(&play(temp.path(), &["--json"]).await, "sqlite");
    let left = std::fs::read_dir(temp.path()).expect("reads").count();
    assert_eq!(left, 0, "the temporary folder is removed");
}

#[tokio::test]
async fn the_demo_keeps_its_promises_on_postgres() {
    let temp = tempfile::tempdir().expect("a folder");
    let server: PgConnectOptions = postgres_url().parse().expect("a URL");
    // A database of its own, in which nobody else makes or drops schemas meanwhile.
    let name = format!("demo_{}", keystep::random::unpredictable().simple());
    let mut admin = PgConnection::connect_with(&server).await.expect("connects");
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(&mut admin).await.expect("creates");

    let own = server.database(&name);
    let url = own.to_url_lossy();
    kept(
        &play(temp.path(), &["--json", "--database-url", url.as_str()]).await,
        "postgres",
    );
    let mut connection = PgConnection::connect_with(&own).await.expect("connects");
    let left: Vec<String> =
        sqlx::query_scalar("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'keystep%'")
            .fetch_all(&mut connection)
            .await
            .expect("reads");
    assert_eq!(left, [""; 0], "its schemas are dropped");
    connection.close().await.expect("closes");

    let drop = AssertSqlSafe(format!("DROP DATABASE {name}"));
    sqlx::raw_sql(drop).execute(&mut admin).await.expect("drops");
}

#[tokio::test]
async fn the_demo_tells_its_story_to_a_newcomer() {
    let temp = tempfile::tempdir().expect("a folder");
    let output = play(temp.path(), &[]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let story = String::from_utf8(output.stdout).expect("text");
    for part in [
        "SIGKILL",
        "authorize_payment   2",
        "service 1, killed",
        "orders 1",
    ] {
        assert!(story.contains(part), "{part} is missing in:\n{story}");
    }
}

#[tokio::test]
async fn a_demo_that_is_interrupted_leaves_no_process_and_no_file() {
    let temp = tempfile::tempdir().expect("a folder");
    let mut demo = Command::new(PROGRAM)
        .arg("demo")
        .env("TMPDIR", temp.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let stdout = demo.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let service = loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.expect("in time").expect("reads").expect("a line");
        if let Some((_, rest)) = line.split_once("service 1, process ") {
            let digits = rest.split('.').next().expect("digits");
            break pid(digits.parse().expect("a number"));
        }
    };
    test_kill_process(service).expect("the service runs");
    let demo_pid = pid(demo.id().expect("runs"));
    kill_process(demo_pid, Signal::TERM).expect("signals");
    let status = tokio::time::timeout(PATIENCE, demo.wait()).await;
    let status = status.expect("in time").expect("waits");
    assert!(!status.success());
    assert_eq!(test_kill_process(service), Err(Errno::SRCH));
    let left = std::fs::read_dir(temp.path()).expect("reads").count();
    assert_eq!(left, 0, "the temporary folder is removed");
}

fn pid(id: u32) -> Pid {
    let id = i32::try_from(id).expect("a small number");
    Pid::from_raw(id).expect("a process id")
}

#[tokio::test]
async fn the_demo_does_not_play_with_a_file_that_is_there() {
    let temp = tempfile::tempdir().expect("a folder");
    let file = temp.path().join("mine.db");
    std::fs::write(&file, "mine").expect("writes");
    let url = format!("sqlite:{}", file.display());
    let output = play(temp.path(), &["--database-url", &url]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(std::fs::read(&file).expect("reads"), b"mine");
}
