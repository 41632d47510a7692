//! What is a caller told by a process that has not registered the shape of its key's execution?

use std::time::Instant;

use keystep::{ParkReason, State};
use system_tests::place::{Kind, Place};
use system_tests::protocol::{Mishap, Policy, Trail};
use system_tests::releases::Release;
use system_tests::victim::{SOON, Victim};

use crate::binary;

on_both_stores!(
    a_process_without_the_shape_answers_as_the_page_says,
    a_call_parks_at_once_what_was_put_down_and_nobody_knows,
);

const NAME: &str = "deploy.inserted";

/// Key, what goes wrong in the step `second`, and what the caller is told by a process that has the
/// shape and by one that has not: an output, or an error and its reason.
type Case = (&'static str, Option<Mishap>, Told, Told);
type Told = Result<(), (&'static str, Option<&'static str>)>;

const WAITING: Case = (
    "waiting",
    Some(Mishap::Later),
    Err(("waiting", None)),
    Err(("waiting", None)),
);

const CASES: [Case; 4] = [
    ("succeeded", None, Ok(()), Ok(())),
    (
        "terminal",
        Some(Mishap::Terminal),
        Err(("failed", Some("refused"))),
        Err(("failed", Some("refused"))),
    ),
    (
        "exhausted",
        Some(Mishap::Misread),
        Err(("failed", Some("unreadable_value"))),
        Err(("parked", Some("unknown_shape"))),
    ),
    WAITING,
];

fn a_process_without_the_shape_answers_as_the_page_says(kind: Kind) {
    let place = Place::fresh(kind);
    let [mut old, mut new] = [Release::Old, Release::New].map(|release| binary(&place, release).ready());
    for (key, mishap, told, _by_others) in CASES {
        is_told(&mut new, key, mishap, told);
    }
    let before = CASES.map(|(key, ..)| place.execution(NAME, key).expect("an execution").state);
    for (key, mishap, _here, told) in CASES {
        is_told(&mut old, key, mishap, told);
    }
    let after = CASES.map(|(key, ..)| place.execution(NAME, key).expect("an execution").state);
    assert_eq!(after, before, "nothing was moved");
}

fn a_call_parks_at_once_what_was_put_down_and_nobody_knows(kind: Kind) {
    let place = Place::fresh(kind);
    let mut new = binary(&place, Release::New).ready();
    let (key, mishap, told, _by_others) = WAITING;
    is_told(&mut new, key, mishap, told);
    new.exit();

    // A process that has not looked at the others yet does not say that nobody knows the shape.
    let mut old = binary(&place, Release::Old).ready();
    let deadline = Instant::now() + SOON;
    while answer(&mut old, key, mishap) != Err(("parked".to_owned(), Some("unknown_shape".to_owned()))) {
        assert!(Instant::now() < deadline, "a call does not park it\n{old}");
    }
    let parked = place.execution(NAME, key).expect("an execution");
    assert_eq!(
        (parked.state, parked.parked),
        (State::Parked, Some(ParkReason::UnknownShape))
    );
    let _new = binary(&place, Release::New).ready();
    place.until(NAME, key, |record| record.state == State::Succeeded);
    is_told(&mut old, key, mishap, Ok(()));
}

fn is_told(process: &mut Victim, key: &str, mishap: Option<Mishap>, told: Told) {
    let told = told.map_err(|(kind, reason)| (kind.to_owned(), reason.map(str::to_owned)));
    assert_eq!(answer(process, key, mishap), told, "{key}");
}

/// What a call gets: an output, or an error and its reason.
fn answer(process: &mut Victim, key: &str, mishap: Option<Mishap>) -> Result<(), (String, Option<String>)> {
    let input = Trail {
        payload: key.to_owned(),
        mishap: mishap.map(|mishap| ("second".to_owned(), mishap)),
        ..Trail::default()
    };
    let call = process.run_with(NAME, key, input, Policy::Attach);
    let answer = process.answer(call);
    answer.map(drop).map_err(|error| (error.kind, error.reason))
}
