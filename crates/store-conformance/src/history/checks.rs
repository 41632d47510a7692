//! How is each promise judged? One function for each, over events in the order of their time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::{Event, History, Promise, Report, Violation};

/// A step of a run.
type Place<'a> = (Uuid, &'a str);

/// Attempts that began, and the checkpoint, each with its position in the history.
#[derive(Default)]
struct Step {
    began: Vec<(usize, Attempt)>,
    recorded: Vec<(usize, Attempt)>,
    retried: usize,
    ledger: usize,
}

#[derive(Clone, Copy)]
struct Attempt {
    epoch: i64,
    nonce: Uuid,
    worker: i64,
}

/// A row as the audit saw it.
#[derive(Clone, Copy)]
struct Row<'a> {
    run: Uuid,
    epoch: i64,
    token: Uuid,
    owner: Option<i64>,
    state: &'a str,
}

/// The history, sorted by what it is about.
#[derive(Default)]
struct Index<'a> {
    steps: BTreeMap<Place<'a>, Step>,
    rows: BTreeMap<Uuid, Vec<Row<'a>>>,
    stands: BTreeMap<Uuid, (&'a str, bool)>,
    stored: BTreeMap<Uuid, Vec<&'a str>>,
    asked: BTreeSet<&'a str>,
    heard: BTreeSet<&'a str>,
    answers: Vec<(Uuid, &'a str, &'a str)>,
    crashes: HashMap<i64, usize>,
    measured: Vec<(&'a str, u64, u64)>,
}

pub(super) fn check(history: &History, transactional: &BTreeSet<String>) -> Report {
    let mut entries: Vec<_> = history.entries.iter().collect();
    entries.sort_by_key(|entry| entry.at);
    let mut index = Index::default();
    for (place, entry) in entries.into_iter().enumerate() {
        index.add(place, &entry.event);
    }
    let mut found = Findings::default();
    index.recorded_once(transactional, &mut found);
    index.never_again(&mut found);
    index.one_answer(&mut found);
    index.no_answer_lost(&mut found);
    index.one_owner(&mut found);
    index.settled(&mut found);
    index.no_needless_repeat(&mut found);
    index.back_to_idle(&mut found);
    Report {
        violations: found.violations,
        late_attempts: found.late_attempts,
        takeovers: index.rows.values().map(|rows| acquisitions(rows)).sum(),
        executions: index.rows.len().max(index.stands.len()),
        answers: index.answers.len(),
    }
}

#[derive(Default)]
struct Findings {
    violations: Vec<Violation>,
    late_attempts: usize,
}

impl Findings {
    fn add(&mut self, promise: Promise, what: String) {
        self.violations.push(Violation { promise, what });
    }
}

/// How often a new claim was made after the first.
fn acquisitions(rows: &[Row<'_>]) -> usize {
    let tokens: HashSet<Uuid> = rows.iter().map(|row| row.token).collect();
    tokens.len().saturating_sub(1)
}

impl<'a> Index<'a> {
    fn add(&mut self, place: usize, event: &'a Event) {
        match event {
            Event::Began {
                run,
                step,
                epoch,
                nonce,
                worker,
            } => {
                let attempt = Attempt {
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
                    epoch: *epoch,
                    nonce: *nonce,
                    worker: 0,
                };
                self.step(*run, step).recorded.push((place, attempt));
            }
            Event::Stored { run, output } => self.stored.entry(*run).or_default().push(output),
            Event::Asked { caller, .. } => {
                self.asked.insert(caller);
            }
            Event::Answered {
                run, caller, output, ..
            } => {
                self.heard.insert(caller);
                self.answers.push((*run, caller, output));
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
            } => self.rows.entry(*execution).or_default().push(Row {
                run: *run,
                epoch: *epoch,
                token: *token,
                owner: *owner,
                state,
            }),
            Event::Crashed { worker } => *self.crashes.entry(*worker).or_default() += 1,
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

    fn recorded_once(&self, transactional: &BTreeSet<String>, found: &mut Findings) {
        for ((run, name), step) in &self.steps {
            let (recorded, ledger) = (step.recorded.len(), step.ledger);
            if recorded > 1 {
                found.add(
                    Promise::RecordedOnce,
                    format!("step {name} of run {run} was recorded {recorded} times"),
                );
            }
            let expected = usize::from(recorded > 0);
            if transactional.contains(*name) && ledger != expected {
                found.add(
                    Promise::RecordedOnce,
                    format!("step {name} of run {run} has {ledger} rows where {expected} belong"),
                );
            }
        }
    }

    fn never_again(&self, found: &mut Findings) {
        for ((run, name), step) in &self.steps {
            let Some((at, recorded)) = step.recorded.first() else {
                continue;
            };
            for (_, attempt) in step.began.iter().filter(|(began, _)| began > at) {
                let nonce = attempt.nonce;
                if attempt.epoch >= recorded.epoch {
                    found.add(
                        Promise::NeverAgain,
                        format!(
                            "attempt {nonce} of step {name} of run {run} began under epoch {} after the \
                             step was recorded under epoch {}",
                            attempt.epoch, recorded.epoch
                        ),
                    );
                } else if nonce == recorded.nonce {
                    found.add(
                        Promise::NeverAgain,
                        format!("the late attempt {nonce} of step {name} of run {run} was recorded"),
                    );
                } else {
                    found.late_attempts += 1;
                }
            }
            let mut of_attempts = step.began.iter().map(|(_, attempt)| attempt);
            let attempt = of_attempts.find(|attempt| attempt.nonce == recorded.nonce);
            if !step.began.is_empty() && attempt.is_none_or(|attempt| attempt.epoch != recorded.epoch) {
                found.add(
                    Promise::NeverAgain,
                    format!(
                        "what was recorded for step {name} of run {run} is of no attempt under epoch {}",
                        recorded.epoch
                    ),
                );
            }
        }
    }

    fn one_answer(&self, found: &mut Findings) {
        let mut told: BTreeMap<Uuid, BTreeMap<&str, &str>> = BTreeMap::new();
        for (run, caller, output) in &self.answers {
            told.entry(*run).or_default().insert(output, caller);
        }
        for (run, outputs) in &told {
            if outputs.len() > 1 {
                found.add(
                    Promise::OneAnswer,
                    format!("callers of run {run} got different outputs: {outputs:?}"),
                );
            }
        }
        for (run, stored) in &self.stored {
            let different: BTreeSet<&str> = stored.iter().copied().collect();
            if different.len() > 1 {
                found.add(
                    Promise::OneAnswer,
                    format!("run {run} has several results: {different:?}"),
                );
            }
            let wrong = told.get(run).into_iter().flatten();
            for (output, caller) in wrong.filter(|(output, _)| !different.contains(**output)) {
                found.add(
                    Promise::OneAnswer,
                    format!("{caller} was told {output} of run {run}, stored is {different:?}"),
                );
            }
        }
    }

    fn no_answer_lost(&self, found: &mut Findings) {
        for (run, caller, output) in &self.answers {
            if !self.stored.contains_key(run) {
                found.add(
                    Promise::NoAnswerLost,
                    format!("{caller} was told {output} of run {run}, but no result is stored"),
                );
            }
        }
    }

    fn one_owner(&self, found: &mut Findings) {
        for (execution, rows) in &self.rows {
            let mut claims: HashMap<Uuid, (i64, Option<i64>)> = HashMap::new();
            let mut last: Option<&Row<'_>> = None;
            for row in rows {
                if let Some(last) = last {
                    if row.epoch < last.epoch {
                        found.add(
                            Promise::OneOwner,
                            format!(
                                "the epoch of {execution} fell from {} to {}",
                                last.epoch, row.epoch
                            ),
                        );
                    }
                    let (rose, changed) = (row.epoch > last.epoch, row.token != last.token);
                    if rose != changed && row.epoch >= last.epoch {
                        found.add(
                            Promise::OneOwner,
                            format!(
                                "{execution} went from epoch {} to {} and its token {}",
                                last.epoch,
                                row.epoch,
                                if changed { "changed" } else { "stayed" }
                            ),
                        );
                    }
                }
                let (epoch, owner) = claims.entry(row.token).or_insert((row.epoch, row.owner));
                if *epoch != row.epoch && last.is_none_or(|last| last.token != row.token) {
                    found.add(
                        Promise::OneOwner,
                        format!("token {} of {execution} was used again", row.token),
                    );
                }
                match (&owner, row.owner) {
                    (Some(one), Some(other)) if *one != other => found.add(
                        Promise::OneOwner,
                        format!("the claim of epoch {epoch} of {execution} is of {one} and of {other}"),
                    ),
                    (None, Some(_)) => *owner = row.owner,
                    _ => {}
                }
                last = Some(row);
            }
            self.attempts_of_owners(*execution, rows, found);
        }
    }

    /// Every attempt was begun by the worker that owned the execution at its epoch.
    fn attempts_of_owners(&self, execution: Uuid, rows: &[Row<'_>], found: &mut Findings) {
        let owners: HashSet<(Uuid, i64, i64)> = rows
            .iter()
            .filter_map(|row| Some((row.run, row.epoch, row.owner?)))
            .collect();
        let runs: HashSet<Uuid> = rows.iter().map(|row| row.run).collect();
        for ((run, name), step) in self.steps.iter().filter(|((run, _), _)| runs.contains(run)) {
            for (_, attempt) in &step.began {
                if !owners.contains(&(*run, attempt.epoch, attempt.worker)) {
                    found.add(
                        Promise::OneOwner,
                        format!(
                            "worker {} began step {name} of {execution} under epoch {} without owning it",
                            attempt.worker, attempt.epoch
                        ),
                    );
                }
            }
        }
    }

    fn settled(&self, found: &mut Findings) {
        for (execution, rows) in &self.rows {
            if !self.stands.contains_key(execution) {
                let last = rows.last().map_or("", |row| row.state);
                found.add(
                    Promise::Settled,
                    format!("nobody says how {execution} stands; its last state was {last}"),
                );
            }
        }
        for (execution, (state, wakes_later)) in &self.stands {
            let at_rest = matches!(*state, "succeeded" | "failed" | "parked") || *wakes_later;
            if !at_rest {
                found.add(Promise::Settled, format!("{execution} is left {state}"));
            }
        }
        for caller in self.asked.difference(&self.heard) {
            found.add(
                Promise::Settled,
                format!("{caller} asked and never got an answer"),
            );
        }
    }

    fn no_needless_repeat(&self, found: &mut Findings) {
        let mut claims: HashMap<Uuid, HashSet<Uuid>> = HashMap::new();
        for row in self.rows.values().flatten() {
            claims.entry(row.run).or_default().insert(row.token);
        }
        for ((run, name), step) in &self.steps {
            let workers: HashSet<i64> = step.began.iter().map(|(_, attempt)| attempt.worker).collect();
            let crashes: usize = workers.iter().filter_map(|worker| self.crashes.get(worker)).sum();
            let takeovers = claims.get(run).map_or(0, |tokens| tokens.len() - 1);
            let allowed = 1 + step.retried + crashes + takeovers;
            let attempts = step.began.len();
            if attempts > allowed {
                found.add(
                    Promise::NoNeedlessRepeat,
                    format!(
                        "step {name} of run {run} was tried {attempts} times: {} retries, {crashes} \
                         crashes and {takeovers} changes of owner explain {allowed}",
                        step.retried
                    ),
                );
            }
        }
    }

    fn back_to_idle(&self, found: &mut Findings) {
        for (what, before, after) in self.measured.iter().filter(|(_, before, after)| after > before) {
            found.add(
                Promise::BackToIdle,
                format!("{what} went from {before} to {after} and stayed there"),
            );
        }
    }
}
