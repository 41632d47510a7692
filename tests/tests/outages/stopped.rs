//! An owner is stopped with SIGSTOP until others have given it up: what does it do when it wakes?

use std::time::Duration;

use system_tests::place::{Kind, Place};
use system_tests::protocol::{Attempt, Policy};
use system_tests::victim::{Call, Launch, Victim};

use crate::victim;

on_both_stores!(
    the_write_of_an_owner_that_wakes_after_the_takeover_is_fenced,
    an_owner_that_wakes_after_the_takeover_goes_on_as_a_new_worker,
);

/// An owner that is stopped in its second step, and another process that has taken the execution
/// over and is in the second step too: nobody has recorded it yet.
struct TakenOver {
    owner: Victim,
    worker: String,
    call: Call,
    /// The attempt that the owner was stopped in.
    stale: Attempt,
    successor: Victim,
    /// Last: it goes when nobody uses it any more.
    place: Place,
}

fn take_over(kind: Kind, options: impl FnOnce(Launch) -> Launch) -> TakenOver {
    let place = Place::fresh(kind);
    let launch = victim(&place).gate("second");
    let mut owner = options(launch.clone()).start();
    let worker = owner.ready();
    let call = owner.run("three", "k", Policy::Attach);
    let stale = owner.at_gate("three", "k", "second");
    owner.stop();

    let successor = launch.beat_limit(Duration::from_secs(1)).ready();
    successor.at_gate("three", "k", "second");
    TakenOver {
        place,
        owner,
        worker,
        call,
        stale,
        successor,
    }
}

impl TakenOver {
    fn recorded(&self) -> Vec<(String, i64)> {
        let checkpoints = self.place.checkpoints("three", "k").into_iter();
        checkpoints
            .map(|checkpoint| (checkpoint.step, checkpoint.epoch))
            .collect()
    }

    /// The other process finishes, its results stand, and the owner's caller gets them.
    fn the_successor_finishes_and_nothing_else_is_recorded(&mut self) {
        self.successor.open("second");
        let follow = self.successor.run("three", "k", Policy::Attach);
        let output = self.successor.answer(follow).expect("an output");
        assert_eq!(self.owner.answer(self.call), Ok(output.clone()));
        assert!(
            !output.contains(&self.stale.nonce),
            "the stale result was recorded"
        );

        let by_epoch = [("first", 1), ("second", 2), ("third", 2)];
        assert_eq!(
            self.recorded(),
            by_epoch.map(|(step, epoch)| (step.to_owned(), epoch))
        );
        let once_more = [("first", 1), ("second", 2), ("third", 1)];
        assert_eq!(
            self.place.attempts_by_step("three", "k"),
            once_more.map(|(step, count)| (step.to_owned(), count))
        );
        let record = self.place.execution("three", "k").expect("an execution");
        assert_eq!((record.claim.epoch, record.lost), (2, 1));
    }
}

fn the_write_of_an_owner_that_wakes_after_the_takeover_is_fenced(kind: Kind) {
    // It beats so seldom that it learns from its write, and from nothing else, that it was given up.
    let mut taken = take_over(kind, |launch| {
        launch
            .beat(Duration::from_secs(3_600))
            .beat_limit(Duration::from_secs(36_000))
    });
    taken.owner.open("second");
    taken.owner.go_on();
    taken.owner.logged("fenced");
    assert!(
        taken.owner.has_left(&taken.stale.nonce),
        "the body of the stale attempt runs to its end"
    );
    assert_eq!(taken.recorded(), [("first".to_owned(), 1)], "and writes nothing");

    taken.the_successor_finishes_and_nothing_else_is_recorded();
    let attempts = taken.place.attempts("three", "k");
    let third = attempts.last().expect("attempts");
    assert_eq!(
        (third.step.as_str(), third.pid),
        ("third", i64::from(taken.successor.pid())),
        "the stale owner starts no further step"
    );
}

fn an_owner_that_wakes_after_the_takeover_goes_on_as_a_new_worker(kind: Kind) {
    let mut taken = take_over(kind, |launch| launch.beat(Duration::from_millis(100)));
    taken.owner.go_on();
    taken.owner.cancelled(&taken.stale.nonce);
    assert_eq!(taken.recorded(), [("first".to_owned(), 1)]);
    taken.the_successor_finishes_and_nothing_else_is_recorded();
    assert!(!taken.owner.has_left(&taken.stale.nonce));

    // From here on it is alone, so nobody can give it up again.
    taken.successor.kill();
    let now = taken.owner.worker_other_than(&taken.worker);
    taken.owner.open("second");
    let call = taken.owner.run("three", "next", Policy::Attach);
    assert!(taken.owner.answer(call).is_ok());
    let checkpoints = taken.place.checkpoints("three", "next").into_iter();
    let workers: Vec<String> = checkpoints
        .map(|checkpoint| checkpoint.worker.to_string())
        .collect();
    assert_eq!(workers, [now.clone(), now.clone(), now]);
}
