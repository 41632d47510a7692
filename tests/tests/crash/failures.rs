//! A process dies while it records that its execution has failed for good, before anybody has heard
//! of the failure: what do others hear of it?

use keystep::State;
use system_tests::evidence::Evidence;
use system_tests::place::Kind;
use system_tests::protocol::{AfterFailure, Mishap, Policy, Risk, Run, Trail};
use system_tests::victim::{Call, Victim};

use crate::deaths::points;
use crate::snare::{Snare, Way};
use crate::story::{SCHEMA, Scene};

on_both_stores!(
    a_failure_that_is_durable_is_replayed_and_never_changes,
    a_failure_that_was_not_durable_happens_anew_once_and_never_changes,
);

fn a_failure_that_is_durable_is_replayed_and_never_changes(kind: Kind) {
    let scene = Scene::new(kind);
    for way in [Way::Done, Way::After] {
        dies_while_it_records_its_failure(&scene, way, 1);
    }
}

fn a_failure_that_was_not_durable_happens_anew_once_and_never_changes(kind: Kind) {
    let scene = Scene::new(kind);
    for way in [Way::Before, Way::Sent] {
        dies_while_it_records_its_failure(&scene, way, 2);
    }
}

/// The last step fails at each attempt, each time with another text. So many attempts of it there
/// are; the failure of the last one is what everybody hears.
fn dies_while_it_records_its_failure(scene: &Scene, way: Way, attempts: usize) {
    let place = &scene.place;
    let key = format!("{way:?}");
    let mut evidence = Evidence::new();
    let nth = points(place.kind(), way, None).len() as u64;
    let snare = Snare::set(place, way, nth, scene.silent());
    let mut process = snare.start();
    replays(&mut process, &key, &mut evidence);
    snare.holds(&process);
    evidence.crashed(&process);
    snare.kill(process);
    let left = scene.recorded(&key);
    let durable = attempts == 1;
    assert_eq!(left.record.state == State::Failed, durable, "{key}: {left:?}");

    // Two processes at once, and one that begins when they are dead.
    let mut both = [scene.launch().start(), scene.launch().start()];
    let calls = both
        .each_mut()
        .map(|process| replays(process, &key, &mut evidence));
    let mut heard = Vec::new();
    for (process, call) in both.iter().zip(calls) {
        heard.push(process.answer(call));
    }
    let stored = scene.recorded(&key);
    if durable {
        assert_eq!(stored, left, "{key}: as it was recorded first");
    }
    for process in &mut both {
        let call = replays(process, &key, &mut evidence);
        heard.push(process.answer(call));
        evidence.crashed(process);
    }
    for process in both {
        process.kill();
    }
    let mut last = scene.launch().start();
    let call = replays(&mut last, &key, &mut evidence);
    heard.push(last.answer(call));
    last.exit();

    let made: Vec<_> = place.attempts(SCHEMA, &key);
    let failing: Vec<_> = made.iter().filter(|attempt| attempt.step == "last").collect();
    assert_eq!(
        (made.len(), failing.len()),
        (2 + attempts, attempts),
        "{key}: {made:?}"
    );
    let failure = &failing[attempts - 1].nonce;
    for answer in &heard {
        let error = answer.as_ref().expect_err("a failure");
        assert_eq!(
            (error.kind.as_str(), error.step.as_deref()),
            ("failed", Some("last")),
            "{key}"
        );
        assert!(error.text.contains(failure), "{key}: {failure}, {error:?}");
        assert_eq!(answer, &heard[0], "{key}: the same for everybody");
    }
    assert_eq!(scene.recorded(&key), stored, "{key}: it stays");
    scene.judge(&evidence, &key);
}

/// A call that wants to hear an earlier failure again.
fn replays(process: &mut Victim, key: &str, evidence: &mut Evidence) -> Call {
    let refusal = Risk {
        step: "last".to_owned(),
        mishap: Mishap::Terminal,
        percent: 100,
    };
    let run = Run {
        call: 0,
        schema: SCHEMA.to_owned(),
        key: key.to_owned(),
        input: Trail {
            risks: vec![refusal],
            ..Trail::default()
        },
        policy: Policy::Attach,
        after_failure: Some(AfterFailure::Replay),
        gives_up_ms: None,
    };
    let call = process.call(run.clone());
    evidence.asked_to(process, call, &run);
    call
}
