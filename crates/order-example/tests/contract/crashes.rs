//! A process dies at each step of a schema: the client's retry completes it, and so does another process
//! when no client comes back.

use serde_json::json;

use crate::service::{Pair, Place, on_both_databases, until};

on_both_databases!(
    an_order_whose_process_died_before_a_step_is_completed_by_a_retry,
    an_order_whose_process_died_after_an_effect_is_completed_by_a_retry,
    an_order_whose_process_died_after_a_checkpoint_is_completed_by_a_retry,
    an_order_whose_process_died_before_a_step_is_completed_without_a_client,
    an_order_whose_process_died_after_an_effect_is_completed_without_a_client,
    an_order_whose_process_died_after_a_checkpoint_is_completed_without_a_client,
    an_order_whose_process_is_killed_at_each_step_is_completed_by_a_retry,
    an_order_whose_process_is_killed_at_each_step_is_completed_without_a_client,
    a_payment_whose_process_died_anywhere_is_completed_by_a_retry,
    a_payment_whose_process_died_anywhere_is_completed_without_a_client,
    an_order_whose_processes_died_one_after_the_other_is_completed_by_the_next,
    an_order_with_two_keys_survives_its_process,
);

const ORDER: [&str; 3] = ["reserve_stock", "authorize_payment", "create_order"];
const PAYMENT: [&str; 2] = ["charge", "record_payment"];
const CRASHES: [&str; 3] = ["crash_before", "crash_after_effect", "crash_after_checkpoint"];

#[derive(Clone, Copy, PartialEq)]
enum Then {
    TheClientRetries,
    NobodyComes,
}

use Then::{NobodyComes, TheClientRetries};

async fn an_order_whose_process_died_before_a_step_is_completed_by_a_retry(place: Place) {
    orders(place, "crash_before", TheClientRetries).await;
}

async fn an_order_whose_process_died_after_an_effect_is_completed_by_a_retry(place: Place) {
    orders(place, "crash_after_effect", TheClientRetries).await;
}

async fn an_order_whose_process_died_after_a_checkpoint_is_completed_by_a_retry(place: Place) {
    orders(place, "crash_after_checkpoint", TheClientRetries).await;
}

async fn an_order_whose_process_died_before_a_step_is_completed_without_a_client(place: Place) {
    orders(place, "crash_before", NobodyComes).await;
}

async fn an_order_whose_process_died_after_an_effect_is_completed_without_a_client(place: Place) {
    orders(place, "crash_after_effect", NobodyComes).await;
}

async fn an_order_whose_process_died_after_a_checkpoint_is_completed_without_a_client(place: Place) {
    orders(place, "crash_after_checkpoint", NobodyComes).await;
}

/// One order for each step at which its process dies; the other process lives on.
async fn orders(place: Place, crash: &str, then: Then) {
    let mut pair = place.pair().await;
    for (at, step) in ORDER.into_iter().enumerate() {
        let name = format!("customer-{at}");
        let id = pair.two.customer(&name).offer().await;
        pair.two.fault(step, json!({"mode": crash, "times": 1})).await;
        let asked = pair.one.customer(&name).order(&id).key("k").try_send().await;
        assert!(asked.is_none(), "{step}: {asked:?}");
        assert!(!pair.one.ended().await.success(), "{step}");
        if then == NobodyComes {
            is_made(&pair, at as u64 + 1, step).await;
        }
        let answer = until(step, async || {
            let answer = pair.two.customer(&name).order(&id).key("k").await;
            (answer.status != 409).then_some(answer)
        });
        let answer = answer.await;
        answer.ok(201);
        assert_eq!(pair.two.customer(&name).order_count().await, 1, "{step}");
        assert_eq!(pair.two.customer(&name).list_version().await, 1, "{step}");
        assert_eq!(pair.two.done("create_order").await, at as u64 + 1, "{step}");
        pair.one = pair.place.start().await;
        pair.one
            .customer(&name)
            .order(&id)
            .key("k")
            .await
            .repeats(&answer);
    }
    pair.end().await;
}

async fn an_order_whose_process_is_killed_at_each_step_is_completed_by_a_retry(place: Place) {
    killed(place, TheClientRetries).await;
}

async fn an_order_whose_process_is_killed_at_each_step_is_completed_without_a_client(place: Place) {
    killed(place, NobodyComes).await;
}

/// The same by SIGKILL from outside, while the order stands still at the step.
async fn killed(place: Place, then: Then) {
    let mut pair = place.pair().await;
    for (at, step) in ORDER.into_iter().enumerate() {
        let name = format!("customer-{at}");
        let id = pair.two.customer(&name).offer().await;
        let before = at.checked_sub(1).map(|before| ORDER[before]);
        let done = match before {
            Some(before) => pair.two.done(before).await,
            None => 0,
        };
        let held = json!({"mode": "delay", "ms": 60_000, "times": 1});
        pair.two.fault(step, held).await;
        let asked = pair.one.customer(&name).order(&id).key("k");
        let begun = asked.header("prefer", "respond-async, wait=0").await;
        assert_eq!(begun.status, 202, "{step}: {begun:?}");
        if let Some(before) = before {
            until(step, async || (pair.two.done(before).await > done).then_some(())).await;
        }
        assert_eq!(pair.two.done("create_order").await, at as u64, "{step}");
        pair.one.kill().await;
        pair.two.mend(step).await;
        if then == NobodyComes {
            is_made(&pair, at as u64 + 1, step).await;
        }
        let answer = until(step, async || {
            let answer = pair.two.customer(&name).order(&id).key("k").await;
            (answer.status != 409).then_some(answer)
        });
        answer.await.ok(201);
        assert_eq!(pair.two.customer(&name).order_count().await, 1, "{step}");
        assert_eq!(pair.two.done("create_order").await, at as u64 + 1, "{step}");
        pair.one = pair.place.start().await;
    }
    pair.end().await;
}

async fn is_made(pair: &Pair, orders: u64, step: &str) {
    until(step, async || {
        (pair.two.done("create_order").await == orders).then_some(())
    })
    .await;
}

async fn a_payment_whose_process_died_anywhere_is_completed_by_a_retry(place: Place) {
    payments(place, TheClientRetries).await;
}

async fn a_payment_whose_process_died_anywhere_is_completed_without_a_client(place: Place) {
    payments(place, NobodyComes).await;
}

async fn payments(place: Place, then: Then) {
    let mut pair = place.pair().await;
    let mut paid = 0;
    for step in PAYMENT {
        for crash in CRASHES {
            let order = pair.two.ada().unpaid().await;
            let key = format!("{step}-{crash}");
            pair.two.fault(step, json!({"mode": crash, "times": 1})).await;
            let asked = pair.one.ada().pay(&order, "card_1").key(&key).try_send().await;
            assert!(asked.is_none(), "{key}: {asked:?}");
            assert!(!pair.one.ended().await.success(), "{key}");
            paid += 1;
            if then == NobodyComes {
                until(&key, async || {
                    (pair.two.done("record_payment").await == paid).then_some(())
                })
                .await;
            }
            let answer = until(&key, async || {
                let answer = pair.two.ada().pay(&order, "card_1").key(&key).await;
                (answer.status != 409).then_some(answer)
            });
            let answer = answer.await;
            answer.ok(201);
            let effects = pair.two.effects().await;
            assert_eq!(effects["provider_charges"], paid, "{key}: {effects}");
            assert_eq!(effects["steps"]["record_payment"], paid, "{key}: {effects}");
            pair.one = pair.place.start().await;
            pair.one
                .ada()
                .pay(&order, "card_1")
                .key(&key)
                .await
                .repeats(&answer);
        }
    }
    pair.end().await;
}

/// Both die, one after the other, and a third one finds what they left.
async fn an_order_whose_processes_died_one_after_the_other_is_completed_by_the_next(place: Place) {
    let mut pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    pair.one
        .fault(
            "authorize_payment",
            json!({"mode": "crash_after_effect", "times": 2}),
        )
        .await;
    assert!(pair.one.ada().order(&id).try_send().await.is_none());
    assert!(!pair.one.ended().await.success());
    assert!(!pair.two.ended().await.success(), "it takes over and dies, too");
    let third = pair.place.start().await;
    until("the order is made", async || {
        (third.done("create_order").await == 1).then_some(())
    })
    .await;
    let answer = until("the order is answered", async || {
        let answer = third.ada().order(&id).await;
        (answer.status != 409).then_some(answer)
    });
    answer.await.ok(201);
    assert_eq!(third.ada().order_count().await, 1);
    assert_eq!(third.done("reserve_stock").await, 1);
    drop(third);
    pair.end().await;
}

/// The header is an execution of its own that waits for the one of the offer; both are taken over.
async fn an_order_with_two_keys_survives_its_process(place: Place) {
    let mut pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    pair.one
        .fault("create_order", json!({"mode": "crash_before", "times": 1}))
        .await;
    assert!(pair.one.ada().order(&id).key("a").try_send().await.is_none());
    assert!(!pair.one.ended().await.success());
    for key in ["b", "a"] {
        let answer = until("the order is answered", async || {
            let answer = pair.two.ada().order(&id).key(key).await;
            (answer.status != 409).then_some(answer)
        });
        answer.await.ok(201);
    }
    assert_eq!(pair.two.ada().order_count().await, 1);
    pair.end().await;
}
