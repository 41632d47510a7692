//! The client hangs up: the work goes on, and its repeat gets the answer.

use std::time::Duration;

use keystep::testing::faulty::{Call, Fault, Faults, Gate};
use keystep_http::{AfterCrash, Concurrency, Waiters};

use crate::stage::{Place, Script, Service, all_wait, notes, request, rerun, user, with, within};

/// A service whose step is held before it takes its request: that it begins is recorded first.
async fn held_before_its_step(script: &Script) -> (Service, Gate) {
    let (faults, gate) = (Faults::default(), Gate::closed());
    let handler = notes().scope(user).after_crash(AfterCrash::InDoubt);
    let service = Service::start_with(&Place::memory(), &handler, script, &faults).await;
    faults.script(&[Call::Commit], 1, Fault::HoldBefore(gate.clone()));
    (service, gate)
}

async fn has_run(script: &Script) {
    while script.runs() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn work_that_is_claimed_is_done_though_its_client_hung_up_before_it_began() {
    let script = Script::default();
    let (service, gate) = held_before_its_step(&script).await;
    let client = service.begin(request("k", "{}"));
    within(gate.arrived(1)).await;
    client.abort();
    assert!(within(client).await.is_err_and(|error| error.is_cancelled()));
    // Time for whoever would give the request up.
    for _turn in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.open();
    within(has_run(&script)).await;
    assert!(within(service.send(request("k", "{}"))).await.is_replay());
}

#[tokio::test]
async fn work_that_is_claimed_is_done_though_its_client_was_told_to_come_back() {
    let script = Script::default();
    let (service, gate) = held_before_its_step(&script).await;
    let told = within(service.send(with(request("k", "{}"), "prefer", "respond-async"))).await;
    assert_eq!(told.status, 202);
    gate.open();
    within(has_run(&script)).await;
    assert!(within(service.send(request("k", "{}"))).await.is_replay());
}

#[tokio::test]
async fn the_work_goes_on_when_the_client_hangs_up() {
    for place in Place::both() {
        let script = Script::default();
        let service = Service::start(&place, &rerun(notes()), &script).await;
        let gate = script.hold();
        let client = service.begin(request("k", "{}"));
        within(gate.arrived(1)).await;
        client.abort();
        assert!(within(client).await.is_err_and(|error| error.is_cancelled()));
        gate.open();
        let again = within(service.send(request("k", "{}"))).await;
        assert_eq!((again.status, again.is_replay()), (201, true));
        assert_eq!(script.runs(), 1);
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_at_any_moment_is_answered_when_it_asks_again() {
    for steps in 0..60 {
        let script = Script::default();
        let service = Service::start(&Place::memory(), &rerun(notes()), &script).await;
        let client = service.begin(request("k", "{}"));
        for _step in 0..steps {
            tokio::task::yield_now().await;
        }
        client.abort();
        let again = within(service.send(request("k", "{}"))).await;
        assert_eq!(again.status, 201, "{steps}");
        assert_eq!(script.runs(), 1, "{steps}");
    }
}

#[tokio::test]
async fn a_duplicate_that_hangs_up_gives_its_place_back() {
    let script = Script::default();
    let waiters = Waiters::new(1, 1);
    let for_long = Concurrency::Wait(Duration::from_secs(3600));
    let operation = notes().waiters(waiters.clone()).concurrency(for_long);
    let service = Service::start(&Place::memory(), &rerun(operation), &script).await;
    let gate = script.hold();
    let running = service.begin(request("k", "{}"));
    within(gate.arrived(1)).await;
    let duplicate = service.begin(request("k", "{}"));
    within(all_wait(&waiters, 1)).await;
    duplicate.abort();
    within(async {
        while waiters.waiting() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.open();
    assert_eq!(within(running).await.expect("no panic").status, 201);
}
