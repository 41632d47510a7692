//! What does a deploy leave behind that is stopped, and what its successor?
//!
//! The new binary has registered the old shape of the schema beside the new one, which has one more
//! step.

use std::time::{Duration, Instant};

use keystep::{ParkReason, State};
use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::releases::{Release, gate};
use system_tests::victim::{Launch, Victim};

use crate::binary;

on_both_stores!(
    what_only_a_killed_new_binary_could_run_waits_for_the_next_one,
    what_only_a_stopped_deploy_could_run_waits_for_the_next_one,
    what_nobody_could_run_for_a_while_is_parked_and_the_next_new_binary_finishes_it,
);

const NAME: &str = "deploy.inserted";
/// As the new binary knows it.
const OLD: &str = "deploy.inserted/old";

/// An old and a new binary. The new one is in the step `second` of one execution of each shape.
struct Deploy {
    old: Victim,
    new: Victim,
    /// Last: it goes when nobody uses it any more.
    place: Place,
}

fn deploy(kind: Kind, old: impl FnOnce(Launch) -> Launch) -> Deploy {
    let place = Place::fresh(kind);
    let old = old(binary(&place, Release::Old)).ready();
    let second = gate(NAME, "second");
    let mut new = binary(&place, Release::Both).gate(&second).ready();
    for (shape, key) in [(OLD, "born-old"), (NAME, "born-new")] {
        new.run(shape, key, Policy::Attach);
        new.at_gate(shape, key, &second);
    }
    Deploy { place, old, new }
}

/// The old binary finishes what was born old, in the old shape.
fn the_old_one_finishes_what_it_can(place: &Place, old: &mut Victim) {
    old.entered(NAME, "born-old", "second");
    let call = old.run(NAME, "born-old", Policy::Attach);
    assert_eq!(old.marks(call).len(), 4);
    let all = ["first", "second", "third", "fourth"];
    assert_eq!(steps(place, "born-old"), all);
}

/// A fresh new binary finishes what was born new, without a call, and nothing of it ran twice that
/// was recorded.
fn a_new_one_finishes_the_rest(place: &Place) {
    let mut next = binary(place, Release::Both).ready();
    next.entered(NAME, "born-new", "third");
    let call = next.run(NAME, "born-new", Policy::Attach);
    assert_eq!(next.marks(call).len(), 5);
    let all = ["first", "between", "second", "third", "fourth"];
    assert_eq!(steps(place, "born-new"), all);
    let attempts = place.attempts_by_step(NAME, "born-new");
    let counts: Vec<usize> = attempts.iter().map(|(_step, count)| *count).collect();
    assert_eq!(counts, [1, 1, 2, 1, 1], "{attempts:?}");
}

fn steps(place: &Place, key: &str) -> Vec<String> {
    let checkpoints = place.checkpoints(NAME, key);
    checkpoints
        .into_iter()
        .map(|checkpoint| checkpoint.step)
        .collect()
}

fn what_only_a_killed_new_binary_could_run_waits_for_the_next_one(kind: Kind) {
    let Deploy { place, mut old, new } = deploy(kind, |old| old);
    new.kill();
    the_old_one_finishes_what_it_can(&place, &mut old);

    // Nor does a caller of the key park it.
    let call = old.run(NAME, "born-new", Policy::Wait(1_000));
    let refused = old.answer(call).expect_err("nobody can run it now");
    assert_eq!(refused.kind, "in_progress", "{refused:?}");
    let left = place.execution(NAME, "born-new").expect("an execution");
    assert_eq!((left.state, left.parked), (State::Running, None));
    a_new_one_finishes_the_rest(&place);
}

fn what_only_a_stopped_deploy_could_run_waits_for_the_next_one(kind: Kind) {
    let Deploy { place, mut old, new } = deploy(kind, |old| old);
    new.exit();
    the_old_one_finishes_what_it_can(&place, &mut old);

    let left = place.execution(NAME, "born-new").expect("an execution");
    assert_eq!(
        (left.state, left.parked),
        (State::Ready, None),
        "it was handed back"
    );
    a_new_one_finishes_the_rest(&place);
}

fn what_nobody_could_run_for_a_while_is_parked_and_the_next_new_binary_finishes_it(kind: Kind) {
    const AFTER: Duration = Duration::from_secs(2);
    let Deploy { place, mut old, new } =
        deploy(kind, |old| old.unknown_shape_after(AFTER).option("sweep-ms", 100));
    let killed = new.kill();
    the_old_one_finishes_what_it_can(&place, &mut old);

    let parked = place.until(NAME, "born-new", |record| record.state == State::Parked);
    assert!(
        killed.elapsed() >= AFTER,
        "parked after {:?}",
        Instant::now() - killed
    );
    assert_eq!(parked.parked, Some(ParkReason::UnknownShape));
    let call = old.run(NAME, "born-new", Policy::Attach);
    let refused = old.answer(call).expect_err("it is parked");
    assert_eq!(
        (refused.kind.as_str(), refused.reason.as_deref()),
        ("parked", Some("unknown_shape"))
    );
    a_new_one_finishes_the_rest(&place);
}
