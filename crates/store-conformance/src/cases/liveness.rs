//! Liveness: who is there, who has beaten, who is dead for ever.

use std::future::Future;
use std::time::Duration;

use keystep::execution::WorkerId;
use keystep::store::{Beat, Observed, Register, Store, StoreError};

use crate::Harness;
use crate::fixture::{HOUR, all_at_once, eventually, numbered_shape, shape, started};

fn register_of(worker: WorkerId) -> Register {
    Register {
        worker,
        name: "host ☂ 'one', process 4711".into(),
        shapes: vec![shape(), numbered_shape(2)],
    }
}

/// A fresh worker with its session on this handle.
pub(super) async fn registered<S: Store>(store: &S) -> WorkerId {
    let worker = WorkerId::fresh();
    let answer = store.register(register_of(worker)).await;
    answer.expect("a worker registers");
    worker
}

/// Sends a call again while it gets no answer, as the engine does: a burial may end the session of
/// the dead, and with it a connection that a call on that handle was about to use.
async fn patiently<T, F>(call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let tries = async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(StoreError::Unavailable(_) | StoreError::Unknown(_)) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("trying again would not help: {error}"),
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), tries).await;
    answer.expect("an answer within ten seconds")
}

/// What an outsider sees of a worker; `None` when it is not alive.
async fn seen<S: Store>(store: &S, worker: WorkerId) -> Option<Observed> {
    let outsider = WorkerId::fresh();
    let all = patiently(|| store.observe(outsider)).await.others;
    let mut seen = all.into_iter().filter(|other| other.worker == worker);
    let first = seen.next();
    assert!(seen.next().is_none(), "each worker once");
    first
}

/// Waits until nobody counts the session of this worker as standing, where that can be known.
pub(super) async fn session_is_lost<S: Store>(harness: &Harness<S>, worker: WorkerId) {
    eventually("the lost session is noticed", || async {
        let observed = seen(&*harness.here, worker).await;
        observed.is_none_or(|observed| observed.session != Some(true))
    })
    .await;
}

pub async fn a_registered_worker_is_alive_and_seen<S: Store>(harness: Harness<S>) {
    let worker = registered(&*harness.here).await;
    // Through the other handle: what a process sees of its own session says nothing.
    let observed = seen(&*harness.there, worker).await.expect("alive");
    assert_ne!(observed.session, Some(false), "its session stands");
    assert_eq!(observed.beat, 0, "it has not beaten yet");
    assert_eq!(observed.shapes, [shape(), numbered_shape(2)]);
}

pub async fn an_observer_sees_all_live_workers_but_itself<S: Store>(harness: Harness<S>) {
    let (here, there) = (
        registered(&*harness.here).await,
        registered(&*harness.there).await,
    );
    let dead = WorkerId::fresh();
    harness.here.register(register_of(dead)).await.expect("registers");
    harness.here.retire(dead).await.expect("retires");
    for (observer, other) in [(here, there), (there, here)] {
        let observation = harness.here.observe(observer).await.expect("answered");
        let others: Vec<WorkerId> = observation.others.iter().map(|one| one.worker).collect();
        assert_eq!(others, [other]);
    }
}

pub async fn a_register_sent_again_changes_nothing<S: Store>(harness: Harness<S>) {
    let worker = registered(&*harness.here).await;
    patiently(|| harness.here.beat(worker)).await;
    let before = seen(&*harness.there, worker).await;
    let again = harness.here.register(register_of(worker)).await;
    again.expect("the answer to the first send was lost");
    assert_eq!(seen(&*harness.there, worker).await, before);
    assert_eq!(patiently(|| harness.here.beat(worker)).await, Beat::Alive);
}

pub async fn a_beat_is_seen_by_observers<S: Store>(harness: Harness<S>) {
    let worker = registered(&*harness.here).await;
    let mut last = seen(&*harness.there, worker).await.expect("alive").beat;
    for _beat in 0..3 {
        assert_eq!(patiently(|| harness.here.beat(worker)).await, Beat::Alive);
        let beat = seen(&*harness.there, worker).await.expect("alive").beat;
        assert!(beat > last, "{beat} after {last}");
        last = beat;
    }
}

pub async fn a_beat_of_an_unknown_worker_is_dead<S: Store>(harness: Harness<S>) {
    let answer = harness.here.beat(WorkerId::fresh()).await;
    assert_eq!(answer.expect("answered"), Beat::Dead);
}

pub async fn a_session_ends_with_its_process<S: Store>(mut harness: Harness<S>) {
    let worker = registered(&*harness.there).await;
    let known = seen(&*harness.here, worker).await.expect("alive").session;
    harness.end_session_there(worker).await;
    session_is_lost(&harness, worker).await;
    let observed = seen(&*harness.here, worker).await;
    let observed = observed.expect("a lost session is not a death: an observer decides");
    assert_eq!(observed.session, known.map(|_| false));
}

pub async fn a_beat_reopens_a_lost_session<S: Store>(mut harness: Harness<S>) {
    let worker = registered(&*harness.there).await;
    let standing = seen(&*harness.here, worker).await.expect("alive").session;
    if harness.can_lose_sessions() {
        harness.end_session_there(worker).await;
        session_is_lost(&harness, worker).await;
    }
    // Reopening may have to wait for what is left of the old session.
    eventually("a beat reopens the session", || async {
        let beat = patiently(|| harness.there.beat(worker)).await;
        assert_eq!(beat, Beat::Alive, "nobody has declared it dead");
        seen(&*harness.here, worker).await.expect("alive").session == standing
    })
    .await;
}

pub async fn registering_another_worker_replaces_the_session<S: Store>(harness: Harness<S>) {
    let first = registered(&*harness.here).await;
    let second = registered(&*harness.here).await;
    session_is_lost(&harness, first).await;
    let first = seen(&*harness.there, first).await;
    assert!(first.is_some(), "it is alive until somebody buries it");
    let second = seen(&*harness.there, second).await.expect("alive");
    assert_ne!(second.session, Some(false));
}

pub async fn a_buried_worker_is_dead_for_ever<S: Store>(harness: Harness<S>) {
    let worker = registered(&*harness.here).await;
    assert!(harness.there.bury(worker, 0).await.expect("answered"));
    for store in [&harness.here, &harness.there] {
        assert_eq!(seen(&**store, worker).await, None, "not a live worker");
    }
    assert_eq!(patiently(|| harness.here.beat(worker)).await, Beat::Dead);
    // Whether a store refuses this or ignores it, nobody comes back from the dead.
    let _refused_or_ignored = harness.here.register(register_of(worker)).await;
    assert_eq!(patiently(|| harness.here.beat(worker)).await, Beat::Dead);
    assert_eq!(seen(&*harness.there, worker).await, None);
}

pub async fn a_worker_that_has_beaten_since_is_not_buried<S: Store>(harness: Harness<S>) {
    let worker = registered(&*harness.here).await;
    let before = seen(&*harness.there, worker).await.expect("alive").beat;
    patiently(|| harness.here.beat(worker)).await;
    let dead = harness.there.bury(worker, before).await.expect("answered");
    assert!(!dead, "it has shown life since it was observed");
    assert_eq!(patiently(|| harness.here.beat(worker)).await, Beat::Alive);
    let now = seen(&*harness.there, worker).await.expect("alive").beat;
    assert!(harness.there.bury(worker, now).await.expect("answered"));
}

pub async fn burying_the_dead_answers_dead<S: Store>(harness: Harness<S>) {
    let buried = registered(&*harness.here).await;
    let retired = registered(&*harness.there).await;
    assert!(harness.there.bury(buried, 0).await.expect("answered"));
    harness.there.retire(retired).await.expect("retired");
    for worker in [buried, retired] {
        for beat in [0, 1, 99] {
            let dead = patiently(|| harness.here.bury(worker, beat)).await;
            assert!(dead, "whoever was first");
        }
    }
}

pub async fn of_many_observers_that_bury_all_learn_of_the_death<S: Store>(harness: Harness<S>) {
    let worker = registered(&*harness.here).await;
    let answers = all_at_once(16, |number| {
        let store = [&harness.here, &harness.there][number % 2].clone();
        async move { store.bury(worker, 0).await.expect("answered") }
    })
    .await;
    assert_eq!(answers, vec![true; 16]);
}

pub async fn a_beat_and_a_burial_at_once_agree<S: Store>(harness: Harness<S>) {
    for _round in 0..30 {
        let worker = registered(&*harness.here).await;
        let answers = all_at_once(2, |number| {
            let (here, there) = (harness.here.clone(), harness.there.clone());
            async move {
                if number == 0 {
                    patiently(|| here.beat(worker)).await == Beat::Alive
                } else {
                    patiently(|| there.bury(worker, 0)).await
                }
            }
        })
        .await;
        let alive_and_buried = answers.iter().filter(|answer| **answer).count();
        assert_eq!(alive_and_buried, 1, "either it lives or it is dead");
    }
}

pub async fn a_retired_worker_is_dead_at_once<S: Store>(harness: Harness<S>) {
    let worker = registered(&*harness.here).await;
    patiently(|| harness.here.beat(worker)).await;
    harness.here.retire(worker).await.expect("retired");
    assert_eq!(seen(&*harness.there, worker).await, None);
    assert_eq!(patiently(|| harness.here.beat(worker)).await, Beat::Dead);
    harness.here.retire(worker).await.expect("sent again");
    // The handle is free for the next worker.
    let next = registered(&*harness.here).await;
    let next = seen(&*harness.there, next).await.expect("alive");
    assert_ne!(next.session, Some(false));
}

pub async fn a_server_that_can_restart_shows_its_age_and_which_start_it_is<S: Store>(harness: Harness<S>) {
    let observer = WorkerId::fresh();
    let first = harness.here.observe(observer).await.expect("answered");
    harness.clock.advance(HOUR);
    let second = harness.there.observe(observer).await.expect("answered");
    let granted = started(&*harness.here, "k").await.incarnation;
    for seen in [&first, &second] {
        let shown = seen.server_age.map(|_age| granted);
        assert_eq!(
            seen.incarnation, shown,
            "as in the fence, and where there is a server"
        );
    }
    match (first.server_age, second.server_age) {
        (None, None) => {}
        (Some(first), Some(second)) => {
            let apart = second.checked_sub(first).expect("a server grows older");
            assert!(apart < HOUR, "by its own clock, which no test moves: {apart:?}");
        }
        other => panic!("both handles are of one store: {other:?}"),
    }
}
