//! What becomes of an order, of its repetition, and of its duplicate?

use std::time::Duration;

use order_example::provider::DECLINED_CARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Answer, BOB, HeldProvider, PATIENCE, Place, Server, lines};

on_both_databases! {
    a_repeated_order_gets_the_same_bytes_and_nothing_runs_again
    either_key_alone_or_both_lead_to_one_order
    an_order_of_an_offer_that_is_over_is_refused_and_the_key_stays_usable
    an_order_that_knows_an_older_list_is_refused_and_the_key_stays_usable
    another_users_key_and_offer_look_like_unused_ones
    an_old_client_gets_the_offer_that_it_describes
    a_product_that_is_sold_out_is_a_final_answer
    a_declined_card_is_a_final_answer
}

const OFFERS: &str = "</api/v2/cart/go-checkout>; rel=\"related\"";

async fn a_repeated_order_gets_the_same_bytes_and_nothing_runs_again(place: &Place) {
    let server = Server::start(place).await;
    let mut body = server.some_tea().await;
    body["comment"] = "ring twice".into();
    let first = server.order_as("k", &body).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    assert!(!first.replayed());
    assert_eq!(first.header("idempotency-key"), Some("\"k\""));
    assert_eq!(first.header("etag"), Some("\"1\""));
    assert!(first.header("set-cookie").is_some(), "the first answer only");

    let order = first.json();
    let order_nr = order["orderNr"].as_str().expect("a number").to_owned();
    let location = format!("/api/v1/orders/{order_nr}");
    assert_eq!(first.header("location"), Some(location.as_str()));
    let tea = json!({"sku": "TEA", "qty": 2, "unitPrice": {"amount": 1000, "currency": "RUB"}});
    assert_eq!(
        order,
        json!({
            "orderNr": order_nr, "requestId": body["requestId"], "status": "confirmed", "version": 1,
            "ordersVersion": 1, "cartId": order["cartId"], "items": [tea],
            "total": {"amount": 2000, "currency": "RUB"},
            "payment": {"method": "card", "cardId": "card_1"}, "delivery": "courier",
            "deliveryStatus": null, "comment": "ring twice", "createdAt": order["createdAt"],
        })
    );

    // The cart is closed meanwhile.
    let again = server.order_as("k", &body).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert!(again.replayed());
    assert_eq!(again.body, first.body);
    for name in ["location", "etag", "content-type", "idempotency-key"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(again.header("set-cookie"), None);
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));

    let shown = server.get(&location).await;
    assert_eq!((shown.status, &shown.json()), (StatusCode::OK, &order));
    assert_eq!(shown.header("etag"), Some("\"1\""));

    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (1, 1));
    assert_eq!(lines(&place.path("payments.jsonl")), 1);
    assert_eq!(lines(&place.path("receipts.jsonl")), 1);
}

async fn either_key_alone_or_both_lead_to_one_order(place: &Place) {
    let server = Server::start(place).await;
    let body = server.some_tea().await;
    let by_request = server.order(&body).await;
    assert_eq!(by_request.status, StatusCode::CREATED, "{by_request:?}");
    for key in ["one", "two"] {
        let by_both = server.order_as(key, &body).await;
        assert_eq!(by_both.status, StatusCode::CREATED, "{by_both:?}");
        assert_eq!(by_both.body, by_request.body);
        assert_eq!(
            by_both.header("idempotency-key"),
            Some(format!("\"{key}\"").as_str())
        );
    }
    assert!(server.order(&body).await.replayed());
    let bare = server.orders().header("Idempotency-KEY", "one");
    let bare = Answer::to(bare.body(body.to_string())).await;
    assert!(bare.replayed());
    assert_eq!(bare.body, by_request.body);

    // A key belongs to one body, in whatever way it came to an order.
    let mut other = body.clone();
    other["comment"] = "ring twice".into();
    let old = json!({"payment": {"method": "cash"}, "delivery": "courier",
                     "expectedTotal": {"amount": 2000, "currency": "RUB"}});
    for (key, body) in [("one", &other), ("one", &old)] {
        let reused = server.order_as(key, body).await;
        assert_eq!(reused.outcome(), (422, "idempotency-key-reused".into()));
        assert_eq!(reused.json()["idempotency_key"], key);
    }
    let reused = server.order(&other).await;
    assert_eq!(reused.outcome(), (422, "idempotency-key-reused".into()));
    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!(counts.orders, 1);
}

async fn an_order_of_an_offer_that_is_over_is_refused_and_the_key_stays_usable(place: &Place) {
    let server = Server::start(place).await;
    let stale = server.some_tea().await;
    server.put("CUP", 1).await;
    let refused = server.order_as("k", &stale).await;
    assert_eq!(refused.outcome(), (409, "offer-stale".into()));
    assert!(refused.headers.get_all("link").iter().any(|link| link == OFFERS));
    let fresh = json!({"requestId": server.offer("card_1").await});
    let ordered = server.order_as("k", &fresh).await;
    assert_eq!(ordered.status, StatusCode::CREATED, "{ordered:?}");
    assert!(!ordered.replayed());
    let refused = server.order(&stale).await;
    assert_eq!(refused.outcome(), (409, "offer-stale".into()));
    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!(counts.orders, 1);
}

async fn an_order_that_knows_an_older_list_is_refused_and_the_key_stays_usable(place: &Place) {
    let server = Server::start(place).await;
    let first = server.some_tea().await;
    assert_eq!(server.order(&first).await.json()["ordersVersion"], 1);
    let mut second = server.some_tea().await;

    let by_header = server
        .orders()
        .header("idempotency-key", "k")
        .header("if-match", "\"0\"");
    let by_header = Answer::to(by_header.body(second.to_string())).await;
    assert_eq!(by_header.outcome(), (412, "orders-changed".into()));
    assert_eq!(by_header.header("etag"), Some("\"1\""));
    assert_eq!(by_header.json()["current"], 1);
    second["knownOrdersVersion"] = 0.into();
    let by_body = server.order_as("k", &second).await;
    assert_eq!(by_body.outcome(), (409, "orders-changed".into()));

    second["knownOrdersVersion"] = 1.into();
    let ordered = server.order_as("k", &second).await;
    assert_eq!(ordered.status, StatusCode::CREATED, "{ordered:?}");
    assert!(!ordered.replayed());
    // The creation has raised the version itself: its repetition is not measured by it.
    let again = server
        .orders()
        .header("idempotency-key", "k")
        .header("if-match", "\"1\"");
    let again = Answer::to(again.body(second.to_string())).await;
    assert!(again.replayed());
    assert_eq!(again.body, ordered.body);
}

async fn another_users_key_and_offer_look_like_unused_ones(place: &Place) {
    let server = Server::start(place).await;
    let body = server.some_tea().await;
    let order = server.order_as("k", &body).await;
    let order_nr = order.json()["orderNr"].as_str().expect("a number").to_owned();
    let bobs = |body: Value| {
        let request = server.request_of(BOB, Method::POST, "/api/v1/orders");
        Answer::to(request.header("idempotency-key", "k").json(&body))
    };
    let theirs = bobs(body).await;
    let nobodys = bobs(json!({"requestId": "req_00000000000000000000000000000000"})).await;
    assert_eq!(theirs.outcome(), (422, "offer-unknown".into()));
    assert_eq!(theirs.problem(), nobodys.problem());
    for path in [order_nr.clone(), format!("{order_nr}/steps")] {
        let theirs = server.request_of(BOB, Method::GET, &format!("/api/v1/orders/{path}"));
        assert_eq!(Answer::to(theirs).await.outcome(), (404, "not-found".into()));
    }
    let list = Answer::to(server.request_of(BOB, Method::GET, "/api/v1/orders")).await;
    assert_eq!(list.json(), json!({"version": 0, "orders": []}));
    assert_eq!(list.header("etag"), Some("\"0\""));
}

async fn an_old_client_gets_the_offer_that_it_describes(place: &Place) {
    let server = Server::start(place).await;
    server.put("TEA", 1).await;
    let old = json!({"requestId": null, "payment": {"method": "cash"}, "delivery": "courier",
                     "expectedTotal": {"amount": 1000, "currency": "RUB"}});
    let without_key = server.order(&old).await;
    assert_eq!(without_key.outcome(), (400, "idempotency-key-missing".into()));
    for (name, other) in [
        ("payment", json!({"method": "invoice"})),
        ("delivery", json!("pigeon")),
        ("expectedTotal", json!({"amount": 999, "currency": "RUB"})),
    ] {
        let mut body = old.clone();
        body[name] = other;
        let refused = server.order_as("k", &body).await;
        assert_eq!(refused.outcome(), (422, "offer-no-match".into()), "{body}");
    }
    let ordered = server.order_as("k", &old).await;
    assert_eq!(ordered.status, StatusCode::CREATED, "{ordered:?}");
    assert_eq!(ordered.json()["payment"], json!({"method": "cash"}));
    let again = server.order_as("k", &old).await;
    assert!(again.replayed());
    assert_eq!(again.body, ordered.body);
    assert_eq!(server.get("/api/v1/orders").await.json()["version"], 1);
}

async fn a_product_that_is_sold_out_is_a_final_answer(place: &Place) {
    let server = Server::start(place).await;
    let two = server.cart_of("SAMOVAR", 2, "card_1").await;
    let first = server.order_as("k", &two).await;
    assert_eq!(first.outcome(), (409, "out-of-stock".into()));
    let again = server.order_as("k", &two).await;
    assert!(again.replayed());
    assert_eq!((again.status, &again.body), (first.status, &first.body));

    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (0, 0));
    let one = server.cart_of("SAMOVAR", 1, "card_1").await;
    assert_eq!(server.order_as("other", &one).await.status, StatusCode::CREATED);
}

async fn a_declined_card_is_a_final_answer(place: &Place) {
    let server = Server::start(place).await;
    let order = server.cart_of("TEA", 1, DECLINED_CARD).await;
    let first = server.order_as("k", &order).await;
    assert_eq!(first.outcome(), (402, "payment-declined".into()));
    assert_eq!(first.json()["retryable"], false);
    let again = server.order_as("k", &order).await;
    assert!(again.replayed());
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (0, 0));
    // Another card, another key: the cart is still there.
    let other = json!({"requestId": server.offer("card_1").await});
    assert_eq!(server.order(&other).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_order_that_stopped_at_the_provider_goes_on_when_it_is_back() {
    for policy in ["persist-final", "retry-errors", "success-only"] {
        it_goes_on_when_the_provider_is_back(policy).await;
    }
}

async fn it_goes_on_when_the_provider_is_back(policy: &str) {
    let place = Place::sqlite();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    drop(listener);
    let server = Server::start_with(&place, |command| {
        command
            .args(["--provider-url", &format!("http://{address}")])
            .env("ORDERS_ON_ERROR", policy);
    })
    .await;
    let body = server.some_tea().await;
    let stopped = server.order_as("k", &body).await;
    assert_eq!(stopped.outcome(), (503, "upstream-unavailable".into()));
    assert_eq!(stopped.json()["retryable"], true);
    let pause: u64 = stopped
        .header("retry-after")
        .expect("a pause")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&pause), "{pause}");

    let listener = tokio::net::TcpListener::bind(address).await.expect("binds again");
    let provider = order_example::provider::Provider::open(&place.path("payments.jsonl"));
    let provider = provider.expect("opens");
    tokio::spawn(provider.serve(listener, std::future::pending()));
    let finished = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = server.order_as("k", &body).await;
            if answer.status == StatusCode::CREATED {
                return answer;
            }
            assert_eq!(answer.json()["retryable"], true);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    finished.await.expect("in time");
    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (1, 1), "{policy}");
}

#[tokio::test]
async fn a_duplicate_of_a_slow_order_waits_and_is_then_told_where_to_look() {
    let place = Place::sqlite();
    let mut provider = HeldProvider::start(&place).await;
    let url = provider.url.clone();
    let server = Server::start_with(&place, |command| {
        command
            .args(["--provider-url", &url])
            .env("ORDERS_WAIT_MAX_MS", "300");
    })
    .await;
    let body = server.some_tea().await;
    let mut other = body.clone();
    other["comment"] = "another".into();
    let ordering = tokio::spawn(server.order(&body));
    provider.recorded().await;

    assert_eq!(
        server.order(&other).await.outcome(),
        (422, "idempotency-key-reused".into())
    );
    let duplicate = server.order(&body).await;
    assert_eq!(duplicate.outcome(), (409, "idempotency-in-progress".into()));
    assert_eq!(duplicate.header("retry-after"), Some("1"));
    assert_eq!(duplicate.json()["retryable"], true);
    let operation = duplicate.json()["operation"].as_str().expect("a path").to_owned();
    let state = server.get(&operation).await;
    assert_eq!(state.json()["state"], "running");
    assert!(state.header("retry-after").is_some());

    let request = server
        .orders()
        .header("prefer", "respond-async, wait=0")
        .body(body.to_string());
    let accepted = Answer::to(request).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    assert_eq!(accepted.header("location"), Some(operation.as_str()));
    assert!(accepted.header("preference-applied").is_some());
    assert!(!ordering.is_finished());

    provider.answer();
    let first = ordering.await.expect("joins");
    assert_eq!(first.status, StatusCode::CREATED);
    assert!(!first.replayed());
    let second = server.order(&body).await;
    assert!(second.replayed());
    assert_eq!(second.body, first.body);
}

#[tokio::test]
async fn an_order_whose_client_hangs_up_is_finished() {
    let place = Place::sqlite();
    let mut provider = HeldProvider::start(&place).await;
    let server = Server::start_at(&place, &provider.url).await;
    let body = server.some_tea().await;
    let ordering = tokio::spawn(server.order(&body));
    provider.recorded().await;
    ordering.abort();
    assert!(ordering.await.expect_err("hung up").is_cancelled());
    provider.answer();
    let again = server.order(&body).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert!(again.replayed(), "nobody but the first request ran it");
    assert_eq!(lines(&place.path("payments.jsonl")), 1);
}

#[tokio::test]
async fn an_order_shows_how_it_came_about() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let body = server.some_tea().await;
    let order = server.order_as("k", &body).await.json();
    let order_nr = order["orderNr"].as_str().expect("a number");
    let steps = server.get(&format!("/api/v1/orders/{order_nr}/steps")).await;
    assert_eq!(steps.status, StatusCode::OK);
    let steps = steps.json();
    let steps = steps["steps"].as_array().expect("a list");
    let names: Vec<&Value> = steps.iter().map(|step| &step["step"]).collect();
    assert_eq!(
        names,
        [
            "reserve_stock",
            "authorize_payment",
            "create_order",
            "send_receipt"
        ]
    );
    for step in steps {
        assert_eq!(step["attempt"], 1);
        assert_eq!(step["worker"], steps[0]["worker"]);
    }
    let times: Vec<&str> = steps.iter().filter_map(|step| step["at"].as_str()).collect();
    assert_eq!(times.len(), 4);
    assert!(times.is_sorted(), "{times:?}");
}
