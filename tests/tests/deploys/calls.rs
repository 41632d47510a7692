//! What is a caller told by a process that has not registered the shape of its key's execution?

use std::time::{Duration, Instant};

use keystep::{ParkReason, State};
use system_tests::place::{Kind, Place};
use system_tests::protocol::{Mishap, Policy, Trail};
use system_tests::releases::Release;
use system_tests::victim::{Call, Launch, SOON, Victim};

use crate::binary;

on_both_stores!(
    a_process_without_the_shape_answers_as_the_page_says,
    a_call_parks_at_once_what_was_put_down_and_nobody_knows,
    a_process_that_was_stopped_looks_at_the_others_before_it_parks,
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
    let mut old = sees_nobody_else(&place, binary(&place, Release::Old));
    let (key, mishap, ..) = WAITING;
    let parked = place.execution(NAME, key).expect("an execution");
    assert_eq!(
        (parked.state, parked.parked),
        (State::Parked, Some(ParkReason::UnknownShape))
    );
    let _new = binary(&place, Release::New).ready();
    place.until(NAME, key, |record| record.state == State::Succeeded);
    is_told(&mut old, key, mishap, Ok(()));
}

fn a_process_that_was_stopped_looks_at_the_others_before_it_parks(kind: Kind) {
    // What a process has seen of the others is believed for the half of it.
    const BEAT_LIMIT: Duration = Duration::from_secs(1);
    let place = Place::fresh(kind);
    let old = binary(&place, Release::Old).beat_limit(BEAT_LIMIT);
    let mut old = sees_nobody_else(&place, old.beat(BEAT_LIMIT / 10));
    old.stop();
    let stopped = Instant::now();
    let mut new = binary(&place, Release::New).ready();
    let (_key, mishap, told, by_others) = WAITING;
    is_told(&mut new, "meanwhile", mishap, told);
    std::thread::sleep(BEAT_LIMIT.saturating_sub(stopped.elapsed()));
    let call = ask(&mut old, "meanwhile", mishap);
    old.go_on();
    assert_eq!(answered(&old, call), owned(by_others));
}

/// An old process that has seen that nobody has the new shape: a call parks what was put down.
fn sees_nobody_else(place: &Place, old: Launch) -> Victim {
    let (key, mishap, told, _by_others) = WAITING;
    let mut new = binary(place, Release::New).ready();
    is_told(&mut new, key, mishap, told);
    new.exit();
    // A process that has not looked at the others yet does not say that nobody knows the shape.
    let mut old = old.ready();
    let deadline = Instant::now() + SOON;
    let parked = owned(Err(("parked", Some("unknown_shape"))));
    loop {
        let call = ask(&mut old, key, mishap);
        if answered(&old, call) == parked {
            return old;
        }
        assert!(Instant::now() < deadline, "a call does not park it\n{old}");
    }
}

fn is_told(process: &mut Victim, key: &str, mishap: Option<Mishap>, told: Told) {
    let call = ask(process, key, mishap);
    assert_eq!(answered(process, call), owned(told), "{key}");
}

fn ask(process: &mut Victim, key: &str, mishap: Option<Mishap>) -> Call {
    let input = Trail {
        payload: key.to_owned(),
        mishap: mishap.map(|mishap| ("second".to_owned(), mishap)),
        ..Trail::default()
    };
    process.run_with(NAME, key, input, Policy::Attach)
}

/// What a call gets: an output, or an error and its reason.
fn answered(process: &Victim, call: Call) -> Result<(), (String, Option<String>)> {
    let answer = process.answer(call);
    answer.map(drop).map_err(|error| (error.kind, error.reason))
}

fn owned(told: Told) -> Result<(), (String, Option<String>)> {
    told.map_err(|(kind, reason)| (kind.to_owned(), reason.map(str::to_owned)))
}
