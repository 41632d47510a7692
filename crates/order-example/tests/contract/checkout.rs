//! `go-checkout`: the offers for a cart, each with an id under which it can be ordered once.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::service::{Place, on_both_databases};
use crate::world::CHECKOUT;

on_both_databases!(
    every_offer_has_an_id_of_its_own,
    the_same_cart_has_the_same_ids_at_every_process_and_after_a_restart,
    another_revision_or_payment_has_other_ids,
    nobody_shares_an_id_with_anybody,
    what_can_not_be_paid_so_has_no_id,
    an_empty_cart_can_not_be_ordered,
    a_wish_that_is_not_understood_is_refused,
);

fn ids(offers: &[Value]) -> Vec<String> {
    let id = |offer: &Value| offer["requestId"].as_str().expect("an id").to_owned();
    offers.iter().map(id).collect()
}

async fn every_offer_has_an_id_of_its_own(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    let cart = ada.put("TEA", 1).await.ok(200);
    let answer = ada.post(CHECKOUT, json!({})).await.ok(200);
    assert_eq!(answer["cartId"], cart["id"]);
    assert_eq!(answer["revision"], cart["revision"]);
    let offers = answer["offers"].as_array().expect("a list");
    let payments: Vec<&Value> = offers.iter().map(|offer| &offer["payment"]).collect();
    assert_eq!(
        payments,
        [
            &json!({"method": "card", "cardId": "card_1"}),
            &json!({"method": "cash"})
        ]
    );
    for offer in offers {
        assert_eq!(offer["available"], true);
        assert_eq!(offer["delivery"], "courier");
        assert_eq!(offer["total"], json!({"amount": 1000, "currency": "RUB"}));
        let id = offer["requestId"].as_str().expect("an id");
        let hash = id.strip_prefix("req_").expect("a prefix");
        assert_eq!(hash.len(), 32);
        assert!(
            hash.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
            "{id}"
        );
    }
    assert_ne!(offers[0]["requestId"], offers[1]["requestId"]);
    // What is null is not said.
    let null = json!({"payment": null, "delivery": null});
    assert_eq!(ada.post(CHECKOUT, null).await.ok(200), answer);
    pair.end().await;
}

async fn the_same_cart_has_the_same_ids_at_every_process_and_after_a_restart(place: Place) {
    let mut pair = place.pair().await;
    pair.one.ada().put("TEA", 1).await.ok(200);
    let wish = json!([{"method": "card", "cardId": "card_1"}, {"method": "cash"}]);
    let first = pair.one.ada().offers(wish.clone()).await;
    assert_eq!(pair.one.ada().offers(wish.clone()).await, first);
    assert_eq!(pair.two.ada().offers(wish.clone()).await, first);
    pair.one.kill().await;
    pair.two.kill().await;
    let again = pair.place.start().await;
    assert_eq!(again.ada().offers(wish).await, first);
    pair.end().await;
}

async fn another_revision_or_payment_has_other_ids(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    let mut seen = HashSet::new();
    for qty in [1, 2, 1] {
        ada.put("TEA", qty).await.ok(200);
        for card in ["card_1", "card_2"] {
            let offers = ada.offers(json!([{"method": "card", "cardId": card}])).await;
            for id in ids(&offers) {
                assert!(seen.insert(id), "the same id twice");
            }
        }
    }
    assert_eq!(seen.len(), 6);
    pair.end().await;
}

async fn nobody_shares_an_id_with_anybody(place: Place) {
    let pair = place.pair().await;
    let mut seen = HashSet::new();
    for name in ["ada", "bob", "eve"] {
        assert!(seen.insert(pair.one.customer(name).offer().await));
    }
    // A customer's next cart is another one.
    let order = pair.two.ada().order(&pair.two.ada().offer().await).await;
    order.ok(201);
    assert!(seen.insert(pair.one.ada().offer().await));
    pair.end().await;
}

async fn what_can_not_be_paid_so_has_no_id(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    ada.put("TEA", 1).await.ok(200);
    let wish = json!([{"method": "invoice"}, {"method": "cash"}]);
    let offers = ada.offers(wish).await;
    let invoice = json!({
        "requestId": null, "available": false, "payment": {"method": "invoice"}, "delivery": "courier",
        "total": {"amount": 1000, "currency": "RUB"},
    });
    assert_eq!(offers[0], invoice);
    assert_eq!(offers[1]["available"], true);
    assert!(offers[1]["requestId"].is_string());
    pair.end().await;
}

async fn an_empty_cart_can_not_be_ordered(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    ada.post(CHECKOUT, json!({}))
        .await
        .problem(409, "cart-not-orderable");
    ada.put("TEA", 1).await.ok(200);
    ada.put("TEA", 0).await.ok(200);
    ada.post(CHECKOUT, json!({}))
        .await
        .problem(409, "cart-not-orderable");
    pair.end().await;
}

async fn a_wish_that_is_not_understood_is_refused(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    ada.put("TEA", 1).await.ok(200);
    for body in [
        json!({"payment": [{"method": "barter"}]}),
        json!({"payment": [{"method": "card"}]}),
        json!({"payment": "card"}),
        json!({"delivery": ["balloon"]}),
        json!([]),
    ] {
        let answer = ada.post(CHECKOUT, body).await;
        answer.problem(422, "validation-failed");
    }
    pair.end().await;
}
