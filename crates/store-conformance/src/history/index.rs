//! What is a history about? Its events in the order of their time, sorted by step, run, row and call.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::{Event, History};

/// A step of a run.
pub(super) type Place<'a> = (Uuid, &'a str);

/// Attempts that began, and the checkpoint, each with its position in the history.
#[derive(Default)]
pub(super) struct Step {
    pub(super) began: Vec<(usize, Attempt)>,
    pub(super) recorded: Vec<(usize, Attempt)>,
    pub(super) retried: usize,
    pub(super) ledger: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) at: i64,
    pub(super) epoch: i64,
    pub(super) nonce: Uuid,
    pub(super) worker: i64,
}

/// A row as the audit saw it.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) at: i64,
    pub(super) run: Uuid,
    pub(super) epoch: i64,
    pub(super) token: Uuid,
    pub(super) owner: Option<i64>,
    pub(super) state: &'a str,
}

/// What happened to a row.
#[derive(Clone, Copy)]
pub(super) enum Moment<'a> {
    Is(Row<'a>),
    Purged(i64),
}

/// What a caller was told, and of what.
pub(super) struct Answer<'a> {
    /// The run of an output, the execution of a failure.
    pub(super) of: Uuid,
    pub(super) caller: &'a str,
    pub(super) text: &'a str,
}

/// The history, sorted by what it is about.
#[derive(Default)]
pub(super) struct Index<'a> {
    pub(super) steps: BTreeMap<Place<'a>, Step>,
    pub(super) rows: BTreeMap<Uuid, Vec<Moment<'a>>>,
    pub(super) stands: BTreeMap<Uuid, (&'a str, bool)>,
    pub(super) stored: BTreeMap<Uuid, Vec<&'a str>>,
    /// By execution.
    pub(super) failures: BTreeMap<Uuid, Vec<&'a str>>,
    /// Since when and until when, by run.
    pub(super) kept: HashMap<Uuid, Vec<(i64, Option<i64>)>>,
    pub(super) asked: BTreeSet<&'a str>,
    pub(super) heard: BTreeSet<&'a str>,
    pub(super) outputs: Vec<Answer<'a>>,
    pub(super) failed: Vec<Answer<'a>>,
    pub(super) crashes: HashMap<i64, usize>,
    /// From when until when.
    pub(super) cut_off: Vec<(i64, i64)>,
    pub(super) measured: Vec<(&'a str, u64, u64)>,
}

impl<'a> Index<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut entries: Vec<_> = history.entries.iter().collect();
        entries.sort_by_key(|entry| entry.at);
        let mut index = Index::default();
        for (place, entry) in entries.into_iter().enumerate() {
            index.add(place, entry.at, &entry.event);
        }
        index
    }

    fn add(&mut self, place: usize, at: i64, event: &'a Event) {
        match event {
            Event::Began {
                run,
                step,
                epoch,
                nonce,
                worker,
            } => {
                let attempt = Attempt {
                    at,
                    epoch: *epoch,
                    nonce: *nonce,
                    worker: *worker,
                };
                self.step(*run, step).began.push((place, attempt));
            }
            Event::Retried { run, step } => self.step(*run, step).retried += 1,
            Event::Ledger { run, step } => self.step(*run, step).ledger += 1,
            Event::Recorded {
                run,
                step,
                epoch,
                nonce,
            } => {
                let attempt = Attempt {
                    at,
                    epoch: *epoch,
                    nonce: *nonce,
                    worker: 0,
                };
                self.step(*run, step).recorded.push((place, attempt));
            }
            Event::Stored { run, output } => self.stored.entry(*run).or_default().push(output),
            Event::FailureStored {
                execution, failure, ..
            } => self.failures.entry(*execution).or_default().push(failure),
            Event::Kept { run, until } => {
                self.kept.entry(*run).or_default().push((at, *until));
            }
            Event::Asked { caller, .. } => {
                self.asked.insert(caller);
            }
            Event::Answered {
                run, caller, output, ..
            } => {
                self.heard.insert(caller);
                self.outputs.push(Answer {
                    of: *run,
                    caller,
                    text: output,
                });
            }
            Event::Failed {
                execution,
                caller,
                failure,
                ..
            } => {
                self.heard.insert(caller);
                self.failed.push(Answer {
                    of: *execution,
                    caller,
                    text: failure,
                });
            }
            Event::Refused { caller, .. } => {
                self.heard.insert(caller);
            }
            Event::Changed {
                execution,
                run,
                epoch,
                token,
                owner,
                state,
            } => {
                let row = Row {
                    at,
                    run: *run,
                    epoch: *epoch,
                    token: *token,
                    owner: *owner,
                    state,
                };
                self.rows.entry(*execution).or_default().push(Moment::Is(row));
            }
            Event::Purged { execution } => {
                self.rows.entry(*execution).or_default().push(Moment::Purged(at));
            }
            Event::Crashed { worker } => *self.crashes.entry(*worker).or_default() += 1,
            Event::CutOff { until } => self.cut_off.push((at, *until)),
            Event::Stands {
                execution,
                state,
                wakes_later,
            } => {
                self.stands.insert(*execution, (state, *wakes_later));
            }
            Event::Measured { what, before, after } => self.measured.push((what, *before, *after)),
        }
    }

    fn step(&mut self, run: Uuid, name: &'a str) -> &mut Step {
        self.steps.entry((run, name)).or_default()
    }

    /// The steps of a run.
    pub(super) fn steps_of(&self, run: Uuid) -> impl Iterator<Item = (&'a str, &Step)> {
        let steps = self.steps.range((run, "")..);
        steps
            .take_while(move |((of, _), _)| *of == run)
            .map(|((_, name), step)| (*name, step))
    }
}

/// The rows among what happened to an execution.
pub(super) fn rows<'m, 'a>(moments: &'m [Moment<'a>]) -> impl Iterator<Item = &'m Row<'a>> {
    moments.iter().filter_map(|moment| match moment {
        Moment::Is(row) => Some(row),
        Moment::Purged(_) => None,
    })
}
