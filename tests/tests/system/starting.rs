//! Many processes start on an empty database, or an old one on a database of the future: then what?

use keystep::State;
use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::victim::Victim;

use crate::victim;

on_both_stores!(
    ten_processes_that_start_together_on_an_empty_database_all_succeed,
    a_program_that_is_too_old_for_the_database_says_so_and_stops,
);

fn ten_processes_that_start_together_on_an_empty_database_all_succeed(kind: Kind) {
    let place = Place::empty(kind);
    let launch = victim(&place).switch("migrate");
    let mut started: Vec<Victim> = (0..10).map(|_| launch.start()).collect();
    let keys: Vec<String> = (0..started.len()).map(|number| format!("k{number}")).collect();
    let calls: Vec<_> = started
        .iter_mut()
        .zip(&keys)
        .map(|(process, key)| process.run("three", key, Policy::Attach))
        .collect();
    for ((process, call), key) in started.iter().zip(calls).zip(&keys) {
        let output = process.answer(call);
        assert_eq!(output.map(|nonces| nonces.len()), Ok(3), "{key}\n{process}");
        let record = place.execution("three", key).expect("an execution");
        assert_eq!((record.state, record.claim.epoch), (State::Succeeded, 1));
    }
    started.into_iter().for_each(Victim::exit);
}

fn a_program_that_is_too_old_for_the_database_says_so_and_stops(kind: Kind) {
    let place = Place::fresh(kind);
    place.raise_min_reader();
    for launch in [victim(&place), victim(&place).switch("migrate")] {
        let refusal = launch.start().refused();
        assert!(
            refusal.contains("99") && refusal.contains("newer"),
            "it does not say that the database is of format 99 and needs a newer program: {refusal}"
        );
    }
}
