//! Who calls which keys, and how? A few hot keys that everybody calls again and again, and many cold
//! ones, each with its own schema, risks and wishes.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::crew::Crew;
use crate::protocol::{AfterFailure, Mishap, Policy, Risk, Run, Trail};

const HOT_KEYS: usize = 12;
/// The one with a step of every kind more often.
const SCHEMAS: [&str; 6] = ["three", "booked", "brisk", "patient", KINDS, KINDS];
const KINDS: &str = "kinds";
/// Steps, a part and undos in which something may go wrong.
const RISKY: [&str; 8] = [
    "first",
    "book",
    "second",
    "last",
    "lines::line/2",
    "pay",
    "pay/undo",
    "lines/undo",
];
/// Among so many of the latest keys is the one that somebody wants cancelled, or that is sent a signal.
const LATEST: usize = 25;
const DWELL_MS: u64 = 120;

/// What a process is told to do.
#[derive(Debug, Clone)]
pub(super) enum Order {
    /// To call.
    Call(Box<Run>),
    /// To want an execution cancelled.
    Cancel {
        schema: &'static str,
        key: String,
        undo: bool,
    },
    /// To send an execution a signal.
    Signal { schema: &'static str, key: String },
}

/// The keys so far.
pub(super) struct Traffic {
    keys: Vec<Key>,
}

/// A key and what its callers send: always the same input, one of a few wishes.
struct Key {
    schema: &'static str,
    text: String,
    input: Trail,
    wishes: &'static [Option<AfterFailure>],
}

/// What the callers of one key want when it had failed. The first two keep a failure for ever.
const WISHES: [&[Option<AfterFailure>]; 5] = [
    &[Some(AfterFailure::Replay)],
    &[None],
    &[None, Some(AfterFailure::Replay)],
    &[None, Some(AfterFailure::Resume)],
    &[None, Some(AfterFailure::Restart), Some(AfterFailure::Replay)],
];

impl Traffic {
    pub(super) fn new() -> Self {
        Self { keys: Vec::new() }
    }

    /// How many keys were called.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The next orders, each with the process that gets it. Processes that do not keep up are left
    /// alone.
    pub(super) fn next(&mut self, random: &mut StdRng, crew: &Crew) -> Vec<(usize, Order)> {
        let able: Vec<usize> = (0..crew.slots().len())
            .filter(|process| crew.slots()[*process].has_room())
            .collect();
        let mut orders = Vec::new();
        let mut call = |random: &mut StdRng, key: &Key, callers: usize| {
            for process in able.choose_multiple(random, callers) {
                orders.push((*process, Order::Call(Box::new(key.called(random)))));
            }
        };
        // One hot key each time until they are all there.
        if self.keys.len() < HOT_KEYS {
            self.keys
                .push(Key::drawn(random, format!("hot-{}", self.keys.len())));
        }
        let hot = self.keys[..self.keys.len().min(HOT_KEYS)].choose(random);
        if let Some(hot) = hot {
            let callers = random.random_range(1..=2);
            call(random, hot, callers);
        }
        // An old key again: it may be finished for long, free to be used anew, or deleted.
        if random.random_bool(0.3)
            && let Some(old) = self.keys.choose(random)
        {
            call(random, old, 1);
        }
        let cold = Key::drawn(random, format!("cold-{}", self.keys.len()));
        let callers = random.random_range(1..=3);
        call(random, &cold, callers);
        if self.keys.len() >= HOT_KEYS {
            self.keys.push(cold);
        }
        let latest = &self.keys[self.keys.len().saturating_sub(LATEST)..];
        for (key, is_signal, odds) in [
            (latest.choose(random), false, 0.25),
            (latest.choose(random), true, 0.25),
        ] {
            if let (Some(key), Some(process)) = (key, able.choose(random))
                && random.random_bool(odds)
                && let Some(order) = key.disturbed(random, is_signal)
            {
                orders.push((*process, order));
            }
        }
        orders
    }

    /// A call of every key, for what is stored.
    pub(super) fn all_again(&self) -> Vec<Order> {
        let keys = self.keys.iter();
        let again = keys.map(|key| key.call(Policy::Attach, Some(AfterFailure::Replay), None));
        again.map(|run| Order::Call(Box::new(run))).collect()
    }
}

impl Key {
    fn drawn(random: &mut StdRng, text: String) -> Self {
        let mut risks = Vec::new();
        for step in RISKY {
            for (mishap, odds, percent) in [
                (Mishap::Error, 0.3, 40),
                (Mishap::Terminal, 0.1, 50),
                (Mishap::Panic, 0.1, 30),
            ] {
                if random.random_bool(odds) {
                    risks.push(Risk {
                        step: step.to_owned(),
                        mishap,
                        percent,
                    });
                }
            }
        }
        let waits = random.random_bool(0.5);
        Self {
            schema: SCHEMAS.choose(random).expect("some"),
            input: Trail {
                payload: text.clone(),
                dwell_ms: DWELL_MS,
                risks,
                signal_ms: waits.then(|| random.random_range(1..1_500)),
                ..Trail::default()
            },
            text,
            wishes: WISHES.choose(random).expect("some"),
        }
    }

    /// What somebody wants of it who does not call it.
    fn disturbed(&self, random: &mut StdRng, is_signal: bool) -> Option<Order> {
        let (schema, key) = (self.schema, self.text.clone());
        let undo = random.random_bool(0.5);
        match is_signal {
            true => (schema == KINDS).then_some(Order::Signal { schema, key }),
            false => Some(Order::Cancel { schema, key, undo }),
        }
    }

    fn called(&self, random: &mut StdRng) -> Run {
        let policy = match random.random_range(0..5) {
            0 | 1 => Policy::Attach,
            2 | 3 => Policy::Wait(random.random_range(50..3_000)),
            _ => Policy::Reject,
        };
        let wish = *self.wishes.choose(random).expect("some");
        let gives_up = random.random_bool(0.15);
        let gives_up_ms = gives_up.then(|| random.random_range(0..500));
        self.call(policy, wish, gives_up_ms)
    }

    fn call(&self, policy: Policy, after_failure: Option<AfterFailure>, gives_up_ms: Option<u64>) -> Run {
        Run {
            call: 0,
            schema: self.schema.to_owned(),
            key: self.text.clone(),
            input: self.input.clone(),
            policy,
            after_failure,
            gives_up_ms,
        }
    }
}
