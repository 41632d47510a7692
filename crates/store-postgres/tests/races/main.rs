//! What if sessions meet at one row? The product's own statements are stopped in the middle, and played
//! in every order; races that nobody steers are a second net.

mod acts;
mod batches;
mod begins;
#[path = "../common/mod.rs"]
mod common;
mod fences;
mod isolation;
mod news;
mod owners;
mod relays;
mod stage;
mod tombstones;
mod transactions;
mod writes;

use keystep::clock::Clock;
use keystep_postgres::{PostgresOptions, PostgresStore};
use store_conformance::crowd::Crowd;

async fn crowd(handles: usize) -> Crowd<PostgresStore> {
    let options = PostgresOptions {
        clock: Clock::new(),
        ..common::options()
    };
    drop(common::store_with(options.clone()).await);
    let mut crowd = Vec::new();
    for _nth in 0..handles {
        crowd.push(common::same_with(&options.schema, options.clone()).await);
    }
    Crowd::new(crowd)
}

store_conformance::crowd_suite!(crowd);
