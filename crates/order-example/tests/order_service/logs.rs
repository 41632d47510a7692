//! Does anything that a client wrote reach a log?

use std::fs::File;
use std::process::Stdio;

use order_example::database::Database;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::server::{Answer, HeldProvider, Place, Server};

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
    let mut order = server.cart_of("TEA", 1, CANARY).await;
    order["comment"] = CANARY.into();

    // The good way, twice; another order under the same key; a refusal of each kind.
    let ordered = server.order_as(&key("good"), &order).await;
    assert_eq!(ordered.status, StatusCode::CREATED);
    assert!(server.order_as(&key("good"), &order).await.replayed());
    let other = server.order_as(&key("good"), &json!({"requestId": CANARY})).await;
    assert_eq!(other.slug(), "idempotency-key-reused");
    let sold_out = server.cart_of("SAMOVAR", 9, CANARY).await;
    let sold_out = server.order_as(&key("sold-out"), &sold_out).await;
    assert_eq!(sold_out.slug(), "out-of-stock");
    let unknown = server.order(&json!({"requestId": CANARY})).await;
    assert_eq!(unknown.slug(), "offer-unknown");
    let invalid = server.order_as(&key("invalid"), &json!({ CANARY: CANARY })).await;
    assert_eq!(invalid.slug(), "validation-failed");
    let not_json = server.orders().header("idempotency-key", format!("{CANARY} "));
    let not_json = Answer::to(not_json.body(format!("{{\"{CANARY}"))).await;
    assert_eq!(not_json.slug(), "malformed-body");
    let bad_key = server.orders().header("idempotency-key", format!("a {CANARY}"));
    let bad_key = Answer::to(bad_key.body(order.to_string())).await;
    assert_eq!(bad_key.slug(), "idempotency-key-malformed");
    let payment = server.request(Method::POST, &format!("/api/v1/payments?{CANARY}"));
    let payment = payment.header("idempotency-key", CANARY).json(&json!({
        "orderNr": CANARY, "amount": {"amount": 1, "currency": "RUB"},
        "method": {"method": "card", "cardId": CANARY},
    }));
    assert_eq!(Answer::to(payment).await.slug(), "not-found");
    let token = server.anonymous(Method::GET, "/api/v1/cart").bearer_auth(CANARY);
    assert_eq!(Answer::to(token).await.slug(), "unauthorized");
    for path in [
        format!("/{CANARY}?{CANARY}"),
        format!("/api/v1/orders/{CANARY}?{CANARY}"),
        format!("/api/v1/orders/{CANARY}/steps"),
        format!("/problems/{CANARY}"),
        format!("/api/v1/operations/{CANARY}"),
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
