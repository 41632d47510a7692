//! How is an order looked up, changed and cancelled, and by whom?

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Answer, Place, Server};

on_both_databases! {
    every_change_raises_the_version_of_the_order_and_of_the_list
    an_order_is_changed_only_as_it_was_seen
    a_change_with_a_key_is_replayed_although_the_order_has_moved_on
    a_cancelled_order_stays_cancelled
    of_changes_that_race_one_is_made_and_the_others_learn_the_version
}

/// An order of Alice's, and where it is.
async fn ordered(server: &Server) -> (Value, String) {
    let order = server.order(&server.some_tea().await).await.json();
    let path = format!("/api/v1/orders/{}", order["orderNr"].as_str().expect("a number"));
    (order, path)
}

async fn patch(server: &Server, path: &str, tag: &str, body: &Value) -> Answer {
    let request = server.request(Method::PATCH, path).header("if-match", tag);
    Answer::to(request.json(body)).await
}

async fn delete(server: &Server, path: &str, tag: &str) -> Answer {
    Answer::to(server.request(Method::DELETE, path).header("if-match", tag)).await
}

async fn every_change_raises_the_version_of_the_order_and_of_the_list(place: &Place) {
    let server = Server::start(place).await;
    let (order, path) = ordered(&server).await;
    let changed = patch(&server, &path, "\"1\"", &json!({"comment": "ring twice"})).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    assert_eq!(changed.header("etag"), Some("\"2\""));
    let mut wanted = order.clone();
    wanted["comment"] = "ring twice".into();
    wanted["version"] = 2.into();
    wanted["ordersVersion"] = 2.into();
    assert_eq!(changed.json(), wanted);
    let same = patch(&server, &path, "\"2\"", &json!({"comment": "ring twice"})).await;
    assert_eq!(same.header("etag"), Some("\"2\""), "nothing changed");
    assert_eq!(same.body, changed.body);

    let address = json!({"street": "Lane 7", "floor": 3});
    let moved = patch(&server, &path, "\"1\", \"2\"", &json!({"address": address})).await;
    assert_eq!(moved.json()["address"], address);
    let removed = patch(
        &server,
        &path,
        "*",
        &json!({"comment": null, "address": {"floor": null}}),
    )
    .await;
    assert_eq!(removed.header("etag"), Some("\"4\""));
    assert_eq!(removed.json()["address"], json!({"street": "Lane 7"}));
    assert_eq!(removed.json()["comment"], Value::Null);

    let list = server.get("/api/v1/orders").await;
    assert_eq!(list.header("etag"), Some("\"4\""));
    assert_eq!(list.json(), json!({"version": 4, "orders": [removed.json()]}));
    for path in ["/api/v1/orders", &path] {
        let known = server
            .request(Method::GET, path)
            .header("if-none-match", "W/\"4\", \"7\"");
        let known = Answer::to(known).await;
        assert_eq!(
            (known.status, known.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{path}"
        );
        assert_eq!(known.header("etag"), Some("\"4\""));
        let other = server.request(Method::GET, path).header("if-none-match", "\"3\"");
        assert_eq!(Answer::to(other).await.status, StatusCode::OK, "{path}");
    }
    let head = Answer::to(server.request(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("etag"), Some("\"4\""));
}

async fn an_order_is_changed_only_as_it_was_seen(place: &Place) {
    let server = Server::start(place).await;
    let (_, path) = ordered(&server).await;
    let comment = json!({"comment": "ring twice"});
    let missing = Answer::to(server.request(Method::PATCH, &path).json(&comment)).await;
    assert_eq!(missing.outcome(), (428, "precondition-required".into()));
    let missing = Answer::to(server.request(Method::DELETE, &path)).await;
    assert_eq!(missing.outcome(), (428, "precondition-required".into()));
    for tag in ["\"0\"", "W/\"1\"", "\"2\", \"3\"", "\"01\"", "\"one\""] {
        for stale in [
            patch(&server, &path, tag, &comment).await,
            delete(&server, &path, tag).await,
        ] {
            assert_eq!(stale.outcome(), (412, "version-mismatch".into()), "{tag}");
            assert_eq!(stale.header("etag"), Some("\"1\""));
            assert_eq!(stale.json()["current"], 1);
        }
    }
    for tag in ["1", "\"1", "", "\"1\" \"2\"", "*, \"1\""] {
        for unreadable in [
            patch(&server, &path, tag, &comment).await,
            delete(&server, &path, tag).await,
        ] {
            assert_eq!(
                unreadable.outcome(),
                (400, "malformed-precondition".into()),
                "{tag}"
            );
        }
    }
    let unknown = patch(&server, &path, "\"1\"", &json!({"status": "paid", "comment": 7})).await;
    assert_eq!(unknown.outcome(), (422, "validation-failed".into()));
    let pointers: Vec<Value> = unknown.json()["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/status", "/comment"]);
    let nowhere = patch(&server, "/api/v1/orders/20240102-000017", "\"1\"", &comment).await;
    assert_eq!(nowhere.outcome(), (404, "not-found".into()));
    assert_eq!(server.get(&path).await.json()["version"], 1);
}

async fn a_change_with_a_key_is_replayed_although_the_order_has_moved_on(place: &Place) {
    let server = Server::start(place).await;
    let (_, path) = ordered(&server).await;
    let keyed = |tag: &str, comment: &str| {
        let request = server
            .request(Method::PATCH, &path)
            .header("idempotency-key", "k");
        Answer::to(
            request
                .header("if-match", tag)
                .json(&json!({ "comment": comment })),
        )
    };
    let stale = keyed("\"7\"", "one").await;
    assert_eq!(stale.outcome(), (412, "version-mismatch".into()));
    let first = keyed("\"1\"", "one").await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    assert!(!first.replayed(), "the refusal left the key unused");
    assert_eq!(first.header("idempotency-key"), Some("\"k\""));
    let later = patch(&server, &path, "\"2\"", &json!({"comment": "two"})).await;
    assert_eq!(later.header("etag"), Some("\"3\""));
    for tag in ["\"1\"", "\"3\""] {
        let again = keyed(tag, "one").await;
        assert!(again.replayed());
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("etag"), Some("\"2\""));
    }
    assert_eq!(
        keyed("\"3\"", "three").await.outcome(),
        (422, "idempotency-key-reused".into())
    );
    assert_eq!(server.get(&path).await.json()["comment"], "two");
}

async fn a_cancelled_order_stays_cancelled(place: &Place) {
    let server = Server::start(place).await;
    let (_, path) = ordered(&server).await;
    let gone = delete(&server, &path, "\"1\"").await;
    assert_eq!(
        (gone.status, gone.body.len()),
        (StatusCode::NO_CONTENT, 0),
        "{gone:?}"
    );
    let cancelled = server.get(&path).await;
    assert_eq!(cancelled.json()["status"], "cancelled");
    assert_eq!(cancelled.header("etag"), Some("\"2\""));
    for tag in ["\"1\"", "\"2\"", "\"9\"", "*"] {
        assert_eq!(
            delete(&server, &path, tag).await.status,
            StatusCode::NO_CONTENT,
            "{tag}"
        );
    }
    assert_eq!(
        delete(&server, &path, "nonsense").await.outcome(),
        (400, "malformed-precondition".into())
    );
    assert_eq!(server.get("/api/v1/orders").await.json()["version"], 2);
    let late = patch(&server, &path, "\"2\"", &json!({"comment": "wait"})).await;
    assert_eq!(late.outcome(), (409, "order-state-conflict".into()));
}

async fn of_changes_that_race_one_is_made_and_the_others_learn_the_version(place: &Place) {
    let server = Server::start(place).await;
    let (_, path) = ordered(&server).await;
    for round in 1..=5 {
        let changes = (0..8).map(|n| {
            let request = server.request(Method::PATCH, &path);
            let request = request
                .header("idempotency-key", format!("{round}-{n}"))
                .header("if-match", format!("\"{round}\""));
            Answer::to(request.json(&json!({"comment": format!("{round}-{n}")})))
        });
        let changes = futures::future::join_all(changes).await;
        let made = changes.iter().filter(|change| change.status == StatusCode::OK);
        assert_eq!(made.count(), 1, "{changes:?}");
        for late in changes.iter().filter(|change| change.status != StatusCode::OK) {
            assert_eq!(late.outcome(), (412, "version-mismatch".into()));
            assert_eq!(late.json()["current"], round + 1, "{late:?}");
            assert_eq!(late.header("etag"), Some(format!("\"{}\"", round + 1).as_str()));
        }
    }
}
