//! What does a deploy do to executions that are under way? Processes of two releases at work
//! together on real databases, killed and replaced; and what earlier versions have stored.
//!
//! What is documented is in `docs/guide/changing-a-schema.md`.

#[macro_use(on_both_stores)]
extern crate system_tests;

use std::time::Duration;

use system_tests::place::Place;
use system_tests::releases::Release;
use system_tests::victim::Launch;

mod busy;
mod calls;
mod golden;
mod left;
mod matrix;
mod page;
mod requests;
mod rolling;

/// A binary of a deploy, on a place where a death is seen at once.
fn binary(place: &Place, release: Release) -> Launch {
    victim(place)
        .release(release)
        .grace(Duration::ZERO)
        .drain(Duration::from_millis(100))
}

/// A binary that soon parks what nobody knows, and looks for it all the time.
fn hasty(place: &Place, release: Release) -> Launch {
    binary(place, release)
        .unknown_shape_after(Duration::from_millis(150))
        .option("sweep-ms", 50)
}

/// A victim on a place.
fn victim(place: &Place) -> Launch {
    place.launch(env!("CARGO_BIN_EXE_victim"))
}
