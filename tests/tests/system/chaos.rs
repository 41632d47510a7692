//! Processes are killed, stopped, cut off and restarted at random while keys are called: what must
//! never happen? A short run of what `--bin chaos` does for longer.

use store_conformance::history::{Event, History, Promise};
use system_tests::chaos::{Options, run};
use system_tests::evidence::checker;
use system_tests::place::Kind;
use system_tests::victim::Launch;

use crate::show;

on_both_stores!(alone_under_random_faults_every_promise_is_kept);

const SECONDS: u64 = 8;

fn alone_under_random_faults_every_promise_is_kept(kind: Kind) {
    let seed = store_conformance::model::seed();
    show(&format!("{kind:?}: KEYSTEP_SEED={seed}"));
    let options = Options {
        store: kind,
        database_url: None,
        seconds: SECONDS,
        seed: Some(seed),
        json: false,
    };
    let (verdict, history) = run(&options, &Launch::of(env!("CARGO_BIN_EXE_victim")));
    show(&verdict.to_string());
    assert!(verdict.is_good(), "{verdict}");
    assert!(
        verdict.kills > 0 && verdict.stops > 0 && verdict.cuts > 0 && verdict.restarts > 0,
        "nothing happened to the processes"
    );
    assert_eq!(verdict.server_restarts.is_some(), kind == Kind::Postgres);
    assert_ne!(verdict.server_restarts, Some(0), "the server was not restarted");
    assert!(
        verdict.takeovers > 0 && verdict.failures > 0 && verdict.tx_effects > 0 && verdict.messages > 0,
        "nothing happened to the executions"
    );
    assert!(
        verdict.undone > 0 && verdict.cancelled > 0,
        "nothing was undone or cancelled"
    );
    what_is_judged_could_be_found_broken(&history);
}

/// The history is about what happened, and not empty words: each of these is seen in it.
fn what_is_judged_could_be_found_broken(history: &History) {
    let twice = |wanted: fn(&Event) -> bool| {
        let mut broken = history.clone();
        let one = history.entries.iter().find(|entry| wanted(&entry.event));
        broken.entries.push(one.expect("such an event").clone());
        broken
    };
    let without = |wanted: fn(&Event) -> bool| {
        let mut broken = history.clone();
        broken.entries.retain(|entry| !wanted(&entry.event));
        broken
    };
    for (broken, promise) in [
        (
            twice(|event| matches!(event, Event::Ledger { .. })),
            Promise::RecordedOnce,
        ),
        (
            twice(|event| matches!(event, Event::Recorded { .. })),
            Promise::RecordedOnce,
        ),
        (
            without(|event| matches!(event, Event::Stored { .. })),
            Promise::NoAnswerLost,
        ),
        (
            without(|event| matches!(event, Event::FailureStored { .. })),
            Promise::NoAnswerLost,
        ),
        (
            without(|event| matches!(event, Event::Stands { .. })),
            Promise::Settled,
        ),
        (
            without(|event| matches!(event, Event::Recorded { step, .. } if step == "lines/undo")),
            Promise::Undone,
        ),
        (
            without(|event| matches!(event, Event::Crashed { .. } | Event::Retried { .. })),
            Promise::NoNeedlessRepeat,
        ),
    ] {
        let report = checker().check(&broken);
        let found = report.violations.iter().any(|one| one.promise == promise);
        assert!(found, "{promise:?} was not found broken");
    }
}
