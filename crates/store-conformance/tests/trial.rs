//! Does the kit for users bite? A trial on a store with a planted bug finds it, although the schema is
//! right, and the script that it prints finds it again.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use keystep::memory::MemoryStore;
use keystep::testing::{Process, Trial};
use keystep::{Schema, StepContext, StepResult};
use store_conformance::planted::{self, Plant, Planted};

async fn add(_cx: StepContext, n: u64) -> StepResult<u64> {
    Ok(n + 1)
}

/// A trial of a right schema on a store with this bug.
fn on<P: Plant<MemoryStore>>(plant: fn() -> P) -> Trial<u64, u64, MemoryStore> {
    let schema = Schema::new("test.planted")
        .step("one", add)
        .step("two", add)
        .build();
    Trial::new(schema, 1)
        .world(
            async |clock| MemoryStore::with_clock(clock),
            async move |store: &MemoryStore| Process::on(Planted::new(store.another_handle(), plant())),
        )
        .at_once(8)
}

async fn panic_of(trial: Trial<u64, u64, MemoryStore>) -> String {
    match AssertUnwindSafe(trial.run()).catch_unwind().await {
        Ok(report) => panic!("not found: {report}"),
        Err(panic) => *panic.downcast::<String>().expect("a text"),
    }
}

/// The bug is found, said like this, and found again by the script.
async fn finds<P: Plant<MemoryStore>>(plant: fn() -> P, said: &str) {
    let first = panic_of(on(plant)).await;
    assert!(first.contains(said), "{first}");
    let (_, rest) = first.split_once(".replay(\"").expect("a script");
    let (script, _) = rest.split_once('"').expect("its end");
    let again = panic_of(on(plant).replay(script)).await;
    assert!(again.contains(said) && again.contains(script), "{again}");
}

#[tokio::test]
async fn without_a_plant_nothing_is_found() {
    struct Nothing;
    impl Plant<MemoryStore> for Nothing {}
    let report = on(|| Nothing).run().await;
    assert!(report.stories > 60 && report.fenced > 5, "{report}");
}

#[tokio::test]
async fn a_missing_fence_is_found() {
    finds(
        || planted::FenceMissing,
        "an owner that had been replaced still wrote",
    )
    .await;
}

#[tokio::test]
async fn a_begin_that_starts_twice_is_found() {
    finds(|| planted::BeginStartsTwice, "the key was begun twice").await;
}

#[tokio::test]
async fn an_acquisition_by_key_only_is_found() {
    finds(
        || planted::AcquireByKeyOnly,
        "an owner that nobody had given up was replaced while it was at work",
    )
    .await;
}

#[tokio::test]
async fn an_ended_execution_that_is_taken_up_again_is_found() {
    let late = on(|| planted::AcquireByKeyOnly).replay("die before commit 1; oversleep before acquire 1");
    let said = panic_of(late).await;
    assert!(
        said.contains("had ended as succeeded, and was taken up again"),
        "{said}"
    );
}

#[tokio::test]
async fn a_resend_answered_as_a_failure_is_found() {
    finds(
        || planted::ResendIsFailure,
        "was refused a write, and nobody had replaced it",
    )
    .await;
}
