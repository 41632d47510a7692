//! What goes wrong? Kills, false deaths, lost tails, and time.

use super::state::{KEYS, State, Work, Worker};

/// A process is killed, and that is noticed at some time; another starts in its place.
pub(super) fn crash(state: &mut State, worker: usize) {
    state.left.crashes -= 1;
    disown(state, worker);
    forget(state, worker);
}

/// A process is declared dead while it lives.
pub(super) fn bury(state: &mut State, worker: usize) {
    state.left.burials -= 1;
    disown(state, worker);
    state.workers[worker].buried = true;
}

/// A process starts without a memory. What was sent from its place stays on its way.
pub(super) fn forget(state: &mut State, worker: usize) {
    let works = state.workers[worker].work;
    state.workers[worker] = Worker {
        buried: false,
        work: [Work::Idle; KEYS],
    };
    let sent = works.iter().filter_map(Work::call);
    let not_answered = sent.filter(|call| call.answer.is_none());
    state.strays.extend(not_answered.map(|call| call.message));
}

/// The retention of a key ends: by the clock, so on the standby too.
pub(super) fn expire(state: &mut State, key: usize) {
    state.left.expiries -= 1;
    let standby = state.standby.iter_mut().map(|rows| &mut rows[key]);
    for row in standby.chain([&mut state.rows[key]]).flatten() {
        row.expired = row.is_finished();
    }
}

/// The server starts anew, with what the standby has.
pub(super) fn fail_over(state: &mut State) {
    state.left.failovers -= 1;
    state.incarnation += 1;
    if let Some(rows) = state.standby.take() {
        state.rows = rows;
    }
}

/// What a process owns, or will own when its statements are carried out, has no live owner.
fn disown(state: &mut State, worker: usize) {
    let standby = state.standby.iter_mut().flatten();
    let rows = state.rows.iter_mut().chain(standby).flatten();
    let calls = state.workers[worker].work.iter_mut().filter_map(Work::call_mut);
    let owners = rows
        .map(|row| &mut row.owner)
        .chain(state.strays.iter_mut().map(|stray| &mut stray.owner))
        .chain(calls.map(|call| &mut call.message.owner));
    for owner in owners {
        if *owner == Some(worker) {
            *owner = None;
        }
    }
}
