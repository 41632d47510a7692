//! Does the shelf hold what the reservations say?

use order_example::domain::{Line, Money};
use order_example::shop::{Claim, Reservation, ShopError};

use crate::server::Place;

fn line(sku: &str, qty: i32) -> Line {
    Line {
        sku: sku.to_owned(),
        qty,
        unit_price: Money::new(2500, "RUB"),
    }
}

fn claim(reservation: &str, epoch: i64) -> Claim {
    Claim {
        reservation: reservation.to_owned(),
        epoch,
    }
}

async fn a_line_is_reserved_once_and_given_back_once(place: &Place) {
    let shop = place.shop().await;
    let calls = (0..8).map(|_| shop.reserve(claim("one", 1), line("CUP", 600)));
    let answers = futures::future::try_join_all(calls).await.expect("reserves");
    assert_eq!(answers, [Reservation::Held; 8]);
    assert_eq!(shop.counts().await.expect("counts").reservations, 1);
    // 400 of 1,000 cups are left.
    let short = shop.reserve(claim("two", 1), line("CUP", 401)).await;
    assert_eq!(short.expect("answers"), Reservation::OutOfStock);
    let releases = (0..8).map(|_| shop.release(claim("one", 2)));
    futures::future::try_join_all(releases).await.expect("releases");
    assert_eq!(shop.counts().await.expect("counts").reservations, 0);
    let all = shop.reserve(claim("three", 1), line("CUP", 1000)).await;
    assert_eq!(all.expect("answers"), Reservation::Held);
}

async fn an_owner_that_was_given_up_reserves_nothing_more(place: &Place) {
    let shop = place.shop().await;
    let held = shop.reserve(claim("one", 1), line("CUP", 1)).await;
    assert_eq!(held.expect("answers"), Reservation::Held);
    shop.release(claim("one", 2)).await.expect("releases");
    let late = shop.reserve(claim("one", 1), line("CUP", 1)).await;
    assert!(matches!(late, Err(ShopError::GivenUp)), "{late:?}");
    assert_eq!(shop.counts().await.expect("counts").reservations, 0);
}

on_both_databases! {
    a_line_is_reserved_once_and_given_back_once
    an_owner_that_was_given_up_reserves_nothing_more
}
