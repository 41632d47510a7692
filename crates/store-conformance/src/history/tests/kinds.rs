//! The checker knows what holds for steps that are done at most once, and for what is undone.

use super::*;

/// Paid by an owner that was killed before it recorded that; undone by the next one.
fn undone() -> Vec<Event> {
    vec![
        changed(1, 0, Some(7), "running"),
        began("reserve", 1, 100, 7),
        recorded("reserve", 1, 100),
        began("pay", 1, 101, 7),
        Event::Crashed { worker: 7 },
        changed(2, 1, Some(8), "running"),
        recorded("pay", 2, 101),
        began("undo pay", 2, 102, 8),
        recorded("undo pay", 2, 102),
        began("undo reserve", 2, 103, 8),
        recorded("undo reserve", 2, 103),
        changed(2, 1, None, "undone"),
        ledger("pay"),
        stands("undone", false),
    ]
}

fn found(events: Vec<Event>) -> Vec<Promise> {
    let checker = Checker::new()
        .at_most_once("pay")
        .undoable("reserve", "undo reserve")
        .undoable("pay", "undo pay");
    let report = checker.check(&history(events));
    let mut found: Vec<Promise> = report.violations.iter().map(|one| one.promise).collect();
    found.dedup();
    found
}

/// The history without an event, or with others in its place.
fn but(old: &Event, new: Vec<Event>) -> Vec<Event> {
    let mut events = undone();
    let place = events.iter().position(|event| event == old);
    let place = place.expect("the event is in the history");
    events.splice(place..=place, new);
    events
}

#[test]
fn what_was_paid_once_and_is_undone_in_reverse_is_believed() {
    assert_eq!(found(undone()), []);
}

#[test]
fn only_a_step_that_is_done_at_most_once_may_be_recorded_by_a_later_owner() {
    assert_eq!(broken(undone()), [Promise::NeverAgain]);
}

#[test]
fn a_second_effect_of_what_is_done_at_most_once_is_found() {
    let twice = but(&ledger("pay"), vec![ledger("pay"), ledger("pay")]);
    assert_eq!(found(twice), [Promise::RecordedOnce]);
}

#[test]
fn a_record_of_an_effect_that_did_not_happen_is_found() {
    assert_eq!(found(but(&ledger("pay"), vec![])), [Promise::RecordedOnce]);
}

#[test]
fn one_effect_that_is_not_recorded_is_believed_and_two_are_found() {
    let mut in_doubt = undone();
    in_doubt.truncate(6);
    in_doubt.extend([
        changed(2, 1, None, "parked"),
        stands("parked", false),
        ledger("pay"),
    ]);
    assert_eq!(found(in_doubt.clone()), []);
    in_doubt.push(ledger("pay"));
    assert_eq!(found(in_doubt), [Promise::RecordedOnce]);
}

#[test]
fn an_undo_in_the_order_of_the_steps_is_found() {
    let mut events = undone();
    events.swap(7, 9);
    events.swap(8, 10);
    assert_eq!(found(events), [Promise::Undone]);
}

#[test]
fn a_step_that_was_not_undone_is_found() {
    assert_eq!(
        found(but(&recorded("undo pay", 2, 102), vec![])),
        [Promise::Undone]
    );
}

#[test]
fn an_undo_of_a_step_that_was_not_done_is_found() {
    let broken = found(but(&recorded("reserve", 1, 100), vec![]));
    assert_eq!(broken, [Promise::Undone]);
}

#[test]
fn a_failure_after_an_undo_is_found() {
    let failed = but(
        &changed(2, 1, None, "undone"),
        vec![changed(2, 1, None, "failed")],
    );
    assert_eq!(found(failed), [Promise::Undone]);
}

#[test]
fn an_end_that_changes_within_its_run_is_found() {
    for end in ["undone", "cancelled"] {
        let again = vec![changed(2, 1, None, end), changed(3, 2, Some(9), "running")];
        let events = but(&changed(2, 1, None, "undone"), again);
        assert!(found(events).contains(&Promise::OneAnswer), "{end}");
    }
}
