//! The cart: one per customer, changed by setting quantities.

use serde_json::json;

use crate::service::{Place, on_both_databases};
use crate::world::{CART, CHECKOUT};

on_both_databases!(
    a_new_customer_has_an_empty_cart,
    a_quantity_that_changes_nothing_makes_no_revision,
    a_cart_that_is_known_is_not_sent_again,
    what_can_not_be_in_a_cart_is_refused,
    a_stale_tag_changes_no_cart,
    a_cart_needs_no_key_and_reads_none,
);

async fn a_new_customer_has_an_empty_cart(place: Place) {
    let pair = place.pair().await;
    let answer = pair.one.ada().get(CART).await;
    let cart = answer.ok(200);
    let id = cart["id"].as_str().expect("an id");
    let empty = json!({
        "id": id, "revision": 0, "state": "open", "currency": "RUB", "items": [],
        "total": {"amount": 0, "currency": "RUB"},
    });
    assert_eq!(cart, empty);
    assert_eq!(answer.header("etag"), Some(format!("\"{id}.0\"").as_str()));
    assert_eq!(pair.two.ada().cart().await, cart);
    assert_ne!(pair.one.customer("bob").cart().await["id"], cart["id"]);
    pair.end().await;
}

async fn a_quantity_that_changes_nothing_makes_no_revision(place: Place) {
    let pair = place.pair().await;
    let (one, two) = (pair.one.ada(), pair.two.ada());
    let cart = one.put("TEA", 2).await.ok(200);
    assert_eq!(cart["revision"], 1);
    assert_eq!(
        cart["items"],
        json!([{"sku": "TEA", "qty": 2, "unitPrice": {"amount": 1000, "currency": "RUB"}}])
    );
    assert_eq!(cart["total"]["amount"], 2000);
    assert_eq!(two.put("TEA", 2).await.ok(200), cart);
    let cart = two.put("CUP", 1).await.ok(200);
    assert_eq!(
        (&cart["revision"], &cart["total"]["amount"]),
        (&json!(2), &json!(4500))
    );
    assert_eq!(one.put("TEA", 0).await.ok(200)["revision"], 3);
    let cart = one.put("TEA", 0).await.ok(200);
    assert_eq!(cart["revision"], 3);
    assert_eq!(cart["items"].as_array().map(Vec::len), Some(1));
    pair.end().await;
}

async fn a_cart_that_is_known_is_not_sent_again(place: Place) {
    let pair = place.pair().await;
    let tag = pair
        .one
        .ada()
        .put("TEA", 1)
        .await
        .header("etag")
        .expect("a tag")
        .to_owned();
    for known in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"other\", {tag}"),
        "*".into(),
    ] {
        let answer = pair.two.ada().get(CART).header("if-none-match", &known).await;
        assert_eq!(answer.status, 304, "{known}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert!(answer.body.is_empty());
    }
    pair.one.ada().put("TEA", 2).await.ok(200);
    let answer = pair.two.ada().get(CART).header("if-none-match", &tag).await;
    answer.ok(200);
    pair.end().await;
}

async fn what_can_not_be_in_a_cart_is_refused(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    ada.put("COFFEE", 1).await.problem(404, "not-found");
    for qty in [-1, 1000, i64::MAX] {
        let problem = ada.put("TEA", qty).await.problem(422, "validation-failed");
        assert_eq!(problem["errors"][0]["pointer"], "/qty", "{problem}");
    }
    for body in [
        json!({}),
        json!({"qty": "2"}),
        json!({"qty": 1.5}),
        json!({"qty": null}),
        json!([]),
    ] {
        let put = pair
            .one
            .put("/api/v1/cart/items/TEA", body.clone())
            .by("ada")
            .await;
        put.problem(422, "validation-failed");
    }
    assert_eq!(ada.cart().await["revision"], 0);
    assert_eq!(ada.put("TEA", 999).await.ok(200)["total"]["amount"], 999_000);
    pair.end().await;
}

async fn a_stale_tag_changes_no_cart(place: Place) {
    let pair = place.pair().await;
    let stale = pair
        .one
        .ada()
        .put("TEA", 1)
        .await
        .header("etag")
        .expect("a tag")
        .to_owned();
    let tag = pair
        .two
        .ada()
        .put("TEA", 2)
        .await
        .header("etag")
        .expect("a tag")
        .to_owned();
    let answer = pair.one.ada().put("TEA", 3).if_match(&stale).await;
    answer.problem(412, "version-mismatch");
    assert_eq!(answer.header("etag"), Some(tag.as_str()));
    let weak = pair.one.ada().put("TEA", 3).if_match(&format!("W/{tag}")).await;
    weak.problem(412, "version-mismatch");
    let unreadable = pair.one.ada().put("TEA", 3).if_match("c_1.3").await;
    unreadable.problem(400, "malformed-precondition");
    assert_eq!(pair.two.ada().cart().await["items"][0]["qty"], 2);
    let fresh = pair
        .one
        .ada()
        .put("TEA", 3)
        .if_match(&format!("{stale}, {tag}"))
        .await;
    assert_eq!(fresh.ok(200)["items"][0]["qty"], 3);
    pair.one.ada().put("TEA", 4).if_match("*").await.ok(200);
    pair.end().await;
}

async fn a_cart_needs_no_key_and_reads_none(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    for key in ["", "\"a", "a b"] {
        let put = ada.put("TEA", 1).header("idempotency-key", key).await;
        put.ok(200);
        let got = ada.get(CART).header("idempotency-key", key).await;
        got.ok(200);
        assert!(!put.is_replay() && !got.is_replay());
    }
    let other_body = ada.put("TEA", 2).key("k").await;
    other_body.ok(200);
    assert_eq!(ada.put("TEA", 3).key("k").await.ok(200)["items"][0]["qty"], 3);
    let offers = ada.post(CHECKOUT, json!({})).key("k").await;
    offers.ok(200);
    pair.end().await;
}
