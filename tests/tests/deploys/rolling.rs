//! Releases are rolled out and back at random while keys are called, and processes die in between:
//! does every execution get through, in its own shape, and is nothing parked without need?

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use keystep::State;
use keystep::clock::micros_of;
use keystep::execution::PlanId;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use store_conformance::history::Checker;
use system_tests::evidence::Evidence;
use system_tests::place::{Change as Row, Kind, Place, execution_id};
use system_tests::protocol::{Policy, Trail};
use system_tests::releases::{Change, Fate, Part, Release, names, shape};
use system_tests::victim::{Call, Launch, Victim};

use crate::hasty;

on_both_stores!(rolled_out_and_back_at_random_every_execution_ends_in_the_shape_it_was_born_with);

const PROCESSES: usize = 3;
const ROLLING_FOR: Duration = Duration::from_secs(10);
const REPLACE_EVERY: Duration = Duration::from_millis(350);
const KEY_EVERY: Duration = Duration::from_millis(40);
/// A decision to park is as old as the look at the others that it rests on.
const A_LOOK_AGO: Duration = Duration::from_secs(2);

fn rolled_out_and_back_at_random_every_execution_ends_in_the_shape_it_was_born_with(kind: Kind) {
    let seed = store_conformance::model::seed();
    println!("KEYSTEP_SEED={seed}");
    let mut rolling = Rolling::new(kind, seed);
    rolling.roll();
    rolling.one_of_each_is_left();
    rolling.each_ends_with_the_steps_of_its_plan();
    let parked = rolling.nothing_was_parked_that_somebody_could_run();
    let report = Checker::new().check(&rolling.evidence.history(&rolling.place));
    println!(
        "{kind:?}: {} rolls, {} kills, {} exits, {} executions, {parked} parked, {} takeovers, {} answers",
        rolling.rolls, rolling.kills, rolling.exits, report.executions, report.takeovers, report.answers
    );
    report.assert_kept();
    assert_eq!(report.executions, rolling.keys.len());
    assert!(report.answers >= 2 * rolling.keys.len(), "{report:?}");
    assert!(rolling.kills > 0 && report.takeovers > 0, "nothing happened");
}

struct Rolling {
    random: StdRng,
    evidence: Evidence,
    living: Vec<Process>,
    lives: Vec<Life>,
    keys: Vec<(Change, String)>,
    calls: Vec<Asked>,
    rolls: usize,
    kills: usize,
    exits: usize,
    /// One moment on both clocks.
    origin: (Instant, i64),
    /// Last: it goes when nobody uses it any more.
    place: Place,
}

struct Process {
    victim: Victim,
    release: Release,
}

/// A call of a process.
struct Asked {
    pid: u32,
    call: Call,
}

/// From when to when a process of a release could run executions, in microseconds since 1970.
struct Life {
    release: Release,
    ready: i64,
    end: i64,
}

impl Rolling {
    fn new(kind: Kind, seed: u64) -> Self {
        let place = Place::fresh(kind);
        place.audit();
        place.settle();
        let mut rolling = Self {
            random: StdRng::seed_from_u64(seed),
            evidence: Evidence::new(),
            living: Vec::new(),
            lives: Vec::new(),
            keys: Vec::new(),
            calls: Vec::new(),
            rolls: 0,
            kills: 0,
            exits: 0,
            origin: (Instant::now(), micros_of(SystemTime::now())),
            place,
        };
        for _process in 0..PROCESSES {
            let process = rolling.start(Release::Old);
            rolling.living.push(process);
        }
        rolling
    }

    fn launch(&self, release: Release) -> Launch {
        hasty(&self.place, release).option("log", "warn")
    }

    fn start(&mut self, release: Release) -> Process {
        let victim = self.launch(release).start();
        self.evidence.hear(&victim);
        Process { victim, release }
    }

    /// Process after process is replaced until all are of one release; then another is rolled out.
    /// Some die in between and come back as what they were.
    fn roll(&mut self) {
        let end = Instant::now() + ROLLING_FOR;
        let mut target = Release::New;
        let mut next = Instant::now() + REPLACE_EVERY;
        while Instant::now() < end {
            self.call_a_new_key();
            if Instant::now() >= next {
                let rest: Vec<usize> = (0..PROCESSES)
                    .filter(|which| self.living[*which].release != target)
                    .collect();
                match rest.choose(&mut self.random) {
                    Some(which) if self.random.random_bool(0.7) => self.replace(*which, target),
                    Some(_) => {
                        let which = self.random.random_range(0..PROCESSES);
                        self.replace(which, self.living[which].release);
                    }
                    None => {
                        self.rolls += 1;
                        let all = [Release::Old, Release::New, Release::Both];
                        target = *all.choose(&mut self.random).expect("three");
                    }
                }
                next = Instant::now() + REPLACE_EVERY;
            }
            std::thread::sleep(KEY_EVERY);
        }
    }

    fn call_a_new_key(&mut self) {
        let changes: Vec<Change> = Change::ALL
            .into_iter()
            .filter(|change| change.fate(Release::Old) != Fate::Unreadable)
            // A first step does not know under which name the second will be. What a lazy step has left
            // depends on who ran it.
            .filter(|change| !matches!(change, Change::Formerly | Change::Careful))
            .collect();
        let change = *changes.choose(&mut self.random).expect("some");
        let number = self.keys.len();
        self.keys.push((change, format!("k{number}")));
        let first = self.random.random_range(0..PROCESSES);
        self.ask(first, number);
        if self.random.random_bool(0.5) {
            self.ask((first + 1) % PROCESSES, number);
        }
    }

    fn ask(&mut self, process: usize, number: usize) {
        let (change, key) = &self.keys[number];
        let input = Trail {
            payload: key.clone(),
            dwell_ms: 150,
            ..Trail::default()
        };
        let victim = &mut self.living[process].victim;
        let call = victim.run_with(change.schema(), key, input, Policy::Attach);
        self.evidence.asked(victim, call, change.schema(), key);
        let pid = victim.pid();
        self.calls.push(Asked { pid, call });
    }

    /// Ends a process, mostly with SIGKILL, and starts another in its place.
    fn replace(&mut self, which: usize, release: Release) {
        let fresh = self.start(release);
        let before = std::mem::replace(&mut self.living[which], fresh);
        self.lived(&before);
        if self.random.random_bool(0.7) {
            self.kills += 1;
            self.evidence.crashed(&before.victim);
            before.victim.kill();
        } else {
            self.exits += 1;
            before.victim.ready();
            before.victim.exit();
        }
    }

    /// A process ends now. It could run executions since it was ready.
    fn lived(&mut self, process: &Process) {
        let [said, _logged] = process.victim.transcripts();
        let ready = said
            .timed()
            .into_iter()
            .find(|(_at, line)| line.contains(r#""event":"ready""#));
        if let Some((at, _line)) = ready {
            self.lives.push(Life {
                release: process.release,
                ready: self.micros(at),
                end: self.micros(Instant::now()),
            });
        }
    }

    /// One process of the old release and one of the new one finish everything, and every caller
    /// of a living process gets its answer.
    fn one_of_each_is_left(&mut self) {
        let left = [Release::Old, Release::New].map(|release| {
            let process = self.start(release);
            process.victim.ready();
            process
        });
        let before = std::mem::replace(&mut self.living, left.into());
        for process in before {
            self.evidence.crashed(&process.victim);
            self.lived(&process);
            process.victim.kill();
        }
        // A key whose callers all died before it was begun has no execution; this call makes one.
        for number in 0..self.keys.len() {
            for process in 0..self.living.len() {
                self.ask(process, number);
            }
        }
        for process in &self.living {
            let pid = process.victim.pid();
            for asked in self.calls.iter().filter(|asked| asked.pid == pid) {
                let answer = process.victim.answer(asked.call);
                assert!(answer.is_ok(), "{answer:?}\n{}", process.victim);
            }
        }
        let living = std::mem::take(&mut self.living);
        living.iter().for_each(|process| self.lived(process));
    }

    fn each_ends_with_the_steps_of_its_plan(&self) {
        let mut parameters: HashMap<PlanId, Vec<String>> = HashMap::new();
        for (change, key) in &self.keys {
            let record = self.place.execution(change.schema(), key).expect("an execution");
            assert_eq!(record.state, State::Succeeded, "{change:?} {key}: {record:?}");
            let checkpoints = self.place.steps(change.schema(), key);
            let recorded: Vec<&str> = checkpoints.iter().map(|done| done.step.as_str()).collect();
            let (trail, born) = (self.trail(*change, key), self.born(*change, key));
            let born_as = &trail.made_by[0].plan;
            assert_eq!(recorded, names(born_as), "{change:?} {key}");
            assert_eq!(trail.nonces.len(), recorded.len(), "{change:?} {key}");
            let mut stored = Vec::new();
            for ((mark, step), part) in trail.made_by.iter().zip(&recorded).zip(change.plan(born)) {
                assert_eq!((mark.step.as_str(), &mark.plan), (*step, born_as), "{trail:?}");
                assert_eq!(mark.run, record.run.to_string(), "{trail:?}");
                match part {
                    Part::Stored(..) => stored.push(mark.code.clone()),
                    Part::Code(_) | Part::Once(_) if change.fate(born) == Fate::Waits => {
                        assert_eq!(mark.code, born.word(), "code of another shape: {trail:?}");
                    }
                    Part::Code(_) | Part::Once(_) => {}
                }
            }
            let of_plan = parameters.entry(record.plan).or_insert_with(|| stored.clone());
            assert_eq!(stored, *of_plan, "one plan, two parameters: {change:?} {key}");
        }
    }

    /// Whenever an execution was parked, no process of its shape was seen alive. Gives how many were.
    fn nothing_was_parked_that_somebody_could_run(&self) -> usize {
        let of: HashMap<_, _> = self
            .keys
            .iter()
            .map(|(change, key)| (execution_id(change.schema(), key).0, (change, key)))
            .collect();
        let mut last: HashMap<_, Row> = HashMap::new();
        let mut parked = 0;
        for row in self.place.changes() {
            if State::from_code(row.state) == Some(State::Parked) {
                parked += 1;
                let (change, key) = of[&row.execution];
                let born = self.born(*change, key);
                // First it is acquired, then parked.
                let decided = last[&row.execution].at - micros(A_LOOK_AGO);
                let could = self
                    .lives
                    .iter()
                    .filter(|life| change.is_known_to(life.release, born))
                    .find(|life| life.ready < decided && row.at < life.end);
                assert!(
                    could.is_none(),
                    "{change:?} {key} of {born:?} was parked at {} although a process had its shape",
                    row.at
                );
            }
            last.insert(row.execution, row);
        }
        parked
    }

    /// The output.
    fn trail(&self, change: Change, key: &str) -> Trail {
        let checkpoints = self.place.steps(change.schema(), key);
        let last = checkpoints.last().expect("steps");
        // Stored bytes are a header of two bytes, then JSON.
        serde_json::from_slice(&last.output.0[2..]).expect("a trail")
    }

    /// In which release's shape an execution was born.
    fn born(&self, change: Change, key: &str) -> Release {
        let trail = self.trail(change, key);
        let of = |born: &Release| shape(&change.plan(*born)) == trail.made_by[0].plan;
        let born = [Release::Old, Release::New].into_iter().find(of);
        born.unwrap_or_else(|| panic!("{change:?} {key}: {trail:?}"))
    }

    fn micros(&self, at: Instant) -> i64 {
        self.origin.1 + micros(at.saturating_duration_since(self.origin.0))
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).expect("not that long")
}
