//! Is the document about what is there?

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::server::{Answer, Place, Server};

#[tokio::test]
async fn the_document_names_every_route_and_refers_to_nothing_that_is_not_in_it() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let document = server.get("/openapi.json").await;
    assert_eq!(document.header("content-type"), Some("application/json"));
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in [
        ("/api/v1/cart", &["get"][..]),
        ("/api/v1/cart/items/{sku}", &["put"]),
        ("/api/v2/cart/go-checkout", &["post"]),
        ("/api/v1/orders", &["get", "post"]),
        ("/api/v1/orders/{nr}", &["delete", "get", "patch"]),
        ("/api/v1/orders/{nr}/steps", &["get"]),
        ("/api/v1/payments", &["post"]),
        ("/api/v1/payments/{id}", &["get"]),
        ("/api/v1/operations/{id}", &["get"]),
        ("/api/v1/idempotency", &["get"]),
        ("/problems/{slug}", &["get"]),
        ("/livez", &["get"]),
        ("/readyz", &["get"]),
        ("/metrics", &["get"]),
    ] {
        let item = document["paths"][path].as_object().expect(path);
        let named: Vec<&str> = item.keys().map(String::as_str).collect();
        assert_eq!(named, methods, "{path}");
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("inside the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_of_the_document_needs_no_other_host() {
    let place = Place::sqlite();
    let server = Server::start(&place).await;
    let page = Answer::to(server.anonymous(Method::GET, "/docs/")).await;
    assert_eq!(page.status, StatusCode::OK);
    let text = String::from_utf8(page.body).expect("text");
    let foreign = text
        .split(['"', '\''])
        .find(|part| part.starts_with("http://") || part.starts_with("https://"));
    assert_eq!(foreign, None);
    for part in text
        .split('"')
        .filter(|part| part.starts_with("./") && !part.ends_with(".png"))
    {
        let part = part.trim_start_matches("./");
        let loaded = server.get(&format!("/docs/{part}")).await;
        assert_eq!(loaded.status, StatusCode::OK, "{part}");
    }
}
