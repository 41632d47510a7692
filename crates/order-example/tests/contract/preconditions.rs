//! `POST /api/v1/orders` by a client that says which list of orders it knows.

use serde_json::json;

use crate::service::{Place, on_both_databases};
use crate::world::ORDERS;

on_both_databases!(
    an_order_on_a_stale_list_is_refused_and_its_key_stays_free,
    a_stale_version_in_the_body_is_refused_and_may_be_mended,
    a_tag_that_can_not_be_read_is_refused,
    a_replay_beats_a_precondition_that_does_not_hold_any_more,
    a_service_may_demand_the_list,
    a_service_may_answer_as_older_clients_expect,
);

async fn an_order_on_a_stale_list_is_refused_and_its_key_stays_free(place: Place) {
    let pair = place.pair().await;
    pair.one.ada().ordered().await;
    let id = pair.one.ada().offer().await;
    for stale in ["\"0\"", "\"2\"", "W/\"1\""] {
        let answer = pair.two.ada().order(&id).key("k").if_match(stale).await;
        let problem = answer.problem(412, "orders-changed");
        assert_eq!(problem["current"], 1, "{stale}");
        assert_eq!(answer.header("etag"), Some("\"1\""));
    }
    assert_eq!(pair.one.ada().order_count().await, 1);
    let order = pair.two.ada().order(&id).key("k").if_match("\"0\", \"1\"").await;
    assert_eq!(order.ok(201)["ordersVersion"], 2);
    assert!(!order.is_replay());
    let id = pair.one.ada().offer().await;
    pair.one.ada().order(&id).if_match("*").await.ok(201);
    pair.end().await;
}

async fn a_stale_version_in_the_body_is_refused_and_may_be_mended(place: Place) {
    let pair = place.pair().await;
    pair.one.ada().ordered().await;
    let id = pair.one.ada().offer().await;
    let order = |version: u64| json!({"requestId": id, "knownOrdersVersion": version});
    let stale = pair.one.ada().post(ORDERS, order(0)).key("k").await;
    assert_eq!(stale.problem(409, "orders-changed")["current"], 1);
    // The version is not a part of what the key stands for.
    let mended = pair.two.ada().post(ORDERS, order(1)).key("k").await;
    mended.ok(201);
    assert!(!mended.is_replay());
    let again = pair.one.ada().post(ORDERS, order(0)).key("k").await;
    again.repeats(&mended);
    pair.end().await;
}

async fn a_tag_that_can_not_be_read_is_refused(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    for tag in ["1", "\"1", "\"1\" \"2\"", "w/\"1\"", ""] {
        let answer = pair.one.ada().order(&id).key("k").if_match(tag).await;
        answer.problem(400, "malformed-precondition");
    }
    pair.two.ada().order(&id).key("k").if_match("\"0\"").await.ok(201);
    pair.end().await;
}

async fn a_replay_beats_a_precondition_that_does_not_hold_any_more(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let first = pair.one.ada().order(&id).key("k").if_match("\"0\"").await;
    first.ok(201);
    // Its own first attempt raised the version.
    let again = pair.two.ada().order(&id).key("k").if_match("\"0\"").await;
    again.repeats(&first);
    let again = pair.two.ada().order(&id).if_match("\"0\"").await;
    assert_eq!(again.ok(201), first.json());
    pair.end().await;
}

async fn a_service_may_demand_the_list(place: Place) {
    let pair = place.with("ORDERS_IF_MATCH_ON_CREATE", "required").pair().await;
    let id = pair.one.ada().offer().await;
    let answer = pair.one.ada().order(&id).key("k").await;
    answer.problem(428, "precondition-required");
    let first = pair.two.ada().order(&id).key("k").if_match("\"0\"").await;
    first.ok(201);
    pair.one.ada().order(&id).key("k").await.repeats(&first);
    pair.end().await;
}

async fn a_service_may_answer_as_older_clients_expect(place: Place) {
    let pair = place.with("ORDERS_PRECONDITION_STATUS", "409").pair().await;
    pair.one.ada().ordered().await;
    let id = pair.one.ada().offer().await;
    let answer = pair.two.ada().order(&id).if_match("\"0\"").await;
    assert_eq!(answer.problem(409, "orders-changed")["current"], 1);
    assert_eq!(answer.header("etag"), Some("\"1\""));
    pair.end().await;
}
