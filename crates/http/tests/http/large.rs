//! Answers that are too large, that have no end, or that are no text.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::StatusCode;

use crate::stage::{Place, Script, Service, notes, request, rerun};

fn streamed(media_type: &str, chunks: usize) -> Response {
    let chunk = |at: usize| Ok::<_, std::io::Error>(Bytes::from(format!("{at:09}\n")));
    Response::builder()
        .status(StatusCode::CREATED)
        .header("location", "/notes/1")
        .header("content-type", media_type)
        .body(Body::from_stream(stream::iter(0..chunks).map(chunk)))
        .expect("a response")
}

#[tokio::test]
async fn of_an_answer_that_is_too_large_a_repeat_gets_a_note_and_no_second_run() {
    for place in Place::both() {
        let script = Script::default();
        let operation = notes().max_stored_response(100);
        let service = Service::start(&place, &rerun(operation), &script).await;
        script.answer(streamed("text/plain", 50));
        let first = service.send(request("k", "{}")).await;
        assert_eq!(
            (first.status, first.body.len()),
            (201, 500),
            "the first one gets all of it"
        );
        let again = service.send(request("k", "{}")).await;
        assert_eq!((again.status, again.header("location")), (201, Some("/notes/1")));
        assert!(again.is_replay());
        assert_eq!(again.json()["location"], "/notes/1");
        assert_eq!(script.runs(), 1);
    }
}

#[tokio::test]
async fn a_stream_of_events_is_passed_on_and_not_stored() {
    let script = Script::default();
    let service = Service::start(&Place::memory(), &rerun(notes()), &script).await;
    script.answer(streamed("text/event-stream; charset=utf-8", 3));
    let first = service.send(request("k", "{}")).await;
    assert_eq!(first.body.len(), 30);
    let again = service.send(request("k", "{}")).await;
    assert!(again.is_replay());
    assert_eq!(again.json()["location"], "/notes/1");
    assert_eq!(script.runs(), 1);
}

#[tokio::test]
async fn a_streamed_answer_within_the_limit_and_one_that_is_no_text_are_replayed_to_the_byte() {
    for place in Place::both() {
        let script = Script::default();
        let service = Service::start(&place, &rerun(notes()), &script).await;
        script.answer(streamed("text/plain", 50));
        script.answer((StatusCode::OK, vec![0_u8, 255, 254, 0]));
        for key in ["text", "bytes"] {
            let first = service.send(request(key, "{}")).await;
            let again = service.send(request(key, "{}")).await;
            assert!(again.is_replay());
            assert_eq!((first.status, &first.body), (again.status, &again.body));
        }
    }
}

#[tokio::test]
async fn a_repeat_may_get_a_fresh_view_under_the_same_status_and_location() {
    let script = Script::default();
    let handler = rerun(notes()).replay_latest(|stored| async move {
        let view = format!(
            "fresh view of {:?}",
            stored.headers().get("location").expect("stored")
        );
        let fresh = http::Response::builder().status(200).header("etag", "\"9\"");
        fresh.body(Bytes::from(view)).expect("a response")
    });
    let service = Service::start(&Place::memory(), &handler, &script).await;
    let first = service.send(request("k", "{}")).await;
    let again = service.send(request("k", "{}")).await;
    assert_eq!(
        (again.status, again.header("location")),
        (201, first.header("location"))
    );
    assert_eq!((again.header("etag"), again.is_replay()), (Some("\"9\""), true));
    assert_eq!(again.body, "fresh view of \"/notes/1\"");
}
