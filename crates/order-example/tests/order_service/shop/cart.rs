//! Is a cart what its customer has put into it?

use order_example::domain::{Refusal, Seen};

use super::{Open, quantity};
use crate::server::Place;

async fn a_new_customer_has_an_empty_cart_that_stays_the_same(place: &Place) {
    let shop = place.shop().await;
    let looks = futures::future::try_join_all((0..8).map(|_| shop.cart("anna"))).await;
    let looks = looks.expect("answers");
    assert!(looks.iter().all(|cart| *cart == looks[0]));
    assert_eq!((looks[0].revision, looks[0].items.len()), (0, 0));
    assert_ne!(shop.cart("boris").await.expect("answers").id, looks[0].id);
    drop(shop);
    // Another process.
    let again = place.shop().await.cart("anna").await.expect("answers");
    assert_eq!(again, looks[0]);
}

async fn only_a_change_makes_a_new_revision_and_all_see_it(place: &Place) {
    let open = Open::at(place).await;
    let two = open.put("anna", "TEA", 2).await;
    assert_eq!((two.revision, two.total.amount), (1, 2000));
    assert_eq!(open.put("anna", "TEA", 2).await, two);
    assert_eq!(open.put("anna", "CUP", 0).await, two);
    let more = open.put("anna", "CUP", 1).await;
    assert_eq!((more.revision, more.total.amount), (2, 4500));
    assert_eq!(open.shop.cart("anna").await.expect("answers"), more);
    let less = open.put("anna", "TEA", 0).await;
    assert_eq!((less.revision, less.items.len()), (3, 1));
    open.end().await;
}

async fn what_the_catalogue_does_not_know_is_refused_and_changes_nothing(place: &Place) {
    let shop = place.shop().await;
    for qty in [0, 1] {
        // Whatever the customer has seen: what is not there comes first.
        let wish = quantity("anna", "COFFEE", qty, Seen::one("c_0.0".into()));
        let refused = shop.set_quantity(wish).await.expect("answers");
        assert_eq!(refused, Err(Refusal::NotFound("product")));
    }
    assert_eq!(shop.cart("anna").await.expect("answers").revision, 0);
}

async fn of_all_who_act_on_one_revision_one_changes_the_cart(place: &Place) {
    let shop = place.shop().await;
    let seen = shop.cart("anna").await.expect("answers");
    let wishes = (1..=8).map(|qty| quantity("anna", "TEA", qty, Seen::one(seen.tag())));
    let decided = futures::future::try_join_all(wishes.map(|wish| shop.set_quantity(wish))).await;
    let (done, refused): (Vec<_>, Vec<_>) = decided.expect("answers").into_iter().partition(Result::is_ok);
    assert_eq!(done.len(), 1);
    let cart = shop.cart("anna").await.expect("answers");
    assert_eq!(done[0].as_ref(), Ok(&cart));
    assert_eq!(cart.revision, 1);
    let tag = cart.tag();
    let changed = Refusal::CartChanged { tag };
    assert!(refused.iter().all(|one| one.as_ref() == Err(&changed)));
}

on_both_databases! {
    a_new_customer_has_an_empty_cart_that_stays_the_same
    only_a_change_makes_a_new_revision_and_all_see_it
    what_the_catalogue_does_not_know_is_refused_and_changes_nothing
    of_all_who_act_on_one_revision_one_changes_the_cart
}
