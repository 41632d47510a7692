//! The same request again while the first one is running: it never runs twice, and what it is told is a
//! choice of the service, which the client may narrow.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::answer::Answer;
use crate::service::{Pair, Place, Service, at_one_process, on_both_databases, until};
use crate::world::{ORDERS, PAYMENTS, payment};

on_both_databases!(
    a_duplicate_waits_and_gets_the_same_answer,
    a_duplicate_that_waited_long_enough_is_told_to_come_back,
    a_duplicate_is_told_to_come_back_at_once,
    a_duplicate_is_told_where_to_look,
    a_client_may_rather_look_than_wait,
    a_client_may_wait_less,
    another_body_is_refused_while_the_first_is_running,
    a_payment_that_is_running_is_not_waited_for,
);

at_one_process!(
    a_duplicate_waits_and_gets_the_same_answer,
    a_duplicate_that_waited_long_enough_is_told_to_come_back,
    a_duplicate_is_told_to_come_back_at_once,
    a_duplicate_is_told_where_to_look,
    a_client_may_rather_look_than_wait,
    a_client_may_wait_less,
    another_body_is_refused_while_the_first_is_running,
    a_payment_that_is_running_is_not_waited_for,
);

/// An order that stands still in its second step.
struct Held {
    answer: tokio::task::JoinHandle<Answer>,
}

impl Held {
    /// Begins it, and returns when it is there.
    async fn order(pair: &Pair, id: &str) -> Self {
        let fault = json!({"mode": "delay", "ms": 60_000, "times": 1});
        pair.one.fault("authorize_payment", fault).await;
        let answer = pair.one.ada().order(id).key("k").spawn();
        is_running(&pair.two).await;
        Self { answer }
    }

    /// Lets it go on, and gives its answer.
    async fn goes_on(self, pair: &Pair) -> Answer {
        pair.one.mend("authorize_payment").await;
        self.answer.await.expect("an answer")
    }
}

async fn is_running(service: &Service) {
    until("the first step is done", async || {
        (service.done("reserve_stock").await == 1).then_some(())
    })
    .await;
}

async fn a_duplicate_waits_and_gets_the_same_answer(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let first = Held::order(&pair, &id).await;
    let here = pair.one.ada().order(&id).key("k").spawn();
    let there = pair.two.ada().order(&id).key("k").spawn();
    let first = first.goes_on(&pair).await;
    first.ok(201);
    assert!(!first.is_replay());
    for duplicate in [here, there] {
        duplicate.await.expect("an answer").repeats(&first);
    }
    assert_eq!(pair.two.ada().order_count().await, 1);
    assert_eq!(pair.two.done("authorize_payment").await, 1);
    pair.end().await;
}

async fn a_duplicate_that_waited_long_enough_is_told_to_come_back(place: Place) {
    let pair = place.with("ORDERS_WAIT_MAX_MS", 200).pair().await;
    let id = pair.one.ada().offer().await;
    let first = Held::order(&pair, &id).await;
    for service in [&pair.one, &pair.two] {
        let began = Instant::now();
        let duplicate = service.ada().order(&id).key("k").await;
        let problem = duplicate.problem(409, "idempotency-in-progress");
        assert!(began.elapsed() >= Duration::from_millis(200));
        assert_eq!(problem["idempotency_key"], "k");
        let operation = problem["operation"].as_str().expect("an operation");
        assert!(operation.starts_with("/api/v1/operations/"), "{operation}");
        assert_eq!(service.ada().get(operation).await.ok(200)["state"], "running");
    }
    first.goes_on(&pair).await;
    let order = until("the order is made", async || {
        let answer = pair.two.ada().order(&id).key("k").await;
        (answer.status == 201).then_some(answer)
    });
    assert!(order.await.is_replay());
    assert_eq!(pair.two.ada().order_count().await, 1);
    pair.end().await;
}

async fn a_duplicate_is_told_to_come_back_at_once(place: Place) {
    let pair = place.with("ORDERS_CONCURRENCY_ORDERS", "reject").pair().await;
    let id = pair.one.ada().offer().await;
    let first = Held::order(&pair, &id).await;
    for service in [&pair.one, &pair.two] {
        let duplicate = service.ada().order(&id).key("k").await;
        duplicate.problem(409, "idempotency-in-progress");
    }
    let first = first.goes_on(&pair).await;
    first.ok(201);
    pair.two.ada().order(&id).key("k").await.repeats(&first);
    pair.end().await;
}

async fn a_duplicate_is_told_where_to_look(place: Place) {
    let pair = place.with("ORDERS_CONCURRENCY_ORDERS", "accept").pair().await;
    let id = pair.one.ada().offer().await;
    let first = Held::order(&pair, &id).await;
    let duplicate = pair.two.ada().order(&id).key("k").await;
    assert_eq!(duplicate.status, 202, "{duplicate:?}");
    assert!(duplicate.retry_after() >= 1);
    let operation = duplicate.location().to_owned();
    let running = pair.one.ada().get(&operation).await;
    assert_eq!(running.ok(200)["state"], "running");
    assert!(running.retry_after() >= 1);
    let first = first.goes_on(&pair).await;
    first.ok(201);
    let done = pair.two.ada().get(&operation).await;
    let operation = done.ok(200);
    assert_eq!(operation["state"], "succeeded");
    assert_eq!(
        operation["result"],
        json!({"status": 201, "location": first.location()})
    );
    assert_eq!(done.header("retry-after"), None);
    pair.end().await;
}

async fn a_client_may_rather_look_than_wait(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let first = Held::order(&pair, &id).await;
    let async_ = pair
        .two
        .ada()
        .order(&id)
        .key("k")
        .header("prefer", "respond-async")
        .await;
    assert_eq!(async_.status, 202, "{async_:?}");
    assert_eq!(async_.header("preference-applied"), Some("respond-async"));
    assert!(async_.retry_after() >= 1);
    pair.one.ada().get(async_.location()).await.ok(200);
    let first = first.goes_on(&pair).await;
    // What is done already needs no looking.
    let done = pair
        .two
        .ada()
        .order(&id)
        .key("k")
        .header("prefer", "respond-async, wait=5")
        .await;
    done.repeats(&first);
    // The first request of a key may say so, too.
    let id = pair.one.ada().offer().await;
    pair.one
        .fault(
            "authorize_payment",
            json!({"mode": "delay", "ms": 500, "times": 1}),
        )
        .await;
    let begun = pair
        .one
        .ada()
        .order(&id)
        .key("j")
        .header("prefer", "respond-async")
        .await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let location = begun.location().to_owned();
    until("the order is made", async || {
        (pair.two.ada().get(&location).await.ok(200)["state"] == "succeeded").then_some(())
    })
    .await;
    pair.end().await;
}

async fn a_client_may_wait_less(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let first = Held::order(&pair, &id).await;
    let began = Instant::now();
    let duplicate = pair
        .two
        .ada()
        .order(&id)
        .key("k")
        .header("prefer", "wait=1")
        .await;
    duplicate.problem(409, "idempotency-in-progress");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert_eq!(duplicate.header("preference-applied"), Some("wait=1"));
    first.goes_on(&pair).await.ok(201);
    pair.end().await;
}

async fn another_body_is_refused_while_the_first_is_running(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let first = Held::order(&pair, &id).await;
    for service in [&pair.one, &pair.two] {
        let other = json!({"requestId": id, "comment": "other"});
        let answer = service.ada().post(ORDERS, other).key("k").await;
        answer.problem(422, "idempotency-key-reused");
    }
    first.goes_on(&pair).await.ok(201);
    pair.end().await;
}

async fn a_payment_that_is_running_is_not_waited_for(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    // It stands still after the charge was counted.
    pair.one
        .fault("record_payment", json!({"mode": "delay", "ms": 1000, "times": 1}))
        .await;
    let first = pair.one.ada().pay(&order, "card_1").key("k").spawn();
    until("the charge is done", async || {
        (pair.two.done("charge").await == 1).then_some(())
    })
    .await;
    let duplicate = pair.two.ada().pay(&order, "card_1").key("k").await;
    duplicate.problem(409, "idempotency-in-progress");
    let other = json!({"amount": 999, "currency": "RUB"});
    let mut body = payment(&order, "card_1");
    body["amount"] = other;
    pair.two
        .ada()
        .post(PAYMENTS, body)
        .key("k")
        .await
        .problem(422, "idempotency-key-reused");
    let first = first.await.expect("an answer");
    first.ok(201);
    pair.two
        .ada()
        .pay(&order, "card_1")
        .key("k")
        .await
        .repeats(&first);
    assert_eq!(pair.one.effects().await["provider_charges"], 1);
    pair.end().await;
}
