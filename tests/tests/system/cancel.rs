//! Somebody wants an execution cancelled that another process runs: how soon does its step see that, and
//! is it kept whoever dies?

use std::time::{Duration, Instant};

use keystep::State;
use system_tests::place::{Kind, Place};
use system_tests::protocol::{Policy, Trail};
use system_tests::victim::Victim;

use crate::{show, victim};

on_both_stores!(
    alone_a_step_in_another_process_sees_within_a_second_that_it_is_cancelled,
    a_wish_to_cancel_outlives_the_owner_that_did_not_see_it,
    a_signal_wakes_what_waits_when_the_process_that_began_to_wait_is_dead,
);

const SCHEMA: &str = "kinds";
const UNDONE: [&str; 3] = ["book/undo", "pay/undo", "lines/undo"];

/// It is cancelled, whoever asks; and this is what was undone of it.
fn is_cancelled(place: &Place, process: &mut Victim, key: &str, undone: &[&str]) {
    place.until(SCHEMA, key, |record| record.state == State::Cancelled);
    let call = process.run(SCHEMA, key, Policy::Attach);
    let told = process.answer(call).expect_err("no output");
    assert_eq!(told.kind, "cancelled", "{key}: {told:?}");
    let attempts = place.attempts(SCHEMA, key);
    let names = attempts.iter().map(|attempt| attempt.step.as_str());
    let undos: Vec<&str> = names.filter(|name| name.ends_with("/undo")).collect();
    assert_eq!(undos, undone, "{key}");
}

fn alone_a_step_in_another_process_sees_within_a_second_that_it_is_cancelled(kind: Kind) {
    const ROUNDS: usize = 8;
    let place = Place::fresh(kind);
    let mut owner = victim(&place).gate("last").ready();
    let mut other = victim(&place).ready();
    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        let (key, undo) = (format!("k{round}"), round % 2 == 0);
        let call = owner.run(SCHEMA, &key, Policy::Attach);
        let attempt = owner.at_gate(SCHEMA, &key, "last");
        let wished = Instant::now();
        let cancel = other.cancel(SCHEMA, &key, undo);
        let seen = owner.saw_cancel(&attempt.nonce);
        longest = longest.max(seen - wished);
        assert_eq!(other.answer(cancel), Ok(Vec::new()));
        let told = owner.answer(call).expect_err("no output");
        assert_eq!(told.kind, "cancelled", "{told:?}");
        is_cancelled(&place, &mut other, &key, if undo { &UNDONE } else { &[] });
    }
    show(&format!(
        "{kind:?}: {ROUNDS} wishes, seen after {longest:?} at the latest"
    ));
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

fn a_wish_to_cancel_outlives_the_owner_that_did_not_see_it(kind: Kind) {
    let place = Place::fresh(kind);
    place.settle();
    let mut owner = victim(&place).gate("last").ready();
    owner.run(SCHEMA, "k", Policy::Attach);
    owner.at_gate(SCHEMA, "k", "last");
    owner.stop();
    let mut other = victim(&place).grace(Duration::ZERO).ready();
    let cancel = other.cancel(SCHEMA, "k", true);
    assert_eq!(other.answer(cancel), Ok(Vec::new()));
    owner.kill();
    is_cancelled(&place, &mut other, "k", &UNDONE);
    let begun = place.attempts_by_step(SCHEMA, "k");
    assert!(
        begun.contains(&("last".to_owned(), 1)),
        "it did not begin again: {begun:?}"
    );
}

fn a_signal_wakes_what_waits_when_the_process_that_began_to_wait_is_dead(kind: Kind) {
    let place = Place::fresh(kind);
    let input = Trail {
        payload: "k".to_owned(),
        signal_ms: Some(3_600_000),
        ..Trail::default()
    };
    let mut first = victim(&place).ready();
    first.run_with(SCHEMA, "k", input.clone(), Policy::Wait(10));
    let waits = place.until(SCHEMA, "k", |record| record.state == State::Waiting);
    assert!(waits.wake_in.is_some(), "until its deadline: {waits:?}");
    first.kill();

    let mut other = victim(&place).ready();
    let sent = other.send_signal(SCHEMA, "k");
    assert_eq!(other.answer(sent), Ok(Vec::new()));
    place.until(SCHEMA, "k", |record| record.state == State::Succeeded);
    let call = other.run_with(SCHEMA, "k", input, Policy::Attach);
    assert_eq!(other.answer(call).map(|output| output.len()), Ok(5));
    let begun = place.attempts_by_step(SCHEMA, "k");
    assert!(
        begun.iter().all(|(_step, times)| *times == 1),
        "nothing again: {begun:?}"
    );
}
