//! Which requests are keyed? Those of the operation's method; everything else passes.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use keystep_http::Operation;
use tower::ServiceExt;

use crate::stage::{Place, Script, Service, notes, request, rerun, user, with};

#[tokio::test]
async fn other_methods_pass_untouched_even_with_a_malformed_key() {
    let script = Script::default();
    let service = Service::start(&Place::memory(), &rerun(notes()), &script).await;
    for method in [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
    ] {
        for key in ["\"k\"", "(((", ""] {
            let asked = Request::builder()
                .method(method.clone())
                .uri("/notes")
                .header("idempotency-key", key)
                .body(axum::body::Body::empty())
                .expect("a request");
            let answer = service.send(asked).await;
            assert_eq!(
                (answer.status, answer.header("idempotency-key")),
                (201, None),
                "{method} {key}"
            );
            assert!(!answer.is_replay());
        }
    }
    assert_eq!(script.runs(), 15);
}

#[tokio::test]
async fn a_patch_is_keyed_only_when_it_has_a_key() {
    let script = Script::default();
    let handler = Operation::patch("note.change", "/notes")
        .scope(user)
        .after_crash(keystep_http::AfterCrash::Rerun);
    let service = Service::start(&Place::memory(), &handler, &script).await;
    let patch = |keyed: bool| {
        let mut patch = request("k", "{}");
        *patch.method_mut() = Method::PATCH;
        if !keyed {
            patch.headers_mut().remove("idempotency-key");
        }
        patch
    };
    for _sent in 0..2 {
        let plain = service.send(patch(false)).await;
        assert_eq!((plain.status, plain.header("idempotency-key")), (201, None));
    }
    assert_eq!(script.runs(), 2);
    assert!(!service.send(patch(true)).await.is_replay());
    assert!(service.send(patch(true)).await.is_replay());
    assert_eq!(script.runs(), 3);
    let malformed = service
        .send(with(patch(true), "idempotency-key", "\"again\""))
        .await;
    assert_eq!(malformed.problem(), "idempotency-key-malformed");
}

#[tokio::test]
async fn any_service_of_tower_can_be_wrapped() {
    let handler = notes()
        .scope(|_everybody| Some("the only one".to_owned()))
        .after_crash(keystep_http::AfterCrash::Rerun);
    let place = Place::memory();
    let engine = place
        .engine(&Default::default(), |builder| builder.schema(handler.schema()))
        .await;
    let plain = tower::service_fn(|request: Request<Full<Bytes>>| async move {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(body)))
    });
    let service = tower::ServiceBuilder::new()
        .layer(handler.layer(&engine))
        .service(plain);
    for is_replay in [false, true] {
        let (parts, _body) = request("k", "{}").into_parts();
        let asked = Request::from_parts(parts, Full::new(Bytes::from_static(b"{}")));
        let response = service.clone().oneshot(asked).await.expect("infallible");
        assert_eq!(response.headers().contains_key("idempotent-replayed"), is_replay);
        assert_eq!(
            response.into_body().collect().await.expect("whole").to_bytes(),
            "{}"
        );
    }
}
