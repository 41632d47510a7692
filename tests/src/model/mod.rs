//! Is the protocol right in every order of events? A model of it, small enough to try them all.
//!
//! The model is two processes, one database and the statements between them, for executions of two
//! steps, one of them with a transaction of its own. A [`State`] is one moment; an [`Action`] is
//! what happens next; [`explore`] follows every action from every state. In each state each of the
//! [`promises`] must hold, or the way to that state is a counterexample.
//!
//! The model is written beside the engine, not derived from it: `process.rs` follows the engine's
//! `drive.rs`, `persist.rs`, `take.rs`, `reacquire.rs`, `admission.rs` and the sweep; `database.rs`
//! follows `begin.sql`, `acquire.sql`, `commit.sql`, `load.sql` and `confirm`. What happens to both
//! is in `faults.rs`. Each [`Bug`] is a mistake that can be planted into the model; a test for each
//! shows the promise that it breaks, and each promise is broken by one of them.
//!
//! The parts of a fence (run, epoch, token, state, incarnation) overlap: in an owner's write each but
//! the incarnation could be left out alone, as long as the engine does its part and acquisitions
//! compare everything. So the bugs that do not compare something do not compare it anywhere.
//!
//! # What one action is
//!
//! - A statement is sent, carried out and answered in three actions, so anything may happen between
//!   them. Carried out, it is atomic: it locks the row it is about. The later statements of a
//!   transaction hold that lock, so a step's transaction is one statement here.
//! - A read (of the checkpoints, of a row that needs an owner, of a transaction in doubt) is one
//!   action: what was read late is the same as what was acted upon late.
//! - A body runs in the same action that sends its result. To be stopped between the two is to have
//!   sent something that is never carried out.
//! - A pause is no action. Between any two actions of a process others may do as many as they like,
//!   so every process is paused everywhere. To declare it dead meanwhile is an action.
//! - The standby stops following just before a write that it never gets; a failover then starts it
//!   as it was. Without such a write a failover is a plain restart.
//!
//! # What is bounded
//!
//! [`Bounds`] limits how often what goes wrong, and how many keys and calls there are; each test
//! says its bounds. Within them everything is tried, and no way is endless, so that the last
//! moments of all ways are seen too. Besides:
//!
//! - Two processes, two steps, at most two keys. All identifiers that are random in the protocol are
//!   told apart, and states that differ only in their names count as one (`canonical.rs`).
//! - The first call goes to the first process and the first key: the others are like them.
//! - A killed process is replaced at once, by one with nothing in its memory. Two processes that are
//!   both declared dead do not sweep before one of them notices.
//! - A failure is replayed or ends in a wait; resuming or restarting what failed is not modelled,
//!   nor is parking. Handing back is a wait that is due at once.
//! - A caller that meets a run in progress elsewhere goes away and may call again.
//! - The retention of a key does not end while a begin of it is on its way or sent again: the engine
//!   sends it again for 20 seconds, and no retention is below a minute.
//! - What the database knows of workers (who is dead) is not lost with its last writes; a burial
//!   that was lost is like one that came late. There is one server at a time.
//! - Group commit is not modelled: a batch is its statements, one after the other.

mod canonical;
mod database;
mod explore;
mod faults;
mod moves;
mod process;
pub mod promises;
pub mod state;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use stateright::{Model, Property};

pub use self::explore::{Explored, explore, explore_until};
pub use self::moves::{Action, Sender};
use self::state::{KEYS, Left, State, WORKERS, Work, Worker};

/// How much may happen.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Keys in use.
    pub keys: usize,
    /// The step that writes to the ledger, in a transaction that is committed with its checkpoint.
    pub transactional: usize,
    /// Calls of each key.
    pub calls: u8,
    /// Processes killed.
    pub crashes: u8,
    /// Live processes declared dead.
    pub burials: u8,
    /// Answers lost.
    pub cuts: u8,
    /// Restarts of the database server, which may lose its last writes.
    pub failovers: u8,
    /// Attempts that fail.
    pub failures: u8,
    /// Retentions that end.
    pub expiries: u8,
}

/// Mistakes that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A write compares its fence with an old snapshot of the row.
    NoRowLock,
    /// The random token of a claim is nowhere compared.
    TokenNotCompared,
    /// The state of a row is nowhere compared.
    StateNotCompared,
    /// A write of an older start of the server is not refused.
    IncarnationNotCompared,
    /// Fences, checkpoints and rows of any run of the execution are taken for those of this one.
    RunNotCompared,
    /// A takeover reads the checkpoints in its own statement.
    TakeOverLoads,
    /// A takeover takes the row with whatever claim it has by now: a sweep whose condition is about
    /// other rows (`NOT EXISTS` a live owner), which is not looked at again after the lock was
    /// waited for.
    TakenAsItIs,
    /// An acquisition starts counting again.
    EpochReset,
    /// A process does not look for rows that it owns without knowing.
    NoAudit,
    /// A begin reads the row it met through the snapshot of its own statement.
    BeginInOneStatement,
    /// A write is answered as written when its step is recorded, by whatever write.
    VerdictByStep,
    /// A checkpoint replaces the one that is there.
    CheckpointReplaced,
    /// Callers are told the outcome when its write is sent.
    AcknowledgedBeforeVerdict,
    /// A lost answer counts as a failed attempt.
    UnknownIsFailure,
    /// A lost answer counts as written.
    UnknownIsSuccess,
    /// A write is sent again under a new write id.
    RetriedAsAnother,
    /// The transaction of a step is committed whatever its verdict is.
    TransactionWithoutVerdict,
    /// A transaction in doubt is looked up without waiting for the row's lock.
    ConfirmWithoutLock,
}

/// The model.
#[derive(Debug)]
pub struct Protocol {
    bounds: Bounds,
    bugs: Vec<Bug>,
    /// Whether statements that can not do anything any more are dropped.
    forgets: bool,
    told: Mutex<BTreeSet<&'static str>>,
}

impl Bounds {
    /// One key, two calls, the transactional step last; nothing goes wrong.
    pub const QUIET: Self = Self {
        keys: 1,
        transactional: 1,
        calls: 2,
        crashes: 0,
        burials: 0,
        cuts: 0,
        failovers: 0,
        failures: 0,
        expiries: 0,
    };
}

impl Protocol {
    /// The protocol as it is.
    pub fn sound(bounds: Bounds) -> Self {
        Self::with(bounds, &[])
    }

    /// The protocol with mistakes.
    pub fn with(bounds: Bounds, bugs: &[Bug]) -> Self {
        Self {
            bounds,
            bugs: bugs.to_vec(),
            forgets: bugs.is_empty(),
            told: Mutex::default(),
        }
    }

    /// Keeps statements on their way that can not do anything any more. Many more states, and
    /// nothing else to see.
    pub fn forgetting_nothing(mut self) -> Self {
        self.forgets = false;
        self
    }

    fn has(&self, bug: Bug) -> bool {
        self.bugs.contains(&bug)
    }

    /// Tells only the first breach of a promise: the checker keeps the last that it is told, and
    /// the first has a shortest way.
    fn holds(&self, promise: &'static str, holds: bool) -> bool {
        holds || !self.first(promise)
    }

    /// Tells only the first example.
    fn seen(&self, name: &'static str, seen: bool) -> bool {
        seen && self.first(name)
    }

    fn first(&self, name: &'static str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(name)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut calls = [0; KEYS];
        calls[..self.bounds.keys].fill(self.bounds.calls);
        vec![State {
            rows: [None; KEYS],
            incarnation: 0,
            standby: None,
            workers: [Worker {
                buried: false,
                work: [Work::Idle; KEYS],
            }; WORKERS],
            strays: Vec::new(),
            left: Left {
                calls,
                crashes: self.bounds.crashes,
                burials: self.bounds.burials,
                cuts: self.bounds.cuts,
                failovers: self.bounds.failovers,
                failures: self.bounds.failures,
                expiries: self.bounds.expiries,
            },
            breaches: 0,
            ids: 0,
        }]
    }

    /// Nothing, once a promise is broken: what comes of that is of no interest.
    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.breaches == 0 {
            self.possible(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        if !self.happen(&mut next, action) {
            return None;
        }
        if self.forgets && next.left.failovers == 0 {
            let State { rows, strays, .. } = &mut next;
            strays.retain(|stray| database::may_do_something(rows[stray.key].as_ref(), stray));
        }
        canonical::rename(&mut next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.promises()
    }
}
