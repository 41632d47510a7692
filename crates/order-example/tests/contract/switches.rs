//! What may whoever runs the service choose? Each policy, at work.

use reqwest::Method;
use serde_json::json;

use crate::answer::text;
use crate::service::{Place, on_both_databases};
use crate::world::{ORDERS, PAYMENTS, payment};

on_both_databases!(
    without_a_fingerprint_the_first_body_wins,
    a_raw_fingerprint_compares_to_the_letter,
    a_strict_service_takes_strings_only,
    after_an_error_everything_may_be_done_again,
    after_an_error_it_may_be_told_again,
    after_an_error_it_may_go_on_where_it_stopped,
    a_replay_may_show_the_order_as_it_is_now,
    a_replay_may_be_marked_under_another_name,
    an_answer_that_is_too_large_to_keep_is_not_made_again,
    how_often_a_step_is_tried_is_a_choice,
    a_service_without_its_store_does_not_start,
);

async fn without_a_fingerprint_the_first_body_wins(place: Place) {
    let pair = place.with("ORDERS_FINGERPRINT", "off").pair().await;
    let order = pair.one.ada().unpaid().await;
    let first = pair.one.ada().pay(&order, "card_1").key("k").await;
    first.ok(201);
    pair.two
        .ada()
        .pay(&order, "card_2")
        .key("k")
        .await
        .repeats(&first);
    assert_eq!(pair.one.effects().await["provider_calls"], 1);
    pair.end().await;
}

async fn a_raw_fingerprint_compares_to_the_letter(place: Place) {
    let pair = place.with("ORDERS_FINGERPRINT", "raw").pair().await;
    let order = pair.one.ada().unpaid().await;
    let body = payment(&order, "card_1").to_string();
    let post = |service: &crate::service::Service, body: String| {
        service
            .request(Method::POST, PAYMENTS)
            .by("ada")
            .key("k")
            .text(body)
    };
    let first = post(&pair.one, body.clone()).await;
    first.ok(201);
    post(&pair.two, body.clone()).await.repeats(&first);
    post(&pair.two, format!("{body} "))
        .await
        .problem(422, "idempotency-key-reused");
    pair.end().await;
}

async fn a_strict_service_takes_strings_only(place: Place) {
    let pair = place.with("ORDERS_KEY_SYNTAX", "strict").pair().await;
    let order = pair.one.ada().unpaid().await;
    let bare = pair
        .one
        .ada()
        .pay(&order, "card_1")
        .header("idempotency-key", "k")
        .await;
    bare.problem(400, "idempotency-key-malformed");
    pair.two.ada().pay(&order, "card_1").key("k").await.ok(201);
    let policy = pair.one.get("/api/v1/idempotency").await.ok(200);
    assert_eq!(policy["syntax"], "strict");
    pair.end().await;
}

async fn after_an_error_everything_may_be_done_again(place: Place) {
    let pair = place.with("ORDERS_ON_ERROR", "retry-errors").pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("charge", json!({"mode": "final", "times": 1}))
        .await;
    let declined = pair.one.ada().pay(&order, "card_1").key("k").await;
    declined.problem(402, "payment-declined");
    let paid = pair.two.ada().pay(&order, "card_1").key("k").await;
    paid.ok(201);
    assert!(!paid.is_replay());
    pair.one.ada().pay(&order, "card_1").key("k").await.repeats(&paid);
    // What only stopped half-way goes on there: its money was taken under the keys of its own run.
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("record_payment", json!({"mode": "transient"}))
        .await;
    let stopped = pair.one.ada().pay(&order, "card_1").key("j").await;
    stopped.problem(503, "upstream-unavailable");
    pair.one.mend("record_payment").await;
    pair.two.ada().pay(&order, "card_1").key("j").await.ok(201);
    assert_eq!(pair.one.done("charge").await, 2);
    pair.end().await;
}

async fn after_an_error_it_may_be_told_again(place: Place) {
    let pair = place.with("ORDERS_ON_ERROR", "replay-all").pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one.fault("charge", json!({"mode": "transient"})).await;
    let first = pair.one.ada().pay(&order, "card_1").key("k").await;
    first.problem(503, "upstream-unavailable");
    pair.one.mend("charge").await;
    let again = pair.two.ada().pay(&order, "card_1").key("k").await;
    again.problem(503, "upstream-unavailable");
    assert!(again.is_replay());
    assert_eq!(pair.one.effects().await["provider_calls"], 0);
    pair.two.ada().pay(&order, "card_1").key("j").await.ok(201);
    pair.end().await;
}

async fn after_an_error_it_may_go_on_where_it_stopped(place: Place) {
    let pair = place.with("ORDERS_ON_ERROR", "success-only").pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("record_payment", json!({"mode": "final", "times": 1}))
        .await;
    let refused = pair.one.ada().pay(&order, "card_1").key("k").await;
    refused.problem(409, "order-already-paid");
    let paid = pair.two.ada().pay(&order, "card_1").key("k").await;
    paid.ok(201);
    assert!(!paid.is_replay());
    pair.end().await;
}

async fn a_replay_may_show_the_order_as_it_is_now(place: Place) {
    let pair = place.with("ORDERS_REPLAY", "latest").pair().await;
    let id = pair.one.ada().offer().await;
    let first = pair.one.ada().order(&id).await;
    first.ok(201);
    let changed = pair
        .one
        .ada()
        .patch(first.location(), json!({"comment": "knock"}))
        .if_match("\"1\"")
        .await;
    let changed = changed.ok(200);
    let again = pair.two.ada().order(&id).await;
    assert_eq!(again.ok(201), changed);
    assert!(again.is_replay());
    assert_eq!(again.location(), first.location());
    assert_eq!(again.header("etag"), Some("\"2\""));
    assert_eq!(pair.one.ada().order_count().await, 1);
    pair.end().await;
}

async fn a_replay_may_be_marked_under_another_name(place: Place) {
    let pair = place
        .with("ORDERS_REPLAY_HEADER", "X-Idempotent-Hit")
        .pair()
        .await;
    let id = pair.one.ada().offer().await;
    let first = pair.one.ada().order(&id).await;
    assert_eq!(first.header("x-idempotent-hit"), None);
    let again = pair.two.ada().order(&id).await;
    again.ok(201);
    assert_eq!(again.header("x-idempotent-hit"), Some("true"));
    assert!(again.is_replay(), "and under the usual one");
    pair.end().await;
}

async fn an_answer_that_is_too_large_to_keep_is_not_made_again(place: Place) {
    let pair = place.with("ORDERS_MAX_STORED_RESPONSE", 200).pair().await;
    let id = pair.one.ada().offer().await;
    let order = json!({"requestId": id, "comment": "x".repeat(500)});
    let first = pair.one.ada().post(ORDERS, order.clone()).await;
    first.ok(201);
    let again = pair.two.ada().post(ORDERS, order).await;
    assert_eq!(again.status, 201, "{again:?}");
    assert!(again.is_replay());
    assert_eq!(again.location(), first.location());
    assert!(text(&again.body).contains(first.location()), "{again:?}");
    assert!(again.body.len() <= 200);
    assert_eq!(pair.one.ada().order_count().await, 1);
    pair.end().await;
}

async fn how_often_a_step_is_tried_is_a_choice(place: Place) {
    let pair = place.with("ORDERS_STEP_RETRIES", 3).pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("charge", json!({"mode": "transient", "times": 3}))
        .await;
    pair.one.ada().pay(&order, "card_1").key("k").await.ok(201);
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("charge", json!({"mode": "transient", "times": 4}))
        .await;
    let stopped = pair.one.ada().pay(&order, "card_1").key("j").await;
    stopped.problem(503, "upstream-unavailable");
    pair.two.ada().pay(&order, "card_1").key("j").await.ok(201);
    pair.end().await;
}

async fn a_service_without_its_store_does_not_start(place: Place) {
    let output = place
        .command()
        .env("ORDERS_STORE", "redis")
        .output()
        .await
        .expect("runs");
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("redis"), "{}", text(&output.stderr));
}
