//! Two processes on one database: one of them owns the execution, and a call of the other one fails.

use std::time::{Duration, Instant};

use keystep::store::Store;
use keystep::{OnDuplicate, State};

use super::Ground;
use super::story::{INPUT, OUTPUT, Site, call_until_answered, fresh_key, id_of, is_recorded_once, schema};
use crate::faulty::{Call, Fault, Faults, Gate};

/// Far longer than any of this takes on a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// The owner is given up while its first checkpoint is on its way, and it arrives in the end. The
/// other one's first call of this kind fails.
pub(super) async fn take_over<G: Ground>(ground: &G, call: Call, fault: &Fault) {
    let what = format!("{fault:?} at the first {call:?} of the successor");
    let schema = schema::<G>(Duration::from_millis(1));
    let (held, key) = (Gate::closed(), fresh_key());
    let of_owner = Faults::default();
    of_owner.script(&[Call::Commit], 1, Fault::HoldBefore(held.clone()));
    // It does not learn that it was given up: else its caller would look again.
    of_owner.script(&[Call::Beat], 1, Fault::HoldBefore(Gate::closed()));
    let (owners, store) = (ground.open().await, ground.open().await);
    let owner = Site::new(ground, &owners).taking_up_nothing();
    let engine_of_owner = owner.engine(&schema, &of_owner).await;
    let call_of_owner = engine_of_owner
        .run(&schema, key.as_str(), INPUT)
        .on_duplicate(OnDuplicate::Attach)
        .submit();
    let waiting = call_of_owner.await.expect("the owner begins");
    held.arrived(1).await;

    let of_successor = Faults::default();
    of_successor.script(&[call], 1, fault.clone());
    let successor = Site::new(ground, &store);
    let engine = successor.engine(&schema, &of_successor).await;
    store
        .retire(engine_of_owner.worker_id())
        .await
        .expect("the owner is given up");
    let started = Instant::now();
    loop {
        let record = store.find(vec![id_of(&key)]).await.expect("an answer").pop();
        let record = record.expect("an execution");
        match record.state {
            State::Succeeded => break,
            // A row that could not be read once is resumed by hand.
            State::Parked => drop(engine.resume(record.id).await.expect("resumed")),
            // Ended by a value that the store refused: the next call resumes.
            State::Failed => drop(call_until_answered(&engine, &schema, &key, &what).await),
            _ => {}
        }
        assert!(started.elapsed() < SOON, "it is left {:?}; {what}", record.state);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(of_successor.left(), 0, "it did not happen: {what}");
    held.open();
    assert_eq!(waiting.wait().await, Ok(OUTPUT), "the owner's caller; {what}");
    engine_of_owner.shutdown().await;
    engine.shutdown().await;
    is_recorded_once(ground, &store, &key, &what).await;
    assert_eq!(owner.runs(), [1, 0, 0, 0], "the owner was given up; {what}");
}

/// A call of one process waits for what another one runs; its n-th call of this kind fails.
pub(super) async fn follow<G: Ground>(ground: &G, call: Call, nth: u64, fault: &Fault) {
    let what = format!("{fault:?} at the {nth}. {call:?} of the follower");
    let schema = schema::<G>(Duration::from_millis(1));
    let (held, key) = (Gate::closed(), fresh_key());
    let of_owner = Faults::default();
    of_owner.script(&[Call::Commit], 1, Fault::HoldBefore(held.clone()));
    let (owners, store) = (ground.open().await, ground.open().await);
    let owner = Site::new(ground, &owners).taking_up_nothing();
    let engine_of_owner = owner.engine(&schema, &of_owner).await;
    let call_of_owner = engine_of_owner.run(&schema, key.as_str(), INPUT).submit();
    let _running = call_of_owner.await.expect("the owner begins");
    held.arrived(1).await;

    let of_follower = Faults::default();
    of_follower.script(&[call], nth, fault.clone());
    let follower = Site::new(ground, &store);
    let engine = follower.engine(&schema, &of_follower).await;
    let asking = tokio::spawn({
        let (engine, schema, key, what) = (engine.clone(), schema.clone(), key.clone(), what.clone());
        async move { call_until_answered(&engine, &schema, &key, &what).await }
    });
    let started = Instant::now();
    while of_follower.left() > 0 {
        assert!(started.elapsed() < SOON, "it does not happen: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    held.open();
    assert_eq!(asking.await.expect("no panic"), OUTPUT, "{what}");
    engine.shutdown().await;
    engine_of_owner.shutdown().await;
    is_recorded_once(ground, &store, &key, &what).await;
    let runs: Vec<u32> = owner
        .runs()
        .iter()
        .zip(follower.runs())
        .map(|(one, other)| one + other)
        .collect();
    assert_eq!(runs[0], 1, "the first step runs at its owner only; {what}");
    assert_eq!((runs[2], runs[3]), (1, 1), "{what}");
}
