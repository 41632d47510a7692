//! Was every promise kept, and what is told of the run? Figures, and each violation with its part of
//! the history.

use std::collections::HashSet;
use std::fmt;

use keystep::State;
use serde::Serialize;
use store_conformance::history::{Event, History, Subject};

use super::messages::Messages;
use super::options::Options;
use super::{Chaos, RECOVERY, Recovery};
use crate::evidence::checker;
use crate::place::Kind;

/// What is told of a run. As JSON it is one line.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    store: &'static str,
    seconds: u64,
    /// Repeats the driver's decisions.
    pub seed: u64,
    /// Keys that have an execution, or had one.
    pub executions: usize,
    /// Runs of those: a key that was restarted or used anew has several.
    pub generations: usize,
    /// Calls by all processes.
    pub calls: usize,
    /// Answers that were outputs or failures of executions.
    pub answers: usize,
    /// Processes killed with SIGKILL.
    pub kills: usize,
    /// Processes stopped with SIGSTOP, for a while.
    pub stops: usize,
    /// Processes cut off from their database, in one of several ways.
    pub cuts: usize,
    /// Processes and servers restarted in an orderly way or, the server, as by a crash.
    pub restarts: usize,
    /// Of those, the database server; none when it is not ours to restart.
    pub server_restarts: Option<usize>,
    /// Changes of owner.
    pub takeovers: usize,
    /// Recorded step results.
    pub checkpoints: usize,
    /// Recorded results of transactional steps.
    pub tx_checkpoints: usize,
    /// Rows that transactional steps have written.
    pub tx_effects: usize,
    /// Failures that ended a run.
    pub failures: usize,
    /// Runs of which all was undone that was done, because they failed for good.
    pub undone: usize,
    /// Wishes to cancel an execution, also one that was over.
    pub cancels: usize,
    /// Runs that were cancelled.
    pub cancelled: usize,
    /// Signals that were to be sent, also to one that did not wait.
    pub signals: usize,
    /// Messages of recorded steps.
    pub messages: usize,
    /// Their deliveries.
    pub deliveries: usize,
    /// Executions whose key was deleted after its retention.
    pub purges: usize,
    /// Attempts that began after their step was recorded, by an owner that had lost its claim.
    pub stale_attempts: usize,
    /// Executions that wait for a person, each with a reason.
    pub parked: usize,
    /// From the last fault until every execution was finished or parked.
    pub recovery_ms: u128,
    /// From the last fault until every caller had its answer.
    pub callers_recovery_ms: u128,
    /// The longest time that is allowed for `recovery_ms`.
    pub recovery_limit_ms: u128,
    /// How many promises were broken.
    pub violations: usize,
    /// The first of them.
    pub broken: Vec<Broken>,
    /// The command line that repeats the decisions.
    pub repeat: String,
}

/// A broken promise.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// How, in a sentence.
    pub what: String,
    /// The seed of the run.
    pub seed: u64,
    /// All that happened to the execution concerned, in order, one JSON document a line.
    pub history: Vec<String>,
}

/// So many are shown with their history.
const SHOWN: usize = 20;

/// The step of the victim's schemas that is transactional.
const TRANSACTIONAL: &str = "book";

pub(super) fn judge(options: &Options, chaos: &Chaos, recovery: &Recovery, history: &History) -> Verdict {
    let report = checker().check(history);
    let counts = chaos.faults.counts();
    let count = |wanted: fn(&Event) -> bool| {
        let entries = history.entries.iter();
        entries.filter(|entry| wanted(&entry.event)).count()
    };
    let parked = chaos.ground.place().executions(&[State::Parked]);
    let tx_checkpoints =
        count(|event| matches!(event, Event::Recorded { step, .. } if step == TRANSACTIONAL));
    let tx_effects = count(|event| matches!(event, Event::Ledger { step, .. } if step == TRANSACTIONAL));
    let messages = Messages::of(chaos, history);

    // What no single execution can show.
    let mut whole: Vec<(String, Subject)> = chaos
        .seen
        .iter()
        .map(|what| (what.clone(), Subject::All))
        .collect();
    if recovery.executions > RECOVERY {
        let what = format!(
            "{:?} were left {:?} after the last fault, later than {RECOVERY:?}",
            recovery.last, recovery.executions
        );
        whole.push((what, Subject::Execution(recovery.last[0])));
    }
    let may_be_late = counts.stops + counts.cuts;
    if report.late_attempts > may_be_late {
        let what = format!(
            "{} stale attempts, more than the {may_be_late} stops and cuts explain",
            report.late_attempts
        );
        whole.push((what, Subject::All));
    }
    if tx_checkpoints != tx_effects {
        let what = format!("{tx_effects} rows of {tx_checkpoints} transactional steps");
        whole.push((what, Subject::All));
    }
    whole.extend(messages.wrong.iter().map(|what| (what.clone(), Subject::All)));
    let without_reason = parked.iter().filter(|record| record.parked.is_none());
    whole.extend(without_reason.map(|record| {
        let what = format!("{} is parked without a reason", record.id);
        (what, Subject::Execution(record.id.0))
    }));
    let of_executions = report.violations.iter();
    let of_executions = of_executions.map(|one| (one.to_string(), one.about.clone()));
    let all: Vec<(String, Subject)> = of_executions.chain(whole).collect();

    Verdict {
        store: options.store_name(),
        seconds: options.seconds,
        seed: options.seed(),
        executions: report.executions,
        generations: generations(history),
        calls: chaos.crew.calls(),
        answers: report.answers,
        kills: counts.kills,
        stops: counts.stops,
        cuts: counts.cuts,
        restarts: counts.worker_restarts + counts.server_restarts,
        server_restarts: (options.store == Kind::Postgres && options.database_url.is_none())
            .then_some(counts.server_restarts),
        takeovers: report.takeovers,
        checkpoints: count(|event| matches!(event, Event::Recorded { .. })),
        tx_checkpoints,
        tx_effects,
        failures: count(|event| matches!(event, Event::FailureStored { .. })),
        undone: count(|event| matches!(event, Event::Changed { state, .. } if state == "undone")),
        cancels: chaos.crew.cancels(),
        cancelled: count(|event| matches!(event, Event::Changed { state, .. } if state == "cancelled")),
        signals: chaos.crew.signals(),
        messages: messages.sent,
        deliveries: messages.deliveries,
        purges: count(|event| matches!(event, Event::Purged { .. })),
        stale_attempts: report.late_attempts,
        parked: parked.len(),
        recovery_ms: recovery.executions.as_millis(),
        callers_recovery_ms: recovery.callers.as_millis(),
        recovery_limit_ms: RECOVERY.as_millis(),
        violations: all.len(),
        broken: all
            .into_iter()
            .take(SHOWN)
            .map(|(what, about)| Broken {
                what,
                seed: options.seed(),
                history: lines(&history.about(&about)),
            })
            .collect(),
        repeat: options.to_string(),
    }
}

fn generations(history: &History) -> usize {
    let runs = history.entries.iter().filter_map(|entry| match &entry.event {
        Event::Changed { run, .. } => Some(run),
        _ => None,
    });
    runs.collect::<HashSet<_>>().len()
}

fn lines(history: &History) -> Vec<String> {
    history.to_lines().lines().map(str::to_owned).collect()
}

/// A summary for people.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} s of chaos on {}, seed {}",
            self.seconds, self.store, self.seed
        )?;
        writeln!(
            f,
            "  {} kills, {} stops, {} cuts, {} restarts{}",
            self.kills,
            self.stops,
            self.cuts,
            self.restarts,
            match self.server_restarts {
                Some(times) => format!(" ({times} of the database server)"),
                None => " (there is no database server of ours to restart)".to_owned(),
            }
        )?;
        writeln!(
            f,
            "  {} executions in {} generations, {} failures, {} purged, {} parked, {} takeovers",
            self.executions, self.generations, self.failures, self.purges, self.parked, self.takeovers
        )?;
        writeln!(
            f,
            "  {} undone, {} cancelled by {} wishes, {} signals, {} messages in {} deliveries",
            self.undone, self.cancelled, self.cancels, self.signals, self.messages, self.deliveries
        )?;
        writeln!(
            f,
            "  {} calls, {} of them answered with an outcome",
            self.calls, self.answers
        )?;
        writeln!(
            f,
            "  {} checkpoints, {} of transactional steps and {} effects of those, {} stale attempts",
            self.checkpoints, self.tx_checkpoints, self.tx_effects, self.stale_attempts
        )?;
        writeln!(
            f,
            "  at rest {} ms after the last fault, at most {} ms are allowed; callers after {} ms",
            self.recovery_ms, self.recovery_limit_ms, self.callers_recovery_ms
        )?;
        for broken in &self.broken {
            writeln!(f, "BROKEN: {}", broken.what)?;
            for line in &broken.history {
                writeln!(f, "    {line}")?;
            }
        }
        writeln!(f, "{} violations", self.violations)?;
        write!(f, "the same decisions again: {}", self.repeat)
    }
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        self.violations == 0
    }
}
