//! `POST /api/v1/payments`: money is taken once.

use serde_json::json;

use crate::service::{Place, at_one_process, on_both_databases, until};
use crate::world::{DECLINED, ORDERS, PAYMENTS, payment};

on_both_databases!(
    a_payment_is_taken_once_and_its_answer_stays,
    an_order_that_was_paid_for_in_advance_can_be_paid,
    a_payment_needs_a_key,
    a_declined_payment_is_a_final_answer_and_another_card_may_pay,
    an_order_is_paid_once_whatever_the_key,
    a_payment_that_comes_again_meets_its_own_effect_as_success,
    what_is_no_payment_is_refused_and_its_key_stays_free,
    a_payment_that_the_provider_did_not_get_goes_on_later,
    money_is_not_taken_while_the_store_is_down,
    the_same_payment_under_two_keys_may_be_refused,
    a_charge_whose_answer_was_lost_is_found_and_not_made_again,
    while_an_order_is_being_paid_it_is_neither_paid_otherwise_nor_cancelled,
);

at_one_process!(
    a_payment_is_taken_once_and_its_answer_stays,
    an_order_that_was_paid_for_in_advance_can_be_paid,
    a_payment_needs_a_key,
    a_declined_payment_is_a_final_answer_and_another_card_may_pay,
    an_order_is_paid_once_whatever_the_key,
    what_is_no_payment_is_refused_and_its_key_stays_free,
    a_payment_that_the_provider_did_not_get_goes_on_later,
    money_is_not_taken_while_the_store_is_down,
    the_same_payment_under_two_keys_may_be_refused,
);

async fn a_payment_is_taken_once_and_its_answer_stays(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let first = pair.one.ada().pay(&order, "card_1").key("k").await;
    let body = first.ok(201);
    let id = body["paymentId"].as_str().expect("an id");
    assert!(id.starts_with("p_"), "{id}");
    let wanted = json!({
        "paymentId": id, "orderNr": order, "amount": {"amount": 1000, "currency": "RUB"},
        "status": "captured", "createdAt": body["createdAt"],
    });
    assert_eq!(body, wanted);
    assert_eq!(first.location(), format!("/api/v1/payments/{id}"));
    assert_eq!(first.header("idempotency-key"), Some("\"k\""));
    assert!(!first.is_replay());
    for service in [&pair.two, &pair.one] {
        service.ada().pay(&order, "card_1").key("k").await.repeats(&first);
    }
    assert_eq!(pair.two.ada().get(first.location()).await.ok(200), body);
    let effects = pair.two.effects().await;
    assert_eq!(
        (&effects["provider_calls"], &effects["provider_charges"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(effects["steps"]["record_payment"], 1);
    pair.end().await;
}

async fn an_order_that_was_paid_for_in_advance_can_be_paid(place: Place) {
    let pair = place.pair().await;
    // The card of the order was asked whether it can pay; the money is taken now.
    let order = pair.one.ada().ordered().await.json();
    let order = order["orderNr"].as_str().expect("a number");
    pair.two.ada().pay(order, "card_1").key("k").await.ok(201);
    assert_eq!(pair.one.effects().await["provider_charges"], 1);
    pair.end().await;
}

async fn a_payment_needs_a_key(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let answer = pair.one.ada().pay(&order, "card_1").await;
    let problem = answer.problem(400, "idempotency-key-missing");
    assert_eq!(problem.get("idempotency_key"), None);
    assert_eq!(pair.two.effects().await["provider_calls"], 0);
    pair.end().await;
}

async fn a_declined_payment_is_a_final_answer_and_another_card_may_pay(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let first = pair.one.ada().pay(&order, DECLINED).key("k").await;
    first.problem(402, "payment-declined");
    assert!(!first.is_replay());
    pair.two
        .ada()
        .pay(&order, DECLINED)
        .key("k")
        .await
        .repeats(&first);
    let other = pair.two.ada().pay(&order, "card_1").key("k").await;
    other.problem(422, "idempotency-key-reused");
    pair.two.ada().pay(&order, "card_1").key("j").await.ok(201);
    let effects = pair.one.effects().await;
    assert_eq!(
        (&effects["provider_calls"], &effects["provider_charges"]),
        (&json!(2), &json!(1))
    );
    pair.end().await;
}

async fn an_order_is_paid_once_whatever_the_key(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one.ada().pay(&order, "card_1").key("k").await.ok(201);
    let second = pair.two.ada().pay(&order, "card_1").key("j").try_send().await;
    let second = second.expect("an answer");
    second.problem(409, "order-already-paid");
    pair.one
        .ada()
        .pay(&order, "card_1")
        .key("j")
        .await
        .repeats(&second);
    assert_eq!(pair.one.effects().await["provider_charges"], 1);
    pair.end().await;
}

/// It is stopped after its own effect: that the order is paid by then is no reason to refuse it.
async fn a_payment_that_comes_again_meets_its_own_effect_as_success(place: Place) {
    let mut pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let fault = json!({"mode": "crash_after_checkpoint", "times": 1});
    pair.one.fault("record_payment", fault).await;
    assert!(
        pair.one
            .ada()
            .pay(&order, "card_1")
            .key("k")
            .try_send()
            .await
            .is_none()
    );
    assert!(!pair.one.ended().await.success());
    let answer = until("the payment is answered", async || {
        let answer = pair.two.ada().pay(&order, "card_1").key("k").await;
        (answer.status != 409).then_some(answer)
    });
    answer.await.ok(201);
    assert_eq!(pair.two.effects().await["provider_charges"], 1);
    pair.end().await;
}

async fn what_is_no_payment_is_refused_and_its_key_stays_free(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let with = |member: &str, value| {
        let mut body = payment(&order, "card_1");
        body[member] = value;
        body
    };
    for (body, pointer) in [
        (
            with("amount", json!({"amount": 0, "currency": "RUB"})),
            "/amount/amount",
        ),
        (
            with("amount", json!({"amount": -5, "currency": "RUB"})),
            "/amount/amount",
        ),
        (
            with("amount", json!({"amount": 1000, "currency": "rub"})),
            "/amount/currency",
        ),
        (
            with("amount", json!({"amount": 1000, "currency": "XXXX"})),
            "/amount/currency",
        ),
    ] {
        let answer = pair.one.ada().post(PAYMENTS, body.clone()).key("k").await;
        let problem = answer.problem(422, "validation-failed");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    for body in [
        json!({}),
        json!([]),
        with("method", json!({"method": "card"})),
        with("orderNr", json!(7)),
    ] {
        let answer = pair.one.ada().post(PAYMENTS, body).key("k").await;
        answer.problem(422, "validation-failed");
    }
    let unknown = pair.one.ada().pay("20240102-000017", "card_1").key("k").await;
    unknown.problem(404, "not-found");
    let paid = pair.two.ada().pay(&order, "card_1").key("k").await;
    paid.ok(201);
    assert!(!paid.is_replay());
    pair.end().await;
}

async fn a_payment_that_the_provider_did_not_get_goes_on_later(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one.fault("charge", json!({"mode": "transient"})).await;
    let stopped = pair.one.ada().pay(&order, "card_1").key("k").await;
    stopped.problem(503, "upstream-unavailable");
    assert_eq!(pair.one.effects().await["provider_calls"], 0);
    pair.one.mend("charge").await;
    let paid = pair.two.ada().pay(&order, "card_1").key("k").await;
    paid.ok(201);
    assert_eq!(pair.two.effects().await["provider_charges"], 1);
    pair.end().await;
}

async fn money_is_not_taken_while_the_store_is_down(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.two.store(json!({"available": false})).await;
    let refused = pair.one.ada().pay(&order, "card_1").key("k").await;
    refused.problem(503, "idempotency-store-unavailable");
    pair.two.store(json!({"available": true})).await;
    assert_eq!(pair.one.effects().await["provider_calls"], 0);
    pair.one.ada().pay(&order, "card_1").key("k").await.ok(201);
    pair.end().await;
}

async fn the_same_payment_under_two_keys_may_be_refused(place: Place) {
    let pair = place.with("ORDERS_DUPLICATE_PAYLOAD", "reject").pair().await;
    let order = pair.one.ada().unpaid().await;
    let first = pair.one.ada().pay(&order, "card_1").key("k").await;
    first.ok(201);
    let twin = pair.two.ada().pay(&order, "card_1").key("j").await;
    twin.problem(409, "duplicate-payload");
    pair.two
        .ada()
        .pay(&order, "card_1")
        .key("k")
        .await
        .repeats(&first);
    pair.end().await;
}

async fn while_an_order_is_being_paid_it_is_neither_paid_otherwise_nor_cancelled(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let fault = json!({"mode": "delay", "ms": 3000, "times": 1});
    pair.one.fault("record_payment", fault).await;
    let mut cash = payment(&order, "card_1");
    cash["method"] = json!({"method": "cash"});
    let first = pair.one.ada().post(PAYMENTS, cash).key("k").spawn();
    until("the charge is done", async || {
        (pair.two.done("charge").await == 1).then_some(())
    })
    .await;
    let second = pair.two.ada().pay(&order, "card_1").key("j").await;
    second.problem(409, "idempotency-in-progress");
    assert!(second.header("retry-after").is_some());
    let path = format!("{ORDERS}/{order}");
    let cancelled = pair.two.ada().delete(&path).if_match("*").await;
    cancelled.problem(409, "order-state-conflict");
    first.await.expect("an answer").ok(201);
    pair.end().await;
}

/// At most once: the provider is asked what it decided, and not for the money again.
async fn a_charge_whose_answer_was_lost_is_found_and_not_made_again(place: Place) {
    let place = place.with("ORDERS_CHARGE_MODE", "at_most_once");
    let mut pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("charge", json!({"mode": "crash_after_effect", "times": 1}))
        .await;
    assert!(
        pair.one
            .ada()
            .pay(&order, "card_1")
            .key("k")
            .try_send()
            .await
            .is_none()
    );
    assert!(!pair.one.ended().await.success());
    let answer = until("the payment is answered", async || {
        let answer = pair.two.ada().pay(&order, "card_1").key("k").await;
        (answer.status != 409).then_some(answer)
    });
    answer.await.ok(201);
    let effects = pair.two.effects().await;
    assert_eq!(
        (&effects["provider_calls"], &effects["provider_charges"]),
        (&json!(1), &json!(1))
    );
    pair.end().await;
}
