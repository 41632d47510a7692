//! What happened to some keys? Evidence, from all who saw it: the callers, the steps' notebook, a
//! trigger in the database, the store, and whoever killed. The history checker judges it.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime};

use keystep::State;
use keystep::clock::micros_of;
use keystep::execution::CheckpointRecord;
use store_conformance::history::{Event, History};
use uuid::Uuid;

use crate::place::{Place, execution_id};
use crate::protocol::{Event as Said, Trail};
use crate::transcript::Transcript;
use crate::victim::{Call, Victim};

/// Collects what happens from now on to some keys of a place whose changes are
/// [noted](Place::audit).
#[derive(Debug)]
pub struct Evidence {
    /// Schema and key.
    keys: Vec<(String, String)>,
    witnesses: Vec<Witness>,
    /// Which processes were killed or stopped, and when.
    crashed: Vec<(i64, u32)>,
    /// One moment on both clocks.
    origin: (Instant, i64),
}

/// A process, dead or alive: what it said, and for which keys it was called.
#[derive(Debug)]
struct Witness {
    said: Transcript,
    asked: Vec<(Instant, Call, usize)>,
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
            keys: Vec::new(),
            witnesses: Vec::new(),
            crashed: Vec::new(),
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
        let number = self.about(schema, key);
        let asked = (Instant::now(), call, number);
        self.witness(victim).asked.push(asked);
    }

    /// A process is going to be killed or stopped now.
    pub fn crashed(&mut self, victim: &Victim) {
        self.crashed.push((self.now(), victim.pid()));
    }

    /// Everything that was noted about the keys, and how their executions stand now.
    ///
    /// # Panics
    /// When the place does not answer, or a key has no execution.
    pub fn history(&self, place: &Place) -> History {
        let mut history = History::new();
        let runs: Vec<Uuid> = self
            .keys
            .iter()
            .map(|(schema, key)| self.execution(place, schema, key, &mut history))
            .collect();
        self.changes(place, &mut history);
        for (process, witness) in self.witnesses.iter().enumerate() {
            self.calls(process, witness, &runs, &mut history);
        }
        self.crashes(place, &mut history);
        history
    }

    fn about(&mut self, schema: &str, key: &str) -> usize {
        let known = self
            .keys
            .iter()
            .position(|(of, known)| of == schema && known == key);
        known.unwrap_or_else(|| {
            self.keys.push((schema.to_owned(), key.to_owned()));
            self.keys.len() - 1
        })
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

    fn changes(&self, place: &Place, history: &mut History) {
        let ours: BTreeSet<Uuid> = self
            .keys
            .iter()
            .map(|(schema, key)| execution_id(schema, key).0)
            .collect();
        for change in place.changes() {
            if ours.contains(&change.execution) {
                let event = Event::Changed {
                    execution: change.execution,
                    run: change.run,
                    epoch: change.epoch,
                    token: change.token,
                    owner: change.owner,
                    state: word(change.state),
                };
                history.add(change.at, event);
            }
        }
    }

    /// A process is one worker, and another one after it was given up while it lived.
    fn crashes(&self, place: &Place, history: &mut History) {
        let keys = self.keys.iter();
        let attempts = keys.flat_map(|(schema, key)| place.attempts(schema, key));
        let workers: BTreeSet<(i64, i64)> = attempts
            .map(|attempt| (attempt.pid, number(&attempt.worker)))
            .collect();
        for (at, pid) in &self.crashed {
            for (_pid, worker) in workers.iter().filter(|(of, _worker)| *of == i64::from(*pid)) {
                history.add(*at, Event::Crashed { worker: *worker });
            }
        }
    }

    /// What the store and the notebook know of a key. Gives its run.
    fn execution(&self, place: &Place, schema: &str, key: &str, history: &mut History) -> Uuid {
        let id = execution_id(schema, key);
        let record = place
            .execution(schema, key)
            .expect("every key was called to its end");
        let run = record.run.0;
        let end = self.now();
        history.add(
            end,
            Event::Stands {
                execution: id.0,
                state: record.state.as_str().to_owned(),
                wakes_later: record.wake_in.is_some_and(|wake_in| !wake_in.is_zero()),
            },
        );
        for attempt in place.attempts(schema, key) {
            history.add(
                attempt.began,
                Event::Began {
                    run: uuid(&attempt.run),
                    step: attempt.step,
                    epoch: attempt.epoch,
                    nonce: uuid(&attempt.nonce),
                    worker: number(&attempt.worker),
                },
            );
        }
        let checkpoints = place.checkpoints(schema, key);
        for checkpoint in &checkpoints {
            let nonces = nonces(checkpoint);
            history.add(
                micros_of(checkpoint.at),
                Event::Recorded {
                    run,
                    step: checkpoint.step.clone(),
                    epoch: checkpoint.epoch,
                    nonce: uuid(nonces.last().expect("each step adds one")),
                },
            );
        }
        for _row in place.ledger(schema, key) {
            let step = "book".to_owned();
            history.add(end, Event::Ledger { run, step });
        }
        if let (State::Succeeded, Some(last)) = (record.state, checkpoints.last()) {
            let output = nonces(last).join(" ");
            history.add(end, Event::Stored { run, output });
        }
        run
    }

    /// What one process was asked and said.
    fn calls(&self, process: usize, witness: &Witness, runs: &[Uuid], history: &mut History) {
        let mut answers = HashMap::new();
        for (at, line) in witness.said.timed() {
            match serde_json::from_str(&line) {
                Ok(Said::Answer { call, result }) => {
                    answers.insert(call, (at, result));
                }
                Ok(Said::Failing(attempt)) => history.add(
                    self.micros(at),
                    Event::Retried {
                        run: uuid(&attempt.run),
                        step: attempt.step,
                    },
                ),
                // The last line of a killed process may be half a line.
                _ => {}
            }
        }
        for (at, call, number_of_key) in &witness.asked {
            let (_schema, key) = &self.keys[*number_of_key];
            let (key, caller) = (
                key.clone(),
                format!("call {} of process {process}", call.number()),
            );
            let asked = Event::Asked {
                key: key.clone(),
                caller: caller.clone(),
            };
            history.add(self.micros(*at), asked);
            let (at, event) = match answers.remove(&call.number()) {
                Some((at, Ok(output))) => {
                    let (run, output) = (runs[*number_of_key], output.join(" "));
                    let event = Event::Answered {
                        key,
                        run,
                        caller,
                        output,
                    };
                    (at, event)
                }
                Some((at, Err(error))) => {
                    let why = error.text;
                    (at, Event::Refused { key, caller, why })
                }
                None => {
                    let why = "its process was killed".to_owned();
                    (*at, Event::Refused { key, caller, why })
                }
            };
            history.add(self.micros(at), event);
        }
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

/// The nonces of the attempts whose results a recorded output is made of, in the steps' order.
///
/// # Panics
/// When it is no output of a victim's step.
pub fn nonces(checkpoint: &CheckpointRecord) -> Vec<String> {
    // Stored bytes are a header of two bytes, then JSON.
    let trail: Trail = serde_json::from_slice(&checkpoint.output.0[2..]).expect("an output");
    trail.nonces
}

fn uuid(text: &str) -> Uuid {
    text.parse().expect("a UUID")
}

/// Worker ids are shown as hexadecimal numbers.
fn number(worker: &str) -> i64 {
    i64::from_str_radix(worker, 16).expect("a worker id")
}

fn word(state: i16) -> String {
    State::from_code(state)
        .expect("a known state")
        .as_str()
        .to_owned()
}
