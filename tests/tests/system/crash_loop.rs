//! A step that takes its process down each time: does it take all of them down?

use std::time::Duration;

use keystep::{Limits, ParkReason, State};
use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;

use crate::victim;

on_both_stores!(
    an_execution_whose_owner_dies_ten_times_in_one_step_is_parked_and_others_go_on,
    a_new_checkpoint_forgives_the_owners_that_were_lost_before,
);

fn an_execution_whose_owner_dies_ten_times_in_one_step_is_parked_and_others_go_on(kind: Kind) {
    let place = Place::fresh(kind);
    let launch = victim(&place).grace(Duration::ZERO);
    let doomed = launch.clone().gate("second");
    let limit = Limits::default().lost_owners;

    let mut owner = doomed.ready();
    owner.run("three", "k", Policy::Attach);
    for attempt in 1..=limit {
        let reached = owner.at_gate("three", "k", "second");
        assert_eq!(reached.attempt, i64::from(attempt));
        // Who takes it up next is there already, and has been asked for nothing.
        let next = doomed.ready();
        owner.kill();
        owner = next;
    }
    let parked = place.until("three", "k", |record| record.state == State::Parked);
    assert_eq!(parked.parked, Some(ParkReason::LostTooOften));
    let attempts = place.attempts_by_step("three", "k");
    assert_eq!(attempts[1], ("second".to_owned(), limit as usize), "{attempts:?}");

    let call = owner.run("three", "k", Policy::Attach);
    let refused = owner.answer(call).expect_err("it is parked");
    assert_eq!(
        (refused.kind.as_str(), refused.reason.as_deref()),
        ("parked", Some("lost_too_often"))
    );
    owner.open("second");
    let call = owner.run("three", "other", Policy::Attach);
    assert!(owner.answer(call).is_ok(), "others go on");
}

fn a_new_checkpoint_forgives_the_owners_that_were_lost_before(kind: Kind) {
    let place = Place::fresh(kind);
    let launch = victim(&place).grace(Duration::ZERO).option("lost-owners", 3);
    let mut owner = launch.clone().gate("first").ready();
    owner.run("three", "k", Policy::Attach);
    // Two owners are lost in each of the three steps: six in all, never three without a checkpoint.
    let gates = ["first", "first", "second", "second", "third", "third"];
    for (number, gate) in gates.iter().enumerate() {
        owner.at_gate("three", "k", gate);
        let next = match gates.get(number + 1) {
            Some(next_gate) => launch.clone().gate(next_gate).ready(),
            None => launch.ready(),
        };
        owner.kill();
        owner = next;
    }
    let call = owner.run("three", "k", Policy::Attach);
    assert!(owner.answer(call).is_ok());
    let attempts = place.attempts_by_step("three", "k");
    let counts: Vec<usize> = attempts.iter().map(|(_step, count)| *count).collect();
    assert_eq!(counts, [3, 3, 3], "{attempts:?}");
}
