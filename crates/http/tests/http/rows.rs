//! The outcome table, row by row: none, in flight, left half-way, final, expired; and the owner's key
//! beside everybody else's.

use std::time::Duration;

use http::StatusCode;
use keystep_http::{Concurrency, Fingerprint, OnError, Waiters};

use crate::stage::{Answer, Place, Script, Service, all_wait, notes, request, request_of, rerun, within};

#[tokio::test]
async fn a_repeat_gets_the_same_answer_and_the_handler_runs_once() {
    for place in Place::both() {
        let script = Script::default();
        let service = Service::start(&place, &rerun(notes()), &script).await;
        let first = service.send(request("k", r#"{"a":1,"b":2}"#)).await;
        let again = service.send(request("k", r#"{ "b":2, "a":1 }"#)).await;
        assert_eq!((first.status, again.status), (201, 201));
        assert_eq!(first.body, again.body);
        for name in ["location", "etag", "content-type", "idempotency-key"] {
            assert!(first.header(name).is_some(), "{name}");
            assert_eq!(first.header(name), again.header(name), "{name}");
        }
        assert_eq!(first.header("idempotency-key"), Some("\"k\""));
        assert!(!first.is_replay() && again.is_replay());
        assert_eq!(script.runs(), 1);
    }
}

#[tokio::test]
async fn what_belongs_to_one_exchange_is_never_replayed() {
    let script = Script::default();
    let service = Service::start(&Place::memory(), &rerun(notes()), &script).await;
    let first = service.send(request("k", "{}")).await;
    let again = service.send(request("k", "{}")).await;
    for name in ["set-cookie", "x-request-id"] {
        assert!(first.header(name).is_some(), "{name}");
        assert!(again.header(name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn another_request_with_the_key_is_refused_while_it_runs_and_after() {
    for place in Place::both() {
        let script = Script::default();
        let service = Service::start(&place, &rerun(notes()), &script).await;
        let gate = script.hold();
        let running = service.begin(request("k", r#"{"a":1}"#));
        within(gate.arrived(1)).await;
        let during = service.send(request("k", r#"{"a":2}"#)).await;
        gate.open();
        assert_eq!(within(running).await.expect("no panic").status, 201);
        let after = service.send(request("k", r#"{"a":2}"#)).await;
        for refused in [during, after] {
            assert_eq!(refused.status, 422);
            assert_eq!(refused.problem(), "idempotency-key-reused");
            assert_eq!(
                refused.header("link"),
                Some("</idempotency>; rel=\"describedby\"")
            );
            assert_eq!(refused.header("idempotency-key"), Some("\"k\""));
            let problem = refused.json();
            assert_eq!(problem["idempotency_key"], "k");
            assert_eq!(problem["retryable"], false);
            let specification = problem["specification"].as_str().expect("a text");
            assert!(specification.ends_with("-07#section-2.7"), "{specification}");
        }
        assert_eq!(script.runs(), 1);
    }
}

#[tokio::test]
async fn an_equal_request_waits_for_the_same_answer() {
    for place in Place::both() {
        let script = Script::default();
        let service = Service::start(&place, &rerun(notes()), &script).await;
        let gate = script.hold();
        let running = service.begin(request("k", "{}"));
        within(gate.arrived(1)).await;
        let waiting: Vec<_> = (0..10).map(|_| service.begin(request("k", "{}"))).collect();
        gate.open();
        let first = within(running).await.expect("no panic");
        assert!(!first.is_replay());
        for waiting in waiting {
            let answer = within(waiting).await.expect("no panic");
            assert_eq!((answer.status, &answer.body), (201, &first.body));
            assert!(answer.is_replay());
        }
        assert_eq!(script.runs(), 1);
    }
}

#[tokio::test]
async fn a_wait_has_its_limit_and_then_says_where_to_look() {
    let script = Script::default();
    let operation = notes().concurrency(Concurrency::Wait(Duration::from_millis(50)));
    let service = Service::start(&Place::memory(), &rerun(operation), &script).await;
    let gate = script.hold();
    let running = service.begin(request("k", "{}"));
    within(gate.arrived(1)).await;
    let late = within(service.send(request("k", "{}"))).await;
    assert_eq!(
        (late.status, late.problem().as_str()),
        (409, "idempotency-in-progress")
    );
    assert_eq!(late.header("retry-after"), Some("1"));
    assert_eq!(late.json()["retryable"], true);
    let operation = late.json()["operation"].as_str().expect("a URL").to_owned();
    assert!(operation.starts_with("/operations/"), "{operation}");
    assert!(!late.is_replay());
    gate.open();
    assert_eq!(within(running).await.expect("no panic").status, 201);
}

#[tokio::test]
async fn a_duplicate_is_rejected_or_accepted_at_once_when_the_policy_says_so() {
    for (policy, status) in [(Concurrency::Reject, 409), (Concurrency::Accept, 202)] {
        let script = Script::default();
        let service = Service::start(&Place::memory(), &rerun(notes().concurrency(policy)), &script).await;
        let gate = script.hold();
        let running = service.begin(request("k", "{}"));
        within(gate.arrived(1)).await;
        let duplicate = within(service.send(request("k", "{}"))).await;
        assert_eq!(duplicate.status, status);
        assert_eq!(duplicate.header("retry-after"), Some("1"));
        if policy == Concurrency::Accept {
            let location = duplicate.header("location").expect("a location");
            assert!(location.starts_with("/operations/"), "{location}");
            assert_eq!(duplicate.json()["state"], "running");
            assert!(!duplicate.is_replay());
        }
        gate.open();
        assert_eq!(within(running).await.expect("no panic").status, 201);
        assert!(service.send(request("k", "{}")).await.is_replay());
        assert_eq!(script.runs(), 1);
    }
}

#[tokio::test]
async fn over_the_cap_a_duplicate_is_refused_at_once() {
    let script = Script::default();
    let waiters = Waiters::new(1, 8);
    let operation = notes().waiters(waiters.clone());
    let service = Service::start(&Place::memory(), &rerun(operation), &script).await;
    let gate = script.hold();
    let running = service.begin(request("k", "{}"));
    within(gate.arrived(1)).await;
    let waiting = service.begin(request("k", "{}"));
    within(all_wait(&waiters, 1)).await;
    let refused = within(service.send(request("k", "{}"))).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "idempotency-in-progress")
    );
    gate.open();
    for one in [running, waiting] {
        assert_eq!(within(one).await.expect("no panic").status, 201);
    }
    assert_eq!(waiters.waiting(), 0);
}

#[tokio::test]
async fn an_answer_that_is_not_stored_is_followed_by_another_run_of_the_same_request_only() {
    for place in Place::both() {
        let script = Script::default();
        let service = Service::start(&place, &rerun(notes()), &script).await;
        script.answer((StatusCode::SERVICE_UNAVAILABLE, "away"));
        let first = service.send(request("k", "{}")).await;
        assert_eq!((first.status, first.body.as_ref()), (503, b"away".as_slice()));
        assert_eq!(
            service.send(request("k", "[]")).await.problem(),
            "idempotency-key-reused"
        );
        let again = service.send(request("k", "{}")).await;
        assert_eq!((again.status, again.is_replay()), (201, false));
        assert!(service.send(request("k", "{}")).await.is_replay());
        assert_eq!(script.runs(), 2);
    }
}

#[tokio::test]
async fn who_waits_for_an_answer_that_is_not_stored_gets_it_too() {
    let script = Script::default();
    let waiters = Waiters::default();
    let operation = notes().waiters(waiters.clone());
    let service = Service::start(&Place::memory(), &rerun(operation), &script).await;
    let gate = script.hold();
    script.answer((StatusCode::BAD_REQUEST, "bad"));
    let running = service.begin(request("k", "{}"));
    within(gate.arrived(1)).await;
    let waiting: Vec<_> = (0..5).map(|_| service.begin(request("k", "{}"))).collect();
    within(all_wait(&waiters, 5)).await;
    gate.open();
    let first = within(running).await.expect("no panic");
    assert_eq!((first.status, first.is_replay()), (400, false));
    for one in waiting {
        let answer = within(one).await.expect("no panic");
        assert_eq!((answer.status, answer.body.as_ref()), (400, b"bad".as_slice()));
        assert!(answer.is_replay());
    }
    assert_eq!(script.runs(), 1);
}

#[tokio::test]
async fn a_final_error_is_replayed_and_the_policy_says_which_is_final() {
    let cases = [
        (OnError::PersistFinal, StatusCode::PAYMENT_REQUIRED, true),
        (OnError::PersistFinal, StatusCode::INTERNAL_SERVER_ERROR, false),
        (OnError::PersistFinal, StatusCode::NOT_FOUND, false),
        (OnError::RetryErrors, StatusCode::PAYMENT_REQUIRED, false),
        (OnError::SuccessOnly, StatusCode::CONFLICT, false),
        (OnError::ReplayAll, StatusCode::SERVICE_UNAVAILABLE, true),
    ];
    for (policy, status, stored) in cases {
        let script = Script::default();
        let service = Service::start(&Place::memory(), &rerun(notes().on_error(policy)), &script).await;
        script.answer((status, "no"));
        let first = service.send(request("k", "{}")).await;
        assert_eq!(first.status, status.as_u16());
        let again = service.send(request("k", "{}")).await;
        assert_eq!(again.is_replay(), stored, "{policy:?} {status}");
        let expected = if stored { status.as_u16() } else { 201 };
        assert_eq!(again.status, expected, "{policy:?} {status}");
    }
}

#[tokio::test]
async fn a_key_whose_retention_is_over_is_as_new() {
    for place in Place::both() {
        let script = Script::default();
        let service = Service::start(&place, &rerun(notes()), &script).await;
        assert_eq!(service.send(request("k", r#"{"a":1}"#)).await.status, 201);
        place.advance(Duration::from_secs(25 * 3600));
        let other = service.send(request("k", r#"{"a":2}"#)).await;
        assert_eq!((other.status, other.is_replay()), (201, false));
        assert_eq!(script.runs(), 2);
    }
}

#[tokio::test]
async fn another_users_key_looks_like_an_unused_one() {
    let script = Script::default();
    let service = Service::start(&Place::memory(), &rerun(notes()), &script).await;
    let unused = service.send(request_of("ann", "k", "{}")).await;
    let others = service.send(request_of("bob", "k", "[]")).await;
    assert_eq!((others.status, others.is_replay()), (unused.status, false));
    let names = |answer: &Answer| {
        let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(names(&unused), names(&others));
    assert_eq!(script.runs(), 2);
}

#[tokio::test]
async fn with_the_fingerprint_off_the_first_request_wins() {
    let script = Script::default();
    let operation = notes().fingerprint(Fingerprint::Off);
    let service = Service::start(&Place::memory(), &rerun(operation), &script).await;
    let first = service.send(request("k", r#"{"a":1}"#)).await;
    let other = service.send(request("k", r#"{"a":2}"#)).await;
    assert_eq!((other.status, other.body), (201, first.body));
}

#[tokio::test]
async fn equal_requests_at_two_processes_run_once() {
    for place in Place::both() {
        let script = Script::default();
        let one = Service::start(&place, &rerun(notes()), &script).await;
        let two = Service::start(&place, &rerun(notes()), &script).await;
        let racing: Vec<_> = (0..20)
            .flat_map(|_| [one.begin(request("k", "{}")), two.begin(request("k", "{}"))])
            .collect();
        let (mut bodies, mut not_marked) = (Vec::new(), 0);
        for racing in racing {
            let answer = within(racing).await.expect("no panic");
            assert_eq!(answer.status, 201, "{answer:?}");
            not_marked += u32::from(!answer.is_replay());
            bodies.push(answer.body);
        }
        bodies.dedup();
        assert_eq!((bodies.len(), not_marked, script.runs()), (1, 1, 1));
    }
}
