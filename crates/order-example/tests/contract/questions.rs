//! What readers of an article about payments asked, and what happens instead of an answer on paper.

use serde_json::json;

use crate::service::{Place, on_both_databases, until};

on_both_databases!(
    a_repeat_before_the_first_is_finished_runs_nothing,
    two_equal_requests_at_the_same_moment_at_two_instances_are_one,
    who_repeats_is_never_held_up_by_a_lock_of_somebody_who_is_gone,
    a_crash_after_the_key_was_stored_is_neither_success_nor_failure_but_continued,
);

/// "What if the repeat arrives before the first is finished?"
async fn a_repeat_before_the_first_is_finished_runs_nothing(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("record_payment", json!({"mode": "delay", "ms": 1000, "times": 1}))
        .await;
    let first = pair.one.ada().pay(&order, "card_1").key("k").spawn();
    until("the money is taken", async || {
        (pair.two.done("charge").await == 1).then_some(())
    })
    .await;
    for service in [&pair.one, &pair.two] {
        let repeat = service.ada().pay(&order, "card_1").key("k").await;
        let problem = repeat.problem(409, "idempotency-in-progress");
        assert!(repeat.retry_after() >= 1);
        let operation = problem["operation"].as_str().expect("an operation");
        service.ada().get(operation).await.ok(200);
    }
    let first = first.await.expect("an answer");
    first.ok(201);
    pair.two
        .ada()
        .pay(&order, "card_1")
        .key("k")
        .await
        .repeats(&first);
    assert_eq!(pair.one.effects().await["provider_calls"], 1);
    pair.end().await;
}

/// "Two equal requests at the same moment on several instances?"
async fn two_equal_requests_at_the_same_moment_at_two_instances_are_one(place: Place) {
    let pair = place.with("ORDERS_CONCURRENCY_PAYMENTS", "wait").pair().await;
    for round in 0..10 {
        let customer = format!("customer-{round}");
        let order = pair.one.customer(&customer).unpaid().await;
        let here = pair
            .one
            .customer(&customer)
            .pay(&order, "card_1")
            .key("k")
            .spawn();
        let there = pair
            .two
            .customer(&customer)
            .pay(&order, "card_1")
            .key("k")
            .spawn();
        let (here, there) = (here.await.expect("an answer"), there.await.expect("an answer"));
        assert_eq!(here.ok(201), there.ok(201));
        assert_ne!(here.is_replay(), there.is_replay(), "exactly one ran it");
    }
    let effects = pair.one.effects().await;
    assert_eq!(
        (&effects["provider_calls"], &effects["provider_charges"]),
        (&json!(10), &json!(10))
    );
    pair.end().await;
}

/// "Reliable payments are built on locks": here on a claim whose holder may die at any time.
async fn who_repeats_is_never_held_up_by_a_lock_of_somebody_who_is_gone(place: Place) {
    let mut pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault(
            "record_payment",
            json!({"mode": "delay", "ms": 20_000, "times": 1}),
        )
        .await;
    let first = pair.one.ada().pay(&order, "card_1").key("k");
    let asking = tokio::spawn(first.try_send());
    until("the money is taken", async || {
        (pair.two.done("charge").await == 1).then_some(())
    })
    .await;
    pair.two
        .ada()
        .pay(&order, "card_1")
        .key("k")
        .await
        .problem(409, "idempotency-in-progress");
    pair.one.kill().await;
    assert!(asking.await.expect("ends").is_none());
    // It may have died on its way to the delay, which is then not meant for whoever takes over.
    pair.two.mend("record_payment").await;
    let answer = until("the payment is answered", async || {
        let answer = pair.two.ada().pay(&order, "card_1").key("k").await;
        (answer.status != 409).then_some(answer)
    });
    answer.await.ok(201);
    assert_eq!(pair.two.effects().await["provider_charges"], 1);
    pair.end().await;
}

/// "The key is stored and then we crash. What do we tell the front?"
async fn a_crash_after_the_key_was_stored_is_neither_success_nor_failure_but_continued(place: Place) {
    let mut pair = place.with("ORDERS_CONCURRENCY_PAYMENTS", "wait").pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one
        .fault("charge", json!({"mode": "crash_before", "times": 1}))
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
    // Whoever asks now waits through the takeover.
    let answer = pair.two.ada().pay(&order, "card_1").key("k").await;
    answer.ok(201);
    let effects = pair.two.effects().await;
    assert_eq!(
        (&effects["provider_calls"], &effects["provider_charges"]),
        (&json!(1), &json!(1))
    );
    pair.end().await;
}
