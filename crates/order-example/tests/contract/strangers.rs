//! What is another user's looks exactly like nothing: to the letter, whether it exists or not.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::service::{Place, on_both_databases};

on_both_databases!(
    another_users_key_looks_like_an_unused_one,
    another_users_order_looks_like_one_that_does_not_exist,
    another_users_request_id_looks_like_one_that_nobody_made,
    another_users_payment_looks_like_one_that_does_not_exist,
    one_key_of_two_operations_is_two_keys,
);

/// A problem without what differs each time.
fn seen(answer: &Answer) -> (u16, Value, Vec<String>) {
    let mut problem = answer.json();
    problem.as_object_mut().expect("an object").remove("instance");
    let mut names: Vec<String> = answer
        .headers
        .keys()
        .map(|name| name.as_str().to_owned())
        .collect();
    names.sort_unstable();
    (answer.status, problem, names)
}

async fn another_users_key_looks_like_an_unused_one(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one.ada().pay(&order, "card_1").key("k").await.ok(201);
    let bobs = pair.one.customer("bob").unpaid().await;
    // The same key, another body, another customer: neither refused nor replayed.
    let answer = pair.two.customer("bob").pay(&bobs, "card_2").key("k").await;
    answer.ok(201);
    assert!(!answer.is_replay());
    // While it runs, too.
    let bobs = pair.one.customer("bob").unpaid().await;
    pair.one
        .fault("record_payment", json!({"mode": "delay", "ms": 500, "times": 1}))
        .await;
    let running = pair.one.customer("bob").pay(&bobs, "card_1").key("j").spawn();
    crate::service::until("the money is taken", async || {
        (pair.two.done("charge").await == 3).then_some(())
    })
    .await;
    let mine = pair.two.ada().unpaid().await;
    pair.two.ada().pay(&mine, "card_1").key("j").await.ok(201);
    running.await.expect("an answer").ok(201);
    pair.end().await;
}

async fn another_users_order_looks_like_one_that_does_not_exist(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().ordered().await.json();
    let nr = order["orderNr"].as_str().expect("a number");
    let bob = pair.two.customer("bob");
    for (theirs, nobodys) in [
        (
            bob.get(&format!("/api/v1/orders/{nr}")),
            bob.get("/api/v1/orders/20240102-999999"),
        ),
        (
            bob.delete(&format!("/api/v1/orders/{nr}")).if_match("\"1\""),
            bob.delete("/api/v1/orders/20240102-999999").if_match("\"1\""),
        ),
        (
            bob.patch(&format!("/api/v1/orders/{nr}"), json!({"comment": "x"}))
                .key("a"),
            bob.patch("/api/v1/orders/20240102-999999", json!({"comment": "x"}))
                .key("a"),
        ),
        (
            bob.pay(nr, "card_1").key("a"),
            bob.pay("20240102-999999", "card_1").key("a"),
        ),
    ] {
        let (theirs, nobodys) = (theirs.await, nobodys.await);
        theirs.problem(404, "not-found");
        assert_eq!(seen(&theirs), seen(&nobodys));
    }
    assert_eq!(
        bob.get("/api/v1/orders").await.ok(200),
        json!({"version": 0, "orders": []})
    );
    let path = format!("/api/v1/orders/{nr}");
    assert_eq!(pair.one.ada().get(&path).await.ok(200), order);
    pair.end().await;
}

async fn another_users_request_id_looks_like_one_that_nobody_made(place: Place) {
    let pair = place.pair().await;
    let offered = pair.one.ada().offer().await;
    let ordered = pair.one.customer("eve").offer().await;
    pair.one.customer("eve").order(&ordered).await.ok(201);
    let bob = pair.two.customer("bob");
    bob.put("TEA", 1).await.ok(200);
    let nobodys = bob.order(&format!("req_{}", "A".repeat(32))).await;
    nobodys.problem(422, "offer-unknown");
    for theirs in [&offered, &ordered] {
        assert_eq!(seen(&bob.order(theirs).await), seen(&nobodys));
    }
    assert_eq!(bob.order_count().await, 0);
    pair.two.ada().order(&offered).await.ok(201);
    pair.end().await;
}

async fn another_users_payment_looks_like_one_that_does_not_exist(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let paid = pair.one.ada().pay(&order, "card_1").key("k").await;
    paid.ok(201);
    let bob = pair.two.customer("bob");
    let theirs = bob.get(paid.location()).await;
    theirs.problem(404, "not-found");
    let nobodys = bob
        .get("/api/v1/payments/p_00000000000000000000000000000000")
        .await;
    assert_eq!(seen(&theirs), seen(&nobodys));
    pair.end().await;
}

async fn one_key_of_two_operations_is_two_keys(place: Place) {
    let pair = place.pair().await;
    pair.one.ada().put("TEA", 1).await.ok(200);
    let order = pair.one.ada().order_in_the_old_way().key("k").await;
    let nr = order.ok(201)["orderNr"].as_str().expect("a number").to_owned();
    let paid = pair.two.ada().pay(&nr, "card_1").key("k").await;
    paid.ok(201);
    let changed = pair
        .one
        .ada()
        .patch(order.location(), json!({"comment": "x"}))
        .if_match("\"1\"")
        .key("k")
        .await;
    changed.ok(200);
    assert!(!paid.is_replay() && !changed.is_replay());
    pair.end().await;
}
