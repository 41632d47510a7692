//! What does a client get for what it sends?

use std::time::Duration;

use order_example::provider::DECLINED_CARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Answer, HeldProvider, PATIENCE, Place, Server, an_order, lines, some_tea};

const KEY_RULE: &str = "Idempotency-Key must be a string of 1 to 255 printable ASCII characters.";
const REQUEST_ID_RULE: &str = "requestId must have 1 to 255 printable ASCII characters.";

#[tokio::test]
async fn a_repeated_order_gets_the_same_bytes_and_nothing_runs_again() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let first = server.order("k", &some_tea()).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert!(!first.replayed());
    assert_eq!(first.header("idempotency-key"), Some("\"k\""));

    let order = first.json();
    let order_nr = order["orderNr"].as_str().expect("a number").to_owned();
    let location = format!("/api/v1/orders/{order_nr}");
    assert_eq!(first.header("location"), Some(location.as_str()));
    assert_eq!(order["requestId"], "k");
    assert_eq!(order["status"], "confirmed");
    assert_eq!(order["total"], json!({"amount": 2000, "currency": "RUB"}));

    let again = server.order("k", &some_tea()).await;
    assert_eq!(again.status, StatusCode::CREATED);
    assert!(again.replayed());
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("location"), Some(location.as_str()));

    let shown = server.get(&location).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(shown.json(), order);

    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (1, 1));
    assert_eq!(lines(&place.path("payments.jsonl")), 1);
    assert_eq!(lines(&place.path("receipts.jsonl")), 1);
}

#[tokio::test]
async fn an_order_shows_how_it_came_about() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let order = server.order("k", &some_tea()).await.json();
    let order_nr = order["orderNr"].as_str().expect("a number");
    let steps = server.get(&format!("/api/v1/orders/{order_nr}/steps")).await;
    assert_eq!(steps.status, StatusCode::OK);
    let steps = steps.json();
    let steps = steps["steps"].as_array().expect("a list");
    let names: Vec<&Value> = steps.iter().map(|step| &step["step"]).collect();
    assert_eq!(
        names,
        [
            "reserve_stock",
            "authorize_payment",
            "create_order",
            "send_receipt"
        ]
    );
    for step in steps {
        assert_eq!(step["attempt"], 1);
        assert_eq!(step["worker"], steps[0]["worker"]);
    }
    let times: Vec<&str> = steps.iter().filter_map(|step| step["at"].as_str()).collect();
    assert_eq!(times.len(), 4);
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn the_header_and_the_request_id_are_one_key() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let by_header = server.order("one", &some_tea()).await;
    let mut body = some_tea();
    body["requestId"] = "one".into();
    let by_body = Answer::to(server.orders().body(body.to_string())).await;
    assert!(by_body.replayed());
    assert_eq!(by_body.body, by_header.body);
    let by_both = server.order("one", &body).await;
    assert!(by_both.replayed());
    assert_eq!(by_both.body, by_header.body);
    let bare = server.orders().header("Idempotency-KEY", "one");
    let bare = Answer::to(bare.body(some_tea().to_string())).await;
    assert_eq!(bare.body, by_header.body);
}

#[tokio::test]
async fn a_key_that_is_missing_or_can_not_be_read_is_refused() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let refused = |slug: &str, title: &str, detail: &str| {
        json!({
            "type": format!("/problems/{slug}"),
            "title": title,
            "status": 400,
            "detail": detail,
            "retryable": false,
        })
    };
    let malformed = |detail: &str| refused("idempotency-key-malformed", "The key can not be read", detail);

    let missing = Answer::to(server.orders().body(some_tea().to_string())).await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        missing.problem(),
        refused(
            "idempotency-key-missing",
            "The request has no key",
            "Send the header Idempotency-Key, or requestId in the body.",
        )
    );

    let too_long = "k".repeat(256);
    for header in ["", "\"\"", "a b", "\"a", too_long.as_str()] {
        let request = server.orders().header("idempotency-key", header);
        let answer = Answer::to(request.body(some_tea().to_string())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{header}");
        assert_eq!(answer.problem(), malformed(KEY_RULE), "{header}");
    }

    let twice = server.orders().header("idempotency-key", "a");
    let twice = twice.header("idempotency-key", "a");
    let twice = Answer::to(twice.body(some_tea().to_string())).await;
    let more_than_one = "There is more than one Idempotency-Key.";
    assert_eq!(twice.problem(), malformed(more_than_one));

    for request_id in ["", "a\0b", "ключ", too_long.as_str()] {
        let mut body = some_tea();
        body["requestId"] = request_id.into();
        let answer = Answer::to(server.orders().body(body.to_string())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{request_id}");
        assert_eq!(answer.problem(), malformed(REQUEST_ID_RULE), "{request_id}");
    }

    let mut body = some_tea();
    body["requestId"] = "b".into();
    let differ = server.order("a", &body).await;
    assert_eq!(
        differ.problem(),
        malformed("Idempotency-Key and requestId differ: send one of them, or the same text in both.")
    );
    assert_eq!(server.order("a", &some_tea()).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_body_that_is_not_an_order_is_refused_and_the_key_stays_usable() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let twice = r#"{"items":[],"items":[],"payment":{"method":"card","cardId":"c"}}"#;
    let bodies: [&[u8]; 6] = [
        b"",
        b"{",
        b"nonsense",
        b"{\"items\":[]} trailing",
        b"{\"comment\":\"\xff\"}",
        twice.as_bytes(),
    ];
    for body in bodies {
        let request = server.orders().header("idempotency-key", "k");
        let answer = Answer::to(request.body(body.to_vec())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let mut problem = answer.problem();
        let detail = problem["detail"].take();
        let detail = detail.as_str().expect("a text");
        assert!(detail.starts_with("The body can not be read: "), "{detail}");
        assert_eq!(
            problem,
            json!({
                "type": "/problems/malformed-body",
                "title": "The body is not the JSON it should be",
                "status": 400,
                "detail": null,
                "retryable": false,
            })
        );
    }
    let ordered = server.order("k", &some_tea()).await;
    assert_eq!(ordered.status, StatusCode::CREATED);
    assert!(!ordered.replayed());
}

#[tokio::test]
async fn an_order_that_is_not_valid_is_refused_and_the_key_stays_usable() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let quantity = json!([{"pointer": "/items/0/qty", "message": "must be between 1 and 999"}]);
    let unknown = json!([{"pointer": "/items/0/sku", "message": "is not in the catalogue"}]);
    let name = "must have 1 to 64 visible ASCII characters";
    let mut twice = some_tea();
    twice["items"] = json!([{"sku": "TEA", "qty": 1}, {"sku": "TEA", "qty": 1}]);
    let mut nothing = some_tea();
    nothing["items"] = json!([]);
    let mut nul = some_tea();
    nul["comment"] = "a\0b".into();
    let cases = [
        (an_order("TEA", 0, "card_1"), quantity.clone()),
        (an_order("TEA", -1, "card_1"), quantity.clone()),
        (an_order("TEA", 1000, "card_1"), quantity),
        (an_order("COFFEE", 1, "card_1"), unknown),
        (
            an_order("a b", 1, ""),
            json!([
                {"pointer": "/items/0/sku", "message": name},
                {"pointer": "/payment/cardId", "message": name},
            ]),
        ),
        (
            twice,
            json!([{"pointer": "/items/1/sku", "message": "is listed twice; add the quantities"}]),
        ),
        (
            nothing,
            json!([{"pointer": "/items", "message": "must have 1 to 50 items"}]),
        ),
        (
            nul,
            json!([{"pointer": "/comment", "message": "must have at most 1000 characters and no NUL"}]),
        ),
    ];
    for (body, errors) in cases {
        let answer = server.order("k", &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(
            answer.problem(),
            json!({
                "type": "/problems/validation-failed",
                "title": "The order is not valid",
                "status": 422,
                "detail": "Nothing was done. Mend what errors names; the key may be used again.",
                "retryable": false,
                "errors": errors,
            }),
            "{body}"
        );
    }
    for wrong_type in [
        json!({"items": [{"sku": "TEA", "qty": 1.5}], "payment": {"method": "card", "cardId": "c"}}),
        json!({"items": [{"sku": "TEA", "qty": 1}], "payment": {"method": "barter"}}),
        json!({"items": [{"sku": "TEA", "qty": 1}]}),
        json!({"items": [], "payment": {"method": "card", "cardId": "c"}, "other": 1}),
        json!([]),
    ] {
        let answer = server.order("k", &wrong_type).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong_type}");
        assert_eq!(answer.problem()["type"], "/problems/validation-failed");
    }
    let ordered = server.order("k", &some_tea()).await;
    assert_eq!(ordered.status, StatusCode::CREATED);
    assert!(!ordered.replayed());
}

#[tokio::test]
async fn a_key_with_another_order_is_refused() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let first = server.order("k", &some_tea()).await;
    let other = server.order("k", &an_order("TEA", 3, "card_1")).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        other.problem(),
        json!({
            "type": "/problems/idempotency-key-reused",
            "title": "The key belongs to another request",
            "status": 422,
            "detail": "This key was used for another order. Nothing was done. Use a new key.",
            "retryable": false,
            "idempotency_key": "k",
        })
    );
    // How the JSON is written does not count.
    let rewritten = r#" { "payment" : {"cardId":"card_1","method":"card"},
        "items" : [ {"qty":2, "sku":"TEA"} ] } "#;
    let request = server.orders().header("idempotency-key", "k");
    let rewritten = Answer::to(request.body(rewritten)).await;
    assert_eq!(rewritten.body, first.body);
    assert_eq!(place.shop().await.counts().await.expect("counts").orders, 1);
}

#[tokio::test]
async fn a_product_that_is_sold_out_is_a_final_answer() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let two = an_order("SAMOVAR", 2, "card_1");
    let first = server.order("k", &two).await;
    assert_eq!(first.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        first.problem(),
        json!({
            "type": "/problems/out-of-stock",
            "title": "A product is out of stock",
            "status": 422,
            "detail": "There is not enough of SAMOVAR.",
            "retryable": false,
            "idempotency_key": "k",
        })
    );
    let again = server.order("k", &two).await;
    assert!(again.replayed());
    assert_eq!((again.status, &again.body), (first.status, &first.body));

    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (0, 0));
    let one = server.order("other", &an_order("SAMOVAR", 1, "card_1")).await;
    assert_eq!(one.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_shortage_of_one_product_takes_nothing_of_the_others() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let mut order = an_order("SAMOVAR", 2, "card_1");
    order["items"] = json!([{"sku": "CUP", "qty": 999}, {"sku": "SAMOVAR", "qty": 2}]);
    let refused = server.order("k", &order).await;
    assert_eq!(refused.problem()["type"], "/problems/out-of-stock");
    // There are 1,000 cups.
    let cups = server.order("cups", &an_order("CUP", 999, "card_1")).await;
    assert_eq!(cups.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_declined_card_is_a_final_answer() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let order = an_order("TEA", 1, DECLINED_CARD);
    let first = server.order("k", &order).await;
    assert_eq!(first.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        first.problem(),
        json!({
            "type": "/problems/payment-declined",
            "title": "The payment was declined",
            "status": 422,
            "detail": "The card was declined.",
            "retryable": false,
            "idempotency_key": "k",
        })
    );
    let again = server.order("k", &order).await;
    assert!(again.replayed());
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(lines(&place.path("payments.jsonl")), 1);
}

#[tokio::test]
async fn an_order_that_stopped_at_the_provider_goes_on_when_it_is_back() {
    let place = Place::sqlite();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    drop(listener);
    let server = Server::start_at(&place, &format!("http://{address}")).await;
    let stopped = server.order("k", &some_tea()).await;
    let kind = stopped.problem()["type"].as_str().expect("a text").to_owned();
    match stopped.status {
        StatusCode::SERVICE_UNAVAILABLE => {
            assert_eq!(kind, "/problems/upstream-unavailable");
            assert!(stopped.header("retry-after").is_some());
        }
        status => {
            assert_eq!(status, StatusCode::BAD_GATEWAY);
            assert_eq!(kind, "/problems/upstream-failed");
        }
    }
    assert_eq!(stopped.json()["retryable"], true);

    let listener = tokio::net::TcpListener::bind(address).await.expect("binds again");
    let provider = order_example::provider::Provider::open(&place.path("payments.jsonl"));
    let provider = provider.expect("opens");
    tokio::spawn(provider.serve(listener, std::future::pending()));
    let finished = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = server.order("k", &some_tea()).await;
            if answer.status == StatusCode::CREATED {
                return answer;
            }
            assert_eq!(answer.json()["retryable"], true);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    finished.await.expect("in time");
    let counts = place.shop().await.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (1, 1));
}

#[tokio::test]
async fn a_duplicate_of_a_slow_order_waits_and_is_then_told_to_come_back() {
    let place = Place::sqlite();
    let mut provider = HeldProvider::start(&place).await;
    let server = Server::start_at(&place, &provider.url).await;
    let ordering = tokio::spawn(server.order("k", &some_tea()));
    provider.recorded().await;

    let other = server.order("k", &an_order("TEA", 3, "card_1")).await;
    assert_eq!(other.problem()["type"], "/problems/idempotency-key-reused");
    let duplicate = server.order("k", &some_tea()).await;
    assert_eq!(duplicate.status, StatusCode::CONFLICT);
    assert_eq!(duplicate.header("retry-after"), Some("1"));
    assert_eq!(
        duplicate.problem(),
        json!({
            "type": "/problems/idempotency-in-progress",
            "title": "A request with this key is still running",
            "status": 409,
            "detail": "Send the same request again after the given time.",
            "retryable": true,
            "idempotency_key": "k",
        })
    );
    assert!(!ordering.is_finished());

    let waiting = tokio::spawn(server.order("k", &some_tea()));
    provider.answer();
    let (first, second) = (ordering.await, waiting.await);
    let (first, second) = (first.expect("joins"), second.expect("joins"));
    assert_eq!(first.status, StatusCode::CREATED);
    assert!(!first.replayed());
    assert!(second.replayed());
    assert_eq!(second.body, first.body);
}

#[tokio::test]
async fn requests_that_are_no_orders_get_a_problem_each() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let problem = |answer: &Answer| {
        let problem = answer.problem();
        let kind = problem["type"].as_str().expect("a text").to_owned();
        (answer.status.as_u16(), kind)
    };
    let nowhere = server.get("/api/v1/nothing").await;
    assert_eq!(problem(&nowhere), (404, "/problems/not-found".into()));
    for number in ["20240102-000017", "a%00b", "%ff", "';--"] {
        for path in [number.to_owned(), format!("{number}/steps")] {
            let answer = server.get(&format!("/api/v1/orders/{path}")).await;
            let not_found = (404, "/problems/not-found".into());
            assert_eq!(problem(&answer), not_found, "{path}");
        }
    }
    let no_problem = server.get("/problems/%ff").await;
    assert_eq!(problem(&no_problem), (404, "/problems/not-found".into()));

    let method = Answer::to(server.request(Method::DELETE, "/api/v1/orders")).await;
    assert_eq!(problem(&method), (405, "/problems/method-not-allowed".into()));
    assert_eq!(method.header("allow"), Some("POST"));

    let text = server.request(Method::POST, "/api/v1/orders").body("{}");
    let text = Answer::to(text.header("content-type", "text/plain")).await;
    assert_eq!(problem(&text), (415, "/problems/unsupported-media-type".into()));

    let huge = server.orders().body(vec![b' '; 1024 * 1024 + 1]);
    let huge = Answer::to(huge).await;
    assert_eq!(problem(&huge), (413, "/problems/body-too-large".into()));

    let explained = server.get("/problems/body-too-large").await;
    assert_eq!(explained.status, StatusCode::OK);
}

#[tokio::test]
async fn a_service_that_is_up_says_so() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    assert_eq!(server.get("/livez").await.status, StatusCode::OK);
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
}
