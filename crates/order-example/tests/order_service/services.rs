//! Are several services one shop?

use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;

use crate::server::{Place, Server, lines};

on_both_databases! {
    two_services_share_one_order_per_key
    services_start_together_on_an_empty_database
}

/// The message of an order comes soon after it.
async fn eventually_one_line(path: &Path) {
    let arrived = async {
        while lines(path) != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let arrived = tokio::time::timeout(Duration::from_secs(20), arrived).await;
    arrived.expect("one message arrives");
}

async fn two_services_share_one_order_per_key(place: &Place) {
    let (one, two) = tokio::join!(Server::start(place), Server::start(place));
    let body = one.some_tea().await;
    // Some by the offer alone, some under headers of their own, some under one header.
    let calls = (0..12).map(|n| {
        let server = if n % 2 == 0 { &one } else { &two };
        let key = match n % 3 {
            0 => None,
            1 => Some(format!("own-{n}")),
            _ => Some("shared".to_owned()),
        };
        let body = body.clone();
        async move {
            match key {
                Some(key) => server.order_as(&key, &body).await,
                None => server.order(&body).await,
            }
        }
    });
    let answers = futures::future::join_all(calls).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert_eq!(answer.body, answers[0].body);
    }
    let order_nr = answers[0].json()["orderNr"]
        .as_str()
        .expect("a number")
        .to_owned();
    let shown = two.get(&format!("/api/v1/orders/{order_nr}")).await;
    assert_eq!(shown.json(), answers[0].json());
    let sold_out = one.cart_of("SAMOVAR", 2, "card_1").await;
    let refused = two.order(&sold_out).await;
    let replayed = one.order(&sold_out).await;
    assert_eq!(refused.body, replayed.body);

    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (1, 1));
    assert_eq!(lines(&place.path("payments.jsonl")), 1);
    assert_eq!(lines(&place.path("receipts.jsonl")), 1);
    eventually_one_line(&place.path("events.jsonl")).await;
}

async fn services_start_together_on_an_empty_database(place: &Place) {
    let servers = futures::future::join_all((0..4).map(|_| Server::start(place))).await;
    for server in &servers {
        assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    }
}
