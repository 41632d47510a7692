//! Who may do what? Whoever shows a token, with what is theirs.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::server::{Answer, MALLORY, Place, Server};

#[tokio::test]
async fn without_a_token_there_is_nothing_to_see() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    for (method, path) in [
        (Method::GET, "/api/v1/cart"),
        (Method::PUT, "/api/v1/cart/items/TEA"),
        (Method::POST, "/api/v2/cart/go-checkout"),
        (Method::GET, "/api/v1/orders"),
        (Method::POST, "/api/v1/orders"),
        (Method::GET, "/api/v1/orders/20240102-000017"),
        (Method::PATCH, "/api/v1/orders/20240102-000017"),
        (Method::DELETE, "/api/v1/orders/20240102-000017"),
        (Method::GET, "/api/v1/orders/20240102-000017/steps"),
        (Method::POST, "/api/v1/payments"),
        (Method::GET, "/api/v1/payments/p_1"),
        (Method::GET, "/api/v1/operations/op_1"),
        (Method::POST, "/compat/otus08/"),
        (Method::POST, "/compat/otusma/v1/order"),
    ] {
        let nobody = Answer::to(server.anonymous(method.clone(), path)).await;
        assert_eq!(nobody.outcome(), (401, "unauthorized".into()), "{method} {path}");
        let challenge = nobody.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer"), "{challenge}");
        for token in ["", "nonsense", "test-alice"] {
            let stranger = server.anonymous(method.clone(), path).bearer_auth(token);
            let stranger = Answer::to(stranger).await;
            assert_eq!(
                stranger.outcome(),
                (401, "unauthorized".into()),
                "{method} {path}"
            );
        }
        let basic = server
            .anonymous(method.clone(), path)
            .basic_auth("alice", Some(""));
        assert_eq!(Answer::to(basic).await.outcome(), (401, "unauthorized".into()));
        // The permission is asked for before anything of the request is read.
        let blocked = server.request_of(MALLORY, method.clone(), path).body("{");
        let blocked = Answer::to(blocked).await;
        assert_eq!(blocked.outcome(), (403, "forbidden".into()), "{method} {path}");
    }
    for path in [
        "/api/v1/idempotency",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/metrics",
    ] {
        let public = Answer::to(server.anonymous(Method::GET, path)).await;
        assert_eq!(public.status, StatusCode::OK, "{path}");
    }
    let nowhere = Answer::to(server.anonymous(Method::GET, "/api/v1/nothing")).await;
    assert_eq!(
        nowhere.outcome(),
        (404, "not-found".into()),
        "a path comes before its caller"
    );
    let method = Answer::to(server.anonymous(Method::DELETE, "/api/v1/cart")).await;
    assert_eq!(method.outcome(), (405, "method-not-allowed".into()));
}

#[tokio::test]
async fn without_a_file_of_tokens_the_one_user_is_the_one_whose_token_is_printed() {
    let place = Place::sqlite();
    let mut server = Server::start_with(&place, |command| {
        command.env_remove("ORDERS_TOKENS");
    })
    .await;
    let token = loop {
        let line = server.line().await;
        if let Some((_, rest)) = line.split_once("Authorization: Bearer ") {
            break rest.split('"').next().expect("a token").to_owned();
        }
    };
    let cart = |token: &str| Answer::to(server.anonymous(Method::GET, "/api/v1/cart").bearer_auth(token));
    assert_eq!(cart(&token).await.status, StatusCode::OK);
    assert_eq!(cart("demo").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/api/v1/cart").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_user_who_is_blocked_does_not_even_hear_of_an_order_that_is_known() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let body = server.some_tea().await;
    assert_eq!(server.order_as("k", &body).await.status, StatusCode::CREATED);
    drop(server);
    place.block_everybody();
    let server = Server::start(&place).await;
    let replay = server.order_as("k", &body).await;
    assert_eq!(replay.outcome(), (403, "forbidden".into()));
    assert_eq!(replay.json()["retryable"], json!(false));
}
