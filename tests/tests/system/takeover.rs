//! A process is killed with SIGKILL in the middle of a step: how soon does another one go on?

use std::time::Duration;

use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;

use crate::{show, victim};

on_both_stores!(
    alone_a_killed_process_is_followed_within_two_seconds,
    alone_without_a_grace_it_is_followed_within_half_a_second,
);

const KILLS: usize = 20;

fn alone_a_killed_process_is_followed_within_two_seconds(kind: Kind) {
    let delays = kill_and_follow(kind, None);
    assert!(delays.longest < Duration::from_secs(2), "{delays:?}");
}

fn alone_without_a_grace_it_is_followed_within_half_a_second(kind: Kind) {
    let delays = kill_and_follow(kind, Some(Duration::ZERO));
    assert!(delays.median < Duration::from_millis(100), "{delays:?}");
    assert!(delays.longest < Duration::from_millis(500), "{delays:?}");
}

/// From the kill until the other process is in the step.
#[derive(Debug)]
struct Delays {
    median: Duration,
    longest: Duration,
}

/// Kills an owner in its second step, again and again, beside one process that lives through it all
/// and only ever makes calls.
fn kill_and_follow(kind: Kind, grace: Option<Duration>) -> Delays {
    let place = Place::fresh(kind);
    place.settle();
    let mut launch = victim(&place);
    if let Some(grace) = grace {
        launch = launch.grace(grace);
    }
    let mut survivor = launch.ready();
    let mut delays = Vec::new();
    for number in 0..KILLS {
        let key = format!("k{number}");
        let mut owner = launch.clone().gate("second").ready();
        let _never_answered = owner.run("three", &key, Policy::Attach);
        let lost = owner.at_gate("three", &key, "second");
        let killed = owner.kill();
        let (entered, attempt) = survivor.entered("three", &key, "second");
        delays.push(entered - killed);

        assert_eq!((lost.attempt, attempt.attempt), (1, 2), "the lost attempt counts");
        let call = survivor.run("three", &key, Policy::Attach);
        let output = survivor.answer(call).expect("the survivor finishes it");
        let attempts = place.attempts("three", &key);
        let steps: Vec<&str> = attempts.iter().map(|attempt| attempt.step.as_str()).collect();
        assert_eq!(
            steps,
            ["first", "second", "second", "third"],
            "what was recorded does not run again"
        );
        let recorded = [&attempts[0], &attempts[2], &attempts[3]];
        assert_eq!(output, recorded.map(|attempt| attempt.nonce.clone()));
    }
    delays.sort();
    let delays = Delays {
        median: delays[KILLS / 2],
        longest: delays[KILLS - 1],
    };
    let grace = grace.map_or_else(|| "default grace".to_owned(), |grace| format!("grace {grace:?}"));
    show(&format!(
        "{kind:?}, {grace}: {KILLS} kills, median {:?}, maximum {:?} until another process was in the step",
        delays.median, delays.longest
    ));
    delays
}
