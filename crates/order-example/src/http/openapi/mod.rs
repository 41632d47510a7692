//! What can be asked, and what comes back? The OpenAPI document, at `/openapi.json`, and a page of it to
//! try things on, at `/docs`. It is made from the routes themselves, so that it is about what is there.

mod answers;
mod params;
mod schemas;

use axum::Router;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

pub(super) use answers::*;
pub(super) use params::*;
pub(super) use schemas::*;

/// The document before the routes have added themselves.
pub(super) fn document() -> OpenApi {
    read(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Orders",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A shop whose orders and payments are made once per key: send a request again \
                whenever you do not know what became of it. Every error is a problem of RFC 9457; its type \
                is a page that says what to do next.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }))
}

/// The document with what holds for every route, and the routes that show it.
pub(super) fn routes(document: OpenApi) -> Router {
    SwaggerUi::new("/docs")
        .external_url_unchecked("/openapi.json", whole(document))
        .into()
}

/// The document with the schemas of all bodies, and the header that every answer has.
fn whole(document: OpenApi) -> Value {
    let mut document = match serde_json::to_value(document) {
        Ok(document) => document,
        Err(error) => unreachable!("the document is no JSON: {error}"),
    };
    document["components"]["schemas"] = components().into();
    let items = document["paths"].as_object_mut().into_iter().flatten();
    let operations = items.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        let answers = operation["responses"].as_object_mut().into_iter().flatten();
        for (_, answer) in answers {
            answer["headers"]["X-Request-Id"] = json!({
                "description": "Names this answer in the service's log; a fresh one each time.",
                "schema": {"type": "string", "format": "uuid"},
            });
        }
    }
    document
}

/// Reads a part of the document that is written here as JSON.
fn read<T: serde::de::DeserializeOwned>(part: Value) -> T {
    match serde_json::from_value(part) {
        Ok(part) => part,
        Err(error) => unreachable!("a part of the document is not as the standard says: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use utoipa::{IntoParams, IntoResponses};

    use super::*;

    #[test]
    fn what_is_written_as_json_is_read_whole() {
        let whole = whole(document());
        assert_eq!(whole["openapi"], "3.1.0");
        assert_eq!(
            whole["components"]["securitySchemes"]["token"]["scheme"],
            "bearer"
        );
        assert!(
            whole["components"]["schemas"]
                .as_object()
                .is_some_and(|all| all.len() > 15)
        );

        let answers = MakesOrder::responses();
        let statuses: Vec<&str> = answers.keys().map(String::as_str).collect();
        assert_eq!(
            statuses,
            [
                "400", "401", "402", "403", "409", "412", "413", "415", "422", "428", "500", "503"
            ]
        );
        let unavailable = serde_json::to_value(&answers["503"]).expect("JSON");
        assert_eq!(unavailable["headers"]["Retry-After"]["schema"]["minimum"], 1);

        let params = OfPayment::into_params(|| None);
        let key = serde_json::to_value(&params[0]).expect("JSON");
        assert_eq!(
            (&key["name"], &key["required"]),
            (&json!("Idempotency-Key"), &json!(true))
        );
        assert_eq!(key["schema"]["maxLength"], 257);
    }
}
