//! Who must have done what? What is known of an execution from the lives of those who had a part in
//! it, and what must be there after the last of them died, and after another one has finished it.

use std::time::Duration;

use keystep::State;
use keystep::execution::{CheckpointRecord, ExecutionRecord};
use system_tests::evidence::{Evidence, checker, nonces};
use system_tests::place::{Booked, Kind, Place};
use system_tests::protocol::Policy;
use system_tests::victim::{Launch, Victim};

/// The schema: plain, transactional, plain.
pub(crate) const SCHEMA: &str = "booked";
pub(crate) const STEPS: [&str; 3] = ["first", "book", "last"];
/// Where a process can be held in them, in order.
pub(crate) const GATES: [&str; 9] = [
    "first/entered",
    "first",
    "book/entered",
    "book",
    "book/opened",
    "book/written",
    "book/enlisted",
    "last/entered",
    "last",
];

/// A place where processes die.
pub(crate) struct Scene {
    pub(crate) place: Place,
}

impl Scene {
    /// A fresh one, in which the story has been told once without a death: its plan is stored.
    pub(crate) fn new(kind: Kind) -> Self {
        let scene = Self {
            place: Place::fresh(kind),
        };
        scene.place.audit();
        scene.place.settle();
        scene.is_told(Evidence::new(), "undisturbed", &[]);
        scene
    }

    /// A process that knows this story only. It takes over from the dead at once, and a slow machine
    /// makes nobody look dead.
    pub(crate) fn launch(&self) -> Launch {
        self.place
            .launch(env!("CARGO_BIN_EXE_victim"))
            .option("only", SCHEMA)
            .grace(Duration::ZERO)
            .beat_limit(Duration::from_secs(600))
    }

    /// One that shows no beat and looks at nobody, so that what it asks its store to do is the story,
    /// one thing after the other.
    pub(crate) fn silent(&self) -> Launch {
        self.launch().switch("silent")
    }

    /// The execution stands as those have left it who had a part in it, and all are dead. Then a
    /// new process finishes it: without being called if there is anything to finish.
    pub(crate) fn is_told(&self, evidence: Evidence, key: &str, dead: &[Life]) {
        self.is_left(key, dead);
        let mut process = self.launch().start();
        self.is_finished(&mut process, evidence, key, dead);
        process.exit();
    }

    /// The execution stands as those have left it who are dead.
    pub(crate) fn is_left(&self, key: &str, dead: &[Life]) {
        let (story, when) = (Story::of(dead), "when the last one died");
        self.has_recorded(key, &story, when);
        assert_eq!(
            self.noted(key),
            story.noted,
            "{key} {when}: attempts and who made them"
        );
    }

    /// A process finishes what the dead have left, and each step was run and recorded by whom it
    /// must be.
    pub(crate) fn is_finished(&self, process: &mut Victim, mut evidence: Evidence, key: &str, dead: &[Life]) {
        self.is_taken_over(process, &mut evidence, key, dead);
        let told = Story::of(dead).told_to_its_end();
        assert_eq!(
            self.noted(key),
            told.noted,
            "{key} in the end: attempts and who made them"
        );
        self.judge(&evidence, key);
    }

    /// The same whatever else was tried beside that, before anybody judges what was seen; gives the
    /// result.
    pub(crate) fn is_taken_over(
        &self,
        process: &mut Victim,
        evidence: &mut Evidence,
        key: &str,
        given_up: &[Life],
    ) -> Vec<String> {
        let left = Story::of(given_up);
        let output = self.ends(process, evidence, key, left.epoch > 0);
        self.has_recorded(key, &left.told_to_its_end(), "in the end");
        output
    }

    /// A process finishes an execution that was begun without being called. A call afterwards gets
    /// the stored result, and all promises were kept.
    pub(crate) fn recovers(&self, process: &mut Victim, mut evidence: Evidence, key: &str, begun: bool) {
        self.ends(process, &mut evidence, key, begun);
        self.judge(&evidence, key);
    }

    fn ends(&self, process: &mut Victim, evidence: &mut Evidence, key: &str, begun: bool) -> Vec<String> {
        if begun {
            self.place
                .until(SCHEMA, key, |record| record.state == State::Succeeded);
        }
        let call = process.run(SCHEMA, key, Policy::Attach);
        evidence.asked(process, call, SCHEMA, key);
        let output = process.answer(call).expect("an output");
        let checkpoints = self.place.checkpoints(SCHEMA, key);
        let last = checkpoints.last().expect("three steps are recorded");
        assert_eq!(output, nonces(last), "{key}: the answer is the stored result");
        output
    }

    /// All promises were kept.
    pub(crate) fn judge(&self, evidence: &Evidence, key: &str) {
        let report = checker().check(&evidence.history(&self.place));
        assert_eq!(report.violations, [], "{key}");
        assert!(report.executions == 1 && report.answers >= 1, "{key}: {report:?}");
    }

    /// Attempts and who made them.
    fn noted(&self, key: &str) -> Vec<(String, i64)> {
        let attempts = self.place.attempts(SCHEMA, key).into_iter();
        attempts.map(|attempt| (attempt.step, attempt.epoch)).collect()
    }

    /// All that is recorded of an execution: its row, its checkpoints and its rows in the ledger.
    pub(crate) fn recorded(&self, key: &str) -> Standing {
        let mut record = self.place.execution(SCHEMA, key).expect("an execution");
        // Counted from now, and other columns tell it too.
        record.expires_in = None;
        record.age = Duration::ZERO;
        Standing {
            record,
            checkpoints: self.place.checkpoints(SCHEMA, key),
            ledger: self.place.ledger(SCHEMA, key),
        }
    }

    /// Compares the row, the checkpoints and the ledger with what must be there.
    fn has_recorded(&self, key: &str, story: &Story, when: &str) {
        let record = self.place.execution(SCHEMA, key);
        let epoch = record.map_or(0, |record| record.claim.epoch);
        assert_eq!(epoch, story.epoch, "{key} {when}: acquisitions");
        let checkpoints = self.place.checkpoints(SCHEMA, key);
        let recorded: Vec<(&str, i64)> = checkpoints
            .iter()
            .map(|checkpoint| (checkpoint.step.as_str(), checkpoint.epoch))
            .collect();
        let expected: Vec<(&str, i64)> = STEPS.into_iter().zip(story.recorded.iter().copied()).collect();
        assert_eq!(recorded, expected, "{key} {when}: steps and who recorded them");
        let ledger = self.place.ledger(SCHEMA, key);
        let booked: Vec<String> = ledger.into_iter().map(|row| row.nonce).collect();
        let effective: Vec<String> = checkpoints
            .iter()
            .filter(|checkpoint| checkpoint.step == "book")
            .filter_map(|checkpoint| nonces(checkpoint).pop())
            .collect();
        assert_eq!(booked, effective, "{key} {when}: rows of the recorded attempt");
    }
}

/// What is recorded of an execution.
#[derive(Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) record: ExecutionRecord,
    checkpoints: Vec<CheckpointRecord>,
    ledger: Vec<Booked>,
}

/// How far one process had come with the execution when it died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// It owned the execution, whether or not it had learned that.
    pub(crate) owned: bool,
    /// Attempts whose effect had happened.
    pub(crate) noted: usize,
    /// Steps that it had recorded, whether or not it had learned that.
    pub(crate) recorded: usize,
}

impl Life {
    /// Of what it asked its store to do; the last of this may not have happened.
    pub(crate) fn of_calls(calls: &[String], the_last_happened: bool) -> Self {
        let happened = &calls[..calls.len() - usize::from(!the_last_happened)];
        let count = |calls: &[String], name| calls.iter().filter(|call| *call == name).count();
        // A transaction's checkpoint is a statement of its own before the commit.
        let writing = usize::from(calls.last().is_some_and(|call| call == "Write"));
        Self {
            owned: count(happened, "Begin") + count(happened, "Acquire") > 0,
            noted: count(calls, "Commit") + writing,
            recorded: count(happened, "Commit"),
        }
    }

    /// At a gate of a step, of a process that ran all steps before it from this one on.
    pub(crate) fn at_gate(gate: &str, from: usize) -> Self {
        let recorded = position(gate) - from;
        Self {
            owned: true,
            noted: recorded + usize::from(!gate.ends_with("/entered")),
            recorded,
        }
    }

    /// From this step on to the last.
    pub(crate) fn whole(from: usize) -> Self {
        let steps = STEPS.len() - from;
        Self {
            owned: true,
            noted: steps,
            recorded: steps,
        }
    }
}

/// Which step a gate is in.
pub(crate) fn position(gate: &str) -> usize {
    let step = gate.split('/').next();
    let position = STEPS.iter().position(|known| Some(*known) == step);
    position.expect("a step of the story")
}

/// What those who had a part in it have made of the execution.
#[derive(Debug, Clone, Default)]
struct Story {
    /// Of the last owner; 0 when there is no row.
    epoch: i64,
    /// Who recorded each step.
    recorded: Vec<i64>,
    /// All attempts with who made them, in order.
    noted: Vec<(String, i64)>,
}

impl Story {
    fn of(lives: &[Life]) -> Self {
        let mut story = Self::default();
        lives.iter().for_each(|life| story.goes_on(*life));
        story
    }

    fn goes_on(&mut self, life: Life) {
        if !life.owned {
            return;
        }
        self.epoch += 1;
        let next = self.recorded.len();
        for step in &STEPS[next..next + life.noted] {
            self.noted.push(((*step).to_owned(), self.epoch));
        }
        self.recorded.extend(vec![self.epoch; life.recorded]);
    }

    fn told_to_its_end(&self) -> Self {
        let mut told = self.clone();
        if self.recorded.len() < STEPS.len() {
            told.goes_on(Life::whole(self.recorded.len()));
        }
        told
    }
}
