//! What does each statement of a store do to the rows? The contract of `keystep::store::Store`, on
//! rows that are small enough to try every order.
//!
//! A statement is atomic for the row it locks, so carrying one out is one step. Where a planted bug
//! takes the lock away, or reads in the same statement what a lock was waited for, the statement
//! becomes two steps: its snapshot, then its effect.

use super::promises::Breach;
use super::state::{
    Acquire, Answer, Checkpoint, Claim, Commit, Fence, Id, Message, Phase, Row, STEPS, State, Statement, Then,
};
use super::{Bug, Protocol};

impl Protocol {
    /// Carries a statement out, and answers it.
    pub(super) fn carry_out(&self, state: &mut State, message: &Message) -> Answer {
        let before = state.rows[message.key];
        let answer = match message.statement {
            Statement::Begin { run, token } => self.begin(state, message, run, token),
            Statement::Acquire(acquire) => self.acquire(state, message, acquire),
            Statement::Commit(commit) => self.commit(state, message, commit),
        };
        if let (Some(before), Some(after)) = (before, state.rows[message.key]) {
            state.breaches |= Breach::of_change(&before, &after, message);
        }
        if let (Statement::Commit(commit), Answer::Written { .. }) = (message.statement, answer) {
            state.breaches |= Breach::of_written(state.rows[message.key].as_ref(), &commit);
        }
        answer
    }

    /// Whether a planted bug makes this statement look first and act later.
    pub(super) fn looks_first(&self, message: &Message) -> bool {
        self.has(match message.statement {
            Statement::Begin { .. } => Bug::BeginInOneStatement,
            Statement::Acquire(_) => Bug::TakeOverLoads,
            Statement::Commit(_) => Bug::NoRowLock,
        })
    }

    fn begin(&self, state: &mut State, message: &Message, run: Id, token: Id) -> Answer {
        let claim = Claim { epoch: 1, token };
        let fence = Fence {
            run,
            claim,
            incarnation: state.incarnation,
        };
        match state.rows[message.key] {
            None => {
                state.rows[message.key] = Some(Row {
                    run,
                    generation: 1,
                    claim,
                    phase: Phase::Running,
                    owner: message.owner,
                    ended_by: None,
                    expired: false,
                    recorded: [None; STEPS],
                    ledger: 0,
                });
                Answer::Owner(fence, None)
            }
            Some(row) if row.run == run && row.claim == claim => Answer::Owner(fence, None),
            Some(row) => match message.snapshot {
                // The row is younger than the snapshot that the one statement looks through.
                Some(None) => Answer::Nothing,
                Some(Some(seen)) => Answer::Exists(seen, state.incarnation),
                None => Answer::Exists(row, state.incarnation),
            },
        }
    }

    fn acquire(&self, state: &mut State, message: &Message, acquire: Acquire) -> Answer {
        let Acquire {
            seen,
            token,
            fresh_run,
        } = acquire;
        let Some(row) = &mut state.rows[message.key] else {
            return Answer::Lost;
        };
        let same_run = row.run == seen.run || self.has(Bug::RunNotCompared);
        let same_claim = self.same_claim(row.claim, seen.claim) || self.has(Bug::TakenAsItIs);
        let same_phase = row.phase == seen.phase || self.has(Bug::StateNotCompared);
        if same_run && same_claim && same_phase {
            let epoch = if self.has(Bug::EpochReset) {
                1
            } else {
                row.claim.epoch + 1
            };
            row.claim = Claim { epoch, token };
            row.phase = Phase::Running;
            row.owner = message.owner;
            row.ended_by = None;
            row.expired = false;
            if let Some(run) = fresh_run {
                row.run = run;
                row.generation += 1;
                if !self.has(Bug::RunNotCompared) {
                    row.recorded = [None; STEPS];
                    row.ledger = 0;
                }
            }
        } else {
            let epoch = seen.claim.epoch + 1;
            if !self.same_claim(row.claim, Claim { epoch, token }) {
                return Answer::Lost;
            }
        }
        let fence = Fence {
            run: row.run,
            claim: row.claim,
            incarnation: state.incarnation,
        };
        let seen = message.snapshot.flatten();
        let loaded = message
            .snapshot
            .map(|_| seen.map_or([None; STEPS], |row| row.values()));
        Answer::Owner(fence, loaded)
    }

    fn commit(&self, state: &mut State, message: &Message, commit: Commit) -> Answer {
        let incarnation = state.incarnation;
        let row = &mut state.rows[message.key];
        let compared = message.snapshot.unwrap_or(*row);
        let verdict = self.verdict(compared.as_ref(), incarnation, &commit);
        let step = commit.checkpoint.map(|(step, _)| step);
        if let Some(row) = row {
            if verdict.is_none() {
                self.record(row, &commit);
                end(row, &commit);
            }
            let committed = verdict.is_none() || self.has(Bug::TransactionWithoutVerdict);
            if step == Some(self.bounds.transactional) && committed && row.run == commit.fence.run {
                row.ledger += 1;
            }
            let recorded = step.is_some_and(|step| row.recorded[step].is_some());
            if self.has(Bug::VerdictByStep) && recorded {
                return Answer::Written { before: false };
            }
        }
        verdict.unwrap_or(Answer::Written { before: false })
    }

    /// What keeps a write from being done; `None` when nothing does.
    fn verdict(&self, row: Option<&Row>, incarnation: u8, commit: &Commit) -> Option<Answer> {
        let fence = &commit.fence;
        if fence.incarnation != incarnation && !self.has(Bug::IncarnationNotCompared) {
            return Some(Answer::Restarted);
        }
        let Some(row) = row else {
            return Some(Answer::Fenced);
        };
        let same_run = row.run == fence.run || self.has(Bug::RunNotCompared);
        if !(same_run && self.same_claim(row.claim, fence.claim)) {
            return Some(Answer::Fenced);
        }
        let step = commit.checkpoint.map(|(step, _)| step);
        let recorded = step.and_then(|step| row.recorded[step]);
        let by_this = recorded.is_some_and(|recorded| recorded.write == commit.write);
        if by_this || row.ended_by == Some(commit.write) {
            return Some(Answer::Written { before: true });
        }
        if row.phase != Phase::Running && !self.has(Bug::StateNotCompared) {
            return Some(Answer::Fenced);
        }
        recorded
            .filter(|_| !self.has(Bug::CheckpointReplaced))
            .map(|_| Answer::Foreign)
    }

    /// Adds the checkpoint, unless the step has one: that much the primary key sees to.
    fn record(&self, row: &mut Row, commit: &Commit) {
        let Some((step, value)) = commit.checkpoint else {
            return;
        };
        let free = row.recorded[step].is_none() || self.has(Bug::CheckpointReplaced);
        if row.run == commit.fence.run && free {
            let write = commit.write;
            row.recorded[step] = Some(Checkpoint { write, value });
        }
    }

    pub(super) fn same_claim(&self, one: Claim, other: Claim) -> bool {
        one.epoch == other.epoch && (one.token == other.token || self.has(Bug::TokenNotCompared))
    }
}

/// Changes the state.
fn end(row: &mut Row, commit: &Commit) {
    row.phase = match commit.then {
        Then::Continue => return,
        Then::Succeed => Phase::Succeeded,
        Then::Wait => Phase::Waiting,
        Then::Fail(value) => Phase::Failed(value),
    };
    row.owner = None;
    row.ended_by = Some(commit.write);
}

/// Whether a statement that is still on its way can change anything, now or later, while no row
/// comes back from a standby.
pub(super) fn may_do_something(row: Option<&Row>, message: &Message) -> bool {
    match message.statement {
        Statement::Begin { .. } => row.is_none(),
        Statement::Acquire(acquire) => row.is_some_and(|row| row.claim == acquire.seen.claim),
        Statement::Commit(commit) => row.is_some_and(|row| {
            let recorded = commit
                .checkpoint
                .is_some_and(|(step, _)| row.recorded[step].is_some());
            row.is_owned_by(&commit.fence) && !recorded
        }),
    }
}
