//! Is the shop the same shop on both databases?

use std::path::Path;
use std::time::Duration;

use order_example::domain::Item;
use order_example::shop::{Claim, Reservation, ShopError};
use reqwest::StatusCode;

use crate::server::{Place, Server, an_order, lines, some_tea};

fn item(sku: &str, qty: i32) -> Item {
    Item {
        sku: sku.to_owned(),
        qty,
    }
}

fn claim(reservation: &str, epoch: i64) -> Claim {
    Claim {
        reservation: reservation.to_owned(),
        epoch,
    }
}

async fn a_line_is_reserved_once_and_given_back_once(place: Place) {
    let shop = place.shop().await;
    let calls = (0..8).map(|_| shop.reserve(claim("one", 1), item("CUP", 600)));
    let answers = futures::future::try_join_all(calls).await.expect("reserves");
    assert!(matches!(&answers[0], Reservation::Held(line) if line.qty == 600));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(shop.counts().await.expect("counts").reservations, 1);
    // 400 of 1,000 cups are left.
    let short = shop.reserve(claim("two", 1), item("CUP", 401)).await;
    assert_eq!(short.expect("answers"), Reservation::OutOfStock);
    let releases = (0..8).map(|_| shop.release(claim("one", 2)));
    futures::future::try_join_all(releases).await.expect("releases");
    assert_eq!(shop.counts().await.expect("counts").reservations, 0);
    let all = shop.reserve(claim("three", 1), item("CUP", 1000)).await;
    assert!(matches!(all.expect("answers"), Reservation::Held(_)));
    let wanted = [item("TEA", 1), item("COFFEE", 1)];
    assert_eq!(shop.unknown_products(&wanted).await.expect("answers"), [1]);
    drop(shop);
    place.clean_up().await;
}

#[tokio::test]
async fn a_line_is_reserved_once_and_given_back_once_on_sqlite() {
    a_line_is_reserved_once_and_given_back_once(Place::sqlite()).await;
}

#[tokio::test]
async fn a_line_is_reserved_once_and_given_back_once_on_postgres() {
    a_line_is_reserved_once_and_given_back_once(Place::postgres()).await;
}

async fn an_owner_that_was_given_up_reserves_nothing_more(place: Place) {
    let shop = place.shop().await;
    let held = shop.reserve(claim("one", 1), item("CUP", 1)).await;
    assert!(matches!(held.expect("answers"), Reservation::Held(_)));
    shop.release(claim("one", 2)).await.expect("releases");
    let late = shop.reserve(claim("one", 1), item("CUP", 1)).await;
    assert!(matches!(late, Err(ShopError::GivenUp)), "{late:?}");
    assert_eq!(shop.counts().await.expect("counts").reservations, 0);
    drop(shop);
    place.clean_up().await;
}

#[tokio::test]
async fn an_owner_that_was_given_up_reserves_nothing_more_on_sqlite() {
    an_owner_that_was_given_up_reserves_nothing_more(Place::sqlite()).await;
}

#[tokio::test]
async fn an_owner_that_was_given_up_reserves_nothing_more_on_postgres() {
    an_owner_that_was_given_up_reserves_nothing_more(Place::postgres()).await;
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

async fn two_services_share_one_order_per_key(place: Place) {
    let (one, two) = tokio::join!(Server::start(&place), Server::start(&place));
    let body = some_tea();
    let calls = (0..10).map(|n| if n % 2 == 0 { &one } else { &two });
    let calls = calls.map(|server| server.order("k", &body));
    let answers = futures::future::join_all(calls).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::CREATED);
        assert_eq!(answer.body, answers[0].body);
    }
    let ran = answers.iter().filter(|answer| !answer.replayed()).count();
    assert_eq!(ran, 1);
    let refused = two.order("out", &an_order("SAMOVAR", 2, "card_1")).await;
    let replayed = one.order("out", &an_order("SAMOVAR", 2, "card_1")).await;
    assert_eq!(refused.body, replayed.body);
    let order_nr = answers[0].json()["orderNr"]
        .as_str()
        .expect("a number")
        .to_owned();
    let shown = two.get(&format!("/api/v1/orders/{order_nr}")).await;
    assert_eq!(shown.json(), answers[0].json());

    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (1, 1));
    assert_eq!(lines(&place.path("payments.jsonl")), 1);
    assert_eq!(lines(&place.path("receipts.jsonl")), 1);
    eventually_one_line(&place.path("events.jsonl")).await;
    drop((one, two));
    place.clean_up().await;
}

#[tokio::test]
async fn two_services_share_one_order_per_key_on_sqlite() {
    two_services_share_one_order_per_key(Place::sqlite()).await;
}

#[tokio::test]
async fn two_services_share_one_order_per_key_on_postgres() {
    two_services_share_one_order_per_key(Place::postgres()).await;
}

async fn services_start_together_on_an_empty_database(place: Place) {
    let servers = futures::future::join_all((0..4).map(|_| Server::start(&place))).await;
    for server in &servers {
        assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    }
    drop(servers);
    place.clean_up().await;
}

#[tokio::test]
async fn services_start_together_on_an_empty_database_on_sqlite() {
    services_start_together_on_an_empty_database(Place::sqlite()).await;
}

#[tokio::test]
async fn services_start_together_on_an_empty_database_on_postgres() {
    services_start_together_on_an_empty_database(Place::postgres()).await;
}
