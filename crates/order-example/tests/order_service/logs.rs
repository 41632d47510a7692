//! Does anything that a client wrote reach a log?

use std::fs::File;
use std::process::Stdio;

use order_example::database::Database;
use reqwest::StatusCode;
use serde_json::json;

use crate::server::{Answer, HeldProvider, Place, Server, an_order, some_tea};

/// A text that nobody else writes.
const CANARY: &str = "canary7f3a9d";

async fn no_log_line_shows_what_a_client_wrote(place: Place, provider: Option<&HeldProvider>) {
    let log = place.path("log");
    let file = File::create(&log).expect("a file");
    let server = Server::start_with(&place, |command| {
        command.env("RUST_LOG", "trace").stderr(Stdio::from(file));
        if let Some(provider) = provider {
            // Secrets of whoever runs the service are kept out as well.
            let url = provider
                .url
                .replace("http://", &format!("http://{CANARY}:{CANARY}@"));
            command.args(["--provider-url", &url]);
        }
    })
    .await;
    let key = |name: &str| format!("{name}-{CANARY}");
    let mut order = an_order("TEA", 1, CANARY);
    order["comment"] = CANARY.into();

    // The good way, twice; another order under the same key; a refusal of each kind.
    let ordered = server.order(&key("good"), &order).await;
    assert_eq!(ordered.status, StatusCode::CREATED);
    assert!(server.order(&key("good"), &order).await.replayed());
    let other = server.order(&key("good"), &some_tea()).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    let sold_out = server
        .order(&key("sold-out"), &an_order("SAMOVAR", 9, CANARY))
        .await;
    assert_eq!(sold_out.problem()["type"], "/problems/out-of-stock");
    let unknown = server.order(&key("unknown"), &an_order(CANARY, 1, CANARY)).await;
    assert_eq!(unknown.problem()["type"], "/problems/validation-failed");
    let invalid = server.order(&key("invalid"), &json!({ CANARY: CANARY })).await;
    assert_eq!(invalid.problem()["type"], "/problems/validation-failed");
    let not_json = server.orders().header("idempotency-key", format!("{CANARY} "));
    let not_json = Answer::to(not_json.body(format!("{{\"{CANARY}"))).await;
    assert_eq!(not_json.problem()["type"], "/problems/malformed-body");
    let bad_key = server.orders().header("idempotency-key", format!("a {CANARY}"));
    let bad_key = Answer::to(bad_key.body(some_tea().to_string())).await;
    assert_eq!(bad_key.problem()["type"], "/problems/idempotency-key-malformed");
    for path in [
        format!("/{CANARY}?{CANARY}"),
        format!("/api/v1/orders/{CANARY}?{CANARY}"),
        format!("/api/v1/orders/{CANARY}/steps"),
        format!("/problems/{CANARY}"),
    ] {
        assert_eq!(server.get(&path).await.status, StatusCode::NOT_FOUND);
    }
    let order_nr = ordered.json()["orderNr"].as_str().expect("a number").to_owned();
    let steps = server
        .get(&format!("/api/v1/orders/{order_nr}/steps?{CANARY}"))
        .await;
    assert_eq!(steps.status, StatusCode::OK);
    drop(server);

    let log = std::fs::read(&log).expect("reads");
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(lines.is_empty(), "{} lines, the first: {}", lines.len(), lines[0]);
    // The log is not silent, it is discreet.
    assert!(log.contains("/api/v1/orders/{nr}/steps"));
    place.clean_up().await;
}

#[tokio::test]
async fn no_log_line_shows_what_a_client_wrote_on_sqlite() {
    no_log_line_shows_what_a_client_wrote(Place::sqlite(), None).await;
}

#[tokio::test]
async fn no_log_line_shows_what_a_client_wrote_on_postgres() {
    let mut place = Place::postgres();
    let Database::Postgres(url) = &mut place.database else {
        panic!("expected a server");
    };
    let separator = if url.contains('?') { '&' } else { '?' };
    url.push_str(&format!("{separator}application_name={CANARY}"));
    let provider = HeldProvider::start(&place).await;
    provider.answer();
    no_log_line_shows_what_a_client_wrote(place, Some(&provider)).await;
}
