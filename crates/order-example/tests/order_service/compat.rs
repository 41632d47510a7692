//! Do clients of the two older services get what they know?

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::server::{Answer, BOB, Place, Server};

on_both_databases! {
    the_first_request_with_a_key_wins_at_the_older_service
    a_key_is_an_order_at_the_other_one
}

async fn the_first_request_with_a_key_wins_at_the_older_service(place: &Place) {
    let server = Server::start(place).await;
    let order = |name: &str, key: &str, quantity: i64| {
        let request = server.request(Method::POST, "/compat/otus08/?profileId=7");
        Answer::to(
            request
                .header(name, key)
                .json(&json!({"productQuantity": quantity})),
        )
    };
    let first = order("Idempotency-Key", "k", 3).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let id = first.json();
    assert!(id.is_string(), "a bare id: {id}");
    let again = order("IDEMPOTENCY-KEY", "k", 5).await;
    assert_eq!((again.status, again.json()), (StatusCode::CREATED, id.clone()));
    let other = order("idempotency-key", "another", 1).await;
    assert_ne!(other.json(), id);

    let path = format!("/compat/otus08/{}", id.as_str().expect("a text"));
    let wanted = json!({"id": id, "profileId": "7", "productQuantity": 3});
    assert_eq!(server.get(&path).await.json(), wanted);
    let list = server.get("/compat/otus08/").await.json();
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    assert_eq!(list[0], wanted);
    let bobs = Answer::to(server.request_of(BOB, Method::GET, &path)).await;
    assert_eq!(bobs.status, StatusCode::NOT_FOUND);
    assert_eq!(
        server.get("/api/v1/orders").await.json()["version"],
        0,
        "kept apart"
    );
    assert_eq!(
        order("idempotency-key", "zero", 0).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

async fn a_key_is_an_order_at_the_other_one(place: &Place) {
    let server = Server::start(place).await;
    let order = |change: fn(RequestBuilder) -> RequestBuilder| {
        Answer::to(change(server.request(Method::POST, "/compat/otusma/v1/order")))
    };
    let missing = order(|request| request).await;
    assert_eq!(missing.outcome(), (400, "idempotency-key-missing".into()));
    let first = order(|request| request.header("X-Idempotency-Key", "one")).await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    let id = first.json()["order_id"].clone();
    assert!(id.is_string(), "{id}");
    let again = order(|request| request.header("x-idempotency-key", "one").body("anything")).await;
    assert_eq!(
        (again.status, again.json()["order_id"].clone()),
        (StatusCode::OK, id.clone())
    );
    let other = order(|request| {
        let request = request.header("content-type", "application/json");
        request.header("X-Idempotency-Key", "two")
    });
    let other = other.await;
    assert_eq!(other.status, StatusCode::OK, "{other:?}");
    assert_ne!(other.json()["order_id"], id);
}

#[tokio::test]
async fn an_older_client_is_sent_to_no_operation_that_it_can_not_see() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let order = server
        .request(Method::POST, "/compat/otus08/?profileId=7")
        .header("idempotency-key", "k")
        .header("prefer", "respond-async, wait=0");
    let order = Answer::to(order.json(&json!({"productQuantity": 1}))).await;
    assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
    assert!(order.json().is_string());
}

#[tokio::test]
async fn clients_without_a_token_are_let_in_only_where_that_is_chosen() {
    let place = Place::sqlite();
    let server = Server::start_with(&place, |command| {
        command.env("ORDERS_COMPAT_ANONYMOUS", "true");
    })
    .await;
    let request = server.anonymous(Method::POST, "/compat/otusma/v1/order");
    let ordered = Answer::to(request.header("x-idempotency-key", "one")).await;
    assert_eq!(ordered.status, StatusCode::OK, "{ordered:?}");
    let cart = Answer::to(server.anonymous(Method::GET, "/api/v1/cart")).await;
    assert_eq!(cart.status, StatusCode::UNAUTHORIZED, "only there");
}
