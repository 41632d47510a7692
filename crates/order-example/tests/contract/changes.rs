//! The list of orders, one order, changing it, cancelling it: versions, and who may rely on them.

use reqwest::Method;
use serde_json::json;

use crate::service::{Place, on_both_databases};
use crate::world::ORDERS;

on_both_databases!(
    a_list_that_is_known_is_not_sent_again,
    an_order_is_shown_with_and_without_its_body,
    a_change_raises_the_version_of_the_order_and_of_the_list,
    a_change_that_changes_nothing_keeps_the_version,
    a_patch_is_merged,
    a_change_needs_the_present_tag,
    a_change_that_is_not_understood_is_refused,
    a_repeated_change_with_a_key_is_answered_as_the_first_time,
    a_cancelled_order_stays_cancelled,
    two_changes_at_once_do_not_undo_each_other,
);

async fn a_list_that_is_known_is_not_sent_again(place: Place) {
    let pair = place.pair().await;
    let empty = pair.one.ada().get(ORDERS).await;
    assert_eq!(empty.ok(200), json!({"version": 0, "orders": []}));
    assert_eq!(empty.header("etag"), Some("\"0\""));
    pair.one.ada().ordered().await;
    for known in ["\"1\"", "W/\"1\"", "\"7\", \"1\""] {
        let answer = pair.two.ada().get(ORDERS).header("if-none-match", known).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), Some("\"1\""));
    }
    let changed = pair.two.ada().get(ORDERS).header("if-none-match", "\"0\"").await;
    assert_eq!(changed.ok(200)["version"], 1);
    pair.end().await;
}

async fn an_order_is_shown_with_and_without_its_body(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await;
    let path = order.location();
    let known = pair.two.ada().get(path).header("if-none-match", "W/\"1\"").await;
    assert_eq!((known.status, known.header("etag")), (304, Some("\"1\"")));
    let head = pair.two.request(Method::HEAD, path).by("ada").await;
    assert_eq!((head.status, head.header("etag")), (200, Some("\"1\"")));
    assert!(head.body.is_empty());
    for path in [
        "/api/v1/orders/20240102-000017",
        "/api/v1/orders/%00",
        "/api/v1/orders/a%20b",
    ] {
        pair.one.ada().get(path).await.problem(404, "not-found");
        assert_eq!(pair.one.request(Method::HEAD, path).by("ada").await.status, 404);
    }
    pair.end().await;
}

async fn a_change_raises_the_version_of_the_order_and_of_the_list(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await;
    let path = order.location();
    let changed = pair
        .two
        .ada()
        .patch(path, json!({"comment": "knock"}))
        .if_match("\"1\"")
        .await;
    let body = changed.ok(200);
    assert_eq!((&body["comment"], &body["version"]), (&json!("knock"), &json!(2)));
    assert_eq!(body["ordersVersion"], 2);
    assert_eq!(changed.header("etag"), Some("\"2\""));
    assert_eq!(pair.one.ada().get(path).await.ok(200), body);
    assert_eq!(pair.one.ada().list_version().await, 2);
    pair.end().await;
}

async fn a_change_that_changes_nothing_keeps_the_version(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await;
    for patch in [json!({}), json!({"comment": null})] {
        let answer = pair
            .two
            .ada()
            .patch(order.location(), patch)
            .if_match("\"1\"")
            .await;
        assert_eq!(answer.ok(200)["version"], 1);
        assert_eq!(answer.header("etag"), Some("\"1\""));
    }
    assert_eq!(pair.one.ada().list_version().await, 1);
    pair.end().await;
}

async fn a_patch_is_merged(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await;
    let path = order.location();
    let patch = async |patch, tag| pair.two.ada().patch(path, patch).if_match(tag).await.ok(200);
    let address = json!({"city": "Tver", "street": "Lenina 1"});
    let body = patch(json!({"address": address, "comment": "x"}), "\"1\"").await;
    assert_eq!((&body["address"], &body["comment"]), (&address, &json!("x")));
    let body = patch(json!({"address": {"street": "Mira 2"}}), "*").await;
    assert_eq!(body["address"], json!({"city": "Tver", "street": "Mira 2"}));
    assert_eq!(body["comment"], "x");
    let body = patch(json!({"address": {"city": null}, "comment": null}), "\"3\"").await;
    assert_eq!(body["address"], json!({"street": "Mira 2"}));
    assert_eq!((&body["comment"], &body["version"]), (&json!(null), &json!(4)));
    pair.end().await;
}

async fn a_change_needs_the_present_tag(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await;
    let path = order.location();
    let patch = |tag: &str| pair.two.ada().patch(path, json!({"comment": "x"})).if_match(tag);
    let missing = pair.two.ada().patch(path, json!({"comment": "x"})).await;
    missing.problem(428, "precondition-required");
    pair.two
        .ada()
        .delete(path)
        .await
        .problem(428, "precondition-required");
    for stale in ["\"0\"", "\"2\"", "W/\"1\"", "\"a\""] {
        let answer = patch(stale).await;
        assert_eq!(answer.problem(412, "version-mismatch")["current"], 1, "{stale}");
        assert_eq!(answer.header("etag"), Some("\"1\""));
        let answer = pair.two.ada().delete(path).if_match(stale).await;
        answer.problem(412, "version-mismatch");
    }
    for bad in ["1", "\"1", "", "\"1\" \"2\""] {
        patch(bad).await.problem(400, "malformed-precondition");
        let answer = pair.two.ada().delete(path).if_match(bad).await;
        answer.problem(400, "malformed-precondition");
    }
    assert_eq!(pair.one.ada().list_version().await, 1);
    patch("\"0\", \"1\"").await.ok(200);
    pair.end().await;
}

async fn a_change_that_is_not_understood_is_refused(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await;
    let path = order.location();
    for body in [
        json!({"comment": 7}),
        json!({"status": "cancelled"}),
        json!([]),
        json!({"comment": "x".repeat(10_000)}),
    ] {
        let answer = pair.one.ada().patch(path, body).if_match("\"1\"").key("k").await;
        answer.problem(422, "validation-failed");
    }
    let text = pair
        .one
        .request(Method::PATCH, path)
        .by("ada")
        .if_match("\"1\"")
        .body("text/plain", "{}");
    text.await.problem(415, "unsupported-media-type");
    let changed = pair
        .two
        .ada()
        .patch(path, json!({"comment": "x"}))
        .if_match("\"1\"")
        .key("k")
        .await;
    changed.ok(200);
    assert!(!changed.is_replay());
    pair.end().await;
}

async fn a_repeated_change_with_a_key_is_answered_as_the_first_time(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await;
    let path = order.location();
    let body = json!({"comment": "knock"});
    let first = pair
        .one
        .ada()
        .patch(path, body.clone())
        .if_match("\"1\"")
        .key("k")
        .await;
    first.ok(200);
    // The tag is stale by now, and the replay comes first.
    let again = pair
        .two
        .ada()
        .patch(path, body.clone())
        .if_match("\"1\"")
        .key("k")
        .await;
    again.repeats(&first);
    let bare = pair.two.ada().patch(path, body.clone()).key("k").await;
    bare.repeats(&first);
    let without = pair.two.ada().patch(path, body.clone()).if_match("\"1\"").await;
    without.problem(412, "version-mismatch");
    let other = pair
        .two
        .ada()
        .patch(path, json!({"comment": "x"}))
        .if_match("\"2\"")
        .key("k")
        .await;
    other.problem(422, "idempotency-key-reused");
    // Another order under the same key is another request.
    let second = pair.one.ada().ordered().await;
    let other = pair
        .two
        .ada()
        .patch(second.location(), body)
        .if_match("\"1\"")
        .key("k")
        .await;
    other.problem(422, "idempotency-key-reused");
    assert_eq!(pair.one.ada().get(path).await.ok(200)["version"], 2);
    pair.end().await;
}

async fn a_cancelled_order_stays_cancelled(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await;
    let path = order.location();
    let cancelled = pair.one.ada().delete(path).if_match("\"1\"").await;
    assert_eq!(
        (cancelled.status, cancelled.body.len()),
        (204, 0),
        "{cancelled:?}"
    );
    let shown = pair.two.ada().get(path).await.ok(200);
    assert_eq!(
        (&shown["status"], &shown["version"]),
        (&json!("cancelled"), &json!(2))
    );
    assert_eq!(pair.two.ada().list_version().await, 2);
    // Whoever repeats it, a proxy for example, is not told that it went wrong; and it reads no key.
    for tag in ["\"1\"", "\"2\"", "\"9\"", "*"] {
        let again = pair.two.ada().delete(path).if_match(tag);
        let again = again.header("idempotency-key", "\"").await;
        assert_eq!(again.status, 204, "{tag}: {again:?}");
    }
    assert_eq!(pair.one.ada().list_version().await, 2);
    let change = pair
        .one
        .ada()
        .patch(path, json!({"comment": "x"}))
        .if_match("\"2\"")
        .await;
    change.problem(409, "order-state-conflict");
    pair.end().await;
}

async fn two_changes_at_once_do_not_undo_each_other(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await;
    let changes: Vec<_> = (0..10)
        .map(|at| {
            let service = if at % 2 == 0 { &pair.one } else { &pair.two };
            let body = json!({"comment": format!("comment {at}")});
            service
                .ada()
                .patch(order.location(), body)
                .if_match("\"1\"")
                .spawn()
        })
        .collect();
    let mut done = 0;
    for change in changes {
        let answer = change.await.expect("an answer");
        match answer.status {
            200 => done += 1,
            _ => drop(answer.problem(412, "version-mismatch")),
        }
    }
    assert_eq!(done, 1);
    assert_eq!(pair.one.ada().list_version().await, 2);
    pair.end().await;
}
