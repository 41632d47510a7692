//! Is the shop the same shop on both databases?

use order_example::domain::Item;
use order_example::shop::Reservation;
use reqwest::StatusCode;

use crate::server::{Place, Server, an_order, lines, some_tea};

fn items(wanted: &[(&str, i32)]) -> Vec<Item> {
    let items = wanted.iter().map(|(sku, qty)| Item {
        sku: (*sku).to_owned(),
        qty: *qty,
    });
    items.collect()
}

async fn a_reservation_is_made_once_per_key(place: Place) {
    let shop = place.shop().await;
    let wanted = items(&[("TEA", 2), ("CUP", 600)]);
    let calls = (0..8).map(|_| shop.reserve("one", &wanted));
    let answers = futures::future::try_join_all(calls).await.expect("reserves");
    let Reservation::Held(lines) = &answers[0] else {
        panic!("expected goods, got {answers:?}");
    };
    let skus: Vec<&str> = lines.iter().map(|line| line.sku.as_str()).collect();
    assert_eq!(skus, ["CUP", "TEA"]);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(shop.counts().await.expect("counts").reservations, 1);
    // 400 of 1,000 cups are left, and the tea that would go with them is not taken.
    let short = shop.reserve("two", &items(&[("TEA", 1), ("CUP", 401)])).await;
    let sku = "CUP".to_owned();
    assert_eq!(short.expect("answers"), Reservation::OutOfStock { sku });
    let rest = shop.reserve("three", &items(&[("CUP", 400)])).await;
    assert!(matches!(rest.expect("answers"), Reservation::Held(_)));
    assert_eq!(shop.counts().await.expect("counts").reservations, 2);
    let wanted = items(&[("TEA", 1), ("COFFEE", 1)]);
    assert_eq!(shop.unknown_products(&wanted).await.expect("answers"), [1]);
    drop(shop);
    place.clean_up().await;
}

#[tokio::test]
async fn a_reservation_is_made_once_per_key_on_sqlite() {
    a_reservation_is_made_once_per_key(Place::sqlite()).await;
}

#[tokio::test]
async fn a_reservation_is_made_once_per_key_on_postgres() {
    a_reservation_is_made_once_per_key(Place::postgres()).await;
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
