//! An owner is stopped with SIGSTOP until others have given it up: what does it do when it wakes?

use std::time::Duration;

use system_tests::place::{Kind, Place};
use system_tests::protocol::{Attempt, Policy};
use system_tests::victim::{Answer, Call, Launch, Victim};

use crate::victim;

on_both_stores!(
    the_write_of_an_owner_that_wakes_after_the_takeover_is_fenced,
    an_owner_that_wakes_after_the_takeover_goes_on_as_a_new_worker,
);

/// An owner that woke after somebody else had finished its execution.
struct Woken {
    place: Place,
    owner: Victim,
    worker: String,
    call: Call,
    /// The attempt that it was in.
    stale: Attempt,
    /// Lives in the other process.
    successor: Victim,
    outcome: Answer,
}

/// Stops an owner in its second step, lets another process finish, does something, and wakes the
/// owner.
fn wake_after_takeover(
    kind: Kind,
    options: impl FnOnce(Launch) -> Launch,
    before_it_wakes: impl FnOnce(&mut Victim),
) -> Woken {
    let place = Place::fresh(kind);
    let mut owner = options(victim(&place).gate("second")).start();
    let worker = owner.ready();
    let call = owner.run("three", "k", Policy::Attach);
    let stale = owner.at_gate("three", "k", "second");
    owner.stop();

    let mut successor = victim(&place).beat_limit(Duration::from_secs(1)).ready();
    successor.entered("three", "k", "third");
    let follow = successor.run("three", "k", Policy::Attach);
    let outcome = successor.answer(follow);
    before_it_wakes(&mut owner);
    owner.go_on();
    Woken {
        place,
        owner,
        worker,
        call,
        stale,
        successor,
        outcome,
    }
}

impl Woken {
    /// The other process's results stand, and its caller and the owner's get the same.
    fn nothing_of_it_is_recorded(&self) {
        let output = self.outcome.clone().expect("the other process finished it");
        assert_eq!(self.owner.answer(self.call), Ok(output.clone()));
        assert!(!output.contains(&self.stale.nonce), "its result was recorded");

        let checkpoints = self.place.checkpoints("three", "k");
        let epochs: Vec<i64> = checkpoints.iter().map(|checkpoint| checkpoint.epoch).collect();
        assert_eq!(epochs, [1, 2, 2]);
        let steps = self.place.attempts_by_step("three", "k");
        let counts: Vec<(&str, usize)> = steps
            .iter()
            .map(|(step, count)| (step.as_str(), *count))
            .collect();
        assert_eq!(counts, [("first", 1), ("second", 2), ("third", 1)]);
        let record = self.place.execution("three", "k").expect("an execution");
        assert_eq!((record.claim.epoch, record.lost), (2, 1));
    }
}

fn the_write_of_an_owner_that_wakes_after_the_takeover_is_fenced(kind: Kind) {
    // It beats so seldom that it learns from its write, and from nothing else, that it was given up.
    let seldom = |launch: Launch| {
        launch
            .beat(Duration::from_secs(3_600))
            .beat_limit(Duration::from_secs(36_000))
    };
    let woken = wake_after_takeover(kind, seldom, |owner| owner.open("second"));
    woken.nothing_of_it_is_recorded();
    assert!(
        woken.owner.has_left(&woken.stale.nonce),
        "the body of the stale attempt runs to its end"
    );
    woken.owner.logged("fenced");
    let thirds = woken
        .place
        .attempts("three", "k")
        .into_iter()
        .filter(|attempt| attempt.step == "third");
    let pids: Vec<i64> = thirds.map(|attempt| attempt.pid).collect();
    assert_eq!(
        pids,
        [i64::from(woken.successor.pid())],
        "it starts no further step"
    );
}

fn an_owner_that_wakes_after_the_takeover_goes_on_as_a_new_worker(kind: Kind) {
    let often = |launch: Launch| launch.beat(Duration::from_millis(100));
    let mut woken = wake_after_takeover(kind, often, |_gate_stays_closed| {});
    woken.owner.cancelled(&woken.stale.nonce);
    woken.nothing_of_it_is_recorded();
    assert!(!woken.owner.has_left(&woken.stale.nonce));

    // From here on it is alone, so nobody can give it up again.
    woken.successor.kill();
    let now = woken.owner.worker_other_than(&woken.worker);
    woken.owner.open("second");
    let call = woken.owner.run("three", "next", Policy::Attach);
    assert!(woken.owner.answer(call).is_ok());
    let workers: Vec<String> = woken
        .place
        .checkpoints("three", "next")
        .iter()
        .map(|checkpoint| checkpoint.worker.to_string())
        .collect();
    assert_eq!(workers, [now.clone(), now.clone(), now]);
}
