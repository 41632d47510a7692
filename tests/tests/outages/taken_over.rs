//! What has become of an owner that was given up while it lived? The scene of several tests: it is out
//! of action in its second step, and another process has taken the execution over.

use std::time::Duration;

use system_tests::place::Place;
use system_tests::protocol::{Attempt, Policy};
use system_tests::victim::{Call, Launch, Victim};

/// How long the other process believes a silent owner.
pub(crate) const BEAT_LIMIT: Duration = Duration::from_secs(1);

/// An owner that is out of action in its second step, and another process that has taken the execution
/// over and is in the second step too: nobody has recorded it yet.
pub(crate) struct TakenOver {
    pub(crate) owner: Victim,
    pub(crate) worker: String,
    pub(crate) call: Call,
    /// The attempt in which the owner was given up.
    pub(crate) stale: Attempt,
    pub(crate) successor: Victim,
    /// Last: it goes when nobody uses it any more.
    pub(crate) place: Place,
}

impl TakenOver {
    /// Puts an owner of this launch out of action.
    pub(crate) fn from(
        place: Place,
        owner: &Launch,
        successor: &Launch,
        put_out: impl FnOnce(&Victim),
    ) -> Self {
        let mut owner = owner.clone().gate("second").start();
        let worker = owner.ready();
        let call = owner.run("three", "k", Policy::Attach);
        let stale = owner.at_gate("three", "k", "second");
        put_out(&owner);

        let successor = successor.clone().gate("second").beat_limit(BEAT_LIMIT).ready();
        successor.at_gate("three", "k", "second");
        Self {
            owner,
            worker,
            call,
            stale,
            successor,
            place,
        }
    }

    /// The recorded steps, each with its owner's epoch.
    pub(crate) fn recorded(&self) -> Vec<(String, i64)> {
        let checkpoints = self.place.checkpoints("three", "k").into_iter();
        checkpoints
            .map(|checkpoint| (checkpoint.step, checkpoint.epoch))
            .collect()
    }

    /// The other process finishes, its results stand, and the owner's caller gets them.
    pub(crate) fn the_successor_finishes_and_nothing_else_is_recorded(&mut self) {
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

    /// The owner that was given up works again, under another id. Nobody is left beside it.
    pub(crate) fn it_goes_on_as_a_new_worker(self) {
        let Self {
            mut owner,
            worker,
            successor,
            place,
            ..
        } = self;
        // From here on it is alone, so nobody can give it up again.
        successor.kill();
        let now = owner.worker_other_than(&worker);
        owner.open("second");
        let call = owner.run("three", "next", Policy::Attach);
        assert!(owner.answer(call).is_ok());
        let checkpoints = place.checkpoints("three", "next").into_iter();
        let workers: Vec<String> = checkpoints
            .map(|checkpoint| checkpoint.worker.to_string())
            .collect();
        assert_eq!(workers, [now.clone(), now.clone(), now]);
    }
}
