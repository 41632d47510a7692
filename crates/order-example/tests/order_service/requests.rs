//! What does a client get for a request that is no request? The problem that says what to mend, and a key
//! that is as unused as before.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Answer, Place, Server};

#[tokio::test]
async fn a_key_that_can_not_be_read_is_refused() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let body = server.some_tea().await;
    let too_long = "k".repeat(256);
    for header in ["", "\"\"", "a b", "\"a", "\"a\", \"b\"", "(a)", too_long.as_str()] {
        let request = server.orders().header("idempotency-key", header);
        let answer = Answer::to(request.body(body.to_string())).await;
        assert_eq!(
            answer.outcome(),
            (400, "idempotency-key-malformed".into()),
            "{header}"
        );
        assert_eq!(
            answer.header("link"),
            Some("</api/v1/idempotency>; rel=\"describedby\"")
        );
        assert!(answer.json()["specification"].is_string());
        assert_eq!(answer.json()["idempotency_key"], Value::Null);
    }
    let twice = server
        .orders()
        .header("idempotency-key", "a")
        .header("idempotency-key", "a");
    let twice = Answer::to(twice.body(body.to_string())).await;
    assert_eq!(twice.outcome(), (400, "idempotency-key-malformed".into()));
    // Where there are no keys the header is not even read.
    let shown = server
        .request(Method::GET, "/api/v1/cart")
        .header("idempotency-key", "\"a");
    assert_eq!(Answer::to(shown).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_and_the_key_stays_usable() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let body = server.some_tea().await;
    let bodies: [&[u8]; 6] = [
        b"",
        b"{",
        b"nonsense",
        b"{\"comment\":\"x\"} trailing",
        b"{\"comment\":\"\xff\"}",
        b"{\"comment\":\"x\",\"comment\":\"y\"}",
    ];
    for bad in bodies {
        let request = server.orders().header("idempotency-key", "k").body(bad.to_vec());
        let answer = Answer::to(request).await;
        assert_eq!(
            answer.outcome(),
            (400, "malformed-body".into()),
            "{}",
            bad.escape_ascii()
        );
        let cart = server.request(Method::PUT, "/api/v1/cart/items/TEA");
        let cart = cart.header("content-type", "application/json").body(bad.to_vec());
        assert_eq!(Answer::to(cart).await.outcome(), (400, "malformed-body".into()));
    }
    let text = server.request(Method::POST, "/api/v1/orders").body("{}");
    let text = text
        .header("content-type", "text/plain")
        .header("idempotency-key", "\"");
    let text = Answer::to(text).await;
    assert_eq!(
        text.outcome(),
        (415, "unsupported-media-type".into()),
        "before the key"
    );

    let ordered = server.order_as("k", &body).await;
    assert_eq!(ordered.status, StatusCode::CREATED, "{ordered:?}");
    assert!(!ordered.replayed());
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_its_answer() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let huge = || vec![b' '; 8 * 1024 * 1024];
    for _ in 0..5 {
        let order = server.orders().header("idempotency-key", "\"").body(huge());
        let order = Answer::to(order).await;
        assert_eq!(order.outcome(), (413, "body-too-large".into()), "before the key");
        let cart = server.request(Method::PUT, "/api/v1/cart/items/TEA").body(huge());
        let cart = Answer::to(cart.header("content-type", "application/json")).await;
        assert_eq!(cart.outcome(), (413, "body-too-large".into()));
        let stranger = server.anonymous(Method::POST, "/api/v1/payments").body(huge());
        assert_eq!(Answer::to(stranger).await.outcome(), (401, "unauthorized".into()));
        let nowhere = server.request(Method::POST, "/api/v1/nothing").body(huge());
        assert_eq!(Answer::to(nowhere).await.outcome(), (404, "not-found".into()));
    }
}

#[tokio::test]
async fn fields_that_are_not_valid_are_all_named_and_the_key_stays_usable() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let id = server.some_tea().await["requestId"].clone();
    let long = "x".repeat(1001);
    for (body, pointers) in [
        (json!({"requestId": id, "comment": 7}), vec!["/comment"]),
        (
            json!({"requestId": id, "comment": long, "knownOrdersVersion": 1.5}),
            vec!["/comment", "/knownOrdersVersion"],
        ),
        (json!({"requestId": 7}), vec!["/requestId"]),
        (
            json!({"payment": {"method": "cash"}}),
            vec!["/delivery", "/expectedTotal"],
        ),
        (
            json!({"payment": {"method": "card"}, "delivery": "", "expectedTotal": {"amount": 0, "currency": "rub"}}),
            vec![
                "/payment/cardId",
                "/delivery",
                "/expectedTotal/amount",
                "/expectedTotal/currency",
            ],
        ),
        (json!([]), vec![""]),
    ] {
        let answer = server.order_as("k", &body).await;
        assert_eq!(answer.outcome(), (422, "validation-failed".into()), "{body}");
        let errors = answer.json()["errors"].clone();
        let named: Vec<&str> = errors
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|error| error["pointer"].as_str())
            .collect();
        assert_eq!(named, pointers, "{body}");
    }
    let ordered = server
        .order_as("k", &json!({"requestId": id, "more": "than we know"}))
        .await;
    assert_eq!(ordered.status, StatusCode::CREATED, "{ordered:?}");
    // The same numbers written in another way are the same request.
    server.put("TEA", 1).await;
    let old = |amount: &str| {
        let body = format!(
            r#"{{"payment":{{"method":"cash"}},"delivery":"courier","expectedTotal":{{"currency":"RUB","amount":{amount}}}}}"#
        );
        Answer::to(server.orders().header("idempotency-key", "old").body(body))
    };
    let first = old("1e3").await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    assert!(old("1000").await.replayed());
}

#[tokio::test]
async fn what_is_not_there_is_said_with_the_methods_that_are() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    assert_eq!(
        server.get("/api/v1/nothing").await.outcome(),
        (404, "not-found".into())
    );
    for number in ["20240102-000017", "a%00b", "%ff", "';--"] {
        for path in [number.to_owned(), format!("{number}/steps")] {
            let answer = server.get(&format!("/api/v1/orders/{path}")).await;
            assert_eq!(answer.outcome(), (404, "not-found".into()), "{path}");
        }
        for path in ["payments", "operations"] {
            let answer = server.get(&format!("/api/v1/{path}/{number}")).await;
            assert_eq!(answer.outcome(), (404, "not-found".into()), "{path}/{number}");
        }
        let cart = server.request(Method::PUT, &format!("/api/v1/cart/items/{number}"));
        let cart = Answer::to(cart.json(&json!({"qty": 1}))).await;
        assert_eq!(cart.outcome(), (404, "not-found".into()), "{number}");
    }
    let method = Answer::to(server.request(Method::DELETE, "/api/v1/orders")).await;
    assert_eq!(method.outcome(), (405, "method-not-allowed".into()));
    let allowed = method.header("allow").expect("a list");
    assert!(allowed.contains("POST") && allowed.contains("GET"), "{allowed}");
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let mut ids = Vec::new();
    for path in [
        "/livez",
        "/api/v1/cart",
        "/api/v1/nothing",
        "/openapi.json",
        "/docs/",
    ] {
        let answer = server.get(path).await;
        ids.push(answer.header("x-request-id").expect("an id").to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn every_problem_has_a_page_for_people_and_one_for_programs() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let all = server.get("/problems").await.json();
    let all = all.as_array().expect("a list");
    assert!(all.len() > 25, "{}", all.len());
    for page in all {
        let path = page["type"].as_str().expect("a path");
        assert_eq!(server.get(path).await.json(), *page);
        let browser = server
            .anonymous(Method::GET, path)
            .header("accept", "text/html,*/*");
        let browser = Answer::to(browser).await;
        assert_eq!(browser.header("content-type"), Some("text/html; charset=utf-8"));
        let text = String::from_utf8(browser.body).expect("text");
        assert!(
            text.contains(page["next"].as_str().expect("a sentence")),
            "{text}"
        );
    }
    let none = server.get("/problems/%ff").await;
    assert_eq!(none.outcome(), (404, "not-found".into()));
}
