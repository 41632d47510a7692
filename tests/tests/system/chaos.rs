//! Processes are killed and stopped at random while keys are called: what must never happen?
//!
//! Nobody can foretell what happens here. Everything is noted (by the steps, by the callers, by a
//! trigger in the database), and the history checker judges it afterwards.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime};

use keystep::State;
use keystep::clock::micros_of;
use keystep::execution::CheckpointRecord;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store_conformance::history::{Checker, Event, History};
use system_tests::place::{Kind, Place, execution_id};
use system_tests::protocol::{Event as Said, Policy, Trail};
use system_tests::transcript::Transcript;
use system_tests::victim::{Call, Launch, Victim};
use uuid::Uuid;

use crate::{show, victim};

on_both_stores!(alone_under_random_kills_and_stops_every_promise_is_kept);

const PROCESSES: usize = 3;
/// How long faults go on, and how often one comes.
const FAULTS_FOR: Duration = Duration::from_secs(10);
const FAULT_EVERY: Duration = Duration::from_millis(400);
/// Each key is called by two processes at about the same time.
const KEY_EVERY: Duration = Duration::from_millis(25);
const CALLS_OF_A_KEY: usize = 2;

fn alone_under_random_kills_and_stops_every_promise_is_kept(kind: Kind) {
    let seed = store_conformance::model::seed();
    show(&format!("{kind:?}: KEYSTEP_SEED={seed}"));
    let mut chaos = Chaos::new(kind, seed);
    chaos.rage();
    chaos.calm_down();
    let history = chaos.history();
    let report = Checker::new().transactional("book").check(&history);
    show(&format!(
        "{kind:?}: {} kills, {} stops, {} executions, {} takeovers, {} answers, {} late attempts",
        chaos.kills, chaos.stops, report.executions, report.takeovers, report.answers, report.late_attempts
    ));
    report.assert_kept();
    what_is_judged_could_be_found_broken(history);
    assert_eq!(report.executions, chaos.keys.len());
    assert!(report.answers >= chaos.keys.len(), "{report:?}");
    assert!(
        chaos.kills > 0 && chaos.stops > 0 && report.takeovers > 0,
        "nothing happened"
    );
}

/// A row too many in the ledger: the history is about what happened, and not empty words.
fn what_is_judged_could_be_found_broken(mut history: History) {
    let booked = history.entries.iter().find_map(|entry| match &entry.event {
        Event::Ledger { .. } => Some(entry.clone()),
        _ => None,
    });
    history.entries.push(booked.expect("a row of the ledger"));
    let report = Checker::new().transactional("book").check(&history);
    assert_eq!(report.violations.len(), 1);
}

struct Chaos {
    launch: Launch,
    random: StdRng,
    /// Places of processes; the dead are replaced.
    living: Vec<Slot>,
    /// What the dead had said, and what they were asked.
    dead: Vec<Told>,
    /// Schema and key.
    keys: Vec<(&'static str, String)>,
    /// Which processes were killed or stopped, and when.
    crashed: Vec<(i64, u32)>,
    kills: usize,
    stops: usize,
    /// One moment on both clocks.
    origin: (Instant, i64),
    /// Last: it goes when nobody uses it any more.
    place: Place,
}

/// A process, and when it goes on if it is stopped.
struct Slot {
    victim: Victim,
    stopped_until: Option<Instant>,
    asked: Vec<(Instant, Call, usize)>,
}

/// What a process said, and which calls of which keys it was asked for.
struct Told {
    said: Transcript,
    asked: Vec<(Instant, Call, usize)>,
}

impl Chaos {
    fn new(kind: Kind, seed: u64) -> Self {
        let place = Place::fresh(kind);
        place.audit();
        place.settle();
        let launch = victim(&place)
            .beat(Duration::from_millis(200))
            .beat_limit(Duration::from_millis(1_500))
            .grace(Duration::from_millis(50))
            .option("log", "warn");
        let mut chaos = Self {
            place,
            launch,
            random: StdRng::seed_from_u64(seed),
            living: Vec::new(),
            dead: Vec::new(),
            keys: Vec::new(),
            crashed: Vec::new(),
            kills: 0,
            stops: 0,
            origin: (Instant::now(), micros_of(SystemTime::now())),
        };
        for _process in 0..PROCESSES {
            let slot = chaos.start();
            chaos.living.push(slot);
        }
        chaos
    }

    fn start(&self) -> Slot {
        Slot {
            victim: self.launch.start(),
            stopped_until: None,
            asked: Vec::new(),
        }
    }

    /// Faults and calls until the time is over.
    fn rage(&mut self) {
        let end = Instant::now() + FAULTS_FOR;
        let mut next_fault = Instant::now() + FAULT_EVERY;
        while Instant::now() < end {
            self.call_a_new_key();
            if Instant::now() >= next_fault {
                self.fault();
                next_fault = Instant::now() + FAULT_EVERY;
            }
            self.wake(Instant::now());
            std::thread::sleep(KEY_EVERY);
        }
    }

    fn call_a_new_key(&mut self) {
        let schema = if self.keys.len().is_multiple_of(2) {
            "three"
        } else {
            "booked"
        };
        let key = format!("k{}", self.keys.len());
        self.keys.push((schema, key));
        let first = self.random.random_range(0..PROCESSES);
        for which in 0..CALLS_OF_A_KEY {
            self.ask((first + which) % PROCESSES, self.keys.len() - 1);
        }
    }

    fn ask(&mut self, process: usize, number: usize) -> Call {
        let (schema, key) = &self.keys[number];
        let input = Trail {
            payload: key.clone(),
            dwell_ms: 200,
            ..Trail::default()
        };
        let slot = &mut self.living[process];
        let call = slot.victim.run_with(schema, key, input, Policy::Attach);
        slot.asked.push((Instant::now(), call, number));
        call
    }

    fn fault(&mut self) {
        let which = self.random.random_range(0..PROCESSES);
        let at = self.now();
        let slot = &mut self.living[which];
        self.crashed.push((at, slot.victim.pid()));
        if self.random.random_bool(0.6) {
            self.kills += 1;
            // Its successor obeys as soon as it is there.
            let fresh = self.start();
            let Slot { victim, asked, .. } = std::mem::replace(&mut self.living[which], fresh);
            let [said, _logged] = victim.transcripts();
            victim.kill();
            self.dead.push(Told { said, asked });
        } else if slot.stopped_until.is_none() {
            self.stops += 1;
            slot.victim.stop();
            let time = self.random.random_range(100..2_500);
            slot.stopped_until = Some(Instant::now() + Duration::from_millis(time));
        }
    }

    /// Lets those go on whose time has come.
    fn wake(&mut self, now: Instant) {
        for slot in &mut self.living {
            if slot.stopped_until.is_some_and(|until| until <= now) {
                slot.victim.go_on();
                slot.stopped_until = None;
            }
        }
    }

    /// No more faults: every execution ends, and every living caller gets its answer.
    fn calm_down(&mut self) {
        self.wake(Instant::now() + Duration::from_secs(3_600));
        // A key whose callers all died before it was begun has no execution; this call makes one.
        for number in 0..self.keys.len() {
            self.ask(number % PROCESSES, number);
        }
        for slot in &self.living {
            for (_asked, call, _number) in &slot.asked {
                // The answer itself is judged with the others.
                let _heard = slot.victim.answer(*call);
            }
        }
    }

    /// Everything that was noted.
    fn history(&mut self) -> History {
        let mut history = History::new();
        for slot in &mut self.living {
            let [said, _logged] = slot.victim.transcripts();
            let asked = std::mem::take(&mut slot.asked);
            self.dead.push(Told { said, asked });
        }
        for change in self.place.changes() {
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
        let runs: Vec<Uuid> = (0..self.keys.len())
            .map(|key| self.execution(key, &mut history))
            .collect();
        for (process, told) in self.dead.iter().enumerate() {
            self.calls(process, told, &runs, &mut history);
        }
        self.crashes(&mut history);
        history
    }

    /// A process is one worker, and another one after it was given up while it lived.
    fn crashes(&self, history: &mut History) {
        let keys = self.keys.iter();
        let attempts = keys.flat_map(|(schema, key)| self.place.attempts(schema, key));
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
    fn execution(&self, number_of_key: usize, history: &mut History) -> Uuid {
        let (schema, key) = &self.keys[number_of_key];
        let id = execution_id(schema, key);
        let record = self
            .place
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
        for attempt in self.place.attempts(schema, key) {
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
        let checkpoints = self.place.checkpoints(schema, key);
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
        for _row in self.place.ledger(schema, key) {
            history.add(
                end,
                Event::Ledger {
                    run,
                    step: "book".to_owned(),
                },
            );
        }
        if let (State::Succeeded, Some(last)) = (record.state, checkpoints.last()) {
            history.add(
                end,
                Event::Stored {
                    run,
                    output: nonces(last).join(" "),
                },
            );
        }
        run
    }

    /// What one process was asked and said.
    fn calls(&self, process: usize, told: &Told, runs: &[Uuid], history: &mut History) {
        let mut answers = HashMap::new();
        for (at, line) in told.said.timed() {
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
        for (at, call, number_of_key) in &told.asked {
            let (_schema, key) = &self.keys[*number_of_key];
            let (key, caller) = (
                key.clone(),
                format!("call {} of process {process}", call.number()),
            );
            history.add(
                self.micros(*at),
                Event::Asked {
                    key: key.clone(),
                    caller: caller.clone(),
                },
            );
            let (at, event) = match answers.remove(&call.number()) {
                Some((at, Ok(output))) => {
                    let (run, output) = (runs[*number_of_key], output.join(" "));
                    (
                        at,
                        Event::Answered {
                            key,
                            run,
                            caller,
                            output,
                        },
                    )
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
        let since = at.saturating_duration_since(self.origin.0).as_micros();
        self.origin.1 + i64::try_from(since).expect("not that long")
    }
}

fn nonces(checkpoint: &CheckpointRecord) -> Vec<String> {
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
