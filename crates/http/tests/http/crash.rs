//! The process dies inside a wrapped handler: what its author said comes true.

use axum::http::StatusCode;
use keystep::Verdict;
use keystep_http::{AfterCrash, KeyedHandler, Waiters};
use tokio::runtime::{Builder, Runtime};

use crate::stage::{Place, Script, Service, all_wait, notes, request, rerun, user, within};

fn process() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Lets a process of its own die while its handler runs.
async fn died_inside(place: &Place, handler: &KeyedHandler) {
    let script = Script::default();
    let gate = script.hold();
    let life = process();
    let _entered = {
        let (handler, script) = (handler.clone(), script.clone());
        let (service, arrived) = std::thread::scope(|scope| {
            let started = scope.spawn(|| {
                life.block_on(async {
                    let service = Service::start(place, &handler, &script).await;
                    let sent = service.begin(request("k", "{}"));
                    within(gate.arrived(1)).await;
                    (service, sent)
                })
            });
            started.join().expect("no panic")
        });
        drop(arrived);
        service
    };
    life.shutdown_background();
    assert_eq!(script.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_next_equal_request_runs_the_handler_again() {
    for place in Place::both() {
        died_inside(&place, &rerun(notes())).await;
        let script = Script::default();
        let service = Service::start(&place, &rerun(notes()), &script).await;
        let other = within(service.send(request("k", "[]"))).await;
        assert_eq!(other.problem(), "idempotency-key-reused");
        let again = within(service.send(request("k", "{}"))).await;
        assert_eq!((again.status, again.is_replay()), (201, false), "{again:?}");
        assert!(service.send(request("k", "{}")).await.is_replay());
        assert_eq!(script.runs(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_next_request_nobody_runs_the_handler() {
    let place = Place::memory();
    died_inside(&place, &rerun(notes())).await;
    let script = Script::default();
    let handler = rerun(notes());
    let service = Service::start(&place, &handler, &script).await;
    let key = keystep::Key::new("k").scope("ann");
    within(async {
        loop {
            let found = service.engine.find(&handler.schema(), key.clone()).await;
            let found = found.expect("an answer").expect("there");
            if found.state == keystep::State::Failed {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(script.runs(), 0);
    let found = service.engine.lookup(&handler.schema(), key).await;
    let found = found.expect("an answer").expect("there");
    assert_eq!(found.verdict(), Verdict::Resumed, "it waits for a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_doubt_means_that_nobody_does_it_again_and_every_answer_is_the_same() {
    for place in Place::both() {
        let handler = notes().scope(user).after_crash(AfterCrash::InDoubt);
        died_inside(&place, &handler).await;
        let script = Script::default();
        let service = Service::start(&place, &handler, &script).await;
        let one = within(service.send(request("k", "{}"))).await;
        let two = within(service.send(request("k", "{}"))).await;
        assert_eq!((one.status, one.problem().as_str()), (500, "needs-attention"));
        assert_eq!(one.body, two.body);
        assert_eq!(one.json()["retryable"], false);
        assert_eq!(within(service.send(request("k", "[]"))).await.status, 422);
        assert_eq!(script.runs(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_doubt_is_only_what_did_not_end() {
    let handler = notes().scope(user).after_crash(AfterCrash::InDoubt);
    let script = Script::default();
    let service = Service::start(&Place::memory(), &handler, &script).await;
    script.answer((StatusCode::SERVICE_UNAVAILABLE, "away"));
    assert_eq!(service.send(request("k", "{}")).await.status, 503);
    assert_eq!(service.send(request("k", "{}")).await.status, 201);
    assert_eq!(script.runs(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_when_the_owner_dies_goes_on_with_its_own_request() {
    for place in Place::both() {
        let (there, here) = (Script::default(), Script::default());
        let waiters = Waiters::default();
        let handler = rerun(notes().waiters(waiters.clone()));
        let service = Service::start(&place, &handler, &here).await;
        let gate = there.hold();
        let life = process();
        let owner = std::thread::scope(|scope| {
            let started = scope.spawn(|| {
                life.block_on(async {
                    let owner = Service::start(&place, &rerun(notes()), &there).await;
                    let sent = owner.begin(request("k", "{}"));
                    within(gate.arrived(1)).await;
                    (owner, sent)
                })
            });
            started.join().expect("no panic")
        });
        let waiting = service.begin(request("k", "{}"));
        within(all_wait(&waiters, 1)).await;
        drop(owner);
        life.shutdown_background();
        let answer = within(waiting).await.expect("no panic");
        assert_eq!((answer.status, here.runs()), (201, 1), "{answer:?}");
    }
}

#[tokio::test]
async fn a_handler_that_panics_is_run_again_by_the_next_equal_request() {
    let script = Script::default();
    let handler = rerun(notes());
    let place = Place::memory();
    let engine = place
        .engine(&Default::default(), |builder| builder.schema(handler.schema()))
        .await;
    let counted = script.clone();
    let panics_first = move || {
        let run = counted.runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            assert!(run > 0, "on purpose");
            StatusCode::CREATED
        }
    };
    let route = axum::routing::post(panics_first).layer(handler.layer(&engine));
    let service = Service::of(engine, axum::Router::new().route("/notes", route));
    let first = within(service.send(request("k", "{}"))).await;
    assert_eq!(
        (first.status, first.problem().as_str()),
        (503, "upstream-unavailable")
    );
    assert_eq!(within(service.send(request("k", "{}"))).await.status, 201);
}
