//! Is the shop the same shop on both databases?

use order_example::domain::Item;
use order_example::shop::{Claim, Reservation, ShopError};

use crate::server::Place;

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
