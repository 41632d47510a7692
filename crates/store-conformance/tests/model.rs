//! Random operations reach every kind of answer, and find bugs that were planted.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use keystep::memory::MemoryStore;
use keystep::store::Store;
use store_conformance::planted::{self, Plant, Planted};
use store_conformance::{Harness, model};

fn fresh() -> Harness<MemoryStore> {
    let store = MemoryStore::new();
    let other = store.another_handle();
    Harness::new(store, other)
}

fn planted<P: Plant<MemoryStore> + Clone>(plant: P) -> Harness<Planted<MemoryStore, P>> {
    let store = MemoryStore::new();
    let other = store.another_handle();
    Harness::new(Planted::new(store, plant.clone()), Planted::new(other, plant))
}

/// Which of twenty seeds show that the store is not the memory store.
async fn seeds_that_differ<S: Store>(factory: impl Fn() -> Harness<S>) -> Vec<u64> {
    let mut differ = Vec::new();
    for seed in 0..20 {
        let harness = factory();
        let run = AssertUnwindSafe(model::agree(&harness, seed, 400)).catch_unwind();
        if run.await.is_err() {
            differ.push(seed);
        }
    }
    differ
}

#[tokio::test]
async fn random_operations_reach_every_kind_of_answer() {
    let mut reached = BTreeSet::new();
    for seed in 0..20 {
        reached.append(&mut model::agree(&fresh(), seed, 400).await);
    }
    let mut expected: BTreeSet<String> = [
        "Started",
        "Fenced",
        "Wished",
        "commit Exists",
        "again Written",
        "again Exists",
        "again Fenced",
        "confirm Written",
        "confirm Absent",
        "confirm Fenced",
        "beat Alive",
        "beat Dead",
        "bury true",
        "bury false",
        "purge true",
        "purge false",
        "purge that remembers true",
        "purge that remembers false",
        "progress Written",
        "progress Fenced",
        "signal Sent",
        "signal Refused",
        "signal Gone",
        "signals",
        "wish true",
        "wish false",
        "cancels",
        "children",
        "lead true",
        "lead false",
        "outbox",
        "due",
        "orphans",
    ]
    .map(String::from)
    .into();
    for state in [
        "ready",
        "running",
        "waiting",
        "parked",
        "succeeded",
        "failed",
        "undone",
        "cancelled",
    ] {
        expected.insert(format!("Exists {state}"));
        expected.insert(format!("Written {state}"));
    }
    for how in ["Resume true", "Resume false", "TakeOver", "Restart"] {
        expected.insert(format!("{how} Won"));
        expected.insert(format!("{how} Lost"));
    }
    assert_eq!(reached, expected);
}

#[tokio::test]
async fn the_same_store_agrees_with_itself() {
    assert_eq!(seeds_that_differ(fresh).await, Vec::<u64>::new());
}

macro_rules! found {
    ($($test:ident: $plant:expr;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                let found = seeds_that_differ(|| planted($plant)).await;
                assert!(!found.is_empty(), "twenty runs and no difference");
            }
        )*
    };
}

found! {
    random_operations_find_a_missing_fence: planted::FenceMissing;
    random_operations_find_a_fence_without_the_state: planted::StateNotCompared;
    random_operations_find_a_begin_that_starts_twice: planted::BeginStartsTwice;
    random_operations_find_a_resend_answered_as_a_failure: planted::ResendIsFailure;
    random_operations_find_a_verdict_joined_on_the_step: planted::VerdictJoinedOnStep;
    random_operations_find_an_acquisition_by_key_only: planted::AcquireByKeyOnly;
    random_operations_find_an_old_outcome: planted::OldOutcomeCached::default();
    random_operations_find_old_checkpoints: planted::CheckpointsByKey::default();
    random_operations_find_a_falling_epoch: planted::EpochFalls::default();
    random_operations_find_a_burial_without_a_look: planted::BuriedUnseen;
    random_operations_find_a_sweep_of_the_living: planted::SweepOfTheLiving;
    random_operations_find_progress_of_which_the_first_stays: planted::FirstProgressStays;
    random_operations_find_signals_sent_twice: planted::SignalsSentTwice;
    random_operations_find_a_count_that_is_not_compared: planted::CountNotCompared;
    random_operations_find_a_wish_for_owners_only: planted::WishForOwnersOnly;
    random_operations_find_a_wish_that_is_not_compared: planted::WishNotCompared;
    random_operations_find_messages_with_each_send: planted::MessagesWithEachSend;
    random_operations_find_an_outbox_that_is_read_backwards: planted::OutboxBackwards;
    random_operations_find_a_leader_that_is_not_alone: planted::EveryWorkerLeads;
    random_operations_find_a_purge_that_remembers_nothing: planted::NothingRemembered;
}
