//! What do the databases say? The store, the triggers on its tables, the ledger and the notebook.

use std::collections::{BTreeSet, HashMap};

use keystep::{Failure, FailureKind, RunError, State};
use store_conformance::history::{Event, History};
use uuid::Uuid;

use super::values::{Thing, nonces_in, stored, things};
use super::{Evidence, Wishes, uuid};
use crate::place::{Change, Place, Recorded};
use crate::protocol::Attempt;

/// The trigger on SQLite counts milliseconds, what is kept is kept by the microsecond.
const COARSE_MICROS: i64 = 1_000;

impl Evidence {
    /// Adds what the databases know of the executions. Gives the attempts of their steps.
    pub(super) fn database(&self, place: &Place, history: &mut History) -> Vec<Attempt> {
        let mut attempts = place.all_attempts();
        attempts.retain(|attempt| self.is_about(uuid(&attempt.execution)));
        for attempt in &attempts {
            let event = Event::Began {
                run: uuid(&attempt.run),
                step: attempt.step.clone(),
                epoch: attempt.epoch,
                nonce: uuid(&attempt.nonce),
                worker: number(&attempt.worker),
            };
            history.add(attempt.began, event);
        }
        self.rows(place, &attempts, history);
        self.ledger(place, &attempts, history);
        self.stands(place, history);
        self.crashes(&attempts, history);
        attempts
    }

    fn is_about(&self, execution: Uuid) -> bool {
        self.executions.contains_key(&execution)
    }

    /// What the triggers noted of executions and of checkpoints.
    fn rows(&self, place: &Place, attempts: &[Attempt], history: &mut History) {
        let mut changes = place.changes();
        changes.retain(|change| self.is_about(change.execution));
        let runs: BTreeSet<Uuid> = changes.iter().map(|change| change.run).collect();
        let mut last: HashMap<Uuid, Recorded> = HashMap::new();
        for checkpoint in place.recorded() {
            if !runs.contains(&checkpoint.run) {
                continue;
            }
            for Thing { step, nonce } in things(&checkpoint, attempts) {
                let event = Event::Recorded {
                    run: checkpoint.run,
                    step,
                    epoch: checkpoint.epoch,
                    nonce,
                };
                history.add(checkpoint.at, event);
            }
            if checkpoint.step.contains("::") {
                continue;
            }
            let before = last.get(&checkpoint.run).map(|before| before.seq);
            if before.is_none_or(|before| before < checkpoint.seq) {
                last.insert(checkpoint.run, checkpoint);
            }
        }
        for change in &changes {
            self.change(change, &last, history);
        }
    }

    fn change(&self, change: &Change, last: &HashMap<Uuid, Recorded>, history: &mut History) {
        let (execution, run) = (change.execution, change.run);
        if change.deleted {
            history.add(change.at, Event::Purged { execution });
            return;
        }
        let state = State::from_code(change.state).expect("a known state");
        history.add(
            change.at,
            Event::Changed {
                execution,
                run,
                epoch: change.epoch,
                token: change.token,
                owner: change.owner,
                state: state.as_str().to_owned(),
            },
        );
        let until = change.kept_until.map(|until| until - COARSE_MICROS);
        match state {
            State::Succeeded => {
                if let Some(last) = last.get(&run) {
                    let output = nonces_in(&last.output).join(" ");
                    history.add(change.at, Event::Stored { run, output });
                }
                history.add(change.at, Event::Kept { run, until });
            }
            State::Failed | State::Undone | State::Cancelled => {
                let (keeps, failure) = self.end(state, change);
                if keeps {
                    history.add(change.at, Event::Kept { run, until });
                }
                let event = Event::FailureStored {
                    execution,
                    run,
                    failure,
                };
                history.add(change.at, event);
            }
            _ => {}
        }
    }

    /// How a run ended without an output, as its callers are told; and whether it is kept.
    fn end(&self, state: State, change: &Change) -> (bool, String) {
        let wishes = self.executions[&change.execution];
        let failure = || -> Failure { stored(change.failure.as_ref().expect("a failure")) };
        match state {
            State::Undone => (!wishes.restart, RunError::Undone(failure()).to_string()),
            State::Cancelled => (!wishes.restart, "cancelled".to_owned()),
            _ => {
                let failure = failure();
                (wishes.keep(failure.kind), failure.to_string())
            }
        }
    }

    fn ledger(&self, place: &Place, attempts: &[Attempt], history: &mut History) {
        let attempts: HashMap<&str, &Attempt> = attempts
            .iter()
            .map(|attempt| (attempt.nonce.as_str(), attempt))
            .collect();
        let end = self.now();
        for (execution, row) in place.whole_ledger() {
            if self.is_about(uuid(&execution)) {
                // A row of no attempt is one too many for whichever run.
                let of = attempts.get(row.nonce.as_str());
                let event = Event::Ledger {
                    run: of.map_or(Uuid::nil(), |attempt| uuid(&attempt.run)),
                    step: of.map_or("book", |attempt| &attempt.step).to_owned(),
                };
                history.add(end, event);
            }
        }
        for charged in place.charged() {
            for _charge in 0..charged.charges {
                let (run, step) = (uuid(&charged.run), "pay".to_owned());
                if self.is_about(uuid(&charged.execution)) {
                    history.add(end, Event::Ledger { run, step });
                }
            }
        }
    }

    /// How the executions stand in the end.
    fn stands(&self, place: &Place, history: &mut History) {
        let mut records = place.executions(&[]);
        records.retain(|record| self.is_about(record.id.0));
        let end = self.now();
        for record in records {
            let event = Event::Stands {
                execution: record.id.0,
                state: record.state.as_str().to_owned(),
                wakes_later: record.wake_in.is_some_and(|wake_in| !wake_in.is_zero()),
            };
            history.add(end, event);
            if let Some(output) = &record.output {
                let event = Event::Stored {
                    run: record.run.0,
                    output: nonces_in(&output.0).join(" "),
                };
                history.add(end, event);
            }
        }
    }

    /// A process is one worker, and another one after it was given up while it lived.
    fn crashes(&self, attempts: &[Attempt], history: &mut History) {
        let mut workers: HashMap<i64, BTreeSet<i64>> = HashMap::new();
        for attempt in attempts {
            let of_process = workers.entry(attempt.pid).or_default();
            of_process.insert(number(&attempt.worker));
        }
        for (at, pid) in &self.crashed {
            for worker in workers.get(&i64::from(*pid)).into_iter().flatten() {
                history.add(*at, Event::Crashed { worker: *worker });
            }
        }
    }
}

impl Wishes {
    /// Whether nobody wants anything but the same failure again.
    fn keep(self, kind: FailureKind) -> bool {
        !self.resume && !self.restart && (!self.default || kind == FailureKind::Terminal)
    }
}

/// Worker ids are shown as hexadecimal numbers.
fn number(worker: &str) -> i64 {
    i64::from_str_radix(worker, 16).expect("a worker id")
}
