//! Is money taken once?

use order_example::provider::DECLINED_CARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Answer, BOB, Place, Server};

const PAYMENTS: &str = "/api/v1/payments";

on_both_databases! {
    a_repeated_payment_takes_money_once
    a_payment_that_is_refused_is_refused_again
    an_order_is_paid_once_under_whatever_key
}

async fn order_nr(server: &Server) -> String {
    let order = server.order(&server.cart_of("TEA", 1, "card_1").await).await;
    order.json()["orderNr"].as_str().expect("a number").to_owned()
}

fn payment(order_nr: &str, amount: i64, card: &str) -> Value {
    json!({
        "orderNr": order_nr,
        "amount": {"amount": amount, "currency": "RUB"},
        "method": {"method": "card", "cardId": card},
    })
}

async fn pay(server: &Server, key: &str, body: &Value) -> Answer {
    let request = server
        .request(Method::POST, PAYMENTS)
        .header("idempotency-key", key);
    Answer::to(request.json(body)).await
}

async fn a_repeated_payment_takes_money_once(place: &Place) {
    let server = Server::start(place).await;
    let order_nr = order_nr(&server).await;
    let body = payment(&order_nr, 1000, "card_1");
    let first = pay(&server, "k", &body).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    let paid = first.json();
    assert_eq!(
        paid,
        json!({"paymentId": paid["paymentId"], "orderNr": order_nr,
               "amount": {"amount": 1000, "currency": "RUB"}, "status": "captured",
               "createdAt": paid["createdAt"]})
    );
    let location = format!("{PAYMENTS}/{}", paid["paymentId"].as_str().expect("an id"));
    assert_eq!(first.header("location"), Some(location.as_str()));
    let again = pay(&server, "k", &body).await;
    assert!(again.replayed());
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("location"), Some(location.as_str()));
    assert_eq!(server.get(&location).await.json(), paid);
    let bobs = Answer::to(server.request_of(BOB, Method::GET, &location)).await;
    assert_eq!(bobs.outcome(), (404, "not-found".into()));
    let other = pay(&server, "k", &payment(&order_nr, 999, "card_1")).await;
    assert_eq!(other.outcome(), (422, "idempotency-key-reused".into()));
    let missing = server.post(PAYMENTS, &body).await;
    assert_eq!(missing.outcome(), (400, "idempotency-key-missing".into()));
}

async fn a_payment_that_is_refused_is_refused_again(place: &Place) {
    let server = Server::start(place).await;
    let order_nr = order_nr(&server).await;
    let declined = payment(&order_nr, 1000, DECLINED_CARD);
    let first = pay(&server, "declined", &declined).await;
    assert_eq!(first.outcome(), (402, "payment-declined".into()));
    let again = pay(&server, "declined", &declined).await;
    assert!(again.replayed());
    assert_eq!((again.status, &again.body), (first.status, &first.body));

    // What is refused before anything is done leaves its key unused.
    let unknown = pay(&server, "k", &payment("20240102-000017", 1000, "card_1")).await;
    assert_eq!(unknown.outcome(), (404, "not-found".into()));
    for (bad, pointer) in [
        (payment(&order_nr, 0, "card_1"), "/amount/amount"),
        (payment(&order_nr, -1, "card_1"), "/amount/amount"),
        (
            json!({"orderNr": order_nr, "amount": {"amount": 1, "currency": "rub"},
                "method": {"method": "cash"}}),
            "/amount/currency",
        ),
    ] {
        let refused = pay(&server, "k", &bad).await;
        assert_eq!(refused.outcome(), (422, "validation-failed".into()), "{bad}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer);
    }
    let paid = pay(&server, "k", &payment(&order_nr, 1000, "card_1")).await;
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    assert!(!paid.replayed());
}

async fn an_order_is_paid_once_under_whatever_key(place: &Place) {
    let server = Server::start(place).await;
    let order_nr = order_nr(&server).await;
    let body = payment(&order_nr, 1000, "card_1");
    let paid = pay(&server, "one", &body).await;
    assert_eq!(paid.status, StatusCode::CREATED, "{paid:?}");
    let second = pay(&server, "two", &body).await;
    assert_eq!(second.outcome(), (409, "order-already-paid".into()));
    let again = pay(&server, "two", &body).await;
    assert_eq!(again.outcome(), (409, "order-already-paid".into()));
    assert!(pay(&server, "one", &body).await.replayed());
}
