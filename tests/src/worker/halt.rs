//! Where does a victim stand still, to be killed or stopped exactly there? Around the n-th call of its store, or
//! around the n-th COMMIT of an SQLite file. It says where it stands, and goes on when it is
//! released; around a COMMIT never.

use std::sync::atomic::{AtomicU64, Ordering};

use keystep_sqlite::{Moment, SqliteOptions};
use store_conformance::faulty::{Call, Fault, Faults, FaultyStore, Gate};

use super::args::{Args, Halt};
use super::voice::Voice;
use crate::protocol::{Event, Side};

/// The calls that are counted: those that carry an execution on, and the writes by which a process
/// comes to know of it. What is only looked at again and again is not among them.
const COUNTED: [Call; 8] = [
    Call::SavePlan,
    Call::Register,
    Call::Bury,
    Call::Begin,
    Call::Acquire,
    Call::Commit,
    Call::Confirm,
    Call::Load,
];

/// What happens to the store's calls.
pub(crate) struct Script {
    faults: Faults,
    halt: Option<Halt>,
    /// Where a call of the store is held.
    halted: Gate,
    /// Where beats are held.
    silence: Gate,
    voice: Voice,
}

impl Script {
    /// What the command line says.
    pub(crate) fn new(args: &Args, voice: Voice) -> Self {
        let (faults, silence) = (Faults::default(), Gate::closed());
        if args.silent {
            faults.script(&[Call::Beat], 1, Fault::HoldBefore(silence.clone()));
        }
        if let Some(nth) = args.lose_commit {
            faults.script(&[Call::Commit], nth, Fault::LoseAnswer);
        }
        let script = Self {
            faults,
            halt: args.halt,
            halted: Gate::closed(),
            silence,
            voice,
        };
        script.hold();
        script
    }

    /// The store with what happens to its calls.
    pub(crate) fn around<S>(&self, store: S) -> FaultyStore<S> {
        FaultyStore::with(store, self.faults.clone())
    }

    /// An SQLite file whose writer stands still where it was told to.
    pub(crate) fn watching(&self, options: SqliteOptions) -> SqliteOptions {
        let Some(Halt { side, nth }) = self.halt else {
            return options;
        };
        let meant = match side {
            Side::Written => Moment::Written,
            Side::Durable => Moment::Durable,
            Side::Before | Side::After | Side::Inside => return options,
        };
        let (seen, faults, voice) = (AtomicU64::new(0), self.faults.clone(), self.voice);
        options.watching(move |moment| {
            if moment == meant && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth {
                halted(side, &faults, voice);
                loop {
                    std::thread::park();
                }
            }
        })
    }

    /// At which gate of a step it stands still, counted from 1.
    pub(crate) fn last_gate(&self) -> Option<u64> {
        let halt = self.halt.filter(|halt| halt.side == Side::Inside)?;
        Some(halt.nth)
    }

    /// The call of the store that is held goes on.
    pub(crate) fn release(&self) {
        self.halted.open();
    }

    /// Ends the silence.
    pub(crate) fn beat(&self) {
        self.silence.open();
    }

    fn hold(&self) {
        let Some(Halt { side, nth }) = self.halt else {
            return;
        };
        let gate = self.halted.clone();
        let fault = match side {
            Side::Before => Fault::HoldBefore(gate.clone()),
            Side::After => Fault::HoldAfter(gate.clone()),
            Side::Written | Side::Durable | Side::Inside => return,
        };
        self.faults.script(&COUNTED, nth, fault);
        let (faults, voice) = (self.faults.clone(), self.voice);
        tokio::spawn(async move {
            gate.arrived(1).await;
            halted(side, &faults, voice);
        });
    }
}

fn halted(side: Side, faults: &Faults, voice: Voice) {
    let counted = faults.calls().into_iter().filter(|call| COUNTED.contains(call));
    let points = counted.map(|call| format!("{call:?}")).collect();
    voice.say(&Event::Halted { side, points });
}
