//! What is refused before the key is claimed leaves the key free, and what is known is answered before
//! anything is checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Request, header};
use keystep_http::{KeySyntax, KeyedHandler, Preconditions, Problem, Tag, kinds};

use crate::stage::{Answer, Place, Script, Service, notes, request, rerun, with, within};

fn edited(edit: impl FnOnce(&mut Request<Body>)) -> Request<Body> {
    let mut changed = request("k", "{}");
    edit(&mut changed);
    changed
}

/// Sends what must be refused, and then shows that the key is free.
async fn refused(handler: &KeyedHandler, bad: Request<Body>) -> Answer {
    let script = Script::default();
    let service = Service::start(&Place::memory(), handler, &script).await;
    let answer = service.send(bad).await;
    assert_eq!(script.runs(), 0);
    let good = service.send(request("k", r#"{"another":"body"}"#)).await;
    assert_eq!((good.status, good.is_replay()), (201, false), "the key is free");
    answer
}

#[tokio::test]
async fn each_bad_request_has_its_problem_and_leaves_the_key_free() {
    let key = |value: &'static [u8]| {
        edited(|bad| {
            let value = HeaderValue::from_bytes(value).expect("a value");
            bad.headers_mut().insert("idempotency-key", value);
        })
    };
    let body = |body: &'static [u8]| edited(|bad| *bad.body_mut() = Body::from(body));
    let media_type = |value: &'static str| {
        edited(|bad| {
            let value = HeaderValue::from_static(value);
            bad.headers_mut().insert(header::CONTENT_TYPE, value);
        })
    };
    let cases = [
        (
            edited(|bad| drop(bad.headers_mut().remove("idempotency-key"))),
            400,
            "idempotency-key-missing",
        ),
        (key(b""), 400, "idempotency-key-malformed"),
        (key(b"\"a"), 400, "idempotency-key-malformed"),
        (key(b"\"a\", \"b\""), 400, "idempotency-key-malformed"),
        (
            with(request("k", "{}"), "idempotency-key", "\"k\""),
            400,
            "idempotency-key-malformed",
        ),
        (media_type("text/plain"), 415, "unsupported-media-type"),
        (
            edited(|bad| drop(bad.headers_mut().remove(header::CONTENT_TYPE))),
            415,
            "unsupported-media-type",
        ),
        (body(b"{"), 400, "malformed-body"),
        (body(b""), 400, "malformed-body"),
        (body(b"\xff"), 400, "malformed-body"),
        (body(br#"{"a":1,"a":1}"#), 400, "malformed-body"),
        (body(&[b' '; 2000]), 413, "body-too-large"),
        (
            edited(|bad| drop(bad.headers_mut().remove(header::AUTHORIZATION))),
            401,
            "unauthorized",
        ),
    ];
    let handler = rerun(notes().max_body(1000));
    for (bad, status, slug) in cases {
        let shown = format!("{bad:?}");
        let answer = refused(&handler, bad).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, slug),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_streamed_is_limited_and_may_not_break_off() {
    let handler = rerun(notes().max_body(1000));
    let chunks = stream::iter(
        (0..20).map(|_| Ok::<_, std::io::Error>("{                                                  }")),
    );
    let endless = edited(|bad| *bad.body_mut() = Body::from_stream(chunks));
    assert_eq!(refused(&handler, endless).await.problem(), "body-too-large");
    let cut = stream::iter([Ok("{\"a\""), Err(std::io::Error::other("reset"))]);
    let broken = edited(|bad| *bad.body_mut() = Body::from_stream(cut));
    let answer = refused(&handler, broken).await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "malformed-body")
    );
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_not_read() {
    let silent = stream::pending::<Result<Bytes, std::io::Error>>();
    let announced = with(request("k", ""), "content-length", "2000");
    let announced = announced.map(|_empty| Body::from_stream(silent));
    let answer = within(refused(&rerun(notes().max_body(1000)), announced)).await;
    assert_eq!(answer.problem(), "body-too-large");
}

#[tokio::test]
async fn the_steps_are_taken_in_their_order() {
    // Each request has the fault of the step and of all that follow.
    let handler = rerun(notes().max_body(30));
    let bad = |faults: &[&str]| {
        edited(|bad| {
            let has = |fault| faults.contains(&fault);
            if has("nobody") {
                bad.headers_mut().remove(header::AUTHORIZATION);
            }
            if has("media") {
                bad.headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("a/b"));
            }
            if has("key") {
                bad.headers_mut()
                    .insert("idempotency-key", HeaderValue::from_static("()"));
            }
            *bad.body_mut() = Body::from(if has("large") {
                "{ no JSON, and more of it than may be"
            } else {
                "{"
            });
        })
    };
    for (faults, slug) in [
        (&["nobody", "media", "large", "key"][..], "unauthorized"),
        (&["media", "large", "key"], "unsupported-media-type"),
        (&["large", "key"], "body-too-large"),
        (&["key"], "idempotency-key-malformed"),
        (&[], "malformed-body"),
    ] {
        assert_eq!(refused(&handler, bad(faults)).await.problem(), slug, "{faults:?}");
    }
}

#[tokio::test]
async fn the_strict_syntax_and_an_alias_are_followed() {
    let operation = notes()
        .key_syntax(KeySyntax::Strict)
        .key_header(http::HeaderName::from_static("x-idempotency-key"));
    let script = Script::default();
    let service = Service::start(&Place::memory(), &rerun(operation), &script).await;
    assert_eq!(
        service.send(request("k", "{}")).await.problem(),
        "idempotency-key-missing"
    );
    let bare = service
        .send(with(request("k", "{}"), "x-idempotency-key", "k"))
        .await;
    assert_eq!(bare.problem(), "idempotency-key-malformed");
    let good = service
        .send(with(request("other", "{}"), "x-idempotency-key", "\"k\""))
        .await;
    assert_eq!(
        (good.status, good.header("x-idempotency-key")),
        (201, Some("\"k\""))
    );
}

/// A handler whose check wants version 1 of something, and then there is version 2.
fn conditional(checks: Arc<AtomicU32>, version: Arc<AtomicU32>) -> KeyedHandler {
    rerun(notes()).check(move |arrived| {
        checks.fetch_add(1, Ordering::SeqCst);
        let current = Tag::strong(version.load(Ordering::SeqCst));
        async move {
            if arrived.body().as_ref() == b"\"bad\"" {
                return Err(Problem::new(kinds::VALIDATION_FAILED, "Not this."));
            }
            Preconditions::of(arrived.headers())?.required(Some(&current))
        }
    })
}

#[tokio::test]
async fn a_check_never_binds_the_key_and_never_stands_before_a_replay() {
    for place in Place::both() {
        let (checks, version) = (Arc::default(), Arc::new(AtomicU32::new(1)));
        let handler = conditional(Arc::clone(&checks), Arc::clone(&version));
        let script = Script::default();
        let service = Service::start(&place, &handler, &script).await;
        let one = |body| with(request("k", body), "if-match", "\"1\"");

        let invalid = service.send(one("\"bad\"")).await;
        assert_eq!(
            (invalid.status, invalid.header("idempotency-key")),
            (422, Some("\"k\""))
        );
        assert_eq!(service.send(request("k", "{}")).await.status, 428);
        let malformed = service.send(with(request("k", "{}"), "if-match", "1")).await;
        assert_eq!(
            (malformed.status, malformed.problem().as_str()),
            (400, "malformed-precondition")
        );
        let stale = service.send(with(request("k", "{}"), "if-match", "\"0\"")).await;
        assert_eq!((stale.status, stale.header("etag")), (412, Some("\"1\"")));
        assert_eq!(script.runs(), 0);

        assert_eq!(service.send(one("{}")).await.status, 201);
        version.store(2, Ordering::SeqCst);
        let before = checks.load(Ordering::SeqCst);
        let again = service.send(one("{}")).await;
        assert_eq!((again.status, again.is_replay()), (201, true));
        let other_tag = service.send(with(request("k", "{}"), "if-match", "\"2\"")).await;
        assert!(other_tag.is_replay(), "headers are no part of the fingerprint");
        assert_eq!(checks.load(Ordering::SeqCst), before, "nothing was checked");
    }
}
