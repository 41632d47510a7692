//! The client hangs up: the work goes on, and its repeat gets the answer.

use keystep_http::Waiters;

use crate::stage::{Place, Script, Service, all_wait, notes, request, rerun, within};

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
    let operation = notes().waiters(waiters.clone());
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
