//! `GET /api/v1/operations/{id}`: how far a request has come, for its owner.

use serde_json::{Value, json};

use crate::service::{Pair, Place, on_both_databases, until};

on_both_databases!(
    an_operation_shows_its_steps_while_it_runs_and_its_result_when_it_is_done,
    an_operation_that_failed_says_so,
    an_operation_that_can_be_continued_says_so,
    an_operation_that_is_nobodys_or_another_users_is_not_found,
);

/// Begins an order that is answered by its operation.
async fn begun(pair: &Pair, id: &str) -> String {
    let begun = pair
        .one
        .ada()
        .order(id)
        .header("prefer", "respond-async, wait=0")
        .await;
    assert_eq!(begun.status, 202, "{begun:?}");
    begun.location().to_owned()
}

async fn state(pair: &Pair, operation: &str, wanted: &str) -> Value {
    until(wanted, async || {
        let shown = pair.two.ada().get(operation).await.ok(200);
        (shown["state"] == wanted).then_some(shown)
    })
    .await
}

async fn an_operation_shows_its_steps_while_it_runs_and_its_result_when_it_is_done(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    pair.one
        .fault(
            "authorize_payment",
            json!({"mode": "delay", "ms": 700, "times": 1}),
        )
        .await;
    let operation = begun(&pair, &id).await;
    until("the first step is done", async || {
        (pair.two.done("reserve_stock").await == 1).then_some(())
    })
    .await;
    let running = pair.two.ada().get(&operation).await;
    let shown = running.ok(200);
    assert!(running.retry_after() >= 1);
    assert_eq!(
        (&shown["state"], &shown["result"]),
        (&json!("running"), &json!(null))
    );
    assert!(operation.ends_with(shown["id"].as_str().expect("an id")));
    assert_eq!(shown["steps"][0]["name"], "reserve_stock", "{shown}");
    let done = state(&pair, &operation, "succeeded").await;
    let names: Vec<&Value> = done["steps"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|step| &step["name"])
        .collect();
    assert_eq!(names[..3], ["reserve_stock", "authorize_payment", "create_order"]);
    let order = pair.two.ada().order(&id).await;
    assert_eq!(
        done["result"],
        json!({"status": 201, "location": order.location()})
    );
    pair.end().await;
}

async fn an_operation_that_failed_says_so(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let held = json!({"mode": "delay", "ms": 60_000, "times": 1});
    pair.one.fault("reserve_stock", held).await;
    let declined = json!({"mode": "final", "times": 1});
    pair.one.fault("authorize_payment", declined).await;
    let operation = begun(&pair, &id).await;
    state(&pair, &operation, "running").await;
    pair.one.mend("reserve_stock").await;
    let shown = state(&pair, &operation, "failed").await;
    assert_eq!(shown["result"], json!(null));
    pair.two.ada().order(&id).await.problem(402, "payment-declined");
    pair.end().await;
}

async fn an_operation_that_can_be_continued_says_so(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    pair.one
        .fault("authorize_payment", json!({"mode": "transient"}))
        .await;
    let operation = begun(&pair, &id).await;
    state(&pair, &operation, "retryable").await;
    pair.one.mend("authorize_payment").await;
    pair.two.ada().order(&id).await.ok(201);
    state(&pair, &operation, "succeeded").await;
    pair.end().await;
}

async fn an_operation_that_is_nobodys_or_another_users_is_not_found(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    pair.one
        .fault(
            "authorize_payment",
            json!({"mode": "delay", "ms": 300, "times": 1}),
        )
        .await;
    let operation = begun(&pair, &id).await;
    let foreign = pair.two.customer("bob").get(&operation).await;
    let foreign = foreign.problem(404, "not-found");
    let (folder, _id) = operation.rsplit_once('/').expect("a path");
    for nobody in ["op_00000000000000000000000000000000", "x", "%00"] {
        let none = pair.two.customer("bob").get(&format!("{folder}/{nobody}")).await;
        let none = none.problem(404, "not-found");
        assert_eq!(
            (&none["title"], &none["detail"]),
            (&foreign["title"], &foreign["detail"])
        );
    }
    pair.two.get(&operation).await.problem(401, "unauthorized");
    state(&pair, &operation, "succeeded").await;
    pair.end().await;
}
