//! Does an offer keep its word?

use order_example::domain::{CartAt, Delivery, Money, Payment, Refusal, Wanted};

use super::{Open, card};
use crate::server::Place;

async fn the_same_cart_has_the_same_offers_in_every_process(place: &Place) {
    let (one, two) = (Open::at(place).await, Open::at(place).await);
    let cart = one.put("anna", "TEA", 1).await;
    let wanted = Wanted::default();
    let mut answers = Vec::new();
    for open in [&one, &two, &one] {
        let secret = open.shop.offer_secret().await.expect("answers");
        let offers = open.shop.check_out("anna", &wanted, &secret).await;
        answers.push(offers.expect("answers").expect("not refused"));
    }
    assert!(answers.iter().all(|offers| *offers == answers[0]));
    assert_eq!(
        (&answers[0].cart_id, answers[0].revision),
        (&cart.id, cart.revision)
    );
    let by_card = &answers[0].offers[0];
    assert_eq!(by_card.payment, card("card_1"));

    let id = by_card.request_id.as_ref().expect("available");
    let offer = two.shop.offer("anna", id).await.expect("answers");
    let offer = offer.expect("is remembered");
    assert_eq!(
        offer.cart,
        Some(CartAt {
            id: cart.id.clone(),
            revision: 1
        })
    );
    assert_eq!((offer.items, offer.total), (cart.items, cart.total));
    assert_eq!(two.shop.offer("boris", id).await.expect("answers"), None);

    one.put("anna", "TEA", 2).await;
    let secret = one.shop.offer_secret().await.expect("answers");
    let changed = one.shop.check_out("anna", &wanted, &secret).await;
    let changed = changed.expect("answers").expect("not refused");
    assert_ne!(changed.offers[0].request_id, by_card.request_id);
    one.end().await;
    two.end().await;
}

async fn an_empty_cart_is_not_offered(place: &Place) {
    let shop = place.shop().await;
    let secret = shop.offer_secret().await.expect("answers");
    let refused = shop.check_out("anna", &Wanted::default(), &secret).await;
    assert_eq!(refused.expect("answers"), Err(Refusal::CartNotOrderable));
}

async fn an_older_client_gets_the_offer_that_it_means_or_none(place: &Place) {
    let open = Open::at(place).await;
    let offer = open.offer("anna", "TEA", 1, Payment::Cash).await;
    let secret = open.shop.offer_secret().await.expect("answers");
    let means = async |payment: Payment, amount: i64| {
        let total = Money::new(amount, "RUB");
        let found = open
            .shop
            .matching_offer("anna", payment, Delivery::Courier, &total, &secret);
        found.await.expect("answers")
    };
    assert_eq!(means(Payment::Cash, 1000).await, Ok(offer));
    assert_eq!(means(Payment::Cash, 999).await, Err(Refusal::OfferNoMatch));
    assert_eq!(means(Payment::Invoice, 1000).await, Err(Refusal::OfferNoMatch));
    open.put("anna", "TEA", 0).await;
    assert_eq!(means(Payment::Cash, 0).await, Err(Refusal::CartNotOrderable));
    open.end().await;
}

on_both_databases! {
    the_same_cart_has_the_same_offers_in_every_process
    an_empty_cart_is_not_offered
    an_older_client_gets_the_offer_that_it_means_or_none
}
