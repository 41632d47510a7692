//! Does a service leave in order?

use std::process::Stdio;

use reqwest::StatusCode;
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::server::{HeldProvider, PATIENCE, PROGRAM, Place, Server};

#[tokio::test]
async fn a_service_that_is_asked_to_end_ends_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::sqlite();
        let mut server = Server::start(&place).await;
        let body = server.some_tea().await;
        let ordered = server.order(&body).await;
        assert_eq!(ordered.status, StatusCode::CREATED);
        server.signal(signal);
        let status = tokio::time::timeout(PATIENCE, server.child.wait()).await;
        let status = status.expect("in time").expect("waits");
        assert!(status.success(), "{status}");

        let successor = Server::start(&place).await;
        let again = successor.order(&body).await;
        assert_eq!(again.body, ordered.body);
    }
}

#[tokio::test]
async fn a_service_that_is_asked_to_end_finishes_the_order_it_has_begun() {
    let place = Place::sqlite();
    let mut provider = HeldProvider::start(&place).await;
    let mut server = Server::start_at(&place, &provider.url).await;
    let body = server.some_tea().await;
    let ordering = tokio::spawn(server.order(&body));
    provider.recorded().await;
    server.signal(Signal::TERM);
    provider.answer();
    let ordered = ordering.await.expect("joins");
    assert_eq!(ordered.status, StatusCode::CREATED);
    let status = tokio::time::timeout(PATIENCE, server.child.wait()).await;
    let status = status.expect("in time").expect("waits");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn serving_prints_lines_to_try() {
    let place = Place::sqlite();
    let mut server = Server::start_with(&place, |command| {
        command.env_remove("ORDERS_TOKENS");
    })
    .await;
    let mut curls = Vec::new();
    while curls.len() < 2 {
        let line = server.line().await;
        curls.extend(line.trim().strip_prefix("curl ").map(str::to_owned));
    }
    let order = format!("{}/api/v1/orders", server.url);
    assert!(
        curls[0].contains(&format!("{}/api/v1/cart/items/TEA", server.url)),
        "{}",
        curls[0]
    );
    assert!(curls[1].contains(&order), "{}", curls[1]);
}

#[tokio::test]
async fn a_database_url_that_can_not_be_used_is_not_repeated() {
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("DATABASE_URL", "mysql://me:secret@host/db")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("a pipe");
    stderr.read_to_string(&mut said).await.expect("reads");
    assert!(!child.wait().await.expect("waits").success());
    assert!(said.contains("sqlite:PATH or postgres://"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
