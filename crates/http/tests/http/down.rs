//! The store is down: nothing is done, unless somebody said in so many words that it may be done twice.

use keystep::store::StoreError;
use keystep::testing::faulty::{Call, Fault, Faults};
use keystep_http::OnStoreDown;

use crate::stage::{Place, Script, Service, notes, request, rerun, within};

const ASKS: &[Call] = &[Call::Find, Call::Begin, Call::Acquire];

fn refusal() -> StoreError {
    StoreError::Refused("a replica".into())
}

#[tokio::test]
async fn while_the_store_is_down_nothing_is_done_and_the_client_is_told_when_to_come_back() {
    let away = StoreError::Unavailable("no route to host".into());
    for (place, error) in Place::both().into_iter().zip([away, refusal()]) {
        let (script, faults) = (Script::default(), Faults::default());
        let service = Service::start_with(&place, &rerun(notes()), &script, &faults).await;
        faults.script_outage(ASKS, &error);
        let refused = within(service.send(request("k", "{}"))).await;
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (503, "idempotency-store-unavailable")
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(refused.json()["retryable"], true);
        assert_eq!(script.runs(), 0);
        faults.clear();
        assert_eq!(within(service.send(request("k", "{}"))).await.status, 201);
        assert_eq!(script.runs(), 1);
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for_without_a_limit() {
    let (script, faults) = (Script::default(), Faults::default());
    let operation = notes().store_patience(std::time::Duration::from_millis(50));
    let place = Place::memory();
    let service = Service::start_with(&place, &rerun(operation), &script, &faults).await;
    for held in [Call::Find, Call::Begin] {
        faults.script_each(&[held], Fault::HoldBefore(Default::default()));
        let refused = within(service.send(request(&format!("{held:?}"), "{}"))).await;
        assert_eq!(refused.problem(), "idempotency-store-unavailable");
        faults.clear();
    }
    assert_eq!(script.runs(), 0);
}

#[tokio::test]
async fn only_what_says_so_runs_without_its_key_while_the_store_is_down() {
    let (script, faults) = (Script::default(), Faults::default());
    let operation = notes().on_store_down(OnStoreDown::RunUnprotectedAndMaybeTwice);
    let place = Place::memory();
    let service = Service::start_with(&place, &rerun(operation), &script, &faults).await;
    faults.script_outage(ASKS, &refusal());
    for runs in 1..=2 {
        let answer = within(service.send(request("k", "{}"))).await;
        assert_eq!((answer.status, answer.is_replay()), (201, false));
        assert_eq!(script.runs(), runs);
    }
}

#[tokio::test]
async fn an_answer_that_could_not_be_recorded_is_not_given() {
    let (script, faults) = (Script::default(), Faults::default());
    let place = Place::memory();
    let service = Service::start_with(&place, &rerun(notes()), &script, &faults).await;
    faults.script_outage(&[Call::Commit], &refusal());
    let refused = within(service.send(request("k", "{}"))).await;
    assert_eq!(refused.problem(), "idempotency-store-unavailable");
    assert_eq!(script.runs(), 1);
    faults.clear();
    // The engine keeps asking, with pauses; so does the client, as it was told.
    let again = within(async {
        loop {
            let again = service.send(request("k", "{}")).await;
            if again.status != 503 {
                return again;
            }
        }
    });
    let again = again.await;
    assert_eq!((again.status, script.runs()), (201, 1), "the work was done once");
}
