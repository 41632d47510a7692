//! A process dies at each point of a story that has a step of every kind: is each kept as it promises?
//!
//! What is recorded is not done again, part by part; what is done at most once has one effect; the row, its
//! messages and the checkpoint are there together or not at all; each step is undone once it is
//! recorded, in reverse.

use std::time::Duration;

use keystep::State;
use keystep::execution::CheckpointRecord;
use system_tests::evidence::{Evidence, checker, nonces};
use system_tests::place::{Kind, Place, execution_id};
use system_tests::protocol::{Attempt, Mishap, Policy, Risk, Trail};
use system_tests::show;
use system_tests::victim::{Call, Launch, Victim};

use crate::points::{STORIES, Story};
use crate::snare::{Caught, Snare, Way};

on_both_stores!(
    a_death_around_a_call_of_its_store_spares_every_kind_of_step,
    a_death_around_a_durable_write_spares_every_kind_of_step,
    a_death_inside_a_body_spares_every_kind_of_step,
);

const SCHEMA: &str = "kinds";

fn a_death_around_a_call_of_its_store_spares_every_kind_of_step(kind: Kind) {
    everyone_dies(kind, &[Way::Before, Way::After]);
}

fn a_death_around_a_durable_write_spares_every_kind_of_step(kind: Kind) {
    everyone_dies(kind, &[Way::Sent, Way::Done]);
}

fn a_death_inside_a_body_spares_every_kind_of_step(kind: Kind) {
    everyone_dies(kind, &[Way::Inside]);
}

fn everyone_dies(kind: Kind, ways: &[Way]) {
    let place = Place::fresh(kind);
    place.audit();
    place.settle();
    // Its plan is stored from now on.
    Tale::new(&place, STORIES[0], "undisturbed".to_owned()).is_told();
    for way in ways {
        for story in STORIES {
            dies_at_each(&place, *way, story);
        }
    }
}

/// Kills at the first point, the second, and so on until the story needs no more.
fn dies_at_each(place: &Place, way: Way, story: Story) {
    let mut points = Vec::new();
    for nth in 1.. {
        let mut tale = Tale::new(place, story, format!("{way:?} {nth} of {story:?}"));
        if let Some(gate) = story.died_at {
            tale.dies_at_gate(gate);
        }
        let caught = tale.dies_at(Snare::set(place, way, nth, silent(place)));
        tale.is_told();
        match caught {
            Some(caught) => points.push(caught.name().to_owned()),
            None => break,
        }
    }
    show(&format!(
        "{:?}, {way:?}, {story:?}: killed at {} points",
        place.kind(),
        points.len()
    ));
    assert_eq!(points, story.points(place.kind(), way), "the points of {story:?}");
}

fn launch(place: &Place) -> Launch {
    place
        .launch(env!("CARGO_BIN_EXE_victim"))
        .option("only", SCHEMA)
        .grace(Duration::ZERO)
        .beat_limit(Duration::from_secs(600))
}

/// What it asks its store to do is the story, one thing after the other.
fn silent(place: &Place) -> Launch {
    launch(place).switch("silent")
}

/// An execution whose owners die.
struct Tale<'a> {
    place: &'a Place,
    story: Story,
    key: String,
    evidence: Evidence,
    deaths: usize,
}

impl<'a> Tale<'a> {
    fn new(place: &'a Place, story: Story, key: String) -> Self {
        Self {
            place,
            story,
            key,
            evidence: Evidence::new(),
            deaths: 0,
        }
    }

    fn dies_at_gate(&mut self, gate: &str) {
        let mut process = silent(self.place).gate(gate).start();
        self.begins(&mut process);
        process.at_gate(SCHEMA, &self.key, gate);
        let worker = process.ready();
        process.kill();
        // Its successor finds work to do at once.
        self.place.bury(&worker);
    }

    /// `None` when there was no point left to hold the process at.
    fn dies_at(&mut self, snare: Snare) -> Option<Caught> {
        let is_successor = self.deaths > 0;
        let mut process = snare.start();
        let call = self.begins(&mut process);
        let (_call, caught) = snare.held_or_over(&mut process, call, |process| {
            self.is_finished().then(|| self.calls(process))
        });
        snare.kill(process);
        // The last call of all is none of the story.
        caught.filter(|caught| !(is_successor && caught.name() == "Begin"))
    }

    /// Only the first process is called.
    fn begins(&mut self, process: &mut Victim) -> Option<Call> {
        self.evidence.hear(process);
        let call = (self.deaths == 0).then(|| self.calls(process));
        self.evidence.crashed(process);
        self.deaths += 1;
        call
    }

    fn calls(&mut self, process: &mut Victim) -> Call {
        let refusal = Risk {
            step: "last".to_owned(),
            mishap: Mishap::Terminal,
            percent: 100,
        };
        let input = Trail {
            payload: self.key.clone(),
            risks: self.story.fails.then_some(refusal).into_iter().collect(),
            ..Trail::default()
        };
        let call = process.run_with(SCHEMA, &self.key, input, Policy::Attach);
        self.evidence.asked(process, call, SCHEMA, &self.key);
        call
    }

    fn end(&self) -> State {
        match self.story.fails {
            true => State::Undone,
            false => State::Succeeded,
        }
    }

    fn is_finished(&self) -> bool {
        let record = self.place.execution(SCHEMA, &self.key);
        record.is_some_and(|record| record.state == self.end())
    }

    /// A new process finishes what the dead have left, and every kind of step has kept its promise.
    fn is_told(&mut self) {
        let left = Standing::of(self.place, &self.key);
        left.is_whole(&self.key);
        let mut last = launch(self.place).start();
        self.evidence.hear(&last);
        if self.place.execution(SCHEMA, &self.key).is_some() {
            let end = self.end();
            self.place.until(SCHEMA, &self.key, |record| record.state == end);
        }
        let call = self.calls(&mut last);
        let answer = last.answer(call);
        last.exit();
        let told = Standing::of(self.place, &self.key);
        told.is_whole(&self.key);
        told.goes_on_from(&left, &self.key);
        match answer {
            Ok(output) => told.is_done(&output, &self.key),
            Err(error) => {
                let (kind, step) = (error.kind.as_str(), error.step.as_deref());
                assert_eq!((kind, step), ("undone", Some("last")), "{}", self.key);
                told.is_undone(&self.key);
            }
        }
        assert_eq!(told.charges, 1, "{}: an effect at most once", self.key);
        let report = checker().check(&self.evidence.history(self.place));
        assert_eq!(report.violations, [], "{}", self.key);
        assert!(report.executions == 1 && report.answers >= 1, "{report:?}");
    }
}

/// All that there is of an execution.
struct Standing {
    state: Option<State>,
    checkpoints: Vec<CheckpointRecord>,
    attempts: Vec<Attempt>,
    /// Nonces of rows in the ledger.
    booked: Vec<String>,
    /// Payloads of messages.
    messages: Vec<String>,
    charges: i64,
    /// The nonce of the attempt that has charged.
    charged: Option<String>,
}

impl Standing {
    fn of(place: &Place, key: &str) -> Self {
        let id = execution_id(SCHEMA, key);
        let mut charged = place.charged().into_iter();
        let charged = charged.find(|charged| charged.execution == id.to_string());
        let messages = place.outbox(10_000).into_iter();
        let messages = messages.filter(|message| message.execution == id);
        Self {
            state: place.execution(SCHEMA, key).map(|record| record.state),
            checkpoints: place.checkpoints(SCHEMA, key),
            attempts: place.attempts(SCHEMA, key),
            booked: place
                .ledger(SCHEMA, key)
                .into_iter()
                .map(|row| row.nonce)
                .collect(),
            messages: messages
                // A header of two bytes, then JSON.
                .map(|message| serde_json::from_slice(&message.payload.0[2..]).expect("a nonce"))
                .collect(),
            charges: charged.as_ref().map_or(0, |charged| charged.charges),
            charged: charged.map(|charged| charged.nonce),
        }
    }

    fn recorded(&self, name: &str) -> Option<&CheckpointRecord> {
        self.checkpoints.iter().find(|checkpoint| checkpoint.step == name)
    }

    /// The nonce that the output of a step is of.
    fn nonce(&self, step: &str) -> Option<String> {
        nonces(self.recorded(step)?).pop()
    }

    fn attempts_of(&self, name: &str) -> usize {
        self.attempts
            .iter()
            .filter(|attempt| attempt.step == name)
            .count()
    }

    /// The row, its messages and the checkpoint are there together or not at all; so are the last step
    /// and its message.
    fn is_whole(&self, key: &str) {
        let booked: Vec<String> = self.nonce("book").into_iter().collect();
        assert_eq!(self.booked, booked, "{key}: the row of the recorded attempt");
        let twice = booked.iter().chain(&booked).cloned();
        let messages: Vec<String> = twice.chain(self.nonce("last")).collect();
        assert_eq!(
            self.messages, messages,
            "{key}: messages of recorded steps, in order"
        );
        if let Some(paid) = self.nonce("pay") {
            assert_eq!(self.charged, Some(paid), "{key}: what is recorded has happened");
        }
    }

    /// What was recorded stays, and was not done again.
    fn goes_on_from(&self, left: &Self, key: &str) {
        for checkpoint in &left.checkpoints {
            let name = checkpoint.step.as_str();
            assert_eq!(self.recorded(name), Some(checkpoint), "{key}: {name} stays");
            let done = match name.split_once("::@") {
                None => name.to_owned(),
                Some((step, "undone")) => format!("{step}/undo"),
                Some(_) => continue,
            };
            let (before, now) = (left.attempts_of(&done), self.attempts_of(&done));
            assert_eq!(now, before, "{key}: {done} was recorded when the last one died");
        }
        // It rides with whatever is recorded first.
        if !left.checkpoints.is_empty() {
            assert_eq!(
                self.attempts_of("look"),
                left.attempts_of("look"),
                "{key}: look rode"
            );
        }
    }

    fn is_done(&self, output: &[String], key: &str) {
        assert_eq!(self.state, Some(State::Succeeded), "{key}");
        let last = self.recorded("last").expect("the last output");
        assert_eq!(output, nonces(last), "{key}: the answer is the stored result");
        assert_eq!(output.len(), 5, "{key}");
    }

    fn is_undone(&self, key: &str) {
        assert_eq!(self.state, Some(State::Undone), "{key}");
        let mut undos: Vec<&str> = self
            .attempts
            .iter()
            .filter(|attempt| attempt.step.ends_with("/undo"))
            .map(|attempt| attempt.step.as_str())
            .collect();
        undos.dedup();
        assert_eq!(
            undos,
            ["book/undo", "pay/undo", "lines/undo"],
            "{key}: in reverse"
        );
    }
}
