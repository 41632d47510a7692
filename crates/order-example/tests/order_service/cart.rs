//! What is in a cart, and what is it offered for?

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{ALICE, Answer, BOB, Place, Server};

const CART: &str = "/api/v1/cart";
const CHECKOUT: &str = "/api/v2/cart/go-checkout";

on_both_databases! {
    a_cart_counts_its_changes_and_nothing_else
    a_cart_is_changed_only_as_it_was_seen
    an_ordered_cart_gives_way_to_an_empty_one
    the_same_cart_is_offered_under_the_same_ids_everywhere
    a_name_that_no_product_can_have_is_not_found
}

async fn put(server: &Server, sku: &str, body: &Value) -> Answer {
    let request = server.request(Method::PUT, &format!("{CART}/items/{sku}"));
    Answer::to(request.json(body)).await
}

async fn a_cart_counts_its_changes_and_nothing_else(place: &Place) {
    let server = Server::start(place).await;
    let empty = server.get(CART).await;
    assert_eq!(empty.status, StatusCode::OK);
    let id = empty.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        empty.json(),
        json!({"id": id, "revision": 0, "state": "open", "currency": "RUB", "items": [],
               "total": {"amount": 0, "currency": "RUB"}})
    );
    assert_eq!(empty.header("etag"), Some(format!("\"{id}.0\"").as_str()));

    let two = server.put("TEA", 2).await;
    assert_eq!(
        two.json(),
        json!({"id": id, "revision": 1, "state": "open", "currency": "RUB",
               "items": [{"sku": "TEA", "qty": 2, "unitPrice": {"amount": 1000, "currency": "RUB"}}],
               "total": {"amount": 2000, "currency": "RUB"}})
    );
    let tag = format!("\"{id}.1\"");
    assert_eq!(two.header("etag"), Some(tag.as_str()));
    assert_eq!(server.put("TEA", 2).await.body, two.body, "nothing changed");
    assert_eq!(server.get(CART).await.body, two.body);
    let known = server.request(Method::GET, CART).header("if-none-match", &tag);
    let known = Answer::to(known).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(known.header("etag"), Some(tag.as_str()));

    assert_eq!(server.put("CUP", 1).await.json()["total"]["amount"], 4500);
    let removed = server.put("TEA", 0).await.json();
    assert_eq!(
        (&removed["revision"], &removed["total"]["amount"]),
        (&json!(3), &json!(2500))
    );
    assert_eq!(server.put("TEA", 0).await.json()["revision"], 3);

    let bobs = Answer::to(server.request_of(BOB, Method::GET, CART)).await.json();
    assert_ne!(bobs["id"], json!(id));
    assert_eq!(bobs["revision"], 0);
}

async fn a_cart_is_changed_only_as_it_was_seen(place: &Place) {
    let server = Server::start(place).await;
    let seen = server.put("TEA", 1).await;
    let seen = seen.header("etag").expect("a tag").to_owned();
    let change = |qty: i64, tag: &str| {
        let request = server.request(Method::PUT, &format!("{CART}/items/TEA"));
        Answer::to(request.header("if-match", tag).json(&json!({ "qty": qty })))
    };
    let changed = change(2, &seen).await;
    assert_eq!(changed.status, StatusCode::OK);
    let present = changed.header("etag").expect("a tag").to_owned();
    let stale = change(3, &seen).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(stale.header("etag"), Some(present.as_str()));
    let weak = change(3, &format!("W/{present}")).await;
    assert_eq!(weak.status, StatusCode::PRECONDITION_FAILED);
    let unreadable = change(3, "present").await;
    assert_eq!(unreadable.outcome(), (400, "malformed-precondition".into()));
    assert_eq!(change(3, "*").await.status, StatusCode::OK);
    assert_eq!(server.get(CART).await.json()["items"][0]["qty"], 3);
}

#[tokio::test]
async fn what_can_not_be_in_a_cart_is_refused() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let unknown = put(&server, "COFFEE", &json!({"qty": 1})).await;
    assert_eq!(unknown.outcome(), (404, "not-found".into()));
    for (body, errors) in [
        (
            json!({"qty": -1}),
            json!([{"pointer": "/qty", "message": "must be a whole number from 0 to 999"}]),
        ),
        (
            json!({"qty": 1000}),
            json!([{"pointer": "/qty", "message": "must be a whole number from 0 to 999"}]),
        ),
        (
            json!({"qty": "1"}),
            json!([{"pointer": "/qty", "message": "must be a whole number from 0 to 999"}]),
        ),
        (json!({}), json!([{"pointer": "/qty", "message": "is missing"}])),
        (
            json!([]),
            json!([{"pointer": "", "message": "must be an object"}]),
        ),
    ] {
        let refused = put(&server, "TEA", &body).await;
        assert_eq!(refused.outcome(), (422, "validation-failed".into()), "{body}");
        assert_eq!(refused.json()["errors"], errors, "{body}");
    }
    assert_eq!(server.get(CART).await.json()["revision"], 0);
}

async fn an_ordered_cart_gives_way_to_an_empty_one(place: &Place) {
    let server = Server::start(place).await;
    let order = server.some_tea().await;
    let before = server.get(CART).await.json();
    assert_eq!(server.order(&order).await.status, StatusCode::CREATED);
    let after = server.get(CART).await.json();
    assert_ne!(after["id"], before["id"]);
    assert_eq!((&after["revision"], &after["items"]), (&json!(0), &json!([])));
    let offers = server.post(CHECKOUT, &json!({})).await;
    assert_eq!(offers.outcome(), (409, "cart-not-orderable".into()));
}

async fn the_same_cart_is_offered_under_the_same_ids_everywhere(place: &Place) {
    let server = Server::start(place).await;
    let cart = server.put("TEA", 1).await.json();
    let wanted = json!({
        "payment": [{"method": "card", "cardId": "card_1"}, {"method": "invoice"}, {"method": "cash"}],
        "delivery": ["courier"],
    });
    let first = server.post(CHECKOUT, &wanted).await;
    assert_eq!(first.status, StatusCode::OK);
    let offers = first.json();
    assert_eq!((&offers["cartId"], &offers["revision"]), (&cart["id"], &json!(1)));
    let ids: Vec<Option<String>> = offers["offers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|offer| offer["requestId"].as_str().map(str::to_owned))
        .collect();
    let total = json!({"amount": 1000, "currency": "RUB"});
    assert_eq!(
        offers["offers"],
        json!([
            {"requestId": ids[0], "available": true, "payment": {"method": "card", "cardId": "card_1"},
             "delivery": "courier", "total": total},
            {"requestId": null, "available": false, "payment": {"method": "invoice"},
             "delivery": "courier", "total": total},
            {"requestId": ids[2], "available": true, "payment": {"method": "cash"},
             "delivery": "courier", "total": total},
        ])
    );
    let id = ids[0].as_deref().expect("an id");
    assert!(id.starts_with("req_") && id.len() == 36, "{id}");
    assert_ne!(ids[0], ids[2]);

    assert_eq!(
        server.post(CHECKOUT, &wanted).await.body,
        first.body,
        "asked again"
    );
    drop(server);
    let (one, two) = tokio::join!(Server::start(place), Server::start(place));
    assert_eq!(
        one.post(CHECKOUT, &wanted).await.body,
        first.body,
        "after a restart"
    );
    assert_eq!(
        two.post(CHECKOUT, &wanted).await.body,
        first.body,
        "on another instance"
    );

    // Another cart, another revision and other payment data have other ids.
    one.put("TEA", 2).await;
    let changed = one.post(CHECKOUT, &wanted).await.json();
    assert_ne!(
        changed["offers"][0]["requestId"],
        offers["offers"][0]["requestId"]
    );
    let bobs =
        |method: Method, path: &str, body: Value| Answer::to(one.request_of(BOB, method, path).json(&body));
    bobs(Method::PUT, &format!("{CART}/items/TEA"), json!({"qty": 1})).await;
    let bobs = bobs(Method::POST, CHECKOUT, wanted).await.json();
    assert_ne!(bobs["offers"][0]["requestId"], offers["offers"][0]["requestId"]);
    let by_default = one.post(CHECKOUT, &json!({})).await.json();
    let methods: Vec<&Value> = by_default["offers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|offer| &offer["payment"]["method"])
        .collect();
    assert_eq!(
        methods,
        [&json!("card"), &json!("cash")],
        "{ALICE} has these by default"
    );
}

async fn a_name_that_no_product_can_have_is_not_found(place: &Place) {
    let server = Server::start(place).await;
    for name in ["%00", "TEA%00", "%FF"] {
        let unknown = put(&server, name, &json!({"qty": 1})).await;
        assert_eq!(unknown.outcome(), (404, "not-found".into()), "{name}");
    }
}
