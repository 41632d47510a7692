//! What happens to executions when processes are stopped, cut off from their database, or left without
//! one? Real processes, real servers that are broken on purpose.
//!
//! A test that breaks a server starts one of its own; the others share one. What measures time begins
//! with `alone_`: nothing else runs beside it.

#[macro_use(on_both_stores)]
extern crate system_tests;

mod commits;
mod disk_full;
mod failover;
mod network;
mod pooler;
mod restart;
mod sessions;
mod sqlite_files;
mod stopped;
mod taken_over;

use std::time::Duration;

use system_tests::place::Place;
use system_tests::show;
use system_tests::victim::Launch;

/// A victim on a place.
fn victim(place: &Place) -> Launch {
    place.launch(env!("CARGO_BIN_EXE_victim"))
}

/// A victim that does not beat while a test runs: what it writes, and what its log says of failed
/// calls of the store, is about its executions.
fn quiet_victim(place: &Place) -> Launch {
    const LONG: Duration = Duration::from_secs(600);
    victim(place).beat(LONG / 4).beat_limit(LONG)
}

/// So many processes alike.
fn processes(count: usize, launch: &Launch) -> impl Iterator<Item = Launch> {
    std::iter::repeat_n(launch.clone(), count)
}
