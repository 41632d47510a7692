//! Clients that go away in the middle: what they began is finished, and their next request gets it.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::service::{Place, Service, on_both_databases, until};
use crate::world::{PAYMENTS, payment};

on_both_databases!(
    an_order_is_finished_for_a_client_that_went_away,
    a_client_that_waits_may_go_without_harm,
    a_request_that_is_cut_off_leaves_its_key_free,
);

async fn an_order_is_finished_for_a_client_that_went_away(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    pair.one
        .fault(
            "authorize_payment",
            json!({"mode": "delay", "ms": 500, "times": 1}),
        )
        .await;
    let client = pair.one.ada().order(&id).key("k").spawn();
    until("the first step is done", async || {
        (pair.two.done("reserve_stock").await == 1).then_some(())
    })
    .await;
    client.abort();
    assert!(client.await.is_err(), "the client is gone");
    // No client asks, and the order is made.
    until("the order is made", async || {
        (pair.two.done("create_order").await == 1).then_some(())
    })
    .await;
    let retry = pair.two.ada().order(&id).key("k").await;
    retry.ok(201);
    assert!(retry.is_replay());
    assert_eq!(pair.one.done("authorize_payment").await, 1);
    pair.end().await;
}

async fn a_client_that_waits_may_go_without_harm(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    pair.one
        .fault(
            "authorize_payment",
            json!({"mode": "delay", "ms": 700, "times": 1}),
        )
        .await;
    let first = pair.one.ada().order(&id).key("k").spawn();
    until("the first step is done", async || {
        (pair.two.done("reserve_stock").await == 1).then_some(())
    })
    .await;
    for service in [&pair.one, &pair.two] {
        let waiter = service
            .ada()
            .order(&id)
            .key("k")
            .into_inner()
            .timeout(Duration::from_millis(50));
        assert!(waiter.send().await.is_err_and(|error| error.is_timeout()));
    }
    let first = first.await.expect("an answer");
    first.ok(201);
    assert!(!first.is_replay());
    pair.end().await;
}

/// The head and half of the body arrive, and then nothing.
async fn a_request_that_is_cut_off_leaves_its_key_free(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let body = payment(&order, "card_1").to_string();
    let (half, _rest) = body.split_at(body.len() / 2);
    for part in [half, ""] {
        cut_off(&pair.one, body.len(), part).await;
    }
    let paid = pair.two.ada().pay(&order, "card_1").key("k").await;
    paid.ok(201);
    assert!(!paid.is_replay());
    assert_eq!(pair.one.effects().await["provider_charges"], 1);
    pair.end().await;
}

async fn cut_off(service: &Service, length: usize, part: &str) {
    let address = service.url.strip_prefix("http://").expect("an address");
    let mut client = TcpStream::connect(address).await.expect("connects");
    let head = format!(
        "POST {PAYMENTS} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer test-ada\r\n\
         Idempotency-Key: \"k\"\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{part}"
    );
    client.write_all(head.as_bytes()).await.expect("writes");
    client.shutdown().await.expect("ends");
    drop(client);
}
