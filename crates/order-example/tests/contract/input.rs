//! What is not understood gets the listed problem and leaves its key free.

use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::Method;
use serde_json::json;

use crate::service::{Place, on_both_databases};
use crate::world::{ORDERS, PAYMENTS, payment};

on_both_databases!(
    a_key_is_a_string_or_a_token_of_one_to_255_characters,
    a_key_that_can_not_be_read_is_refused,
    a_request_id_that_can_not_be_one_is_refused,
    a_body_that_is_no_json_is_refused_and_its_key_stays_free,
    a_body_of_another_kind_or_size_is_refused_and_its_key_stays_free,
    a_preference_that_is_not_understood_is_ignored,
    a_key_of_a_request_that_only_reads_is_not_read,
);

async fn a_key_is_a_string_or_a_token_of_one_to_255_characters(place: Place) {
    let pair = place.pair().await;
    let longest = "k".repeat(255);
    let quoted = format!("\"{longest}\"");
    for (first, again, echoed) in [
        ("\"a\"", "a", "\"a\""),
        ("b.~:/+=@-_9", "\"b.~:/+=@-_9\"", "\"b.~:/+=@-_9\""),
        (longest.as_str(), quoted.as_str(), quoted.as_str()),
        (
            r#""with \"quotes\" and \\""#,
            r#""with \"quotes\" and \\";a=1"#,
            r#""with \"quotes\" and \\""#,
        ),
        (
            "\"with spaces, and commas\"",
            " \"with spaces, and commas\" ",
            "\"with spaces, and commas\"",
        ),
        ("\"parameters\";created=1;x", "\"parameters\"", "\"parameters\""),
    ] {
        let order = pair.one.ada().unpaid().await;
        let pay = |service: &crate::service::Service, header: &str| {
            service
                .ada()
                .pay(&order, "card_1")
                .header("Idempotency-KEY", header)
        };
        let paid = pay(&pair.one, first).await;
        paid.ok(201);
        assert_eq!(paid.header("idempotency-key"), Some(echoed));
        pay(&pair.two, again).await.repeats(&paid);
    }
    pair.end().await;
}

async fn a_key_that_can_not_be_read_is_refused(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let too_long = "k".repeat(256);
    let bad = [
        "",
        " ",
        "\"\"",
        "\"a",
        "a\"",
        "\"a\" \"b\"",
        "\"a\", \"b\"",
        "a b",
        "(\"a\")",
        "?1",
        "\"a\\b\"",
        "\"a\";",
        "\"ключ\"",
        "a,b",
        too_long.as_str(),
    ];
    for header in bad {
        let answer = pair
            .one
            .ada()
            .pay(&order, "card_1")
            .header("idempotency-key", header)
            .await;
        let problem = answer.problem(400, "idempotency-key-malformed");
        assert_eq!(problem.get("idempotency_key"), None, "{header}");
        assert_eq!(answer.header("idempotency-key"), None, "{header}");
        // Also where the body brings a key.
        let answer = pair
            .two
            .ada()
            .order("req_x")
            .header("idempotency-key", header)
            .await;
        answer.problem(400, "idempotency-key-malformed");
    }
    let twice = || pair.one.ada().pay(&order, "card_1").key("a").key("a");
    let one = twice().await.problem(400, "idempotency-key-malformed");
    let other = twice().await.problem(400, "idempotency-key-malformed");
    assert_ne!(
        one["instance"], other["instance"],
        "each answer is an instance of its own"
    );
    assert_eq!(pair.two.effects().await["provider_calls"], 0);
    pair.end().await;
}

/// A text that is the id of no offer is unknown, whatever is in it.
async fn a_request_id_that_can_not_be_one_is_refused(place: Place) {
    let pair = place.pair().await;
    for id in [json!(7), json!({}), json!([]), json!(true)] {
        // No key, and not valid: either is true.
        let (status, slug) = pair
            .one
            .ada()
            .post(ORDERS, json!({"requestId": id}))
            .await
            .outcome();
        let told = [(400, "idempotency-key-missing"), (422, "validation-failed")];
        assert!(told.contains(&(status, slug.as_str())), "{id}: {status} {slug}");
    }
    for id in ["", "a\0b", "ключ", &"k".repeat(256), "%00", "';--"] {
        let (status, slug) = pair.one.ada().order(id).await.outcome();
        assert_eq!(status, 422, "{id:?}");
        assert!(
            ["validation-failed", "offer-unknown"].contains(&slug.as_str()),
            "{id:?}: {slug}"
        );
    }
    pair.end().await;
}

async fn a_body_that_is_no_json_is_refused_and_its_key_stays_free(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let bodies: [&[u8]; 12] = [
        b"",
        b" ",
        b"{",
        b"{\"a\":1,\"a\":2}",
        b"{\"a\":{\"b\":1,\"b\":1}}",
        b"{\"a\":1}{}",
        b"{'a':1}",
        b"{\"a\":01}",
        b"{\"a\":NaN}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\\ud800\"}",
        b"\xef\xbb\xbf{}",
    ];
    for body in bodies {
        let answer = pair
            .one
            .request(Method::POST, PAYMENTS)
            .by("ada")
            .key("k")
            .text(body)
            .await;
        answer.problem(400, "malformed-body");
    }
    let paid = pair.two.ada().pay(&order, "card_1").key("k").await;
    paid.ok(201);
    assert!(!paid.is_replay());
    pair.end().await;
}

async fn a_body_of_another_kind_or_size_is_refused_and_its_key_stays_free(place: Place) {
    let pair = place.with("ORDERS_MAX_BODY", 1000).pair().await;
    let order = pair.one.ada().unpaid().await;
    let body = payment(&order, "card_1").to_string();
    let post = || pair.one.request(Method::POST, PAYMENTS).by("ada").key("k");
    for kind in [
        "text/plain",
        "application/xml",
        "application/merge-patch+json",
        "application",
        "multipart/form-data",
    ] {
        let answer = post().body(kind, body.clone()).await;
        answer.problem(415, "unsupported-media-type");
    }
    let huge = format!("{}{body}", " ".repeat(1000));
    post().text(huge.clone()).await.problem(413, "body-too-large");
    // Without saying how long it is.
    let chunk = Ok::<_, std::io::Error>(Frame::data(Bytes::from(huge)));
    let stream = reqwest::Body::wrap(StreamBody::new(futures::stream::iter([chunk])));
    post().text(stream).await.problem(413, "body-too-large");
    let paid = pair.two.request(Method::POST, PAYMENTS).by("ada").key("k");
    let paid = paid.body("application/json; charset=utf-8", body).await;
    paid.ok(201);
    assert!(!paid.is_replay());
    pair.end().await;
}

async fn a_preference_that_is_not_understood_is_ignored(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let first = pair
        .one
        .ada()
        .pay(&order, "card_1")
        .key("k")
        .header("prefer", "wait=soon, ;;, =")
        .await;
    first.ok(201);
    for prefer in [
        "",
        "wait",
        "wait=-1",
        "wait=99999999999999999999",
        "respond-async=maybe; x",
        "\"",
        "return=minimal",
    ] {
        let again = pair
            .two
            .ada()
            .pay(&order, "card_1")
            .key("k")
            .header("prefer", prefer)
            .await;
        again.repeats(&first);
    }
    pair.end().await;
}

async fn a_key_of_a_request_that_only_reads_is_not_read(place: Place) {
    let pair = place.pair().await;
    for key in ["", "\"a", "a b", "\"k\""] {
        for method in [Method::GET, Method::HEAD] {
            let answer = pair
                .one
                .request(method, ORDERS)
                .by("ada")
                .header("idempotency-key", key)
                .await;
            assert_eq!(answer.status, 200, "{key}");
            assert_eq!(answer.header("idempotency-key"), None);
            assert_eq!(answer.header("idempotent-replayed"), None);
        }
    }
    pair.end().await;
}
