//! Processes are killed and stopped at random while keys are called: what must never happen?
//!
//! Nobody can foretell what happens here. Everything is noted (by the steps, by the callers, by a
//! trigger in the database), and the history checker judges it afterwards.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store_conformance::history::{Checker, Event, History};
use system_tests::evidence::Evidence;
use system_tests::place::{Kind, Place};
use system_tests::protocol::{Policy, Trail};
use system_tests::victim::{Call, Launch, Victim};

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
    let history = chaos.evidence.history(&chaos.place);
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
    evidence: Evidence,
    /// Schema and key.
    keys: Vec<(&'static str, String)>,
    kills: usize,
    stops: usize,
    /// Last: it goes when nobody uses it any more.
    place: Place,
}

/// A process, and when it goes on if it is stopped.
struct Slot {
    victim: Victim,
    stopped_until: Option<Instant>,
    calls: Vec<Call>,
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
            evidence: Evidence::new(),
            keys: Vec::new(),
            kills: 0,
            stops: 0,
        };
        for _process in 0..PROCESSES {
            let slot = chaos.start();
            chaos.living.push(slot);
        }
        chaos
    }

    fn start(&mut self) -> Slot {
        let victim = self.launch.start();
        self.evidence.hear(&victim);
        Slot {
            victim,
            stopped_until: None,
            calls: Vec::new(),
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

    fn ask(&mut self, process: usize, number: usize) {
        let (schema, key) = &self.keys[number];
        let input = Trail {
            payload: key.clone(),
            dwell_ms: 200,
            ..Trail::default()
        };
        let slot = &mut self.living[process];
        let call = slot.victim.run_with(schema, key, input, Policy::Attach);
        self.evidence.asked(&slot.victim, call, schema, key);
        slot.calls.push(call);
    }

    fn fault(&mut self) {
        let which = self.random.random_range(0..PROCESSES);
        let slot = &mut self.living[which];
        if self.random.random_bool(0.6) {
            self.kills += 1;
            // Its successor obeys as soon as it is there.
            let fresh = self.start();
            let old = std::mem::replace(&mut self.living[which], fresh);
            self.evidence.crashed(&old.victim);
            old.victim.kill();
        } else if slot.stopped_until.is_none() {
            self.stops += 1;
            self.evidence.crashed(&slot.victim);
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
            for call in &slot.calls {
                // The answer itself is judged with the others.
                let _heard = slot.victim.answer(*call);
            }
        }
    }
}
