//! What can happen next, and what comes of it?

use super::Protocol;
use super::faults;
use super::state::{Message, Row, State, Statement, WORKERS, Work, Worker};

/// What happens next. Numbers are a process and a key, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A caller asks a process for a key.
    Call(usize, usize),
    /// A sweep of a process sees that a row needs an owner, and tries to take it.
    TakeUp(usize, usize),
    /// A statement takes its snapshot (planted bugs only).
    Look(Sender),
    /// A statement is carried out.
    CarryOut(Sender),
    /// A statement is carried out, as the first one that the standby never gets.
    CarryOutUnreplicated(Sender),
    /// An answer arrives.
    Answer(usize, usize),
    /// A connection is cut while a process waits for an answer.
    Cut(usize, usize),
    /// An owner reads what is recorded.
    Load(usize, usize),
    /// An owner runs a body and sends the result.
    RunStep(usize, usize),
    /// An owner runs a body that fails for now.
    FailStep(usize, usize),
    /// An owner runs a body that fails for good.
    FailForGood(usize, usize),
    /// An owner asks whether its transaction was committed.
    Confirm(usize, usize),
    /// A process is killed; another starts in its place.
    Crash(usize),
    /// A live process is declared dead.
    Bury(usize),
    /// It notices, drops its work and goes on as a new worker.
    Notice(usize),
    /// The retention of a key ends.
    Expire(usize),
    /// An expired row is deleted.
    Purge(usize),
    /// The server is restarted, as the standby if that lags.
    FailOver,
}

/// Whose statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// That of a process which waits for the answer, about a key.
    Waiting(usize, usize),
    /// One that nobody waits for any more.
    Stray(usize),
}

impl Protocol {
    /// All that can happen next.
    pub(super) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        // Processes are alike, and so are keys: the first ones are the first to be used.
        let untouched = state.left.calls[0] == self.bounds.calls;
        let (workers, keys) = if untouched {
            (1, 1)
        } else {
            (WORKERS, self.bounds.keys)
        };
        for worker in 0..workers {
            for key in 0..keys {
                self.moves_of_work(state, worker, key, actions);
            }
            if state.workers[worker].buried {
                actions.push(Action::Notice(worker));
            } else if state.left.burials > 0 {
                actions.push(Action::Bury(worker));
            }
            if state.left.crashes > 0 {
                actions.push(Action::Crash(worker));
            }
        }
        for (stray, message) in state.strays.iter().enumerate() {
            self.moves_of_statement(state, Sender::Stray(stray), message, actions);
        }
        for (key, row) in state.rows.iter().enumerate() {
            let Some(row) = row else { continue };
            if row.expired {
                actions.push(Action::Purge(key));
            } else if state.left.expiries > 0 && row.is_finished() && !is_begun_now(state, key) {
                actions.push(Action::Expire(key));
            }
        }
        if state.left.failovers > 0 {
            actions.push(Action::FailOver);
        }
    }

    fn moves_of_work(&self, state: &State, worker: usize, key: usize, actions: &mut Vec<Action>) {
        match &state.workers[worker].work[key] {
            Work::Idle => {
                if state.left.calls[key] > 0 {
                    actions.push(Action::Call(worker, key));
                }
                if self.may_take_up(state, worker, key) {
                    actions.push(Action::TakeUp(worker, key));
                }
            }
            Work::Begin(call) | Work::Acquire(call, _) | Work::Write(call, _) => {
                if call.answer.is_some() {
                    actions.push(Action::Answer(worker, key));
                } else {
                    let sender = Sender::Waiting(worker, key);
                    self.moves_of_statement(state, sender, &call.message, actions);
                }
                if state.left.cuts > 0 {
                    actions.push(Action::Cut(worker, key));
                }
            }
            Work::Load(_) => actions.push(Action::Load(worker, key)),
            Work::Ready(..) => {
                actions.push(Action::RunStep(worker, key));
                if state.left.failures > 0 {
                    actions.push(Action::FailStep(worker, key));
                    actions.push(Action::FailForGood(worker, key));
                }
            }
            Work::Confirm(..) => actions.push(Action::Confirm(worker, key)),
        }
    }

    fn moves_of_statement(
        &self,
        state: &State,
        sender: Sender,
        message: &Message,
        actions: &mut Vec<Action>,
    ) {
        if self.looks_first(message) && message.snapshot.is_none() {
            actions.push(Action::Look(sender));
            return;
        }
        actions.push(Action::CarryOut(sender));
        if state.left.failovers > 0 && state.standby.is_none() {
            actions.push(Action::CarryOutUnreplicated(sender));
        }
    }

    /// Makes it happen; false when that would be the same as something else.
    pub(super) fn happen(&self, state: &mut State, action: Action) -> bool {
        match action {
            Action::Call(worker, key) => self.call(state, worker, key),
            Action::TakeUp(worker, key) => self.take_up(state, worker, key),
            Action::Look(sender) => look(state, sender),
            Action::CarryOut(sender) => self.serve(state, sender),
            Action::CarryOutUnreplicated(sender) => {
                let before = state.rows;
                state.standby = Some(before);
                self.serve(state, sender);
                return state.rows != before;
            }
            Action::Answer(worker, key) => self.answered(state, worker, key),
            Action::Cut(worker, key) => self.cut(state, worker, key),
            Action::Load(worker, key) => self.load(state, worker, key),
            Action::RunStep(worker, key) => self.run_step(state, worker, key),
            Action::FailStep(worker, key) => self.fail_step(state, worker, key, false),
            Action::FailForGood(worker, key) => self.fail_step(state, worker, key, true),
            Action::Confirm(worker, key) => self.confirm(state, worker, key),
            Action::Crash(worker) => faults::crash(state, worker),
            Action::Bury(worker) => faults::bury(state, worker),
            Action::Notice(worker) => faults::forget(state, worker),
            Action::Expire(key) => faults::expire(state, key),
            Action::Purge(key) => state.rows[key] = None,
            Action::FailOver => faults::fail_over(state),
        }
        true
    }

    fn serve(&self, state: &mut State, sender: Sender) {
        match sender {
            Sender::Waiting(worker, key) => {
                let work = &state.workers[worker].work[key];
                let Some(message) = work.call().map(|call| call.message) else {
                    return;
                };
                let answer = self.carry_out(state, &message);
                let incarnation = state.incarnation;
                if let Some(call) = state.workers[worker].work[key].call_mut() {
                    call.answer = Some((answer, incarnation));
                }
            }
            Sender::Stray(stray) => {
                let message = state.strays.remove(stray);
                self.carry_out(state, &message);
            }
        }
    }

    /// Whether the story has not come to its end: anything can happen, or everything is done.
    pub(super) fn goes_on_or_is_done(&self, state: &State) -> bool {
        if state.breaches != 0 || state.rows.iter().flatten().all(Row::is_finished) {
            return true;
        }
        let mut actions = Vec::new();
        self.possible(state, &mut actions);
        !actions.is_empty()
    }
}

fn look(state: &mut State, sender: Sender) {
    let message = match sender {
        Sender::Waiting(worker, key) => {
            let call = state.workers[worker].work[key].call_mut();
            call.map(|call| &mut call.message)
        }
        Sender::Stray(stray) => state.strays.get_mut(stray),
    };
    if let Some(message) = message {
        message.snapshot = Some(state.rows[message.key]);
    }
}

/// Whether a begin of the key is on its way, or may be sent again.
fn is_begun_now(state: &State, key: usize) -> bool {
    let stray =
        |message: &Message| message.key == key && matches!(message.statement, Statement::Begin { .. });
    let waiting = |worker: &Worker| matches!(worker.work[key], Work::Begin(_));
    state.strays.iter().any(stray) || state.workers.iter().any(waiting)
}
