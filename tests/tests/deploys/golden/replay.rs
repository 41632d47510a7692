//! What becomes of stored executions under this version? Each by itself, then called, then resumed
//! by hand where that is what it waits for; told as one text, which is golden too.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use keystep::{ParkReason, State};
use serde_json::Value;
use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::releases::Release;
use system_tests::victim::{SOON, Victim};

use super::story::{KEYS, SCHEMA, input};
use super::{VERSIONS, Version, file, text, write_if_asked};
use crate::binary;

on_both_stores!(every_golden_history_goes_on_as_it_says);

fn every_golden_history_goes_on_as_it_says(kind: Kind) {
    for version in VERSIONS {
        let place = version.load(kind);
        place.settle();
        let recorded_then = recorded(&place);
        place.migrate();
        let told = replay(&place);
        if version.folder == Version::newest().folder {
            write_if_asked("outcomes.txt", &told);
        }
        assert_eq!(
            told,
            text(file(version.folder, "outcomes.txt")),
            "{}",
            version.folder
        );
        let recorded_now = recorded(&place);
        for checkpoint in recorded_then {
            assert!(recorded_now.contains(&checkpoint), "it was changed: {checkpoint}");
        }
    }
}

/// The checkpoints to the last column, as statements.
fn recorded(place: &Place) -> Vec<String> {
    let rows = place.rows();
    let checkpoints = rows.iter().filter(|row| row.table == "checkpoints");
    checkpoints.map(|row| place.insert(row)).collect()
}

fn replay(place: &Place) -> String {
    // Later versions have more to tell.
    let keys = KEYS.map(|(key, _mishap)| key).into_iter();
    let keys: Vec<&str> = keys
        .filter(|key| place.execution(SCHEMA, key).is_some())
        .collect();
    let stored: Vec<String> = keys.iter().map(|key| standing(place, key)).collect();
    let mut process = binary(place, Release::Old).switch("migrate").ready();
    at_rest(place, &keys);
    let by_itself: Vec<String> = keys.iter().map(|key| standing(place, key)).collect();
    let mut told = String::new();
    for ((key, stored), by_itself) in keys.iter().zip(stored).zip(by_itself) {
        let called = called(&mut process, key);
        let resumed = resumed(place, &mut process, key);
        let again = place.attempts_by_step(SCHEMA, key);
        let again: Vec<String> = again
            .iter()
            .map(|(step, count)| format!("{step} {count}×"))
            .collect();
        told += &format!("{key}\n");
        for (what, how) in [
            ("stored", stored),
            ("by itself", by_itself),
            ("called", called),
            ("resumed", resumed),
            ("ran now", or_nothing(&again)),
            ("ends", standing(place, key)),
            ("output", output(place, key)),
        ] {
            told += &format!("    {what}: {how}\n");
        }
    }
    told
}

/// Waits until nothing goes on by itself any more.
fn at_rest(place: &Place, keys: &[&str]) {
    let deadline = Instant::now() + SOON;
    let moves = |key: &&&str| {
        let record = place.execution(SCHEMA, key).expect("an execution");
        let due = record.wake_in.is_some_and(|wake_in| wake_in.is_zero());
        let known_again = record.parked == Some(ParkReason::UnknownShape);
        record.state == State::Running || due || known_again
    };
    while let Some(key) = keys.iter().find(moves) {
        assert!(Instant::now() < deadline, "{key} stays {}", standing(place, key));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How an execution stands.
fn standing(place: &Place, key: &str) -> String {
    let record = place.execution(SCHEMA, key).expect("an execution");
    let mut told = record.state.as_str().to_owned();
    if let Some(reason) = record.parked {
        let _to_a_string = write!(told, " as {}", reason.as_str());
    }
    let checkpoints = place.checkpoints(SCHEMA, key);
    let steps: Vec<String> = checkpoints
        .into_iter()
        .map(|checkpoint| checkpoint.step)
        .collect();
    let _to_a_string = write!(
        told,
        " after {}; generation {}, epoch {}, {} lost",
        or_nothing(&steps),
        record.generation,
        record.claim.epoch,
        record.lost
    );
    if let Some(failure) = record.failure {
        // A header of two bytes, then JSON. Its text is no promise.
        let failure: Value = serde_json::from_slice(&failure.0[2..]).expect("a failure");
        let _to_a_string = write!(
            told,
            "; {} in {} at attempt {}, code {}",
            failure["kind"], failure["step"], failure["attempt"], failure["code"]
        );
    }
    told
}

/// What a call gets.
fn called(process: &mut Victim, key: &str) -> String {
    let call = process.run_with(SCHEMA, key, input(key), Policy::Attach);
    match process.answer(call) {
        Ok(_nonces) => {
            let marks = process.marks(call);
            let steps: Vec<String> = marks.into_iter().map(|mark| mark.step).collect();
            format!("output of {}", or_nothing(&steps))
        }
        Err(error) => format!("{} {}", error.kind, error.reason.unwrap_or_default()),
    }
}

/// What a person gets who lets a parked execution go on.
fn resumed(place: &Place, process: &mut Victim, key: &str) -> String {
    let record = place.execution(SCHEMA, key).expect("an execution");
    if record.state != State::Parked {
        return "no need".to_owned();
    }
    let resumed = process.resume(SCHEMA, key);
    assert_eq!(process.answer(resumed), Ok(Vec::new()), "{key}");
    called(process, key)
}

/// The stored output, byte for byte.
fn output(place: &Place, key: &str) -> String {
    let record = place.execution(SCHEMA, key).expect("an execution");
    record.output.map_or_else(
        || "none".to_owned(),
        |output| {
            let (header, body) = output.0.split_at(2);
            format!("{header:?} {}", String::from_utf8_lossy(body))
        },
    )
}

fn or_nothing(words: &[String]) -> String {
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}
