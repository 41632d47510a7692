//! `POST /api/v1/orders` under the id of an offer, a key, or both.

use serde_json::json;

use crate::service::{Place, at_one_process, on_both_databases, until};
use crate::world::{DECLINED, ORDERS};

on_both_databases!(
    an_order_is_made_of_the_offer_and_closes_the_cart,
    a_repeat_gets_the_same_order_although_the_cart_is_closed,
    a_request_id_is_one_order_under_any_key_or_none,
    a_key_belongs_to_one_body,
    an_offer_that_nobody_made_is_unknown,
    an_offer_of_a_changed_cart_is_stale,
    a_declined_card_is_a_final_answer,
    a_shortage_is_a_final_answer_and_gives_everything_back,
    an_order_that_stopped_at_the_provider_goes_on_where_it_stopped,
    nothing_is_done_while_the_store_is_down,
    an_order_whose_end_can_not_be_written_is_finished_once,
    an_order_is_told_to_the_world_once,
);

at_one_process!(
    an_order_is_made_of_the_offer_and_closes_the_cart,
    a_repeat_gets_the_same_order_although_the_cart_is_closed,
    a_request_id_is_one_order_under_any_key_or_none,
    a_key_belongs_to_one_body,
    an_offer_that_nobody_made_is_unknown,
    an_offer_of_a_changed_cart_is_stale,
    a_declined_card_is_a_final_answer,
    a_shortage_is_a_final_answer_and_gives_everything_back,
    an_order_that_stopped_at_the_provider_goes_on_where_it_stopped,
    nothing_is_done_while_the_store_is_down,
    an_order_whose_end_can_not_be_written_is_finished_once,
    an_order_is_told_to_the_world_once,
);

async fn an_order_is_made_of_the_offer_and_closes_the_cart(place: Place) {
    let pair = place.pair().await;
    let ada = pair.one.ada();
    let cart = ada.put("TEA", 1).await.ok(200);
    let id = ada.offer().await;
    let body = json!({"requestId": id, "comment": "ring twice"});
    let answer = ada.post(ORDERS, body).await;
    let order = answer.ok(201);
    let nr = order["orderNr"].as_str().expect("a number");
    let created = order["createdAt"].as_str().expect("a time");
    assert!(created.ends_with('Z') && created.len() >= 20, "{created}");
    let wanted = json!({
        "orderNr": nr, "requestId": id, "status": "confirmed", "version": 1, "ordersVersion": 1,
        "cartId": cart["id"],
        "items": [{"sku": "TEA", "qty": 1, "unitPrice": {"amount": 1000, "currency": "RUB"}}],
        "total": {"amount": 1000, "currency": "RUB"},
        "payment": {"method": "card", "cardId": "card_1"}, "delivery": "courier",
        "deliveryStatus": null, "comment": "ring twice", "createdAt": created,
    });
    assert_eq!(order, wanted);
    assert_eq!(answer.location(), format!("/api/v1/orders/{nr}"));
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert!(answer.header("set-cookie").is_some());
    assert!(!answer.is_replay());

    let shown = pair.two.ada().get(answer.location()).await;
    assert_eq!(shown.ok(200), order);
    assert_eq!(shown.header("etag"), Some("\"1\""));
    let list = pair.two.ada().get(ORDERS).await;
    assert_eq!(list.ok(200), json!({"version": 1, "orders": [order]}));

    let next = pair.two.ada().cart().await;
    assert_ne!(next["id"], cart["id"]);
    assert_eq!((&next["revision"], &next["items"]), (&json!(0), &json!([])));
    let effects = pair.two.effects().await;
    for step in ["reserve_stock", "authorize_payment", "create_order"] {
        assert_eq!(effects["steps"][step], 1, "{effects}");
    }
    pair.end().await;
}

async fn a_repeat_gets_the_same_order_although_the_cart_is_closed(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let first = pair.one.ada().order(&id).await;
    first.ok(201);
    for service in [&pair.two, &pair.one, &pair.two] {
        let again = service.ada().order(&id).await;
        again.repeats(&first);
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    assert_eq!(pair.one.ada().order_count().await, 1);
    assert_eq!(pair.one.done("authorize_payment").await, 1);
    pair.end().await;
}

async fn a_request_id_is_one_order_under_any_key_or_none(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let first = pair.one.ada().order(&id).key("a").await;
    first.ok(201);
    assert_eq!(first.header("idempotency-key"), Some("\"a\""));
    assert!(!first.is_replay());
    for key in ["a", "b", "c"] {
        let again = pair.two.ada().order(&id).key(key).await;
        assert_eq!(again.ok(201), first.json());
        assert_eq!(again.location(), first.location());
        assert!(again.is_replay(), "{key}");
        assert_eq!(
            again.header("idempotency-key"),
            Some(format!("\"{key}\"").as_str())
        );
        assert_eq!(again.header("set-cookie"), None);
    }
    let bare = pair.two.ada().order(&id).await;
    assert_eq!(bare.ok(201), first.json());
    assert!(bare.is_replay());
    assert_eq!(pair.one.ada().order_count().await, 1);
    pair.end().await;
}

async fn a_key_belongs_to_one_body(place: Place) {
    let pair = place.pair().await;
    let (one, two) = (pair.one.ada(), pair.two.ada());
    let id = one.offer().await;
    one.order(&id).key("k").await.ok(201);
    let other = two
        .post(ORDERS, json!({"requestId": id, "comment": "other"}))
        .key("k")
        .await;
    let problem = other.problem(422, "idempotency-key-reused");
    assert_eq!(problem["idempotency_key"], "k");
    // The same id with another body is another request under the same key, too.
    let other = two
        .post(ORDERS, json!({"requestId": id, "comment": "other"}))
        .await;
    other.problem(422, "idempotency-key-reused");
    // A key that was used for an order without an id can not be used for one with it.
    one.put("TEA", 1).await.ok(200);
    one.order_in_the_old_way().key("old").await.ok(201);
    let id = one.offer().await;
    two.order(&id)
        .key("old")
        .await
        .problem(422, "idempotency-key-reused");
    two.order(&id).key("new").await.ok(201);
    // How it is written does not count.
    let spaced = format!("  {{ \"requestId\" :\n \"{id}\" }}  ");
    let again = one
        .at
        .request(reqwest::Method::POST, ORDERS)
        .by("ada")
        .key("new")
        .text(spaced)
        .await;
    assert!(again.is_replay());
    again.ok(201);
    pair.end().await;
}

async fn an_offer_that_nobody_made_is_unknown(place: Place) {
    let pair = place.pair().await;
    let unknown = format!("req_{}", "A".repeat(32));
    let answer = pair.one.ada().order(&unknown).await;
    answer.problem(422, "offer-unknown");
    assert_eq!(pair.one.ada().order_count().await, 0);
    pair.end().await;
}

async fn an_offer_of_a_changed_cart_is_stale(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    pair.two.ada().put("TEA", 2).await.ok(200);
    let answer = pair.one.ada().order(&id).key("k").await;
    answer.problem(409, "offer-stale");
    let link = answer.header("link").expect("a link");
    assert!(
        link.contains("</api/v2/cart/go-checkout>; rel=\"related\""),
        "{link}"
    );
    assert_eq!(pair.two.done("reserve_stock").await, 0);
    assert_eq!(pair.two.ada().order_count().await, 0);
    // An offer whose cart was ordered under another offer of its is stale, too.
    let wish = json!([{"method": "cash"}, {"method": "card", "cardId": "card_1"}]);
    let offers = pair.one.ada().offers(wish).await;
    let [cash, card] = [0, 1].map(|at| offers[at]["requestId"].as_str().expect("an id"));
    pair.one.ada().order(cash).key("k").await.ok(201);
    pair.two.ada().order(card).await.problem(409, "offer-stale");
    assert_eq!(pair.two.ada().order_count().await, 1);
    pair.end().await;
}

async fn a_declined_card_is_a_final_answer(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer_of("TEA", DECLINED).await;
    let first = pair.one.ada().order(&id).await;
    first.problem(402, "payment-declined");
    assert!(!first.is_replay());
    let again = pair.two.ada().order(&id).await;
    again.repeats(&first);
    assert_eq!(pair.one.done("create_order").await, 0);
    // The cart is still there: another card is another offer.
    let id = pair.two.ada().offer_of("TEA", "card_1").await;
    pair.two.ada().order(&id).await.ok(201);
    pair.end().await;
}

async fn a_shortage_is_a_final_answer_and_gives_everything_back(place: Place) {
    let pair = place.pair().await;
    let (one, two) = (pair.one.ada(), pair.two.ada());
    one.put("SAMOVAR", 2).await.ok(200);
    let wish = json!([{"method": "card", "cardId": "card_1"}]);
    let offers = one.offers(wish).await;
    let id = offers[0]["requestId"].as_str().expect("an id");
    let first = one.order(id).await;
    first.problem(409, "out-of-stock");
    two.order(id).await.repeats(&first);
    assert_eq!(pair.one.done("authorize_payment").await, 0);
    // There is one, and it is not held back.
    two.put("SAMOVAR", 1).await.ok(200);
    let id = two.offers(json!([{"method": "cash"}])).await[0]["requestId"].clone();
    two.order(id.as_str().expect("an id")).await.ok(201);
    pair.end().await;
}

async fn an_order_that_stopped_at_the_provider_goes_on_where_it_stopped(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    pair.one
        .fault("authorize_payment", json!({"mode": "transient"}))
        .await;
    let stopped = pair.one.ada().order(&id).key("k").await;
    stopped.problem(503, "upstream-unavailable");
    assert!(!stopped.is_replay());
    let stopped = pair.two.ada().order(&id).key("k").await;
    stopped.problem(503, "upstream-unavailable");
    let other = json!({"requestId": id, "comment": "other"});
    let other = pair.two.ada().post(ORDERS, other).key("k").await;
    other.problem(422, "idempotency-key-reused");
    pair.one.mend("authorize_payment").await;
    pair.two.ada().order(&id).key("k").await.ok(201);
    let effects = pair.one.effects().await;
    assert_eq!(effects["steps"]["reserve_stock"], 1, "{effects}");
    assert_eq!(effects["steps"]["create_order"], 1, "{effects}");
    pair.end().await;
}

async fn nothing_is_done_while_the_store_is_down(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    for setting in [json!({"available": false}), json!({"fail_on": "claim"})] {
        pair.one.store(setting).await;
        let refused = pair.two.ada().order(&id).key("k").await;
        refused.problem(503, "idempotency-store-unavailable");
    }
    pair.one.store(json!({"available": true})).await;
    assert_eq!(pair.one.done("reserve_stock").await, 0);
    let order = pair.two.ada().order(&id).key("k").await;
    order.ok(201);
    assert!(!order.is_replay());
    pair.end().await;
}

/// The work is done and its end can not be written: nothing is done again, and once the store is back
/// the order is there.
async fn an_order_whose_end_can_not_be_written_is_finished_once(place: Place) {
    let pair = place.with("ORDERS_WAIT_MAX_MS", 300).pair().await;
    let id = pair.one.ada().offer().await;
    pair.one.store(json!({"fail_on": "finish"})).await;
    let early = pair.one.ada().order(&id).spawn();
    until("the order is written", async || {
        (pair.two.done("create_order").await == 1).then_some(())
    })
    .await;
    let repeat = pair.two.ada().order(&id).await;
    let (status, slug) = repeat.outcome();
    let told = [
        (409, "idempotency-in-progress"),
        (503, "idempotency-store-unavailable"),
    ];
    assert!(told.contains(&(status, slug.as_str())), "{repeat:?}");
    pair.one.store(json!({})).await;
    until("the order is finished", async || {
        (pair.two.ada().order(&id).await.status == 201).then_some(())
    })
    .await;
    early.await.expect("an answer");
    let effects = pair.one.effects().await;
    for step in ["reserve_stock", "authorize_payment", "create_order"] {
        assert_eq!(effects["steps"][step], 1, "{effects}");
    }
    pair.end().await;
}

async fn an_order_is_told_to_the_world_once(place: Place) {
    let pair = place.pair().await;
    pair.one
        .fault("publish_outbox", json!({"mode": "transient", "times": 2}))
        .await;
    pair.one.ada().ordered().await;
    until("the message is delivered", async || {
        (pair.two.effects().await["events_distinct"]["order_created"] == 1).then_some(())
    })
    .await;
    pair.end().await;
}
