//! What can be asked, and what comes back? The OpenAPI document, at `/openapi.json`, and a page of it to
//! try things on, at `/docs`. It is made from the routes themselves, so that it is about what is there.

mod answers;
mod params;
mod schemas;

use axum::Router;
use serde_json::{Value, json};
use utoipa::openapi::{self, OpenApi, RefOr};
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
pub(super) fn routes(mut document: OpenApi) -> Router {
    let request_id = read::<openapi::header::Header>(json!({
        "description": "Names this answer in the service's log; a fresh one each time.",
        "schema": {"type": "string", "format": "uuid"},
    }));
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ];
        for operation in operations.into_iter().flatten() {
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response
                        .headers
                        .insert("X-Request-Id".into(), RefOr::T(request_id.clone()));
                }
            }
        }
    }
    SwaggerUi::new("/docs").url("/openapi.json", document).into()
}

/// Reads a part of the document that is written here as JSON.
fn read<T: serde::de::DeserializeOwned>(part: Value) -> T {
    match serde_json::from_value(part) {
        Ok(part) => part,
        Err(error) => unreachable!("a part of the document is not as the standard says: {error}"),
    }
}
