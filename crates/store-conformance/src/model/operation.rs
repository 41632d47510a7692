//! What can be done to a store, as small numbers: a key, a worker, one of the claims so far.
//!
//! Small worlds collide: four keys and four workers meet in every state within a few hundred
//! operations.

use std::time::Duration;

use keystep::execution::{CancelWish, ParkReason, Payload, WaitReason};
use keystep::store::{Then, Tries};
use rand::Rng;

use crate::fixture::{HOUR, MINUTE, payload, step_name};

pub(super) const KEYS: usize = 4;
pub(super) const WORKERS: usize = 4;
pub(super) const SHAPES: u8 = 3;
pub(super) const STEPS: i32 = 4;

/// Delays are half a minute off the whole minutes by which the clock moves, so that no comparison
/// falls on the very moment when something becomes due.
const OFF: Duration = Duration::from_secs(30);

/// One operation. `there` tells which of the two handles it goes through.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// A begin with fresh ids.
    Begin {
        key: usize,
        worker: usize,
        shape: u8,
        parent: Option<usize>,
        there: bool,
    },
    /// An earlier begin, sent again.
    BeginAgain {
        begin: usize,
        there: bool,
    },
    /// An acquisition of a row as it is now, or as it was some time ago.
    Acquire {
        key: usize,
        worker: usize,
        how: Kind,
        outdated: bool,
        there: bool,
    },
    /// An earlier acquisition, sent again.
    AcquireAgain {
        acquire: usize,
        there: bool,
    },
    /// A write under one of the claims so far, counted from the latest.
    Commit {
        claim: usize,
        step: Option<i32>,
        then: Then,
        messages: usize,
        there: bool,
    },
    /// An earlier write, sent again.
    CommitAgain {
        write: usize,
        there: bool,
    },
    /// A question about an earlier write, or about one that was never sent.
    Confirm {
        write: usize,
        sent: bool,
        there: bool,
    },
    Register {
        worker: usize,
        there: bool,
    },
    Beat {
        worker: usize,
    },
    /// A burial by what is seen now, or by what was seen before the last beat.
    Bury {
        worker: usize,
        outdated: bool,
    },
    Retire {
        worker: usize,
    },
    /// How far a step has come, under one of the claims so far.
    Progress {
        claim: usize,
        step: i32,
        there: bool,
    },
    /// A signal to a run as it is now, or to an older one.
    Signal {
        key: usize,
        name: u8,
        once: bool,
        outdated: bool,
        there: bool,
    },
    /// An earlier signal, sent again.
    SignalAgain {
        signal: usize,
        there: bool,
    },
    /// A wish to cancel a run as it is now, or an older one.
    Wish {
        key: usize,
        wish: CancelWish,
        outdated: bool,
        there: bool,
    },
    Lead {
        worker: usize,
        there: bool,
    },
    /// The delivery of some of the oldest messages.
    Deliver {
        count: usize,
    },
    Purge {
        remember: Option<Duration>,
    },
    Advance {
        minutes: u32,
    },
}

/// Kinds of acquisition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Resume,
    ResumeAnew,
    TakeOver,
    Restart { shape: u8 },
}

/// How much there is to choose from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past {
    pub(super) begins: usize,
    pub(super) acquires: usize,
    pub(super) claims: usize,
    pub(super) writes: usize,
    pub(super) signals: usize,
}

impl Operation {
    pub(super) fn choose(rng: &mut impl Rng, past: Past) -> Self {
        let there = rng.random();
        let key = rng.random_range(0..KEYS);
        let worker = rng.random_range(0..WORKERS);
        match rng.random_range(0..124) {
            0..8 => Self::Begin {
                key,
                worker,
                shape: rng.random_range(1..=SHAPES),
                parent: rng.random_bool(0.5).then(|| rng.random_range(0..KEYS)),
                there,
            },
            8..11 if past.begins > 0 => Self::BeginAgain {
                begin: rng.random_range(0..past.begins),
                there,
            },
            11..33 => Self::Acquire {
                key,
                worker,
                how: kind(rng),
                outdated: rng.random_bool(0.15),
                there,
            },
            33..36 if past.acquires > 0 => Self::AcquireAgain {
                acquire: rng.random_range(0..past.acquires),
                there,
            },
            36..74 if past.claims > 0 => Self::Commit {
                claim: recent(rng, past.claims),
                step: rng.random_bool(0.7).then(|| rng.random_range(0..STEPS)),
                then: then(rng),
                messages: rng.random_range(0..4_usize).saturating_sub(1),
                there,
            },
            74..79 if past.writes > 0 => Self::CommitAgain {
                write: recent(rng, past.writes),
                there,
            },
            79..83 if past.writes > 0 => Self::Confirm {
                write: recent(rng, past.writes),
                sent: rng.random_bool(0.7),
                there,
            },
            83..86 => Self::Register { worker, there },
            86..88 => Self::Beat { worker },
            88..90 => Self::Bury {
                worker,
                outdated: rng.random(),
            },
            90..91 => Self::Retire { worker },
            91..93 => Self::Purge {
                remember: rng.random::<bool>().then_some(3 * HOUR + OFF),
            },
            100..104 if past.claims > 0 => Self::Progress {
                claim: recent(rng, past.claims),
                step: rng.random_range(0..STEPS),
                there,
            },
            104..110 => Self::Signal {
                key,
                name: rng.random_range(0..2),
                once: rng.random_bool(0.3),
                outdated: rng.random_bool(0.2),
                there,
            },
            110..113 if past.signals > 0 => Self::SignalAgain {
                signal: recent(rng, past.signals),
                there,
            },
            113..118 => Self::Wish {
                key,
                wish: [CancelWish::Stop, CancelWish::Undo][rng.random_range(0..2)],
                outdated: rng.random_bool(0.2),
                there,
            },
            118..121 => Self::Lead { worker, there },
            121..124 => Self::Deliver {
                count: rng.random_range(0..4),
            },
            _ => Self::Advance {
                minutes: rng.random_range(1..=180),
            },
        }
    }
}

/// Mostly one of the last few of so many, counted from the latest.
fn recent(rng: &mut impl Rng, count: usize) -> usize {
    let reach = if rng.random_bool(0.8) {
        count.min(KEYS)
    } else {
        count
    };
    rng.random_range(0..reach)
}

fn kind(rng: &mut impl Rng) -> Kind {
    match rng.random_range(0..6) {
        0 | 1 => Kind::Resume,
        2 => Kind::ResumeAnew,
        3 | 4 => Kind::TakeOver,
        _ => Kind::Restart {
            shape: rng.random_range(1..=SHAPES),
        },
    }
}

fn then(rng: &mut impl Rng) -> Then {
    let tries = Tries {
        seq: rng.random_range(0..STEPS),
        count: rng.random_range(1..9),
    };
    let retention = rng.random_bool(0.8).then(|| HOUR * rng.random_range(1..6) + OFF);
    match rng.random_range(0..14) {
        0..6 => Then::Continue,
        6 => Then::Fail {
            failure: bytes(rng),
            tries,
            retention,
            yields: rng.random(),
        },
        7 | 8 => Then::Wait {
            delay: rng
                .random_bool(0.8)
                .then(|| MINUTE * rng.random_range(0..90) + OFF),
            reason: [
                WaitReason::Retry,
                WaitReason::Timer,
                WaitReason::Signal,
                WaitReason::Child,
            ][rng.random_range(0..4)],
            failure: rng.random_bool(0.7).then(|| bytes(rng)),
            tries,
            signals: rng.random::<bool>().then(|| rng.random_range(0..3)),
            wish: [None, Some(CancelWish::Stop), Some(CancelWish::Undo)][rng.random_range(0..3)],
        },
        9 => Then::Park {
            reason: [
                ParkReason::Unreadable,
                ParkReason::UnknownShape,
                ParkReason::LostTooOften,
            ][rng.random_range(0..3)],
            failure: rng.random_bool(0.5).then(|| bytes(rng)),
            wish: [None, Some(CancelWish::Stop), Some(CancelWish::Undo)][rng.random_range(0..3)],
        },
        10 => Then::Release,
        11 => Then::Undone {
            failure: bytes(rng),
            retention,
        },
        12 => Then::Cancel { retention },
        // Without a recorded step there is no output to succeed with; the world replaces it.
        _ => Then::Succeed {
            output_step: step_name(rng.random_range(0..STEPS)),
            retention,
        },
    }
}

fn bytes(rng: &mut impl Rng) -> Payload {
    payload(&format!("failure {}", rng.random::<u32>()))
}
