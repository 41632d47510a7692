//! The faulty store fails exactly where its script says.

use keystep::execution::{PlanId, ShapeId};
use keystep::memory::MemoryStore;
use keystep::store::{PlanRecord, Store, StoreError};
use store_conformance::faulty::{Call, Fault, FaultyStore, Gate};
use uuid::Uuid;

fn plan(number: u8) -> PlanRecord {
    PlanRecord {
        id: PlanId(Uuid::from_bytes([number; 16])),
        shape: ShapeId(Uuid::nil()),
        schema: "s".into(),
        body: "[]".into(),
    }
}

async fn saved(store: &impl Store, number: u8) -> bool {
    let found = store.load_plan(plan(number).id).await;
    found.expect("answered").is_some()
}

#[tokio::test]
async fn a_refused_call_does_not_happen() {
    for fault in Fault::each_refusal() {
        let inner = MemoryStore::new();
        let store = FaultyStore::new(inner.clone());
        store.faults().script(&[], 1, fault);
        store.save_plan(plan(1)).await.expect_err("scripted");
        assert!(!saved(&inner, 1).await);
        store.save_plan(plan(1)).await.expect("only the first call");
        assert!(saved(&inner, 1).await);
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_the_call_has_happened() {
    let inner = MemoryStore::new();
    let store = FaultyStore::new(inner.clone());
    store.faults().script(&[Call::SavePlan], 1, Fault::LoseAnswer);
    store.faults().script(&[Call::LoadPlan], 1, Fault::LoseAnswer);
    let write = store.save_plan(plan(1)).await;
    assert!(matches!(write, Err(StoreError::Unknown(_))), "{write:?}");
    assert!(saved(&inner, 1).await);
    let read = store.load_plan(plan(1).id).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
}

#[tokio::test]
async fn only_the_nth_call_of_the_named_methods_fails() {
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.faults();
    faults.script(&[Call::SavePlan], 3, Fault::Refuse(StoreError::Restarted));
    let mut failed = Vec::new();
    for number in 1..=5 {
        store.load_plan(plan(number).id).await.expect("not scripted");
        failed.push(store.save_plan(plan(number)).await.is_err());
    }
    assert_eq!(failed, [false, false, true, false, false]);
    assert_eq!(faults.left(), 0);
    assert_eq!(faults.calls().len(), 10);
    assert_eq!(faults.calls()[..2], [Call::LoadPlan, Call::SavePlan]);
}

#[tokio::test]
async fn faults_for_one_call_happen_one_after_the_other() {
    let store = FaultyStore::new(MemoryStore::new());
    for _fault in 0..2 {
        store
            .faults()
            .script(&[], 1, Fault::Refuse(StoreError::Restarted));
    }
    store.purge(1, None).await.expect_err("the first");
    store.purge(1, None).await.expect_err("the second");
    store.purge(1, None).await.expect("no third");
}

#[tokio::test]
async fn an_outage_lasts_until_it_is_cleared() {
    let store = FaultyStore::new(MemoryStore::new());
    let error = StoreError::Unavailable("down".into());
    store.faults().script_outage(&[], &error);
    for _call in 0..3 {
        store.purge(1, None).await.expect_err("down");
    }
    store.faults().clear();
    store.purge(1, None).await.expect("up again");
}

#[tokio::test]
async fn a_held_call_waits_on_the_scripted_side_of_the_store() {
    for (before, number) in [(true, 1), (false, 2)] {
        let inner = MemoryStore::new();
        let store = FaultyStore::new(inner.clone());
        let gate = Gate::closed();
        let fault = if before {
            Fault::HoldBefore
        } else {
            Fault::HoldAfter
        };
        store.faults().script(&[Call::SavePlan], 1, fault(gate.clone()));
        let call = tokio::spawn(async move { store.save_plan(plan(number)).await });
        gate.arrived(1).await;
        assert_eq!(saved(&inner, number).await, !before);
        assert!(!call.is_finished());
        gate.open();
        call.await.expect("no panic").expect("it goes on");
        assert!(saved(&inner, number).await);
    }
}
