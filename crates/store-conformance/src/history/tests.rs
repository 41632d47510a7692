//! The checker believes good histories and finds each broken promise.

mod kinds;

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Checker, Event, History, Promise, Subject};

const RUN: Uuid = Uuid::from_u128(1);
const EXECUTION: Uuid = Uuid::from_u128(2);
const TOKENS: [Uuid; 4] = [
    Uuid::from_u128(10),
    Uuid::from_u128(11),
    Uuid::from_u128(12),
    Uuid::from_u128(13),
];

fn began(step: &str, epoch: i64, nonce: u128, worker: i64) -> Event {
    Event::Began {
        run: RUN,
        step: step.into(),
        epoch,
        nonce: Uuid::from_u128(nonce),
        worker,
    }
}

fn recorded(step: &str, epoch: i64, nonce: u128) -> Event {
    Event::Recorded {
        run: RUN,
        step: step.into(),
        epoch,
        nonce: Uuid::from_u128(nonce),
    }
}

fn ledger(step: &str) -> Event {
    Event::Ledger {
        run: RUN,
        step: step.into(),
    }
}

fn changed(epoch: i64, token: usize, owner: Option<i64>, state: &str) -> Event {
    Event::Changed {
        execution: EXECUTION,
        run: RUN,
        epoch,
        token: TOKENS[token],
        owner,
        state: state.into(),
    }
}

fn stands(state: &str, wakes_later: bool) -> Event {
    Event::Stands {
        execution: EXECUTION,
        state: state.into(),
        wakes_later,
    }
}

fn stored(output: &str) -> Event {
    Event::Stored {
        run: RUN,
        output: output.into(),
    }
}

fn asked(caller: &str) -> Event {
    Event::Asked {
        key: "k".into(),
        caller: caller.into(),
    }
}

fn answered(caller: &str, output: &str) -> Event {
    Event::Answered {
        key: "k".into(),
        run: RUN,
        caller: caller.into(),
        output: output.into(),
    }
}

/// Two steps, the second transactional; the first owner is killed in the second step.
fn good() -> Vec<Event> {
    vec![
        asked("anna"),
        changed(1, 0, Some(7), "running"),
        began("reserve", 1, 100, 7),
        recorded("reserve", 1, 100),
        began("order", 1, 101, 7),
        Event::Crashed { worker: 7 },
        asked("boris"),
        changed(2, 1, Some(8), "running"),
        began("order", 2, 102, 8),
        recorded("order", 2, 102),
        changed(2, 1, None, "succeeded"),
        answered("anna", "order 1"),
        answered("boris", "order 1"),
        ledger("order"),
        stored("order 1"),
        stands("succeeded", false),
        Event::Measured {
            what: "connections".into(),
            before: 4,
            after: 4,
        },
    ]
}

fn history(events: Vec<Event>) -> History {
    let mut history = History::new();
    for (at, event) in (0..).zip(events) {
        history.add(at, event);
    }
    history
}

/// The promises that the checker finds broken, each once.
fn broken(events: Vec<Event>) -> Vec<Promise> {
    let report = Checker::new().transactional("order").check(&history(events));
    let mut broken: Vec<Promise> = report.violations.iter().map(|one| one.promise).collect();
    broken.sort();
    broken.dedup();
    broken
}

/// The good history with one event replaced.
fn with(old: &Event, new: Vec<Event>) -> Vec<Event> {
    let mut events = good();
    let place = events.iter().position(|event| event == old);
    let place = place.expect("the event is in the good history");
    events.splice(place..=place, new);
    events
}

fn and(new: Event) -> Vec<Event> {
    let mut events = good();
    events.push(new);
    events
}

#[test]
fn a_good_history_is_believed() {
    let report = Checker::new().transactional("order").check(&history(good()));
    report.assert_kept();
    assert_eq!((report.takeovers, report.late_attempts), (1, 0));
    assert_eq!((report.executions, report.answers), (1, 2));
}

#[test]
fn an_empty_history_is_believed() {
    Checker::new().check(&History::new()).assert_kept();
}

#[test]
fn the_order_of_collection_does_not_matter() {
    let mut shuffled = history(good());
    shuffled.entries.reverse();
    Checker::new()
        .transactional("order")
        .check(&shuffled)
        .assert_kept();
}

#[test]
fn an_attempt_of_a_stopped_owner_is_late_but_allowed() {
    let late = with(
        &recorded("order", 2, 102),
        vec![recorded("order", 2, 102), began("order", 1, 103, 7)],
    );
    let report = Checker::new().transactional("order").check(&history(late));
    // It was stopped between its last look and the body: one more attempt, explained by the crash.
    report.assert_kept();
    assert_eq!(report.late_attempts, 1);
}

#[test]
fn a_step_recorded_twice_is_found() {
    let events = and(recorded("reserve", 2, 100));
    assert_eq!(broken(events), [Promise::RecordedOnce]);
}

#[test]
fn a_second_row_of_a_transactional_step_is_found() {
    assert_eq!(broken(and(ledger("order"))), [Promise::RecordedOnce]);
}

#[test]
fn a_checkpoint_without_its_row_is_found() {
    assert_eq!(broken(with(&ledger("order"), vec![])), [Promise::RecordedOnce]);
}

#[test]
fn a_row_without_its_checkpoint_is_found() {
    let events = with(&recorded("order", 2, 102), vec![]);
    assert_eq!(broken(events), [Promise::RecordedOnce]);
}

#[test]
fn an_attempt_after_the_checkpoint_is_found() {
    let again = with(
        &recorded("order", 2, 102),
        vec![recorded("order", 2, 102), began("order", 2, 103, 8)],
    );
    assert_eq!(broken(again), [Promise::NeverAgain]);
}

#[test]
fn a_recorded_result_of_a_late_attempt_is_found() {
    let events = with(
        &began("order", 1, 101, 7),
        vec![recorded("order", 2, 101), began("order", 1, 101, 7)],
    );
    assert!(broken(events).contains(&Promise::NeverAgain));
}

#[test]
fn a_recorded_result_of_no_attempt_is_found() {
    let events = with(&recorded("order", 2, 102), vec![recorded("order", 2, 999)]);
    assert_eq!(broken(events), [Promise::NeverAgain]);
}

#[test]
fn different_answers_are_found() {
    let events = with(&answered("boris", "order 1"), vec![answered("boris", "order 2")]);
    assert_eq!(broken(events), [Promise::OneAnswer]);
}

#[test]
fn answers_that_are_not_the_stored_result_are_found() {
    let events = with(&stored("order 1"), vec![stored("order 9")]);
    assert_eq!(broken(events), [Promise::OneAnswer]);
}

#[test]
fn two_stored_results_are_found() {
    assert_eq!(broken(and(stored("order 9"))), [Promise::OneAnswer]);
}

#[test]
fn an_answer_that_was_lost_is_found() {
    let events = with(&stored("order 1"), vec![]);
    assert_eq!(broken(events), [Promise::NoAnswerLost]);
}

/// The good history, but the execution failed at its end.
fn failed(until: Option<i64>) -> Vec<Event> {
    let mut events = good();
    events.retain(|event| !matches!(event, Event::Answered { .. } | Event::Stored { .. }));
    for event in &mut events {
        match event {
            Event::Changed { state, .. } if state == "succeeded" => "failed".clone_into(state),
            Event::Stands { state, .. } => "failed".clone_into(state),
            _ => {}
        }
    }
    events.extend([
        Event::FailureStored {
            execution: EXECUTION,
            run: RUN,
            failure: "refused 7".into(),
        },
        told_failure("anna", "refused 7"),
        told_failure("boris", "refused 7"),
        Event::Kept { run: RUN, until },
    ]);
    events
}

fn told_failure(caller: &str, failure: &str) -> Event {
    Event::Failed {
        key: "k".into(),
        execution: EXECUTION,
        caller: caller.into(),
        failure: failure.into(),
    }
}

#[test]
fn a_stored_failure_is_an_answer_and_another_one_is_found() {
    let report = Checker::new()
        .transactional("order")
        .check(&history(failed(None)));
    report.assert_kept();
    assert_eq!(report.answers, 2);

    let mut other = failed(None);
    other.push(told_failure("carla", "refused 8"));
    assert_eq!(broken(other), [Promise::NoAnswerLost]);
}

#[test]
fn a_kept_failure_that_is_tried_again_is_found() {
    let again = changed(3, 2, Some(9), "running");
    for (until, expected) in [(None, vec![Promise::OneAnswer]), (Some(1), vec![])] {
        let mut events = failed(until);
        events.push(again.clone());
        assert_eq!(broken(events), expected);
    }
}

#[test]
fn a_kept_failure_says_nothing_of_an_earlier_one_of_its_run() {
    let mut events = with(
        &changed(2, 1, Some(8), "running"),
        vec![changed(1, 0, None, "failed"), changed(2, 1, Some(8), "running")],
    );
    events.push(Event::Kept {
        run: RUN,
        until: None,
    });
    assert_eq!(broken(events), []);
}

#[test]
fn a_success_that_is_undone_is_found() {
    let events = and(changed(3, 2, Some(9), "running"));
    assert_eq!(broken(events), [Promise::OneAnswer]);
}

#[test]
fn a_key_used_anew_before_its_time_is_found() {
    let anew = Event::Changed {
        execution: EXECUTION,
        run: Uuid::from_u128(3),
        epoch: 3,
        token: TOKENS[2],
        owner: Some(9),
        state: "running".into(),
    };
    for (until, expected) in [(1_000, vec![Promise::OneAnswer]), (1, vec![])] {
        let mut events = and(Event::Kept {
            run: RUN,
            until: Some(until),
        });
        events.push(anew.clone());
        assert_eq!(broken(events), expected);
    }
}

#[test]
fn after_a_purge_a_key_begins_anew_and_only_what_is_finished_is_purged() {
    let purged = Event::Purged { execution: EXECUTION };
    let mut events = and(purged.clone());
    events.push(Event::Changed {
        execution: EXECUTION,
        run: Uuid::from_u128(3),
        epoch: 1,
        token: TOKENS[2],
        owner: Some(9),
        state: "running".into(),
    });
    assert_eq!(broken(events), []);
    let unfinished = with(&changed(2, 1, None, "succeeded"), vec![purged]);
    assert_eq!(broken(unfinished), [Promise::OneAnswer]);
}

#[test]
fn an_epoch_that_falls_is_found() {
    let events = with(
        &changed(2, 1, None, "succeeded"),
        vec![changed(1, 2, None, "succeeded")],
    );
    assert_eq!(broken(events), [Promise::OneOwner]);
}

#[test]
fn a_takeover_that_keeps_the_token_is_found() {
    let events = with(
        &changed(2, 1, Some(8), "running"),
        vec![changed(2, 0, Some(8), "running")],
    );
    assert!(broken(events).contains(&Promise::OneOwner));
}

#[test]
fn two_takeovers_of_one_epoch_are_found() {
    let events = with(
        &changed(2, 1, Some(8), "running"),
        vec![
            changed(2, 2, Some(9), "running"),
            changed(2, 1, Some(8), "running"),
        ],
    );
    assert_eq!(broken(events), [Promise::OneOwner]);
}

#[test]
fn a_token_used_again_is_found() {
    let events = with(
        &changed(2, 1, None, "succeeded"),
        vec![changed(2, 1, None, "ready"), changed(3, 0, Some(7), "running")],
    );
    assert_eq!(broken(events), [Promise::OneOwner]);
}

#[test]
fn a_claim_of_two_workers_is_found() {
    let events = with(
        &changed(2, 1, None, "succeeded"),
        vec![changed(2, 1, Some(9), "running")],
    );
    assert_eq!(broken(events), [Promise::OneOwner]);
}

#[test]
fn an_attempt_of_somebody_else_is_found() {
    let events = with(&began("order", 2, 102, 8), vec![began("order", 2, 102, 9)]);
    assert_eq!(broken(events), [Promise::OneOwner]);
}

#[test]
fn an_execution_left_running_is_found() {
    for state in ["running", "ready", "waiting"] {
        let events = with(&stands("succeeded", false), vec![stands(state, false)]);
        assert_eq!(broken(events), [Promise::Settled]);
    }
    for (state, wakes_later) in [
        ("parked", false),
        ("failed", false),
        ("undone", false),
        ("cancelled", false),
        ("waiting", true),
    ] {
        let events = with(&stands("succeeded", false), vec![stands(state, wakes_later)]);
        assert_eq!(broken(events), []);
    }
}

#[test]
fn an_execution_that_nobody_looked_at_is_found() {
    let events = with(&stands("succeeded", false), vec![]);
    assert_eq!(broken(events), [Promise::Settled]);
}

#[test]
fn a_caller_without_an_answer_is_found() {
    assert_eq!(broken(and(asked("carla"))), [Promise::Settled]);
    let mut refused = and(asked("carla"));
    refused.push(Event::Refused {
        key: "k".into(),
        caller: "carla".into(),
        why: "in progress".into(),
    });
    assert_eq!(broken(refused), []);
}

#[test]
fn a_needless_repeat_is_found() {
    let twice = with(
        &began("reserve", 1, 100, 7),
        vec![
            began("reserve", 1, 98, 7),
            began("reserve", 1, 99, 7),
            began("reserve", 1, 97, 7),
            began("reserve", 1, 100, 7),
        ],
    );
    assert_eq!(broken(twice.clone()), [Promise::NoNeedlessRepeat]);
    let mut explained = twice;
    explained.push(Event::Retried {
        run: RUN,
        step: "reserve".into(),
    });
    assert_eq!(broken(explained), []);
}

#[test]
fn a_transaction_that_was_cut_off_may_be_tried_again() {
    // The crash and the takeover explain two more than one, but not three.
    let events = with(
        &began("order", 1, 101, 7),
        (101..104).map(|nonce| began("order", 1, nonce, 7)).collect(),
    );
    let cut = |at, until| {
        let mut cut = history(events.clone());
        cut.add(at, Event::CutOff { until });
        let report = Checker::new().transactional("order").check(&cut);
        report
            .violations
            .iter()
            .any(|one| one.promise == Promise::NoNeedlessRepeat)
    };
    assert!(cut(-5, -1), "before the step");
    assert!(!cut(-5, 6), "while the step was tried");
}

#[test]
fn ten_thousand_executions_are_judged_in_seconds() {
    let mut whole = History::new();
    for number in 0..10_000_u128 {
        let to = |id: Uuid| Uuid::from_u128(id.as_u128() + (number << 32));
        for (at, mut event) in (0..).zip(good()) {
            match &mut event {
                Event::Began { run, nonce, .. } | Event::Recorded { run, nonce, .. } => {
                    (*run, *nonce) = (to(*run), to(*nonce));
                }
                Event::Ledger { run, .. } | Event::Stored { run, .. } => *run = to(*run),
                Event::Asked { caller, .. } => *caller += &number.to_string(),
                Event::Answered { run, caller, .. } => {
                    *run = to(*run);
                    *caller += &number.to_string();
                }
                Event::Changed {
                    execution,
                    run,
                    token,
                    ..
                } => (*execution, *run, *token) = (to(*execution), to(*run), to(*token)),
                Event::Stands { execution, .. } => *execution = to(*execution),
                _ => {}
            }
            whole.add(at + i64::try_from(number).expect("small") * 100, event);
        }
    }
    let begun = Instant::now();
    let report = Checker::new().transactional("order").check(&whole);
    report.assert_kept();
    assert_eq!(report.executions, 10_000);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn the_part_about_a_subject_has_its_calls_and_nothing_of_others() {
    let mut whole = history(good());
    let other = Uuid::from_u128(77);
    whole.add(
        3,
        Event::Retried {
            run: other,
            step: "reserve".into(),
        },
    );
    whole.add(4, asked("carla"));
    for subject in [Subject::Run(RUN), Subject::Execution(EXECUTION)] {
        let part = whole.about(&subject);
        // All but what is measured of the process.
        assert_eq!(part.entries.len(), good().len() - 1, "{}", part.to_lines());
    }
    let of_caller = whole.about(&Subject::Caller("carla".into()));
    assert_eq!(of_caller.entries.len(), 1);
}

#[test]
fn a_resource_that_stays_taken_is_found() {
    let leaked = Event::Measured {
        what: "connections".into(),
        before: 4,
        after: 5,
    };
    assert_eq!(broken(and(leaked)), [Promise::BackToIdle]);
}

#[test]
fn a_history_goes_through_lines_and_back() {
    let before = history(good());
    let mut after = History::new();
    after
        .add_lines(&before.to_lines())
        .expect("what was just written");
    assert_eq!(before, after);
    after
        .add_lines("{\"at\":1,\"event\":\"beg")
        .expect_err("a torn line");
}

#[test]
fn a_violation_reads_as_a_sentence() {
    let report = Checker::new().check(&history(and(asked("carla"))));
    let text = report.violations[0].to_string();
    assert_eq!(text, "Settled: carla asked and never got an answer");
}
