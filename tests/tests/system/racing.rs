//! Many callers, one key: does it run once, whoever they are and whatever their policy?

use std::time::SystemTime;

use keystep::clock::micros_of;
use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::victim::{Call, Victim};

use crate::victim;

on_both_stores!(
    waiting_callers_in_one_process_get_one_output,
    waiting_callers_in_three_processes_get_one_output,
    attached_callers_in_one_process_get_one_output,
    attached_callers_in_three_processes_get_one_output,
    refused_callers_in_one_process_learn_step_and_since_when,
    refused_callers_in_three_processes_learn_step_and_since_when,
);

const CALLERS: usize = 20;

fn waiting_callers_in_one_process_get_one_output(kind: Kind) {
    all_get_one_output(kind, 1, Policy::Wait(30_000));
}

fn waiting_callers_in_three_processes_get_one_output(kind: Kind) {
    all_get_one_output(kind, 3, Policy::Wait(30_000));
}

fn attached_callers_in_one_process_get_one_output(kind: Kind) {
    all_get_one_output(kind, 1, Policy::Attach);
}

fn attached_callers_in_three_processes_get_one_output(kind: Kind) {
    all_get_one_output(kind, 3, Policy::Attach);
}

fn refused_callers_in_one_process_learn_step_and_since_when(kind: Kind) {
    one_runs_and_the_others_are_refused(kind, 1);
}

fn refused_callers_in_three_processes_learn_step_and_since_when(kind: Kind) {
    one_runs_and_the_others_are_refused(kind, 3);
}

/// Some processes, and the calls that they make of one key at the same moment. The second step
/// stops at its gate, so all of them meet while it is worked on.
struct Race {
    processes: Vec<Victim>,
    calls: Vec<(usize, Call)>,
    /// Last: it goes when nobody uses it any more.
    place: Place,
}

impl Race {
    fn begin(kind: Kind, processes: usize, policy: Policy) -> Self {
        let place = Place::fresh(kind);
        let launch = victim(&place).gate("second");
        let started: Vec<Victim> = (0..processes).map(|_| launch.start()).collect();
        let mut processes = started;
        processes.iter().for_each(|process| drop(process.ready()));
        let count = processes.len();
        let calls = (0..CALLERS)
            .map(|number| number % count)
            .map(|which| (which, processes[which].run("three", "k", policy)))
            .collect();
        Self {
            place,
            processes,
            calls,
        }
    }

    fn open(&mut self) {
        self.processes
            .iter_mut()
            .for_each(|process| process.open("second"));
    }

    fn each_step_ran_once(&self) {
        let once = |step: &str| (step.to_owned(), 1);
        assert_eq!(
            self.place.attempts_by_step("three", "k"),
            [once("first"), once("second"), once("third")]
        );
    }
}

fn all_get_one_output(kind: Kind, processes: usize, policy: Policy) {
    let mut race = Race::begin(kind, processes, policy);
    let verdicts = race
        .calls
        .iter()
        .map(|(which, call)| race.processes[*which].admitted(*call));
    let verdicts: Vec<String> = verdicts.map(|verdict| verdict.expect("admitted")).collect();
    let count = |verdict: &str| verdicts.iter().filter(|given| *given == verdict).count();
    assert_eq!(
        (count("started"), count("attached")),
        (1, CALLERS - 1),
        "{verdicts:?}"
    );
    race.open();
    let answers = race
        .calls
        .iter()
        .map(|(which, call)| race.processes[*which].answer(*call));
    let answers: Vec<Vec<String>> = answers.map(|answer| answer.expect("an output")).collect();
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "not one output: {answers:?}"
    );
    race.each_step_ran_once();
    let nonces = race
        .place
        .attempts("three", "k")
        .into_iter()
        .map(|attempt| attempt.nonce);
    assert_eq!(answers[0], nonces.collect::<Vec<_>>());
}

fn one_runs_and_the_others_are_refused(kind: Kind, processes: usize) {
    let before = micros_of(SystemTime::now());
    let mut race = Race::begin(kind, processes, Policy::Reject);
    let mut winner = None;
    for (which, call) in &race.calls {
        match race.processes[*which].admitted(*call) {
            Ok(verdict) => {
                assert_eq!(verdict, "started");
                assert_eq!(winner.replace((*which, *call)), None, "one call runs it");
            }
            Err(refusal) => {
                assert_eq!(refusal.kind, "in_progress", "{refusal:?}");
                let step = refusal.step.as_deref();
                assert!(matches!(step, Some("first" | "second")), "{refusal:?}");
                let since = refusal.since_micros.expect("since when");
                let now = micros_of(SystemTime::now());
                assert!((before..=now).contains(&since), "{refusal:?}");
            }
        }
    }
    race.open();
    let (which, call) = winner.expect("one call runs it");
    assert!(race.processes[which].answer(call).is_ok());
    race.each_step_ran_once();
}
