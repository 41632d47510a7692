//! What a client prefers: to wait less, or to hear later.

use std::time::Duration;

use keystep_http::Concurrency;

use crate::stage::{Place, Script, Service, notes, request, rerun, with, within};

#[tokio::test]
async fn who_prefers_to_hear_later_is_told_where_to_look_and_the_work_goes_on() {
    for wish in ["respond-async", "respond-async, wait=0", "Respond-Async"] {
        let script = Script::default();
        let service = Service::start(&Place::memory(), &rerun(notes()), &script).await;
        let gate = script.hold();
        let first = within(service.send(with(request("k", "{}"), "prefer", wish))).await;
        assert_eq!(first.status, 202, "{wish}");
        let applied = first.header("preference-applied").expect("applied");
        assert!(applied.starts_with("respond-async"), "{applied}");
        assert!(
            first
                .header("location")
                .is_some_and(|url| url.starts_with("/operations/"))
        );
        assert_eq!(first.header("retry-after"), Some("1"));
        assert_eq!(first.header("idempotency-key"), Some("\"k\""));
        gate.open();
        let done = within(service.send(request("k", "{}"))).await;
        assert_eq!((done.status, done.is_replay()), (201, true));
        assert_eq!(script.runs(), 1);
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_the_route_is_patient() {
    let script = Script::default();
    let operation = notes().patience(Duration::from_millis(30));
    let service = Service::start(&Place::memory(), &rerun(operation), &script).await;
    let gate = script.hold();
    let wish = "respond-async, wait=3600";
    let later = within(service.send(with(request("a", "{}"), "prefer", wish))).await;
    assert_eq!(later.status, 202);
    let busy = within(service.send(request("b", "{}"))).await;
    assert_eq!(
        (busy.status, busy.problem().as_str()),
        (409, "idempotency-in-progress")
    );
    gate.open();
    assert_eq!(within(service.send(request("b", "{}"))).await.status, 201);
    assert_eq!(script.runs(), 2, "the work went on");
}

#[tokio::test]
async fn what_is_done_in_time_is_no_202() {
    let script = Script::default();
    let service = Service::start(&Place::memory(), &rerun(notes()), &script).await;
    let first = service
        .send(with(request("k", "{}"), "prefer", "respond-async, wait=20"))
        .await;
    assert_eq!((first.status, first.header("preference-applied")), (201, None));
    let again = service
        .send(with(request("k", "{}"), "prefer", "respond-async"))
        .await;
    assert_eq!((again.status, again.is_replay()), (201, true));
}

#[tokio::test]
async fn a_duplicate_may_wait_less_but_not_longer() {
    let script = Script::default();
    let operation = notes().concurrency(Concurrency::Wait(Duration::from_millis(100)));
    let service = Service::start(&Place::memory(), &rerun(operation), &script).await;
    let gate = script.hold();
    let running = service.begin(request("k", "{}"));
    within(gate.arrived(1)).await;
    let less = within(service.send(with(request("k", "{}"), "prefer", "wait=0"))).await;
    assert_eq!(
        (less.status, less.header("preference-applied")),
        (409, Some("wait=0"))
    );
    let longer = within(service.send(with(request("k", "{}"), "prefer", "wait=600"))).await;
    assert_eq!((longer.status, longer.header("preference-applied")), (409, None));
    gate.open();
    assert_eq!(within(running).await.expect("no panic").status, 201);
}

#[tokio::test]
async fn a_wish_that_can_not_be_read_is_ignored() {
    let script = Script::default();
    let service = Service::start(&Place::memory(), &rerun(notes()), &script).await;
    for (at, wish) in ["wait=soon", ";;;", "respond-async=9", ""]
        .into_iter()
        .enumerate()
    {
        let answer = service
            .send(with(request(&format!("k{at}"), "{}"), "prefer", wish))
            .await;
        assert_eq!(
            (answer.status, answer.header("preference-applied")),
            (201, None),
            "{wish}"
        );
    }
}
