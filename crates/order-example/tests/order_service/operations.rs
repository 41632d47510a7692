//! Where does the work on a key stand? Its user may look, and nobody else.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::server::{Answer, BOB, Place, Server};

on_both_databases! {
    an_operation_shows_its_user_where_the_work_stands
}

async fn an_operation_shows_its_user_where_the_work_stands(place: &Place) {
    let server = Server::start_with(place, |command| {
        command.env("ORDERS_CONCURRENCY_ORDERS", "accept");
    })
    .await;
    let body = server.some_tea().await;
    let request = server.orders().header("prefer", "respond-async, wait=0");
    let accepted = Answer::to(request.body(body.to_string())).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    let path = accepted.header("location").expect("a path").to_owned();
    assert_eq!(accepted.json(), json!({"operation": path, "state": "running"}));
    assert!(!accepted.replayed());

    let done = server
        .until(&path, |answer| answer.json()["state"] == "succeeded")
        .await;
    let order = server.order(&body).await;
    assert!(order.replayed());
    let shown = done.json();
    assert_eq!(
        shown["result"],
        json!({"status": 201, "location": order.header("location").expect("a path")})
    );
    assert_eq!(shown["id"], path.rsplit('/').next().expect("an id"));
    assert_eq!(
        shown["steps"][0],
        json!({"name": "reserve_stock", "state": "done"})
    );
    assert_eq!(done.header("retry-after"), None);

    let bobs = Answer::to(server.request_of(BOB, Method::GET, &path)).await;
    let nobodys = server
        .get("/api/v1/operations/op_00000000000000000000000000000000")
        .await;
    assert_eq!(bobs.outcome(), (404, "not-found".into()));
    assert_eq!(bobs.problem(), nobodys.problem());

    let sold_out = server.cart_of("SAMOVAR", 2, "card_1").await;
    let request = server.orders().header("prefer", "respond-async, wait=0");
    let accepted = Answer::to(request.body(sold_out.to_string())).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    let path = accepted.header("location").expect("a path").to_owned();
    let failed = server
        .until(&path, |answer| answer.json()["state"] == "failed")
        .await;
    assert_eq!(failed.json()["result"], json!(null));
    assert_eq!(
        server.order(&sold_out).await.outcome(),
        (409, "out-of-stock".into())
    );
}
