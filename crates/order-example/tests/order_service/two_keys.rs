//! What does a request with both a header and `requestId` get? What its order came to, under whichever key
//! it asks; and the header is bound to that.

use axum::Router;
use keystep::{ExecutionId, FullKey};
use order_example::provider::{DECLINED_CARD, Provider};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::server::{ALICE, Answer, HeldProvider, PATIENCE, Place, Server, lines};

on_both_databases! {
    a_header_is_bound_to_what_the_order_came_to_before
    a_list_that_changed_during_the_order_is_told_and_the_key_stays_usable
}

/// An order of Alice's that is paid in cash, so that no provider is asked.
async fn paid_in_cash(server: &Server) -> Answer {
    let wanted = json!({"payment": [{"method": "cash"}]});
    let offers = server.post("/api/v2/cart/go-checkout", &wanted).await.json();
    let order = server
        .order(&json!({"requestId": offers["offers"][0]["requestId"]}))
        .await;
    assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
    order
}

/// The same order that knows this version of the list, under a header of its own.
async fn knowing(server: &Server, key: &str, tag: &str, body: &Value) -> Answer {
    let request = server.orders().header("idempotency-key", key);
    Answer::to(request.header("if-match", tag).body(body.to_string())).await
}

async fn a_header_is_bound_to_what_the_order_came_to_before(place: &Place) {
    let server = Server::start(place).await;
    let declined = server.cart_of("TEA", 1, DECLINED_CARD).await;
    let alone = server.order(&declined).await;
    assert_eq!(alone.outcome(), (402, "payment-declined".into()));
    for key in ["one", "two", "one"] {
        let by_both = server.order_as(key, &declined).await;
        assert!(by_both.replayed());
        assert_eq!((by_both.status, &by_both.body), (alone.status, &alone.body));
        let echo = format!("\"{key}\"");
        assert_eq!(by_both.header("idempotency-key"), Some(echo.as_str()));
    }
    let mut other = declined.clone();
    other["comment"] = "ring twice".into();
    let elsewhere = json!({"requestId": server.offer("card_1").await});
    for body in [&other, &elsewhere] {
        let reused = server.order_as("one", body).await;
        assert_eq!(reused.outcome(), (422, "idempotency-key-reused".into()));
        assert_eq!(reused.json()["idempotency_key"], "one");
    }
    // A header that was not used yet, and the id of an order with another body.
    let reused = server.order_as("three", &other).await;
    assert_eq!(reused.outcome(), (422, "idempotency-key-reused".into()));
    assert_eq!(reused.json()["idempotency_key"], "three");
    assert_eq!(lines(&place.path("payments.jsonl")), 1, "asked once");
    let order = server.order_as("three", &elsewhere).await;
    assert_eq!(order.status, StatusCode::CREATED, "that header was not bound");
}

async fn a_list_that_changed_during_the_order_is_told_and_the_key_stays_usable(place: &Place) {
    let mut provider = HeldProvider::start(place).await;
    let server = Server::start_at(place, &provider.url).await;
    server.put("TEA", 1).await;
    let first = paid_in_cash(&server).await;
    let path = first.header("location").expect("a path").to_owned();

    let body = server.some_tea().await;
    let ordering = knowing(&server, "k", "\"1\"", &body);
    let changing = async {
        provider.recorded().await;
        let change = server.request(Method::PATCH, &path).header("if-match", "\"1\"");
        let change = Answer::to(change.json(&json!({"comment": "ring twice"}))).await;
        assert_eq!(change.status, StatusCode::OK, "{change:?}");
        provider.answer();
    };
    let (refused, ()) = tokio::join!(ordering, changing);
    assert_eq!(refused.outcome(), (412, "orders-changed".into()));
    assert_eq!(refused.header("etag"), Some("\"2\""));
    assert_eq!(refused.json()["current"], 2);

    let still = knowing(&server, "k", "\"1\"", &body).await;
    assert_eq!(still.outcome(), (412, "orders-changed".into()));
    let order = knowing(&server, "k", "\"2\"", &body).await;
    assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
    assert!(!order.replayed());
    let again = server.order_as("k", &body).await;
    assert!(again.replayed());
    assert_eq!(again.body, order.body);
}

#[tokio::test]
async fn where_errors_are_not_kept_a_refused_order_is_made_anew_under_both_keys() {
    for policy in ["retry-errors", "success-only"] {
        let place = Place::sqlite();
        let server = Server::start_with(&place, |command| {
            command.env("ORDERS_ON_ERROR", policy);
        })
        .await;
        let body = server.cart_of("TEA", 1, DECLINED_CARD).await;
        for times in 1..=3 {
            let declined = server.order_as("k", &body).await;
            assert_eq!(declined.outcome(), (402, "payment-declined".into()), "{policy}");
            assert!(!declined.replayed(), "{policy}");
            let asked = lines(&place.path("payments.jsonl"));
            assert_eq!(asked, times, "{policy}: the provider is asked each time");
        }
    }
}

#[tokio::test]
async fn an_order_that_needs_attention_says_so_under_both_keys_each_time() {
    let place = Place::sqlite();
    // It gives no answer, and can not tell what it has done.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let provider = format!("http://{}", listener.local_addr().expect("has an address"));
    let silent = Router::new().fallback(|| async { StatusCode::NOT_IMPLEMENTED });
    tokio::spawn(axum::serve(listener, silent).into_future());
    let server = Server::start_with(&place, |command| {
        command
            .args(["--provider-url", &provider])
            .env("ORDERS_CHARGE_MODE", "at_most_once");
    })
    .await;
    let body = server.some_tea().await;
    let first = server.order_as("k", &body).await;
    assert_eq!(first.outcome(), (500, "needs-attention".into()));
    for key in ["k", "k", "another"] {
        let again = server.order_as(key, &body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{key}");
        let echo = format!("\"{key}\"");
        assert_eq!(again.header("idempotency-key"), Some(echo.as_str()));
    }
    let alone = server.order(&body).await;
    assert_eq!((alone.status, &alone.body), (first.status, &first.body));
    assert_eq!(state_of(&server, "k").await, "needs_attention");

    let accepted = server.orders().header("idempotency-key", "k");
    let accepted = Answer::to(accepted.header("prefer", "respond-async").body(body.to_string())).await;
    assert_eq!((accepted.status, &accepted.body), (first.status, &first.body));
}

#[tokio::test]
async fn a_duplicate_under_another_header_is_named_by_its_own() {
    let place = Place::sqlite();
    let mut provider = HeldProvider::start(&place).await;
    let url = provider.url.clone();
    let server = Server::start_with(&place, |command| {
        command
            .args(["--provider-url", &url])
            .env("ORDERS_CONCURRENCY_ORDERS", "reject");
    })
    .await;
    let body = server.some_tea().await;
    let ordering = server.order_as("one", &body);
    let duplicates = async {
        provider.recorded().await;
        for key in ["one", "two"] {
            let busy = server.order_as(key, &body).await;
            assert_eq!(busy.outcome(), (409, "idempotency-in-progress".into()));
            assert_eq!(busy.json()["idempotency_key"], key);
            let operation = busy.json()["operation"].as_str().expect("a path").to_owned();
            assert_eq!(server.get(&operation).await.json()["state"], "running", "{key}");
        }
        provider.answer();
    };
    let (order, ()) = tokio::join!(ordering, duplicates);
    assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
}

#[tokio::test]
async fn a_request_with_both_keys_is_counted_once() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let body = server.some_tea().await;
    assert_eq!(server.order(&body).await.status, StatusCode::CREATED);
    for key in ["one", "two", "one"] {
        assert!(server.order_as(key, &body).await.replayed());
    }
    let declined = server.cart_of("TEA", 1, DECLINED_CARD).await;
    for key in ["three", "four", "three"] {
        assert_eq!(
            server.order_as(key, &declined).await.status,
            StatusCode::PAYMENT_REQUIRED
        );
    }
    let numbers = String::from_utf8(server.get("/metrics").await.body).expect("text");
    let counted = numbers
        .lines()
        .filter(|line| line.starts_with("idempotency_requests_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    assert_eq!(counted.sum::<u64>(), 7, "{numbers}");
}

#[tokio::test]
async fn an_order_that_waits_for_its_next_try_says_so_under_both_keys() {
    let place = Place::sqlite();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    drop(listener);
    let server = Server::start_with(&place, |command| {
        // So many that the pause before the next one becomes too long to be waited for.
        command
            .args(["--provider-url", &format!("http://{address}")])
            .env("ORDERS_STEP_RETRIES", "50");
    })
    .await;
    let body = server.some_tea().await;
    for _ in 0..2 {
        let waiting = server.order_as("k", &body).await;
        assert_eq!(waiting.outcome(), (503, "upstream-unavailable".into()));
        assert!(waiting.header("retry-after").is_some());
        assert_eq!(waiting.header("idempotency-key"), Some("\"k\""));
        assert!(!waiting.replayed());
    }
    assert_eq!(state_of(&server, "k").await, "retryable");

    let listener = tokio::net::TcpListener::bind(address).await.expect("binds again");
    let provider = Provider::open(&place.path("payments.jsonl")).expect("opens");
    tokio::spawn(provider.serve(listener, std::future::pending()));
    let order = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = server.order_as("k", &body).await;
            if answer.status == StatusCode::CREATED {
                return answer;
            }
            assert_eq!(answer.json()["retryable"], true, "{answer:?}");
        }
    });
    let order = order.await.expect("in time");
    assert_eq!(state_of(&server, "k").await, "succeeded");
    assert_eq!(server.order(&body).await.body, order.body);
    assert_eq!(lines(&place.path("payments.jsonl")), 1);
}

#[tokio::test]
async fn an_order_whose_key_is_forgotten_is_found_by_its_offer_under_any_key() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let body = server.some_tea().await;
    let order = server.order_as("k", &body).await;
    assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
    drop(server);
    let url = place.database.url();
    let mut database = sqlx::SqliteConnection::connect(&url).await.expect("connects");
    let forgotten = sqlx::raw_sql("DELETE FROM keystep_executions").execute(&mut database);
    assert_eq!(forgotten.await.expect("deletes").rows_affected(), 2);

    let server = Server::start(&place).await;
    let id = body["requestId"].as_str().expect("a text");
    for key in ["k", "another", id] {
        let again = server.order_as(key, &body).await;
        assert!(again.replayed(), "{again:?}");
        assert_eq!((again.status, &again.body), (order.status, &order.body));
        let echo = format!("\"{key}\"");
        assert_eq!(again.header("idempotency-key"), Some(echo.as_str()));
    }
}

/// Where the work on a header of Alice's stands.
async fn state_of(server: &Server, key: &str) -> Value {
    let ExecutionId(id) = ExecutionId::of(&FullKey {
        schema: "order.request".into(),
        scope: ALICE.into(),
        key: key.into(),
    });
    let operation = server
        .get(&format!("/api/v1/operations/op_{}", id.simple()))
        .await;
    assert_eq!(operation.status, StatusCode::OK, "{operation:?}");
    operation.json()["state"].clone()
}
