//! What does a key answer in each state of its record? The whole table, at two processes; with the same
//! request, and with another one, which is always refused.

use serde_json::json;

use crate::answer::Answer;
use crate::service::{Pair, Place, Service, at_one_process, on_both_databases, until};
use crate::world::PAYMENTS;

on_both_databases!(
    a_key_without_a_record_is_executed,
    a_key_that_is_running_is_waited_for,
    a_key_whose_owner_died_is_taken_over_at_its_checkpoint,
    a_key_whose_owner_stands_still_is_taken_over_and_the_owner_writes_no_more,
    a_key_whose_last_answer_was_for_now_is_continued,
    a_key_that_succeeded_is_replayed,
    a_key_that_failed_for_good_is_replayed,
    a_key_that_needs_attention_says_so_each_time,
    a_key_whose_time_is_over_is_as_new,
);

at_one_process!(
    a_key_without_a_record_is_executed,
    a_key_that_is_running_is_waited_for,
    a_key_whose_last_answer_was_for_now_is_continued,
    a_key_that_succeeded_is_replayed,
    a_key_that_failed_for_good_is_replayed,
    a_key_whose_time_is_over_is_as_new,
);

/// The same key with another body.
async fn another_body_is_refused(pair: &Pair, order: &str) {
    for service in [&pair.one, &pair.two] {
        refused(service, order).await;
    }
}

async fn refused(service: &Service, order: &str) {
    let other = service.ada().pay(order, "card_of_another_request").key("k").await;
    other.problem(422, "idempotency-key-reused");
}

fn pay(service: &Service, order: &str) -> crate::answer::Request {
    service.ada().pay(order, "card_1").key("k")
}

/// Repeats a payment until it does not run elsewhere any more.
async fn answered(service: &Service, order: &str) -> Answer {
    until("the payment is answered", async || {
        let answer = pay(service, order).await;
        (answer.status != 409).then_some(answer)
    })
    .await
}

async fn a_key_without_a_record_is_executed(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let answer = pay(&pair.one, &order).await;
    answer.ok(201);
    assert!(!answer.is_replay());
    another_body_is_refused(&pair, &order).await;
    pair.end().await;
}

async fn a_key_that_is_running_is_waited_for(place: Place) {
    let pair = place.with("ORDERS_CONCURRENCY_PAYMENTS", "wait").pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("record_payment", json!({"mode": "delay", "ms": 800, "times": 1}))
        .await;
    let first = pay(&pair.one, &order).spawn();
    until("the charge is done", async || {
        (pair.two.done("charge").await == 1).then_some(())
    })
    .await;
    another_body_is_refused(&pair, &order).await;
    let duplicate = pay(&pair.two, &order).await;
    let first = first.await.expect("an answer");
    first.ok(201);
    duplicate.repeats(&first);
    pair.end().await;
}

async fn a_key_whose_owner_died_is_taken_over_at_its_checkpoint(place: Place) {
    let mut pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("record_payment", json!({"mode": "crash_before", "times": 1}))
        .await;
    assert!(pay(&pair.one, &order).try_send().await.is_none());
    assert!(!pair.one.ended().await.success());
    refused(&pair.two, &order).await;
    answered(&pair.two, &order).await.ok(201);
    refused(&pair.two, &order).await;
    let effects = pair.two.effects().await;
    assert_eq!(
        (&effects["steps"]["charge"], &effects["provider_charges"]),
        (&json!(1), &json!(1))
    );
    pair.end().await;
}

/// The paused owner wakes up after somebody else finished its work.
async fn a_key_whose_owner_stands_still_is_taken_over_and_the_owner_writes_no_more(place: Place) {
    let pair = place.with("ORDERS_LEASE_MS", 1000).pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("charge", json!({"mode": "freeze", "ms": 30_000, "times": 1}))
        .await;
    let frozen = pay(&pair.one, &order).spawn();
    // The charge is not made by the one that stands still: it is the other one's when it is there.
    until("somebody else finishes it", async || {
        (pair.two.done("record_payment").await == 1).then_some(())
    })
    .await;
    let answer = answered(&pair.two, &order).await;
    answer.ok(201);
    refused(&pair.two, &order).await;
    // Whoever asked the frozen one gets the same answer.
    let late = frozen.await.expect("an answer");
    assert_eq!(late.ok(201), answer.json());
    let effects = pair.two.effects().await;
    assert_eq!(
        (&effects["steps"]["charge"], &effects["provider_calls"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(effects["steps"]["record_payment"], 1);
    pair.end().await;
}

async fn a_key_whose_last_answer_was_for_now_is_continued(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("record_payment", json!({"mode": "transient"}))
        .await;
    for service in [&pair.one, &pair.two] {
        let stopped = pay(service, &order).await;
        stopped.problem(503, "upstream-unavailable");
        assert!(!stopped.is_replay());
        another_body_is_refused(&pair, &order).await;
    }
    pair.one.mend("record_payment").await;
    let answer = pay(&pair.two, &order).await;
    answer.ok(201);
    assert!(!answer.is_replay());
    let effects = pair.one.effects().await;
    assert_eq!(
        (&effects["steps"]["charge"], &effects["provider_calls"]),
        (&json!(1), &json!(1))
    );
    pair.end().await;
}

async fn a_key_that_succeeded_is_replayed(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let first = pay(&pair.one, &order).await;
    first.ok(201);
    for service in [&pair.one, &pair.two, &pair.one] {
        pay(service, &order).await.repeats(&first);
    }
    another_body_is_refused(&pair, &order).await;
    assert_eq!(pair.one.effects().await["provider_calls"], 1);
    pair.end().await;
}

async fn a_key_that_failed_for_good_is_replayed(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("charge", json!({"mode": "final", "times": 1}))
        .await;
    let first = pay(&pair.one, &order).await;
    first.problem(402, "payment-declined");
    for service in [&pair.one, &pair.two] {
        pay(service, &order).await.repeats(&first);
    }
    another_body_is_refused(&pair, &order).await;
    let effects = pair.one.effects().await;
    assert_eq!(
        (&effects["provider_calls"], &effects["provider_charges"]),
        (&json!(1), &json!(0))
    );
    pair.end().await;
}

/// Nobody can tell whether the money was taken, and it must not be taken twice.
async fn a_key_that_needs_attention_says_so_each_time(place: Place) {
    let place = place.with("ORDERS_CHARGE_MODE", "at_most_once");
    let mut pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let blind = pair.one.put("/_test/provider", json!({"verify": false})).await;
    assert_eq!(blind.status, 204);
    pair.one
        .fault("charge", json!({"mode": "crash_after_effect", "times": 1}))
        .await;
    assert!(pay(&pair.one, &order).try_send().await.is_none());
    assert!(!pair.one.ended().await.success());
    let first = answered(&pair.two, &order).await;
    first.problem(500, "needs-attention");
    for _ in 0..2 {
        pay(&pair.two, &order).await.problem(500, "needs-attention");
    }
    refused(&pair.two, &order).await;
    assert_eq!(pair.two.effects().await["provider_calls"], 1);
    pair.end().await;
}

async fn a_key_whose_time_is_over_is_as_new(place: Place) {
    let pair = place.with("ORDERS_TTL_S", 600).pair().await;
    let order = pair.one.ada().unpaid().await;
    let declined = pair.one.ada().pay(&order, crate::world::DECLINED).key("k").await;
    declined.problem(402, "payment-declined");
    pair.one.move_clock(590).await;
    refused(&pair.two, &order).await;
    pair.two.move_clock(20).await;
    // Another body is another first request by now.
    let answer = pair
        .two
        .ada()
        .post(PAYMENTS, crate::world::payment(&order, "card_1"))
        .key("k")
        .await;
    answer.ok(201);
    assert!(!answer.is_replay());
    pair.end().await;
}
