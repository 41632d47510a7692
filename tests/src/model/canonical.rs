//! Which states are the same? Those that differ only in the names of random identifiers.
//!
//! Runs, tokens, writes and results are random in the real protocol and only compared for equality,
//! so the model may rename them: in the order in which they appear in the state. Two ways that made
//! the same identifiers in another order, or made some that are gone, then meet in one state.

use super::state::{
    Acquire, Answer, Call, Checkpoint, Claim, Commit, Fence, Id, Message, Phase, Row, Seen, State, Statement,
    Then, Value, Work,
};

/// Renames all identifiers in the order of their first appearance.
pub(super) fn rename(state: &mut State) {
    let mut names = Names {
        names: [0; 64],
        used: 0,
    };
    state.rows.each(&mut names);
    state.standby.each(&mut names);
    for worker in &mut state.workers {
        worker.work.each(&mut names);
    }
    // Sorted by what they are called by now, so that their order tells nothing of the way here.
    if state.strays.len() > 1 {
        state.strays.sort_by_key(|stray| {
            let mut named = *stray;
            named.each(&mut Known(&names.names));
            named
        });
    }
    for stray in &mut state.strays {
        stray.each(&mut names);
    }
    state.ids = names.used;
}

trait Rename {
    fn rename(&mut self, id: &mut Id);
}

struct Names {
    names: [u8; 64],
    used: u8,
}

impl Rename for Names {
    fn rename(&mut self, id: &mut Id) {
        let name = &mut self.names[usize::from(id.0)];
        if *name == 0 {
            self.used += 1;
            *name = self.used;
        }
        id.0 = *name;
    }
}

/// Names what has a name, and nothing else.
struct Known<'a>(&'a [u8; 64]);

impl Rename for Known<'_> {
    fn rename(&mut self, id: &mut Id) {
        id.0 = self.0[usize::from(id.0)];
    }
}

/// Shows each identifier inside, always in the same order.
trait Each {
    fn each(&mut self, names: &mut impl Rename);
}

impl Each for Id {
    fn each(&mut self, names: &mut impl Rename) {
        names.rename(self);
    }
}

impl<T: Each> Each for Option<T> {
    fn each(&mut self, names: &mut impl Rename) {
        if let Some(inside) = self {
            inside.each(names);
        }
    }
}

impl<T: Each, const N: usize> Each for [T; N] {
    fn each(&mut self, names: &mut impl Rename) {
        for inside in self {
            inside.each(names);
        }
    }
}

impl Each for Claim {
    fn each(&mut self, names: &mut impl Rename) {
        self.token.each(names);
    }
}

impl Each for Fence {
    fn each(&mut self, names: &mut impl Rename) {
        self.run.each(names);
        self.claim.each(names);
    }
}

impl Each for Value {
    fn each(&mut self, names: &mut impl Rename) {
        self.run.each(names);
        self.nonce.each(names);
    }
}

impl Each for Checkpoint {
    fn each(&mut self, names: &mut impl Rename) {
        self.write.each(names);
        self.value.each(names);
    }
}

impl Each for Phase {
    fn each(&mut self, names: &mut impl Rename) {
        if let Self::Failed(value) = self {
            value.each(names);
        }
    }
}

impl Each for Row {
    fn each(&mut self, names: &mut impl Rename) {
        self.run.each(names);
        self.claim.each(names);
        self.phase.each(names);
        self.ended_by.each(names);
        self.recorded.each(names);
    }
}

impl Each for Seen {
    fn each(&mut self, names: &mut impl Rename) {
        self.run.each(names);
        self.claim.each(names);
        self.phase.each(names);
    }
}

impl Each for Acquire {
    fn each(&mut self, names: &mut impl Rename) {
        self.seen.each(names);
        self.token.each(names);
        self.fresh_run.each(names);
    }
}

impl Each for Commit {
    fn each(&mut self, names: &mut impl Rename) {
        self.fence.each(names);
        self.write.each(names);
        if let Some((_, value)) = &mut self.checkpoint {
            value.each(names);
        }
        if let Then::Fail(value) = &mut self.then {
            value.each(names);
        }
    }
}

impl Each for Message {
    fn each(&mut self, names: &mut impl Rename) {
        match &mut self.statement {
            Statement::Begin { run, token } => {
                run.each(names);
                token.each(names);
            }
            Statement::Acquire(acquire) => acquire.each(names),
            Statement::Commit(commit) => commit.each(names),
        }
        self.snapshot.each(names);
    }
}

impl Each for Answer {
    fn each(&mut self, names: &mut impl Rename) {
        match self {
            Self::Owner(fence, known) => {
                fence.each(names);
                known.each(names);
            }
            Self::Exists(row, _) => row.each(names),
            Self::Nothing
            | Self::Lost
            | Self::Written { .. }
            | Self::Foreign
            | Self::Fenced
            | Self::Restarted => {}
        }
    }
}

impl Each for Call {
    fn each(&mut self, names: &mut impl Rename) {
        self.message.each(names);
        if let Some((answer, _)) = &mut self.answer {
            answer.each(names);
        }
    }
}

impl Each for Work {
    fn each(&mut self, names: &mut impl Rename) {
        match self {
            Self::Idle => {}
            Self::Begin(call) => call.each(names),
            Self::Acquire(call, old) => {
                call.each(names);
                old.each(names);
            }
            Self::Load(fence) => fence.each(names),
            Self::Ready(fence, known) => {
                fence.each(names);
                known.each(names);
            }
            Self::Write(call, known) => {
                call.each(names);
                known.each(names);
            }
            Self::Confirm(commit, known) => {
                commit.each(names);
                known.each(names);
            }
        }
    }
}
