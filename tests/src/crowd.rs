//! How is a store kept busy while a test breaks something, and what came of it? A crowd of processes
//! that call many keys, two of them each key, and the evidence of what happened.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store_conformance::history::{Checker, Report};

use crate::evidence::Evidence;
use crate::place::Place;
use crate::protocol::{Policy, Trail};
use crate::victim::{Answer, Call, Launch, SOON, Victim};

/// How often a new key is called while a crowd is busy, unless it is told to.
const PACE: Duration = Duration::from_millis(50);

/// How long each step takes at most, in milliseconds: long enough for a fault to hit it.
const DWELL_MS: u64 = 40;

/// Processes at work.
#[derive(Debug)]
pub struct Crowd {
    members: Vec<Victim>,
    keys: Vec<(&'static str, String)>,
    evidence: Evidence,
    asked: Vec<Asked>,
    pace: Duration,
}

/// A call of a member.
#[derive(Debug, Clone, Copy)]
struct Asked {
    member: usize,
    call: Call,
}

/// What came of the keys that a crowd was called for.
#[derive(Debug)]
pub struct Outcome {
    /// What the history checker found.
    pub report: Report,
    /// How often an execution went from one worker to another.
    pub taken_over: usize,
    /// Calls that were answered with an output.
    pub answered: usize,
    /// Calls that ended without one.
    pub refused: usize,
    /// Recorded steps that have a transaction of their own.
    pub booked: usize,
}

impl Crowd {
    /// Processes of these launches, ready to work.
    ///
    /// # Panics
    /// When one does not get ready.
    pub fn of(launches: impl IntoIterator<Item = Launch>) -> Self {
        let members: Vec<Victim> = launches.into_iter().map(|launch| launch.start()).collect();
        let mut evidence = Evidence::new();
        for member in &members {
            member.ready();
            evidence.hear(member);
        }
        Self {
            members,
            keys: Vec::new(),
            evidence,
            asked: Vec::new(),
            pace: PACE,
        }
    }

    /// Lets it call a new key so often while it is busy.
    #[must_use]
    pub fn calling_each(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Its processes.
    pub fn members(&self) -> &[Victim] {
        &self.members
    }

    /// How many keys were called so far.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Calls a new key, by two members at about the same time.
    pub fn call(&mut self) {
        let schema = ["three", "booked"][self.keys.len() % 2];
        let key = self.keys.len();
        self.keys.push((schema, format!("k{key}")));
        for which in 0..2_usize.min(self.members.len()) {
            self.ask((key + which) % self.members.len(), key);
        }
    }

    /// Calls new keys until the work is done: faults, which may cut what is on its way.
    ///
    /// # Panics
    /// With the work.
    pub fn busy_while<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> T {
        let since = Instant::now();
        let done = AtomicBool::new(false);
        let worked = std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                let _at_its_end = SetOnDrop(&done);
                work()
            });
            while !done.load(Ordering::Relaxed) {
                self.call();
                std::thread::sleep(self.pace);
            }
            working.join().expect("the work ends well")
        });
        self.evidence.cut_off(since);
        worked
    }

    /// Calls new keys until so many have an answer since now: it works.
    ///
    /// # Panics
    /// When it does not work soon.
    pub fn work(&mut self, keys: usize) {
        let first = self.asked.len();
        for _key in 0..keys {
            self.call();
            std::thread::sleep(self.pace);
        }
        for asked in self.asked[first..].iter().copied() {
            let answer = self.answer(asked);
            assert!(answer.is_ok(), "{answer:?}\n{}", self.members[asked.member]);
        }
    }

    /// After the faults: how long it takes until no execution is under way any more.
    ///
    /// # Panics
    /// When one stays under way.
    pub fn settles(&self, place: &Place) -> Duration {
        let started = Instant::now();
        for (schema, key) in &self.keys {
            if place.execution(schema, key).is_some() {
                place.until(schema, key, |record| record.state.is_finished());
            }
        }
        started.elapsed()
    }

    /// Calls every key once more, waits for all answers, and judges what happened.
    ///
    /// # Panics
    /// When a key does not come to an output, its callers got different ones, or the history breaks
    /// a promise.
    pub fn judge(&mut self, place: &Place) -> Outcome {
        self.works_again();
        // First those who called before: who joins one that still asks the store hears what that one hears,
        // and it may have given up already.
        let before = self.asked.len();
        let mut answers = self.answers(0..before);
        for key in 0..self.keys.len() {
            self.ask(key % self.members.len(), key);
        }
        answers.extend(self.answers(before..self.asked.len()));
        for (asked, answer) in &answers[before..] {
            assert!(answer.is_ok(), "{answer:?}\n{}", self.members[asked.member]);
        }
        let answered = answers.iter().filter(|(_asked, answer)| answer.is_ok()).count();
        let report = Checker::new()
            .transactional("book")
            .check(&self.evidence.history(place));
        report.assert_kept();
        let booked = self.keys.iter().filter(|(schema, _key)| *schema == "booked");
        Outcome {
            report,
            taken_over: changes_of_worker(place),
            answered,
            refused: answers.len() - answered,
            booked: booked.count(),
        }
    }

    /// Waits until each member reaches its store again: one that has just lost it says so for a moment.
    fn works_again(&mut self) {
        for member in 0..self.members.len() {
            let deadline = Instant::now() + SOON;
            while {
                self.ask(member, 0);
                let last = *self.asked.last().expect("just asked");
                self.answer(last).is_err()
            } {
                assert!(Instant::now() < deadline, "no store\n{}", self.members[member]);
                std::thread::sleep(self.pace);
            }
        }
    }

    fn ask(&mut self, member: usize, key: usize) {
        let (schema, name) = &self.keys[key];
        let input = Trail {
            payload: name.clone(),
            dwell_ms: DWELL_MS,
            ..Trail::default()
        };
        let victim = &mut self.members[member];
        let call = victim.run_with(schema, name, input, Policy::Attach);
        self.evidence.asked(victim, call, schema, name);
        self.asked.push(Asked { member, call });
    }

    fn answers(&self, asked: Range<usize>) -> Vec<(Asked, Answer)> {
        let asked = self.asked[asked].iter();
        asked.map(|asked| (*asked, self.answer(*asked))).collect()
    }

    fn answer(&self, asked: Asked) -> Answer {
        self.members[asked.member].answer(asked.call)
    }
}

/// How often the owner of an execution was followed by another one.
fn changes_of_worker(place: &Place) -> usize {
    let mut owners = HashMap::new();
    let changes = place.changes().into_iter();
    let owned = changes.filter_map(|change| Some((change.execution, change.owner?)));
    owned
        .filter(|(execution, owner)| {
            owners
                .insert(*execution, *owner)
                .is_some_and(|before| before != *owner)
        })
        .count()
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
