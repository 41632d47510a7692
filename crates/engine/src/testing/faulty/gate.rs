//! How does a test stop a call in the middle? A [`Gate`]: calls wait in front of it, the test sees
//! them arrive and decides when they go on.

use tokio::sync::watch;

/// A place where calls wait. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    arrived: u64,
    /// How many of them are done: the call was answered or given up.
    done: u64,
    open: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self::closed()
    }
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self {
            state: watch::Sender::new(State::default()),
        }
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// Ends when so many calls have come to the gate, whether they still wait or not.
    pub async fn arrived(&self, calls: u64) {
        self.until(|state| state.arrived >= calls).await;
    }

    /// Whether a call has come to the gate, whether it still waits or not.
    pub fn has_arrived(&self) -> bool {
        self.state.borrow().arrived > 0
    }

    /// Arrives at the gate, and goes on when it is open. For whatever is no call of the store, such as
    /// the body of a step.
    pub async fn pass(&self) {
        self.state.send_modify(|state| state.arrived += 1);
        self.until(|state| state.open).await;
    }

    /// Whether a call has come to the gate, and every one that has is done.
    pub(in crate::testing) fn all_done(&self) -> bool {
        let state = self.state.borrow();
        state.arrived > 0 && state.done >= state.arrived
    }

    /// Arrives at the gate as [`pass`](Self::pass); what came through is done when the answer is
    /// dropped.
    pub(super) async fn let_through(&self) -> Passing<'_> {
        let passing = Passing { gate: self };
        self.pass().await;
        passing
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut state = self.state.subscribe();
        // The sender lives in `self`, so the wait can not end without the condition.
        let _held = state.wait_for(|state| holds(state)).await;
    }
}

/// A call that has come to a gate, until it is done.
pub(super) struct Passing<'a> {
    gate: &'a Gate,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.gate.state.send_modify(|state| state.done += 1);
    }
}
