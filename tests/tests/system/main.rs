//! What happens to executions when processes race, die, stop, are replaced and have no rights? Each
//! promise is tried with real processes, once on SQLite and once on PostgreSQL.
//!
//! What measures time begins with `alone_`: nothing else runs beside it.

#[macro_use(on_both_stores)]
extern crate system_tests;

use system_tests::place::Place;
use system_tests::show;
use system_tests::victim::Launch;

mod canary;
mod cancel;
mod chaos;
mod connections;
mod crash_loop;
mod racing;
mod relay;
mod rights;
mod starting;
mod takeover;
mod transactions;

/// A victim on a place.
fn victim(place: &Place) -> Launch {
    place.launch(env!("CARGO_BIN_EXE_victim"))
}
