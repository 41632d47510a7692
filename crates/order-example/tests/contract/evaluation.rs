//! In which order is a request looked at? Each test breaks two neighbouring rules at once and sees which
//! is named. All that comes before the claim leaves the key free.

use reqwest::Method;
use serde_json::json;

use crate::service::{Pair, Place, on_both_databases};
use crate::world::{ORDERS, PAYMENTS, payment};

on_both_databases!(
    a_path_that_does_not_exist_comes_before_who_asks,
    who_asks_comes_before_what_it_may,
    what_it_may_comes_before_what_it_sends,
    permission_comes_before_a_replay,
    what_it_sends_comes_before_its_key,
    its_key_comes_before_what_the_body_says,
    a_missing_key_is_seen_after_the_body_only_where_the_body_may_replace_it,
    a_body_that_is_no_json_comes_before_the_record,
    the_record_comes_before_validation,
    validation_comes_before_existence,
    existence_comes_before_preconditions,
    the_record_comes_before_preconditions,
    nothing_before_the_claim_binds_the_key,
);

async fn a_path_that_does_not_exist_comes_before_who_asks(place: Place) {
    let pair = place.pair().await;
    let nowhere = pair.one.post("/api/v1/nothing", json!({})).key("k").await;
    nowhere.problem(404, "not-found");
    let method = pair.one.request(Method::DELETE, ORDERS).await;
    method.problem(405, "method-not-allowed");
    let allowed = method.header("allow").expect("what is allowed");
    for name in ["GET", "POST"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    pair.end().await;
}

async fn who_asks_comes_before_what_it_may(place: Place) {
    let pair = place.pair().await;
    block(&pair, "ada", true).await;
    for header in ["Bearer nonsense", "Bearer ", "Basic YWRhOmFkYQ==", "test-ada", ""] {
        let answer = pair
            .one
            .post(ORDERS, json!({}))
            .header("authorization", header)
            .await;
        answer.problem(401, "unauthorized");
    }
    let text = pair
        .one
        .request(Method::POST, PAYMENTS)
        .body("text/plain", "x")
        .await;
    text.problem(401, "unauthorized");
    pair.end().await;
}

async fn what_it_may_comes_before_what_it_sends(place: Place) {
    let pair = place.pair().await;
    block(&pair, "ada", true).await;
    let text = pair
        .two
        .request(Method::POST, PAYMENTS)
        .by("ada")
        .body("text/plain", "x")
        .await;
    text.problem(403, "forbidden");
    pair.two.ada().get(ORDERS).await.problem(403, "forbidden");
    block(&pair, "ada", false).await;
    pair.two.ada().get(ORDERS).await.ok(200);
    pair.end().await;
}

async fn permission_comes_before_a_replay(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let first = pair.one.ada().order(&id).key("k").await;
    first.ok(201);
    block(&pair, "ada", true).await;
    for service in [&pair.one, &pair.two] {
        service.ada().order(&id).key("k").await.problem(403, "forbidden");
    }
    let nobody = pair.two.post(ORDERS, json!({"requestId": id})).key("k").await;
    nobody.problem(401, "unauthorized");
    block(&pair, "ada", false).await;
    pair.two.ada().order(&id).key("k").await.repeats(&first);
    pair.end().await;
}

async fn what_it_sends_comes_before_its_key(place: Place) {
    let pair = place.pair().await;
    let post = || {
        pair.one
            .request(Method::POST, PAYMENTS)
            .by("ada")
            .header("idempotency-key", "\"bad")
    };
    post()
        .body("text/plain", "x")
        .await
        .problem(415, "unsupported-media-type");
    let huge = " ".repeat(1_048_577);
    post().text(huge).await.problem(413, "body-too-large");
    pair.end().await;
}

async fn its_key_comes_before_what_the_body_says(place: Place) {
    let pair = place.pair().await;
    for path in [PAYMENTS, ORDERS] {
        let post = pair
            .one
            .request(Method::POST, path)
            .by("ada")
            .header("idempotency-key", "\"bad");
        post.text("no json")
            .await
            .problem(400, "idempotency-key-malformed");
    }
    pair.end().await;
}

async fn a_missing_key_is_seen_after_the_body_only_where_the_body_may_replace_it(place: Place) {
    let pair = place.pair().await;
    let post = |path| pair.one.request(Method::POST, path).by("ada");
    post(PAYMENTS)
        .text("no json")
        .await
        .problem(400, "idempotency-key-missing");
    post(ORDERS).text("no json").await.problem(400, "malformed-body");
    pair.end().await;
}

async fn a_body_that_is_no_json_comes_before_the_record(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one.ada().pay(&order, "card_1").key("k").await.ok(201);
    let post = pair
        .two
        .request(Method::POST, PAYMENTS)
        .by("ada")
        .key("k")
        .text("{\"a\":1,\"a\":1}");
    post.await.problem(400, "malformed-body");
    pair.end().await;
}

async fn the_record_comes_before_validation(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    pair.one.ada().pay(&order, "card_1").key("k").await.ok(201);
    let mut invalid = payment(&order, "card_1");
    invalid["amount"]["amount"] = 0.into();
    let answer = pair.two.ada().post(PAYMENTS, invalid).key("k").await;
    answer.problem(422, "idempotency-key-reused");
    pair.end().await;
}

async fn validation_comes_before_existence(place: Place) {
    let pair = place.pair().await;
    let mut body = payment("20240102-000017", "card_1");
    body["amount"]["amount"] = 0.into();
    let answer = pair.one.ada().post(PAYMENTS, body).key("k").await;
    answer.problem(422, "validation-failed");
    let patch = pair
        .one
        .ada()
        .patch("/api/v1/orders/20240102-000017", json!({"comment": 7}));
    patch.await.problem(422, "validation-failed");
    pair.end().await;
}

async fn existence_comes_before_preconditions(place: Place) {
    let pair = place.pair().await;
    let path = "/api/v1/orders/20240102-000017";
    let patch = pair.one.ada().patch(path, json!({"comment": "x"})).await;
    patch.problem(404, "not-found");
    let stale = pair
        .one
        .ada()
        .patch(path, json!({"comment": "x"}))
        .if_match("\"9\"")
        .await;
    stale.problem(404, "not-found");
    pair.one.ada().delete(path).await.problem(404, "not-found");
    pair.end().await;
}

async fn the_record_comes_before_preconditions(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let first = pair.one.ada().order(&id).key("k").if_match("\"0\"").await;
    first.ok(201);
    let other = json!({"requestId": id, "comment": "other"});
    let stale = pair
        .two
        .ada()
        .post(ORDERS, other)
        .key("k")
        .if_match("\"0\"")
        .await;
    stale.problem(422, "idempotency-key-reused");
    // Its cart is closed, its list has changed, and it is what it was.
    pair.two
        .ada()
        .order(&id)
        .key("k")
        .if_match("\"0\"")
        .await
        .repeats(&first);
    pair.end().await;
}

/// One key meets every problem there is before the claim, and is then used.
async fn nothing_before_the_claim_binds_the_key(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let post = || pair.one.request(Method::POST, PAYMENTS).key("k");
    post()
        .json(&payment(&order, "card_1"))
        .await
        .problem(401, "unauthorized");
    block(&pair, "ada", true).await;
    pair.two
        .ada()
        .pay(&order, "card_1")
        .key("k")
        .await
        .problem(403, "forbidden");
    block(&pair, "ada", false).await;
    let post = || post().by("ada");
    post()
        .body("text/plain", "x")
        .await
        .problem(415, "unsupported-media-type");
    post()
        .text(" ".repeat(1_048_577))
        .await
        .problem(413, "body-too-large");
    let twice = post().key("k").json(&payment(&order, "card_1")).await;
    twice.problem(400, "idempotency-key-malformed");
    post().text("no json").await.problem(400, "malformed-body");
    post().text("{}").await.problem(422, "validation-failed");
    pair.one
        .ada()
        .pay("x", "card_1")
        .key("k")
        .await
        .problem(404, "not-found");
    let paid = pair.two.ada().pay(&order, "card_1").key("k").await;
    paid.ok(201);
    assert!(!paid.is_replay());
    pair.end().await;
}

async fn block(pair: &Pair, user: &str, blocked: bool) {
    let put = pair
        .one
        .put(&format!("/_test/users/{user}"), json!({"blocked": blocked}))
        .await;
    assert_eq!(put.status, 204);
}
