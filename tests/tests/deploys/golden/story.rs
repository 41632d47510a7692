//! How do executions come to be in every state? Real processes, some killed at known moments.
//!
//! The story is told the same way by each version, so that the rows of two versions compare.

use std::time::Duration;

use keystep::{ParkReason, State};
use system_tests::place::{Kind, Place};
use system_tests::protocol::{Mishap, Policy, Trail};
use system_tests::releases::{Release, gate};
use system_tests::victim::{Launch, Victim};

use crate::{binary, hasty, victim};

/// The schema. It never changes.
pub(super) const SCHEMA: &str = "golden";

/// All keys, each with the step whose first attempt goes wrong, and how.
pub(super) const KEYS: [(&str, Option<(&str, Mishap)>); 15] = [
    ("succeeded", None),
    ("taken-over", None),
    ("failed-terminal", Some(("pay", Mishap::Terminal))),
    ("failed-exhausted", Some(("pay", Mishap::Error))),
    ("failed-panic", Some(("pay", Mishap::Panic))),
    ("waiting", Some(("stamp", Mishap::Later))),
    ("waiting-due", Some(("stamp", Mishap::Later))),
    ("ready", None),
    ("parked-lost-too-often", None),
    ("parked-unreadable", None),
    ("parked-unknown-shape", None),
    ("running-first", None),
    ("running-second", None),
    ("running-third", None),
    ("running-last", None),
];

/// Tells the story in a fresh place.
pub(super) fn tell(kind: Kind, place: &Place) {
    let mut process = alone(place).ready();
    let finished = ["succeeded", "failed-terminal", "failed-exhausted", "failed-panic"];
    for key in finished.into_iter().chain(["waiting", "waiting-due"]) {
        let call = begin(&mut process, key);
        let _told_by_the_rows = process.answer(call);
    }
    process.kill();

    dies_in(place, "taken-over", "pay");
    let successor = binary(place, Release::Old).ready();
    place.until(SCHEMA, "taken-over", |record| record.state == State::Succeeded);
    successor.kill();

    dies_in(place, "parked-lost-too-often", "pay");
    let impatient = binary(place, Release::Old).option("lost-owners", 1).ready();
    is_parked(place, "parked-lost-too-often", ParkReason::LostTooOften);
    impatient.kill();

    dies_in(place, "parked-unreadable", "pay");
    place.load(BY_A_STRANGE_CODEC[usize::from(kind == Kind::Postgres)]);
    let reader = binary(place, Release::Old).ready();
    is_parked(place, "parked-unreadable", ParkReason::Unreadable);
    reader.kill();

    dies_in(place, "parked-unknown-shape", "pay");
    let other = hasty(place, Release::New).ready();
    is_parked(place, "parked-unknown-shape", ParkReason::UnknownShape);
    other.kill();

    stopped_in(place, "ready", "pay").exit();
    let left = place.execution(SCHEMA, "ready").expect("an execution");
    assert_eq!(left.state, State::Ready);

    place.load(ITS_TIME_HAS_COME[usize::from(kind == Kind::Postgres)]);
    let mut owner = alone(place).ready();
    for (key, step) in [
        ("running-last", "send"),
        ("running-third", "stamp"),
        ("running-second", "pay"),
        ("running-first", "reserve"),
    ] {
        owner.close(&gate(SCHEMA, step));
        begin(&mut owner, key);
        owner.at_gate(SCHEMA, key, &gate(SCHEMA, step));
    }
    owner.kill();
}

/// The input of a key.
pub(super) fn input(key: &str) -> Trail {
    let (_key, mishap) = KEYS.iter().find(|(known, _mishap)| *known == key).expect("a key");
    Trail {
        payload: format!("golden {key}"),
        mishap: mishap.map(|(step, mishap)| (step.to_owned(), mishap)),
        ..Trail::default()
    }
}

/// What was recorded by a codec that no program of these tests has.
const BY_A_STRANGE_CODEC: [&str; 2] = [
    "UPDATE keystep_checkpoints SET output = x'0163' WHERE run_id =
        (SELECT run_id FROM keystep_executions WHERE key_text = 'parked-unreadable')",
    r"UPDATE {schema}.checkpoints SET output = '\x0163' WHERE run_id =
        (SELECT run_id FROM {schema}.executions WHERE key = 'parked-unreadable')",
];

const ITS_TIME_HAS_COME: [&str; 2] = [
    "UPDATE keystep_executions SET wake_at = created_at WHERE key_text = 'waiting-due'",
    "UPDATE {schema}.executions SET wake_at = created_at WHERE key = 'waiting-due'",
];

/// A process that leaves alone what others have left.
fn alone(place: &Place) -> Launch {
    victim(place).drain(Duration::ZERO).option("in-flight", 0)
}

fn stopped_in(place: &Place, key: &str, step: &str) -> Victim {
    let mut owner = alone(place).gate(&gate(SCHEMA, step)).ready();
    begin(&mut owner, key);
    owner.at_gate(SCHEMA, key, &gate(SCHEMA, step));
    owner
}

fn dies_in(place: &Place, key: &str, step: &str) {
    stopped_in(place, key, step).kill();
}

fn begin(process: &mut Victim, key: &str) -> system_tests::victim::Call {
    process.run_with(SCHEMA, key, input(key), Policy::Attach)
}

fn is_parked(place: &Place, key: &str, reason: ParkReason) {
    place.until(SCHEMA, key, |record| record.parked == Some(reason));
}
