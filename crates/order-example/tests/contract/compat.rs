//! Clients of two older order services find what they know.

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::service::{Place, Service, on_both_databases};

on_both_databases!(
    an_otus08_client_gets_the_first_id_whatever_it_sends_again,
    an_otusma_client_gets_an_order_id_for_each_key,
);

const OTUS08: &str = "/compat/otus08/";
const OTUSMA: &str = "/compat/otusma/v1/order";

fn otus08(service: &Service, profile: &str, quantity: u64) -> crate::answer::Request {
    let path = format!("{OTUS08}?profileId={profile}");
    service.post(&path, json!({"productQuantity": quantity}))
}

async fn an_otus08_client_gets_the_first_id_whatever_it_sends_again(place: Place) {
    let pair = place.pair().await;
    let first = otus08(&pair.one, "p1", 1).header("IDEMPOTENCY-KEY", "k").await;
    let id = first.ok(201);
    let path = match &id {
        Value::String(id) => format!("{OTUS08}{id}"),
        Value::Number(id) => format!("{OTUS08}{id}"),
        other => panic!("not a bare id: {other}"),
    };
    for quantity in [1, 7] {
        let again = otus08(&pair.two, "p1", quantity)
            .header("idempotency-key", "k")
            .await;
        assert_eq!(again.ok(201), id);
    }
    let other = otus08(&pair.two, "p1", 1).header("Idempotency-Key", "j").await;
    assert_ne!(other.ok(201), id);
    let shown = pair.two.get(&path).await.ok(200);
    assert_eq!(shown["productQuantity"], 1, "{shown}");
    let all = pair.one.get(OTUS08).await.ok(200);
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    pair.end().await;
}

async fn an_otusma_client_gets_an_order_id_for_each_key(place: Place) {
    let pair = place.pair().await;
    let post = |service: &Service, key: Option<&str>| {
        let post = service.request(Method::POST, OTUSMA).json(&json!({}));
        match key {
            Some(key) => post.header("X-Idempotency-Key", key),
            None => post,
        }
    };
    let missing = post(&pair.one, None).await;
    assert_eq!(missing.status, 400, "{missing:?}");
    let id = |answer: Answer| answer.ok(200)["order_id"].clone();
    let first = id(post(&pair.one, Some("k")).await);
    assert!(!first.is_null());
    assert_eq!(id(post(&pair.two, Some("k")).await), first);
    assert_ne!(id(post(&pair.two, Some("j")).await), first);
    pair.end().await;
}
