//! What happened to some keys? Evidence, from all who saw it: the callers, the steps' notebook, a
//! trigger in the database, the store, and whoever killed. The history checker judges it.
//!
//! A key may have had several runs. Which one an answer is of can be seen in the answer itself: an
//! output is made of the nonces of attempts, and the notebook knows for which run each was.

mod calls;
mod database;
mod values;

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use keystep::clock::micros_of;
use keystep::execution::CheckpointRecord;
use store_conformance::history::{Checker, Event, History};
use uuid::Uuid;

use crate::place::{Place, execution_id};
use crate::protocol::{AfterFailure, Run};
use crate::transcript::Transcript;
use crate::victim::{Call, Victim};
use values::nonces_in;

/// Collects what happens from now on to some keys of a place whose changes are
/// [noted](Place::audit).
#[derive(Debug)]
pub struct Evidence {
    /// The executions it is about.
    executions: HashMap<Uuid, Wishes>,
    witnesses: Vec<Witness>,
    /// Which processes were killed or stopped, and when.
    crashed: Vec<(i64, u32)>,
    /// From when until when processes were cut off from the database.
    cut_off: Vec<(i64, i64)>,
    /// One moment on both clocks.
    origin: (Instant, i64),
}

/// What the callers of a key want when it had failed before.
#[derive(Debug, Clone, Copy, Default)]
struct Wishes {
    /// What follows by default: a terminal failure again, another one resumed.
    default: bool,
    resume: bool,
    restart: bool,
}

/// A process, dead or alive: what it said, and for which keys it was called.
#[derive(Debug)]
struct Witness {
    said: Transcript,
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    at: Instant,
    call: Call,
    execution: Uuid,
    key: String,
}

impl Default for Evidence {
    fn default() -> Self {
        Self::new()
    }
}

impl Evidence {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            executions: HashMap::new(),
            witnesses: Vec::new(),
            crashed: Vec::new(),
            cut_off: Vec::new(),
            origin: (Instant::now(), micros_of(SystemTime::now())),
        }
    }

    /// Hears what a process says, also what it has said before. For one that takes executions up
    /// without being called.
    pub fn hear(&mut self, victim: &Victim) {
        self.witness(victim);
    }

    /// A process was called just now. Its key is one of those that the history is about.
    pub fn asked(&mut self, victim: &Victim, call: Call, schema: &str, key: &str) {
        self.asked_after_failure(victim, call, (schema, key), None);
    }

    /// As [`asked`](Self::asked), with what the caller wants when the key had failed before.
    pub fn asked_to(&mut self, victim: &Victim, call: Call, run: &Run) {
        self.asked_after_failure(victim, call, (&run.schema, &run.key), run.after_failure);
    }

    fn asked_after_failure(
        &mut self,
        victim: &Victim,
        call: Call,
        (schema, key): (&str, &str),
        wish: Option<AfterFailure>,
    ) {
        let execution = execution_id(schema, key).0;
        let wishes = self.executions.entry(execution).or_default();
        match wish {
            None => wishes.default = true,
            Some(AfterFailure::Resume) => wishes.resume = true,
            Some(AfterFailure::Restart) => wishes.restart = true,
            Some(AfterFailure::Replay) => {}
        }
        self.witness(victim).asked.push(Asked {
            at: Instant::now(),
            call,
            execution,
            key: key.to_owned(),
        });
    }

    /// A process is going to be killed or stopped now.
    pub fn crashed(&mut self, victim: &Victim) {
        self.crashed.push((self.now(), victim.pid()));
    }

    /// Processes were cut off from the database from then until now.
    pub fn cut_off(&mut self, since: Instant) {
        self.cut_off.push((self.micros(since), self.now()));
    }

    /// Everything that was noted about the keys, and how their executions stand now.
    ///
    /// # Panics
    /// When the place does not answer.
    pub fn history(&self, place: &Place) -> History {
        let mut history = History::new();
        let attempts = self.database(place, &mut history);
        let runs = attempts
            .iter()
            .map(|attempt| (attempt.nonce.as_str(), uuid(&attempt.run)))
            .collect();
        for (process, witness) in self.witnesses.iter().enumerate() {
            self.calls(process, witness, &runs, &mut history);
        }
        for (from, until) in &self.cut_off {
            history.add(*from, Event::CutOff { until: *until });
        }
        history
    }

    fn witness(&mut self, victim: &Victim) -> &mut Witness {
        let [said, _logged] = victim.transcripts();
        let known = self.witnesses.iter().position(|witness| witness.said.is(&said));
        let place = known.unwrap_or_else(|| {
            let asked = Vec::new();
            self.witnesses.push(Witness { said, asked });
            self.witnesses.len() - 1
        });
        &mut self.witnesses[place]
    }

    fn now(&self) -> i64 {
        self.micros(Instant::now())
    }

    fn micros(&self, at: Instant) -> i64 {
        let since = at.saturating_duration_since(self.origin.0);
        let early = self.origin.0.saturating_duration_since(at);
        self.origin.1 + micros(since) - micros(early)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).expect("not that long")
}

/// A checker that knows which steps of the victim's schemas are special.
pub fn checker() -> Checker {
    let checker = Checker::new().transactional("book").at_most_once("pay");
    ["lines", "pay", "book"].iter().fold(checker, |checker, step| {
        checker.undoable(*step, format!("{step}/undo"))
    })
}

/// The nonces of the attempts whose results a recorded output is made of, in the steps' order.
///
/// # Panics
/// When it is no output of a victim's step.
pub fn nonces(checkpoint: &CheckpointRecord) -> Vec<String> {
    nonces_in(&checkpoint.output.0)
}

fn uuid(text: &str) -> Uuid {
    text.parse().expect("a UUID")
}
