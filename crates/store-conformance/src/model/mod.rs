//! Do a store and the memory store agree on everything, in any order of operations? Random
//! operations on both, and a comparison of every answer and of all that can be seen.
//!
//! Ids, tokens and payloads are given by the caller, so both stores must answer the same. Left out
//! of the comparison are the database's times, what the contract leaves open (see
//! `compare.rs`), and what each store counts for itself, as beats.
//!
//! The seed is printed when a run fails; `KEYSTEP_SEED=… cargo test random_operations` repeats it.

mod beside;
mod compare;
mod operation;
mod world;

use std::collections::BTreeSet;

use keystep::memory::MemoryStore;
use keystep::store::Store;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use self::world::World;
use crate::Harness;

/// Applies `operations` random operations to the memory store and to the store under test and
/// compares them after each. The same seed gives the same operations. Answers which kinds of answer
/// there were, so that a test can tell a blind generator.
///
/// # Panics
///
/// When the stores differ: with the seed, the operations so far and the difference.
pub async fn agree<S: Store>(harness: &Harness<S>, seed: u64, operations: usize) -> BTreeSet<String> {
    let model = MemoryStore::with_clock(harness.clock.clone());
    let mut world = World::new(harness, &model, StdRng::seed_from_u64(seed));
    let mut log = Vec::new();
    world.prepare().await;
    for _turn in 0..operations {
        let operation = world.choose();
        log.push(format!("{operation:?}"));
        let mut outcome = world.apply(operation).await;
        if outcome.is_ok() {
            outcome = world.look().await;
        }
        if let Err(difference) = outcome {
            let log = log.join("\n  ");
            panic!("KEYSTEP_SEED={seed}: after\n  {log}\nthe stores differ: {difference}");
        }
    }
    world.reached
}

/// The seed of a run: `KEYSTEP_SEED`, or a random one.
///
/// # Panics
///
/// When the variable is set to something that is not a number.
pub fn seed() -> u64 {
    match std::env::var("KEYSTEP_SEED") {
        Ok(text) => text.parse().expect("KEYSTEP_SEED is a number"),
        Err(_) => rand::rng().next_u64(),
    }
}
