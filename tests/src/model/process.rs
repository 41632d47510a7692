//! What does a process do next? Its half of the protocol: ask, own, load, run, write, believe only
//! verdicts.

use super::promises::Breach;
use super::state::{
    Acquire, Answer, Call, Commit, Fence, Id, Message, Outcome, Phase, Row, STEPS, State, Statement, Then,
    Value, Values, Work,
};
use super::{Bug, Protocol};

impl Protocol {
    /// A caller asks for a key.
    pub(super) fn call(&self, state: &mut State, worker: usize, key: usize) {
        state.left.calls[key] -= 1;
        let statement = Statement::Begin {
            run: state.fresh(),
            token: state.fresh(),
        };
        state.workers[worker].work[key] = Work::Begin(send(state, worker, key, statement));
    }

    /// A sweep found the row: orphaned, due, or owned by this process without its knowledge.
    pub(super) fn take_up(&self, state: &mut State, worker: usize, key: usize) {
        if let Some(row) = state.rows[key] {
            acquire(state, worker, key, &row, None);
        }
    }

    /// Whether a sweep of this process would take the row up.
    pub(super) fn may_take_up(&self, state: &State, worker: usize, key: usize) -> bool {
        // Two that were declared dead could take a row from each other for ever.
        let all_buried = state.workers.iter().all(|worker| worker.buried);
        state.workers[worker].work[key] == Work::Idle
            && !all_buried
            && state.rows[key].is_some_and(|row| match row.phase {
                Phase::Running => row
                    .owner
                    .is_none_or(|owner| owner == worker && !self.has(Bug::NoAudit)),
                Phase::Waiting => true,
                Phase::Succeeded | Phase::Failed(_) => false,
            })
    }

    /// Reads what is recorded, after an acquisition.
    pub(super) fn load(&self, state: &mut State, worker: usize, key: usize) {
        let Work::Load(fence) = state.workers[worker].work[key] else {
            return;
        };
        let row = state.rows[key].filter(|row| row.run == fence.run || self.has(Bug::RunNotCompared));
        match row {
            Some(row) => self.loaded(state, worker, key, fence, row.values()),
            None => state.workers[worker].work[key] = Work::Idle,
        }
    }

    /// Goes on behind what is recorded. Where that is everything, it is the outcome.
    fn loaded(&self, state: &mut State, worker: usize, key: usize, fence: Fence, known: Values) {
        state.workers[worker].work[key] = match known[STEPS - 1] {
            Some(output) => {
                let outcome = Outcome::Output(output);
                tell(state, key, fence.run, outcome, state.incarnation);
                Work::Idle
            }
            None => Work::Ready(fence, known),
        };
    }

    /// Runs the body of the next step, and sends its result.
    pub(super) fn run_step(&self, state: &mut State, worker: usize, key: usize) {
        let Work::Ready(fence, known) = state.workers[worker].work[key] else {
            return;
        };
        let (step, value) = run_body(state, key, &fence, &known);
        let then = if step + 1 == STEPS {
            Then::Succeed
        } else {
            Then::Continue
        };
        let commit = Commit {
            fence,
            write: value.nonce,
            checkpoint: Some((step, value)),
            then,
        };
        if self.has(Bug::AcknowledgedBeforeVerdict) && then == Then::Succeed {
            tell(state, key, fence.run, Outcome::Output(value), state.incarnation);
        }
        write(state, worker, key, commit, known);
    }

    /// Runs the body of the next step, which fails: for now, or for good.
    pub(super) fn fail_step(&self, state: &mut State, worker: usize, key: usize, for_good: bool) {
        let Work::Ready(fence, known) = state.workers[worker].work[key] else {
            return;
        };
        state.left.failures -= 1;
        let (_, failure) = run_body(state, key, &fence, &known);
        let commit = Commit {
            fence,
            write: failure.nonce,
            checkpoint: None,
            then: if for_good { Then::Fail(failure) } else { Then::Wait },
        };
        write(state, worker, key, commit, known);
    }

    /// The answer arrives.
    pub(super) fn answered(&self, state: &mut State, worker: usize, key: usize) {
        let work = state.workers[worker].work[key];
        state.workers[worker].work[key] = Work::Idle;
        let Some((answer, incarnation)) = work.call().and_then(|call| call.answer) else {
            return;
        };
        match (work, answer) {
            (Work::Write(call, known), _) => {
                if let Statement::Commit(commit) = call.message.statement {
                    self.judged(state, worker, key, (commit, known), (answer, incarnation));
                }
            }
            (Work::Begin(_), Answer::Owner(fence, _)) => {
                state.workers[worker].work[key] = Work::Ready(fence, [None; STEPS]);
            }
            (Work::Begin(_), Answer::Exists(row, incarnation)) => {
                self.met(state, worker, key, &row, incarnation);
            }
            (Work::Begin(_), _) => state.breaches |= Breach::NoAnswer.bit(),
            (Work::Acquire(..), Answer::Owner(fence, Some(known))) => {
                self.loaded(state, worker, key, fence, known);
            }
            (Work::Acquire(..), Answer::Owner(fence, None)) => {
                state.workers[worker].work[key] = Work::Load(fence);
            }
            _lost => {}
        }
    }

    /// A caller's key has an execution already.
    fn met(&self, state: &mut State, worker: usize, key: usize, row: &Row, incarnation: u8) {
        match row.outcome() {
            Some(outcome) if !row.expired => tell(state, key, row.run, outcome, incarnation),
            Some(_) => {
                let fresh_run = Some(state.fresh());
                acquire(state, worker, key, row, fresh_run);
            }
            None if row.phase == Phase::Waiting => acquire(state, worker, key, row, None),
            // In progress elsewhere: the caller may call again.
            None => {}
        }
    }

    /// A write has its verdict.
    fn judged(
        &self,
        state: &mut State,
        worker: usize,
        key: usize,
        (commit, mut known): (Commit, Values),
        (answer, incarnation): (Answer, u8),
    ) {
        let run = commit.fence.run;
        match answer {
            Answer::Written { .. } => {
                if let Some((step, value)) = commit.checkpoint {
                    known[step] = Some(value);
                }
                match commit.then {
                    Then::Continue => state.workers[worker].work[key] = Work::Ready(commit.fence, known),
                    Then::Succeed => {
                        if let Some(output) = known[STEPS - 1] {
                            tell(state, key, run, Outcome::Output(output), incarnation);
                        }
                    }
                    Then::Fail(failure) => tell(state, key, run, Outcome::Failure(failure), incarnation),
                    Then::Wait => {}
                }
            }
            Answer::Restarted => self.reacquire(state, worker, key, commit.fence, None),
            Answer::Foreign => state.breaches |= Breach::ForeignWrite.bit(),
            _fenced => {}
        }
    }

    /// The server was restarted: acquires its own execution anew, if nobody else has it.
    fn reacquire(&self, state: &mut State, worker: usize, key: usize, old: Fence, sent: Option<Acquire>) {
        let Some(row) = state.rows[key] else {
            return;
        };
        let won = sent.filter(|sent| sent.token == row.claim.token);
        let mine = self.same_claim(row.claim, old.claim) || won.is_some();
        if row.phase == Phase::Running && row.run == old.run && mine {
            // What was won without an answer is sent again as it was.
            let acquire = won.unwrap_or_else(|| Acquire {
                seen: row.seen(),
                token: sent.map_or_else(|| state.fresh(), |sent| sent.token),
                fresh_run: None,
            });
            let call = send(state, worker, key, Statement::Acquire(acquire));
            state.workers[worker].work[key] = Work::Acquire(call, Some(old));
        }
    }

    /// The connection is cut: whether the statement was or will be carried out is not known.
    pub(super) fn cut(&self, state: &mut State, worker: usize, key: usize) {
        state.left.cuts -= 1;
        let work = state.workers[worker].work[key];
        let Some(call) = work.call().copied() else {
            return;
        };
        if call.answer.is_none() {
            state.strays.push(call.message);
        }
        state.workers[worker].work[key] = Work::Idle;
        match (work, call.message.statement) {
            (Work::Acquire(_, Some(old)), Statement::Acquire(acquire)) => {
                self.reacquire(state, worker, key, old, Some(acquire));
            }
            (Work::Write(_, known), Statement::Commit(commit)) => {
                self.in_doubt(state, worker, key, commit, known);
            }
            (Work::Acquire(..), statement) => {
                let again = send(state, worker, key, statement);
                state.workers[worker].work[key] = Work::Acquire(again, None);
            }
            (_, statement) => {
                let again = send(state, worker, key, statement);
                state.workers[worker].work[key] = Work::Begin(again);
            }
        }
    }

    /// The outcome of a write is not known: the same write again, or a question where it was a
    /// transaction that can not be sent again.
    fn in_doubt(&self, state: &mut State, worker: usize, key: usize, mut commit: Commit, known: Values) {
        let transactional = Some(self.bounds.transactional);
        if self.has(Bug::UnknownIsFailure) {
            state.workers[worker].work[key] = Work::Ready(commit.fence, known);
        } else if self.has(Bug::UnknownIsSuccess) {
            let answer = (Answer::Written { before: false }, state.incarnation);
            self.judged(state, worker, key, (commit, known), answer);
        } else if self.has(Bug::RetriedAsAnother) {
            commit.write = state.fresh();
            write(state, worker, key, commit, known);
        } else if commit.checkpoint.map(|(step, _)| step) == transactional {
            state.workers[worker].work[key] = Work::Confirm(commit, known);
        } else {
            write(state, worker, key, commit, known);
        }
    }

    /// Asks under the row's lock whether a transaction was committed. Its connection ends with it,
    /// one way or the other.
    pub(super) fn confirm(&self, state: &mut State, worker: usize, key: usize) {
        let Work::Confirm(commit, known) = state.workers[worker].work[key] else {
            return;
        };
        if !self.has(Bug::ConfirmWithoutLock) {
            let resolved = Statement::Commit(commit);
            state.strays.retain(|stray| stray.statement != resolved);
        }
        state.workers[worker].work[key] = Work::Idle;
        let Some(row) = state.rows[key] else {
            return;
        };
        let recorded = row.run == commit.fence.run
            && commit.checkpoint.is_some_and(|(step, _)| {
                row.recorded[step].is_some_and(|stored| stored.write == commit.write)
            });
        if recorded {
            let answer = (Answer::Written { before: true }, state.incarnation);
            self.judged(state, worker, key, (commit, known), answer);
        } else if row.is_owned_by(&commit.fence) {
            state.workers[worker].work[key] = Work::Ready(commit.fence, known);
        }
    }
}

/// Runs the body of the first step that is not recorded, and tells which and what it came to.
fn run_body(state: &mut State, key: usize, fence: &Fence, known: &Values) -> (usize, Value) {
    let step = known.iter().position(Option::is_none).unwrap_or(STEPS - 1);
    state.breaches |= Breach::of_body(state, key, fence, step);
    let run = fence.run;
    let nonce = state.fresh();
    (step, Value { run, nonce })
}

fn tell(state: &mut State, key: usize, run: Id, outcome: Outcome, incarnation: u8) {
    state.breaches |= Breach::of_telling(state, key, run, outcome, incarnation);
}

fn acquire(state: &mut State, worker: usize, key: usize, row: &Row, fresh_run: Option<Id>) {
    let statement = Statement::Acquire(Acquire {
        seen: row.seen(),
        token: state.fresh(),
        fresh_run,
    });
    let call = send(state, worker, key, statement);
    state.workers[worker].work[key] = Work::Acquire(call, None);
}

fn write(state: &mut State, worker: usize, key: usize, commit: Commit, known: Values) {
    let call = send(state, worker, key, Statement::Commit(commit));
    state.workers[worker].work[key] = Work::Write(call, known);
}

fn send(state: &State, worker: usize, key: usize, statement: Statement) -> Call {
    let named = !matches!(statement, Statement::Commit(_)) && !state.workers[worker].buried;
    Call {
        message: Message {
            key,
            owner: named.then_some(worker),
            statement,
            snapshot: None,
        },
        answer: None,
    }
}
