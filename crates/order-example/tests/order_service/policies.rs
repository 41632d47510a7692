//! Does each switch do what it says?

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Answer, HeldProvider, Place, Server};

async fn started(place: &Place, variables: &[(&str, &str)]) -> Server {
    Server::start_with(place, |command| {
        command.envs(variables.iter().copied());
    })
    .await
}

#[tokio::test]
async fn the_policy_that_was_chosen_is_published() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let operation = |method: &str, path: &str, required: bool, concurrency: &str| {
        json!({"method": method, "path": path, "required": required, "concurrency": concurrency,
               "onError": "persist-final"})
    };
    assert_eq!(
        server.get("/api/v1/idempotency").await.json(),
        json!({
            "header": "Idempotency-Key", "syntax": "lenient", "maxLength": 255,
            "scope": ["user", "operation"], "fingerprint": "canonical", "ttl": "PT24H",
            "inFlightLease": "PT10S", "replayHeader": "Idempotent-Replayed",
            "operations": [
                operation("POST", "/api/v1/orders", true, "wait"),
                operation("PATCH", "/api/v1/orders/{nr}", false, "wait"),
                operation("POST", "/api/v1/payments", true, "reject"),
            ],
        })
    );
    drop(server);
    let chosen = [
        ("ORDERS_KEY_SYNTAX", "strict"),
        ("ORDERS_FINGERPRINT", "raw"),
        ("ORDERS_TTL_S", "90"),
        ("ORDERS_LEASE_MS", "1500"),
        ("ORDERS_CONCURRENCY_PAYMENTS", "accept"),
        ("ORDERS_ON_ERROR", "replay-all"),
    ];
    let server = started(&place, &chosen).await;
    let policy = server.get("/api/v1/idempotency").await.json();
    assert_eq!(policy["syntax"], "strict");
    assert_eq!(policy["fingerprint"], "raw");
    assert_eq!(
        (&policy["ttl"], &policy["inFlightLease"]),
        (&json!("PT1M30S"), &json!("PT1.5S"))
    );
    assert_eq!(policy["operations"][2]["concurrency"], "accept");
    assert_eq!(policy["operations"][2]["onError"], "replay-all");
    let bare = server.orders().header("idempotency-key", "bare").body("{}");
    assert_eq!(
        Answer::to(bare).await.outcome(),
        (400, "idempotency-key-malformed".into())
    );
}

#[tokio::test]
async fn without_a_fingerprint_the_first_request_wins() {
    let place = Place::sqlite();
    let server = started(&place, &[("ORDERS_FINGERPRINT", "off")]).await;
    let mut body = server.some_tea().await;
    let first = server.order_as("k", &body).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    body["comment"] = "another".into();
    let second = server.order_as("k", &body).await;
    assert!(second.replayed());
    assert_eq!(second.body, first.body);
}

#[tokio::test]
async fn a_duplicate_is_refused_or_accepted_at_once_where_that_is_chosen() {
    for (policy, status) in [("reject", StatusCode::CONFLICT), ("accept", StatusCode::ACCEPTED)] {
        let place = Place::sqlite();
        let mut provider = HeldProvider::start(&place).await;
        let chosen = [
            ("ORDERS_CONCURRENCY_ORDERS", policy),
            ("ORDERS_PROVIDER_URL", provider.url.as_str()),
        ];
        let server = started(&place, &chosen).await;
        let body = server.some_tea().await;
        let ordering = tokio::spawn(server.order(&body));
        provider.recorded().await;
        let duplicate = server.order(&body).await;
        assert_eq!(duplicate.status, status);
        assert_eq!(duplicate.header("retry-after"), Some("1"));
        provider.answer();
        assert_eq!(ordering.await.expect("joins").status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn a_service_may_demand_to_hear_which_list_its_client_knows() {
    let place = Place::sqlite();
    let chosen = [
        ("ORDERS_IF_MATCH_ON_CREATE", "required"),
        ("ORDERS_PRECONDITION_STATUS", "409"),
    ];
    let server = started(&place, &chosen).await;
    let body = server.some_tea().await;
    assert_eq!(
        server.order(&body).await.outcome(),
        (428, "precondition-required".into())
    );
    let known = |tag: &str| Answer::to(server.orders().header("if-match", tag).body(body.to_string()));
    assert_eq!(known("\"7\"").await.outcome(), (409, "orders-changed".into()));
    assert_eq!(known("7").await.outcome(), (400, "malformed-precondition".into()));
    assert_eq!(known("\"0\"").await.status, StatusCode::CREATED);
    let again = server.order(&body).await;
    assert!(again.replayed(), "a repetition need not say it");
}

#[tokio::test]
async fn a_replay_may_show_the_order_as_it_is_now() {
    let place = Place::sqlite();
    let server = started(
        &place,
        &[
            ("ORDERS_REPLAY", "latest"),
            ("ORDERS_REPLAY_HEADER", "X-Replayed"),
        ],
    )
    .await;
    let body = server.some_tea().await;
    let first = server.order(&body).await;
    assert_eq!(first.header("x-replayed"), None);
    let location = first.header("location").expect("a path").to_owned();
    let change = server
        .request(Method::PATCH, &location)
        .header("if-match", "\"1\"");
    let change = Answer::to(change.json(&json!({"comment": "ring twice"}))).await;
    assert_eq!(change.status, StatusCode::OK, "{change:?}");
    let again = server.order(&body).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert_eq!(again.header("x-replayed"), Some("true"));
    assert_eq!(again.header("location"), Some(location.as_str()));
    assert_eq!(again.header("etag"), Some("\"2\""));
    assert_eq!(again.json()["comment"], "ring twice");
}

#[tokio::test]
async fn of_an_answer_that_is_too_large_a_replay_tells_where_it_is() {
    let place = Place::sqlite();
    let server = started(&place, &[("ORDERS_MAX_STORED_RESPONSE", "100")]).await;
    let body = server.some_tea().await;
    let first = server.order(&body).await;
    assert!(first.body.len() > 100);
    let again = server.order(&body).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert!(again.replayed());
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.json()["location"].as_str(), first.header("location"));
    assert_eq!(server.get("/api/v1/orders").await.json()["version"], 1);
}

#[tokio::test]
async fn the_same_payment_under_another_key_may_be_refused() {
    let place = Place::sqlite();
    let server = started(&place, &[("ORDERS_DUPLICATE_PAYLOAD", "reject")]).await;
    let order = server.order(&server.some_tea().await).await.json();
    let body = json!({"orderNr": order["orderNr"], "amount": {"amount": 1000, "currency": "RUB"},
                      "method": {"method": "card", "cardId": "card_1"}});
    let pay = |key: &str| {
        let request = server
            .request(Method::POST, "/api/v1/payments")
            .header("idempotency-key", key);
        Answer::to(request.json(&body))
    };
    let first = pay("one").await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let twin = pay("two").await;
    assert_eq!(twin.outcome(), (409, "duplicate-payload".into()));
    assert_eq!(twin.json()["payment"].as_str(), first.header("location"));
    assert!(pay("one").await.replayed());
}

#[tokio::test]
async fn after_an_error_what_was_chosen_happens() {
    for (policy, replays) in [
        ("persist-final", true),
        ("replay-all", true),
        ("retry-errors", false),
    ] {
        let place = Place::sqlite();
        let server = started(&place, &[("ORDERS_ON_ERROR", policy)]).await;
        let body = server.cart_of("SAMOVAR", 2, "card_1").await;
        let refused = server.order(&body).await;
        assert_eq!(refused.outcome(), (409, "out-of-stock".into()), "{policy}");
        let again = server.order(&body).await;
        assert_eq!(again.outcome(), (409, "out-of-stock".into()), "{policy}");
        assert_eq!(again.replayed(), replays, "{policy}");
        // The same, when the offer comes under a header of its own.
        for repeated in [false, true] {
            let under = server.order_as("k", &body).await;
            assert_eq!(under.outcome(), (409, "out-of-stock".into()), "{policy}");
            assert!(repeated || under.replayed() == replays, "{policy}: {under:?}");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_not_offered_is_refused_and_one_of_this_process_is_gone_with_it() {
    let place = Place::sqlite();
    let said = Server::refuses_to_start(&place, &[("ORDERS_STORE", "redis")]).await;
    assert!(said.contains("ORDERS_STORE=redis is not offered"), "{said}");

    let server = started(&place, &[("ORDERS_STORE", "memory")]).await;
    let body = server.some_tea().await;
    assert_eq!(server.order(&body).await.status, StatusCode::CREATED);
    assert!(!place.path("orders.db").exists());
    drop(server);
    let next = started(&place, &[("ORDERS_STORE", "memory")]).await;
    assert_eq!(
        next.get("/api/v1/orders").await.json()["orders"],
        Value::Array(Vec::new())
    );
}
