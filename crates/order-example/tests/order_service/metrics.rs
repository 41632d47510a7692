//! Do the numbers tell what happened?

use reqwest::StatusCode;

use crate::server::{Answer, Place, Server};

#[tokio::test]
async fn each_keyed_request_is_counted_by_what_came_of_it() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let mut body = server.some_tea().await;
    assert_eq!(server.order(&body).await.status, StatusCode::CREATED);
    assert!(server.order(&body).await.replayed());
    assert!(server.order(&body).await.replayed());
    body["comment"] = "another".into();
    assert_eq!(server.order(&body).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        Answer::to(server.orders().body("{}")).await.status,
        StatusCode::BAD_REQUEST
    );
    let malformed = server.orders().header("idempotency-key", "\"").body("{}");
    assert_eq!(Answer::to(malformed).await.status, StatusCode::BAD_REQUEST);

    let numbers = server.get("/metrics").await;
    assert_eq!(numbers.header("content-type"), Some("text/plain; version=0.0.4"));
    let text = String::from_utf8(numbers.body).expect("text");
    for (outcome, count) in [
        ("executed", 1),
        ("replayed", 2),
        ("mismatch", 1),
        ("missing", 1),
        ("malformed", 1),
    ] {
        let line =
            format!("idempotency_requests_total{{operation=\"order.create\",outcome=\"{outcome}\"}} {count}");
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing in:\n{text}"
        );
    }
    assert!(
        text.contains("idempotency_in_flight{operation=\"order.create\"} 0"),
        "{text}"
    );
    for name in [
        "keystep_calls_total{",
        "keystep_step_seconds_bucket{",
        "idempotency_purged_total 0",
        "idempotency_store_errors_total 0",
    ] {
        assert!(text.contains(name), "{name} is missing in:\n{text}");
    }
}
