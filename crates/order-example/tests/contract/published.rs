//! What does the service say of itself? Its policies, its problems, its document, its health, its numbers.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::answer::text;
use crate::service::{Place, Service, on_both_databases};
use crate::world::ORDERS;

on_both_databases!(
    the_policies_are_public_and_true,
    every_problem_has_a_page,
    the_document_names_every_route_and_every_problem_it_answers,
    what_happened_to_keys_is_counted,
    a_service_that_is_up_says_so,
    a_reset_forgets_everything,
);

async fn the_policies_are_public_and_true(place: Place) {
    let pair = place.with("ORDERS_TTL_S", 86_400).pair().await;
    let policy = pair.one.get("/api/v1/idempotency").await.ok(200);
    for (member, value) in [
        ("header", json!("Idempotency-Key")),
        ("syntax", json!("lenient")),
        ("maxLength", json!(255)),
        ("scope", json!(["user", "operation"])),
        ("fingerprint", json!("canonical")),
        ("ttl", json!("PT24H")),
        ("inFlightLease", json!("PT10S")),
        ("replayHeader", json!("Idempotent-Replayed")),
    ] {
        assert_eq!(policy[member], value, "{member}: {policy}");
    }
    let operations = policy["operations"].as_array().expect("a list");
    let of = |method: &str, path: &str| {
        let found = operations
            .iter()
            .find(|it| it["method"] == method && it["path"] == path);
        found.unwrap_or_else(|| panic!("{method} {path}: {policy}"))
    };
    let orders = of("POST", ORDERS);
    assert_eq!(
        (&orders["concurrency"], &orders["onError"]),
        (&json!("wait"), &json!("persist-final"))
    );
    let payments = of("POST", "/api/v1/payments");
    assert_eq!(
        (&payments["concurrency"], &payments["required"]),
        (&json!("reject"), &json!(true))
    );
    assert_eq!(of("PATCH", "/api/v1/orders/{nr}")["required"], false);
    pair.end().await;
}

const SLUGS: [&str; 27] = [
    "idempotency-key-missing",
    "idempotency-key-malformed",
    "idempotency-key-reused",
    "idempotency-in-progress",
    "idempotency-store-unavailable",
    "upstream-unavailable",
    "needs-attention",
    "duplicate-payload",
    "malformed-body",
    "malformed-precondition",
    "validation-failed",
    "offer-unknown",
    "offer-no-match",
    "offer-stale",
    "cart-not-orderable",
    "orders-changed",
    "version-mismatch",
    "precondition-required",
    "order-state-conflict",
    "order-already-paid",
    "out-of-stock",
    "payment-declined",
    "unauthorized",
    "forbidden",
    "not-found",
    "body-too-large",
    "unsupported-media-type",
];

async fn every_problem_has_a_page(place: Place) {
    let pair = place.pair().await;
    for slug in SLUGS {
        let path = format!("/problems/{slug}");
        let page = pair.one.get(&path).header("accept", "text/html").await;
        assert_eq!(page.status, 200, "{slug}");
        assert!(
            page.header("content-type")
                .is_some_and(|kind| kind.starts_with("text/html")),
            "{page:?}"
        );
        let data = pair
            .two
            .get(&path)
            .header("accept", "application/json")
            .await
            .ok(200);
        assert_eq!(data["type"], path.as_str(), "{data}");
    }
    pair.one.get("/problems/nonsense").await.problem(404, "not-found");
    pair.end().await;
}

async fn the_document_names_every_route_and_every_problem_it_answers(place: Place) {
    let pair = place.pair().await;
    let document = pair.one.get("/openapi.json").await.ok(200);
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3."))
    );
    let operations = document["paths"].as_object().expect("paths").values();
    let operations = operations.flat_map(|path| path.as_object().expect("methods").values());
    let mut names: Vec<String> = operations.map(|it| it["operationId"].to_string()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two operations of one name: {names:?}");
    for (path, methods) in [
        ("/api/v1/cart", &["get"][..]),
        ("/api/v1/cart/items/{sku}", &["put"]),
        ("/api/v2/cart/go-checkout", &["post"]),
        ("/api/v1/orders", &["get", "post"]),
        ("/api/v1/orders/{nr}", &["get", "patch", "delete"]),
        ("/api/v1/payments", &["post"]),
        ("/api/v1/payments/{id}", &["get"]),
        ("/api/v1/operations/{id}", &["get"]),
        ("/api/v1/idempotency", &["get"]),
    ] {
        for method in methods {
            let operation = &document["paths"][path][method];
            assert!(operation["responses"].is_object(), "{method} {path}");
        }
    }
    let responses = &document["paths"][ORDERS]["post"]["responses"];
    for status in [
        "201", "202", "400", "401", "402", "403", "409", "412", "413", "415", "422", "428", "500", "503",
    ] {
        assert!(responses[status].is_object(), "{status}: {responses}");
    }
    assert!(
        !document.to_string().contains("/_test/"),
        "the controls are no part of it"
    );
    pair.end().await;
}

/// The samples of a metric, by their labels.
async fn metric(service: &Service, name: &str) -> HashMap<String, f64> {
    let metrics = service.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    let samples = text(&metrics.body).lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        Some((labels.to_owned(), value.parse().ok()?))
    });
    samples.collect()
}

async fn what_happened_to_keys_is_counted(place: Place) {
    let pair = place.pair().await;
    let order = pair.one.ada().unpaid().await;
    let ada = pair.one.ada();
    ada.pay(&order, "card_1").key("k").await.ok(201);
    ada.pay(&order, "card_1").key("k").await.ok(201);
    ada.pay(&order, "card_1").key("k").await.ok(201);
    ada.pay(&order, "card_2")
        .key("k")
        .await
        .problem(422, "idempotency-key-reused");
    ada.pay(&order, "card_1")
        .await
        .problem(400, "idempotency-key-missing");
    ada.pay(&order, "card_1")
        .header("idempotency-key", "\"")
        .await
        .problem(400, "idempotency-key-malformed");
    pair.one.store(json!({"available": false})).await;
    ada.pay(&order, "card_1")
        .key("j")
        .await
        .problem(503, "idempotency-store-unavailable");
    pair.one.store(json!({"available": true})).await;
    let counted = metric(&pair.one, "idempotency_requests_total").await;
    let of = |outcome: &str| -> f64 {
        let mark = format!("outcome=\"{outcome}\"");
        let payments = counted
            .iter()
            .filter(|(labels, _)| labels.contains("payment") && labels.contains(&mark));
        payments.map(|(_, value)| value).sum()
    };
    for (outcome, times) in [
        ("executed", 1.0),
        ("replayed", 2.0),
        ("mismatch", 1.0),
        ("missing", 1.0),
        ("malformed", 1.0),
    ] {
        assert!((of(outcome) - times).abs() < 0.5, "{outcome}: {counted:?}");
    }
    let errors: f64 = metric(&pair.one, "idempotency_store_errors_total")
        .await
        .values()
        .sum();
    assert!(errors >= 1.0);
    assert!(
        metric(&pair.two, "idempotency_requests_total").await.is_empty(),
        "each process counts its own"
    );
    pair.end().await;
}

async fn a_service_that_is_up_says_so(place: Place) {
    let pair = place.pair().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(pair.one.get(path).await.status, 200, "{path}");
    }
    pair.end().await;
}

async fn a_reset_forgets_everything(place: Place) {
    let pair = place.pair().await;
    pair.one.ada().put("TEA", 1).await.ok(200);
    let first = pair.one.ada().order_in_the_old_way().key("k").await;
    first.ok(201);
    pair.two
        .ada()
        .order_in_the_old_way()
        .key("k")
        .await
        .repeats(&first);
    pair.one.fault("charge", json!({"mode": "final"})).await;
    let reset = pair.two.request(reqwest::Method::POST, "/_test/reset").await;
    assert_eq!(reset.status, 204);
    for service in [&pair.one, &pair.two] {
        assert_eq!(service.ada().order_count().await, 0);
        assert_eq!(service.ada().cart().await["items"], json!([]));
        let none: Vec<Value> = service.effects().await["steps"]
            .as_object()
            .expect("steps")
            .values()
            .cloned()
            .collect();
        assert!(none.iter().all(|times| *times == 0), "{none:?}");
        // What this process remembers of the key is as good as deleted.
        service
            .ada()
            .order_in_the_old_way()
            .key("k")
            .await
            .problem(409, "cart-not-orderable");
    }
    pair.two.ada().put("TEA", 1).await.ok(200);
    let anew = pair.two.ada().order_in_the_old_way().key("k").await;
    let nr = anew.ok(201)["orderNr"].as_str().expect("a number").to_owned();
    pair.one.ada().pay(&nr, "card_1").key("k").await.ok(201);
    pair.end().await;
}
