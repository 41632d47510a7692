//! How is each promise judged? One function for each, over events in the order of their time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::index::{Index, Moment, Row, Step, rows};
use super::{History, Kinds, Promise, Report, Subject, Violation};

pub(super) fn check(history: &History, kinds: &Kinds) -> Report {
    let index = Index::of(history);
    let mut found = Findings::default();
    index.recorded_once(kinds, &mut found);
    index.undone_in_reverse(kinds, &mut found);
    index.never_again(kinds, &mut found);
    index.one_answer(&mut found);
    index.outcomes_stand(&mut found);
    index.no_answer_lost(&mut found);
    index.one_owner(&mut found);
    index.settled(&mut found);
    index.no_needless_repeat(kinds, &mut found);
    index.back_to_idle(&mut found);
    Report {
        violations: found.violations,
        late_attempts: found.late_attempts,
        takeovers: index.rows.values().map(|moments| acquisitions(moments)).sum(),
        executions: index.rows.len().max(index.stands.len()),
        answers: index.outputs.len() + index.failed.len(),
    }
}

#[derive(Default)]
pub(super) struct Findings {
    violations: Vec<Violation>,
    late_attempts: usize,
}

impl Findings {
    pub(super) fn add(&mut self, promise: Promise, about: Subject, what: String) {
        self.violations.push(Violation { promise, about, what });
    }
}

/// How often a new claim was made after the first of a run.
fn acquisitions(moments: &[Moment<'_>]) -> usize {
    let tokens: HashSet<Uuid> = rows(moments).map(|row| row.token).collect();
    let runs: HashSet<Uuid> = rows(moments).map(|row| row.run).collect();
    tokens.len() - runs.len()
}

impl Index<'_> {
    fn recorded_once(&self, kinds: &Kinds, found: &mut Findings) {
        for ((run, name), step) in &self.steps {
            let (recorded, ledger) = (step.recorded.len(), step.ledger);
            if recorded > 1 {
                found.add(
                    Promise::RecordedOnce,
                    Subject::Run(*run),
                    format!("step {name} of run {run} was recorded {recorded} times"),
                );
            }
            let expected = usize::from(recorded > 0);
            let at_most_once = kinds.at_most_once.contains(*name);
            let counted = at_most_once || kinds.transactional.contains(*name);
            let unrecorded = at_most_once && recorded == 0 && ledger <= 1;
            if counted && ledger != expected && !unrecorded {
                found.add(
                    Promise::RecordedOnce,
                    Subject::Run(*run),
                    format!("step {name} of run {run} has {ledger} rows where {expected} belong"),
                );
            }
        }
    }

    fn never_again(&self, kinds: &Kinds, found: &mut Findings) {
        for ((run, name), step) in &self.steps {
            let Some((at, recorded)) = step.recorded.first() else {
                continue;
            };
            for (_, attempt) in step.began.iter().filter(|(began, _)| began > at) {
                let nonce = attempt.nonce;
                if attempt.epoch >= recorded.epoch {
                    found.add(
                        Promise::NeverAgain,
                        Subject::Run(*run),
                        format!(
                            "attempt {nonce} of step {name} of run {run} began under epoch {} after the \
                             step was recorded under epoch {}",
                            attempt.epoch, recorded.epoch
                        ),
                    );
                } else if nonce == recorded.nonce {
                    found.add(
                        Promise::NeverAgain,
                        Subject::Run(*run),
                        format!("the late attempt {nonce} of step {name} of run {run} was recorded"),
                    );
                } else {
                    found.late_attempts += 1;
                }
            }
            let mut of_attempts = step.began.iter().map(|(_, attempt)| attempt);
            let attempt = of_attempts.find(|attempt| attempt.nonce == recorded.nonce);
            let of_another = |epoch| epoch != recorded.epoch && !kinds.at_most_once.contains(*name);
            if !step.began.is_empty() && attempt.is_none_or(|attempt| of_another(attempt.epoch)) {
                found.add(
                    Promise::NeverAgain,
                    Subject::Run(*run),
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
        for answer in &self.outputs {
            told.entry(answer.of)
                .or_default()
                .insert(answer.text, answer.caller);
        }
        for (run, outputs) in &told {
            if outputs.len() > 1 {
                found.add(
                    Promise::OneAnswer,
                    Subject::Run(*run),
                    format!("callers of run {run} got different outputs: {outputs:?}"),
                );
            }
        }
        for (run, stored) in &self.stored {
            let different: BTreeSet<&str> = stored.iter().copied().collect();
            if different.len() > 1 {
                found.add(
                    Promise::OneAnswer,
                    Subject::Run(*run),
                    format!("run {run} has several results: {different:?}"),
                );
            }
            let wrong = told.get(run).into_iter().flatten();
            for (output, caller) in wrong.filter(|(output, _)| !different.contains(**output)) {
                found.add(
                    Promise::OneAnswer,
                    Subject::Run(*run),
                    format!("{caller} was told {output} of run {run}, stored is {different:?}"),
                );
            }
        }
    }

    /// No outcome but a failure changes within its run, and nothing that is kept changes before its time.
    fn outcomes_stand(&self, found: &mut Findings) {
        for (execution, moments) in &self.rows {
            let mut last: Option<&Row<'_>> = None;
            for moment in moments {
                let (at, now) = match moment {
                    Moment::Is(row) => (row.at, Some(row)),
                    Moment::Purged(at) => (*at, None),
                };
                if let Some(last) = last
                    && now.is_none_or(|row| (row.run, row.state) != (last.run, last.state))
                {
                    // Of this outcome, not of an earlier one of the run that was tried again.
                    let kept = self.kept.get(&last.run).into_iter().flatten();
                    let mut kept = kept.filter(|(since, _)| (last.at..=at).contains(since));
                    let too_early = kept.any(|(_, until)| until.is_none_or(|until| at < until));
                    let final_here = matches!(last.state, "succeeded" | "undone" | "cancelled");
                    let changed = final_here && now.is_some_and(|row| row.run == last.run);
                    let finished = final_here || last.state == "failed";
                    let deleted = now.is_none() && !finished;
                    if finished && too_early || changed || deleted {
                        let became = now.map_or("deleted", |row| row.state);
                        found.add(
                            Promise::OneAnswer,
                            Subject::Execution(*execution),
                            format!(
                                "{execution} was {} with run {}, and became {became} at {at}",
                                last.state, last.run
                            ),
                        );
                    }
                }
                last = now;
            }
        }
    }

    fn no_answer_lost(&self, found: &mut Findings) {
        for answer in &self.outputs {
            if !self.stored.contains_key(&answer.of) {
                found.add(
                    Promise::NoAnswerLost,
                    Subject::Run(answer.of),
                    format!(
                        "{} was told {} of run {}, but no result is stored",
                        answer.caller, answer.text, answer.of
                    ),
                );
            }
        }
        for answer in &self.failed {
            let stored = self.failures.get(&answer.of);
            if stored.is_none_or(|stored| !stored.contains(&answer.text)) {
                found.add(
                    Promise::NoAnswerLost,
                    Subject::Execution(answer.of),
                    format!(
                        "{} was told the failure {:?} of {}, which was never stored",
                        answer.caller, answer.text, answer.of
                    ),
                );
            }
        }
    }

    fn one_owner(&self, found: &mut Findings) {
        for (execution, moments) in &self.rows {
            let subject = Subject::Execution(*execution);
            let mut claims: HashMap<Uuid, (i64, Option<i64>)> = HashMap::new();
            let mut last: Option<&Row<'_>> = None;
            for moment in moments {
                let Moment::Is(row) = moment else {
                    // Whoever uses the key next begins with epoch 1.
                    last = None;
                    continue;
                };
                if let Some(last) = last {
                    if row.epoch < last.epoch {
                        found.add(
                            Promise::OneOwner,
                            subject.clone(),
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
                            subject.clone(),
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
                        subject.clone(),
                        format!("token {} of {execution} was used again", row.token),
                    );
                }
                match (&owner, row.owner) {
                    (Some(one), Some(other)) if *one != other => found.add(
                        Promise::OneOwner,
                        subject.clone(),
                        format!("the claim of epoch {epoch} of {execution} is of {one} and of {other}"),
                    ),
                    (None, Some(_)) => *owner = row.owner,
                    _ => {}
                }
                last = Some(row);
            }
            self.attempts_of_owners(*execution, moments, found);
        }
    }

    /// Every attempt was begun by the worker that owned the execution at its epoch.
    fn attempts_of_owners(&self, execution: Uuid, moments: &[Moment<'_>], found: &mut Findings) {
        let owners: HashSet<(Uuid, i64, i64)> = rows(moments)
            .filter_map(|row| Some((row.run, row.epoch, row.owner?)))
            .collect();
        let runs: BTreeSet<Uuid> = rows(moments).map(|row| row.run).collect();
        for run in runs {
            for (name, step) in self.steps_of(run) {
                for (_, attempt) in &step.began {
                    if !owners.contains(&(run, attempt.epoch, attempt.worker)) {
                        found.add(
                            Promise::OneOwner,
                            Subject::Execution(execution),
                            format!(
                                "worker {} began step {name} of {execution} under epoch {} without owning it",
                                attempt.worker, attempt.epoch
                            ),
                        );
                    }
                }
            }
        }
    }

    fn settled(&self, found: &mut Findings) {
        for (execution, moments) in &self.rows {
            if let Some(Moment::Is(last)) = moments.last()
                && !self.stands.contains_key(execution)
            {
                found.add(
                    Promise::Settled,
                    Subject::Execution(*execution),
                    format!(
                        "nobody says how {execution} stands; its last state was {}",
                        last.state
                    ),
                );
            }
        }
        for (execution, (state, wakes_later)) in &self.stands {
            let ended = matches!(*state, "succeeded" | "failed" | "undone" | "cancelled");
            let at_rest = ended || *state == "parked" || *wakes_later;
            if !at_rest {
                found.add(
                    Promise::Settled,
                    Subject::Execution(*execution),
                    format!("{execution} is left {state}"),
                );
            }
        }
        for caller in self.asked.difference(&self.heard) {
            found.add(
                Promise::Settled,
                Subject::Caller((*caller).to_owned()),
                format!("{caller} asked and never got an answer"),
            );
        }
    }

    fn no_needless_repeat(&self, kinds: &Kinds, found: &mut Findings) {
        let mut claims: HashMap<Uuid, HashSet<Uuid>> = HashMap::new();
        for row in self.rows.values().flat_map(|moments| rows(moments)) {
            claims.entry(row.run).or_default().insert(row.token);
        }
        for ((run, name), step) in &self.steps {
            let workers: HashSet<i64> = step.began.iter().map(|(_, attempt)| attempt.worker).collect();
            let crashes: usize = workers.iter().filter_map(|worker| self.crashes.get(worker)).sum();
            let takeovers = claims.get(run).map_or(0, |tokens| tokens.len() - 1);
            let rolled_back = match kinds.transactional.contains(*name) {
                true => self.cuts_during(step),
                false => 0,
            };
            let allowed = 1 + step.retried + crashes + takeovers + rolled_back;
            let attempts = step.began.len();
            if attempts > allowed {
                found.add(
                    Promise::NoNeedlessRepeat,
                    Subject::Run(*run),
                    format!(
                        "step {name} of run {run} was tried {attempts} times: {} retries, {crashes} \
                         crashes, {takeovers} changes of owner and {rolled_back} lost connections \
                         explain {allowed}",
                        step.retried
                    ),
                );
            }
        }
    }

    /// How often a transaction of the step may have been rolled back with its connection.
    fn cuts_during(&self, step: &Step) -> usize {
        let begins = || step.began.iter().map(|(_, attempt)| attempt.at);
        let (Some(first), Some(last)) = (begins().min(), begins().max()) else {
            return 0;
        };
        let cuts = self.cut_off.iter();
        cuts.filter(|(from, until)| *from <= last && first <= *until)
            .count()
    }

    fn back_to_idle(&self, found: &mut Findings) {
        for (what, before, after) in self.measured.iter().filter(|(_, before, after)| after > before) {
            found.add(
                Promise::BackToIdle,
                Subject::All,
                format!("{what} went from {before} to {after} and stayed there"),
            );
        }
    }
}
