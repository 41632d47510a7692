//! Which entries of a history are about one execution? All that somebody needs who looks into a
//! violation, and nothing else.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Event, History, Subject};

/// What belongs together.
#[derive(Default)]
struct Family<'a> {
    executions: BTreeSet<Uuid>,
    runs: BTreeSet<Uuid>,
    callers: BTreeSet<&'a str>,
    workers: BTreeSet<i64>,
}

/// The entries about a subject, in the order of their time.
pub(super) fn part(history: &History, subject: &Subject) -> History {
    let mut family = Family::default();
    match subject {
        Subject::Run(run) => {
            family.runs.insert(*run);
        }
        Subject::Execution(execution) => {
            family.executions.insert(*execution);
        }
        Subject::Caller(caller) => {
            family.callers.insert(caller);
        }
        Subject::All => {}
    }
    // From a run to its execution, and from there to all its runs, their calls and their workers.
    for _step in 0..3 {
        history.entries.iter().for_each(|entry| family.grow(&entry.event));
    }
    let mut entries: Vec<_> = history
        .entries
        .iter()
        .filter(|entry| family.has(&entry.event))
        .cloned()
        .collect();
    entries.sort_by_key(|entry| entry.at);
    History { entries }
}

impl<'a> Family<'a> {
    fn grow(&mut self, event: &'a Event) {
        match event {
            Event::Changed { execution, run, .. } | Event::FailureStored { execution, run, .. }
                if self.runs.contains(run) || self.executions.contains(execution) =>
            {
                self.executions.insert(*execution);
                self.runs.insert(*run);
            }
            Event::Began { run, worker, .. } if self.runs.contains(run) => {
                self.workers.insert(*worker);
            }
            Event::Answered { run, caller, .. } if self.runs.contains(run) => {
                self.callers.insert(caller);
            }
            Event::Failed {
                execution, caller, ..
            } if self.executions.contains(execution) => {
                self.callers.insert(caller);
            }
            _ => {}
        }
    }

    fn has(&self, event: &Event) -> bool {
        match event {
            Event::Began { run, .. }
            | Event::Retried { run, .. }
            | Event::Ledger { run, .. }
            | Event::Recorded { run, .. }
            | Event::Stored { run, .. }
            | Event::Kept { run, .. } => self.runs.contains(run),
            Event::FailureStored { execution, .. }
            | Event::Changed { execution, .. }
            | Event::Purged { execution }
            | Event::Stands { execution, .. } => self.executions.contains(execution),
            Event::Asked { caller, .. }
            | Event::Answered { caller, .. }
            | Event::Failed { caller, .. }
            | Event::Refused { caller, .. } => self.callers.contains(caller.as_str()),
            Event::Crashed { worker } => self.workers.contains(worker),
            Event::CutOff { .. } | Event::Measured { .. } => false,
        }
    }
}
