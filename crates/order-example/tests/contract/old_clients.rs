//! Clients that know no offers: they say how they pay and what they expect to pay, and bring a key.

use serde_json::{Value, json};

use crate::service::{Place, on_both_databases};
use crate::world::{ORDERS, old_body};

on_both_databases!(
    an_order_without_an_id_needs_a_key_and_is_made_once,
    without_an_id_and_a_key_there_is_no_order,
    what_the_shop_does_not_offer_is_not_ordered,
    a_key_is_free_again_when_its_time_is_over,
);

async fn an_order_without_an_id_needs_a_key_and_is_made_once(place: Place) {
    let pair = place.pair().await;
    pair.one.ada().put("TEA", 1).await.ok(200);
    let first = pair.one.ada().order_in_the_old_way().key("k").await;
    let order = first.ok(201);
    assert_eq!(order["payment"], json!({"method": "cash"}));
    assert_eq!(order["total"]["amount"], 1000);
    assert!(first.header("set-cookie").is_some() && !first.is_replay());
    let again = pair.two.ada().order_in_the_old_way().key("k").await;
    again.repeats(&first);
    let shown = pair.two.ada().get(first.location()).await;
    assert_eq!(shown.ok(200), order);
    assert_eq!(pair.two.ada().order_count().await, 1);
    pair.end().await;
}

async fn without_an_id_and_a_key_there_is_no_order(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    ada.put("TEA", 1).await.ok(200);
    let mut absent = old_body(1000);
    absent.as_object_mut().expect("an object").remove("requestId");
    for body in [old_body(1000), absent] {
        ada.post(ORDERS, body)
            .await
            .problem(400, "idempotency-key-missing");
    }
    assert_eq!(ada.order_count().await, 0);
    pair.end().await;
}

async fn what_the_shop_does_not_offer_is_not_ordered(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    ada.put("TEA", 1).await.ok(200);
    let with = |member: &str, value: Value| {
        let mut body = old_body(1000);
        body[member] = value;
        body
    };
    let bodies = [
        old_body(999),
        with("expectedTotal", json!({"amount": 1000, "currency": "EUR"})),
        with("payment", json!({"method": "invoice"})),
    ];
    for body in bodies {
        let answer = ada.post(ORDERS, body.clone()).key("k").await;
        answer.problem(422, "offer-no-match");
    }
    let free = pair.two.ada().order_in_the_old_way().key("k").await;
    free.ok(201);
    assert!(!free.is_replay());
    pair.end().await;
}

/// The offer's id has no time: it stands in the order for ever.
async fn a_key_is_free_again_when_its_time_is_over(place: Place) {
    let pair = place.with("ORDERS_TTL_S", 3600).pair().await;
    pair.one.ada().put("TEA", 1).await.ok(200);
    let first = pair.one.ada().order_in_the_old_way().key("k").await;
    first.ok(201);
    let id = pair.one.ada().offer().await;
    let by_id = pair.one.ada().order(&id).await;
    by_id.ok(201);
    pair.one.move_clock(3500).await;
    pair.two
        .ada()
        .order_in_the_old_way()
        .key("k")
        .await
        .repeats(&first);
    pair.one.move_clock(200).await;
    for service in [&pair.one, &pair.two] {
        let again = service.ada().order(&id).await;
        assert_eq!(again.ok(201)["orderNr"], by_id.json()["orderNr"]);
    }
    pair.one.ada().put("TEA", 1).await.ok(200);
    let anew = pair.two.ada().order_in_the_old_way().key("k").await;
    assert_ne!(anew.ok(201)["orderNr"], first.json()["orderNr"]);
    assert!(!anew.is_replay());
    assert_eq!(pair.one.ada().order_count().await, 3);
    pair.end().await;
}
