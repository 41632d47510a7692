//! How does an engine behave when its store fails? [`FaultyStore`]: a real store with a script of
//! faults, each at a chosen call.
//!
//! Every durable change passes the store, so every interesting crash, lost answer and outage is
//! "before or after call n". A test scripts one fault, runs its story, checks what must hold, and
//! goes on to n + 1 until the story needs no more calls.
//!
//! ```
//! use keystep::memory::MemoryStore;
//! use keystep::store::{Store, StoreError};
//! use keystep::testing::faulty::{Call, Fault, FaultyStore};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let store = FaultyStore::new(MemoryStore::new());
//! let faults = store.faults();
//! faults.script(&[Call::Purge], 2, Fault::LoseAnswer);
//!
//! assert!(store.purge(1, None).await.is_ok());
//! assert!(matches!(store.purge(1, None).await, Err(StoreError::Unknown(_))));
//! assert!(store.purge(1, None).await.is_ok());
//! assert_eq!(faults.left(), 0);
//! # }
//! ```

mod gate;
mod store;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::watch::Watch;
use crate::runs::locked;
use crate::store::StoreError;

pub use self::gate::Gate;

/// A store that fails by script. Without a script it is the store inside.
#[derive(Debug, Clone)]
pub struct FaultyStore<S> {
    inner: S,
    faults: Faults,
}

impl<S> FaultyStore<S> {
    /// Wraps a store. Nothing fails until [`faults`](Self::faults) says so.
    pub fn new(inner: S) -> Self {
        Self::with(inner, Faults::default())
    }

    /// Wraps a store that fails by a script which was made before.
    pub fn with(inner: S, faults: Faults) -> Self {
        Self { inner, faults }
    }

    /// The script, to be kept by the test while an engine has the store.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

/// One method of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Call {
    SavePlan,
    LoadPlan,
    Begin,
    Acquire,
    Commit,
    Confirm,
    Load,
    Find,
    List,
    Due,
    Orphans,
    Owned,
    Register,
    Beat,
    Observe,
    Bury,
    Retire,
    Progress,
    Signal,
    Inbox,
    WishCancel,
    Cancels,
    Children,
    Lead,
    StepDown,
    Outbox,
    Delivered,
    Purge,
}

impl Call {
    /// The calls that carry an execution on; what a background sweep does is not among them, so
    /// counting these gives the same numbers in each run of a story.
    pub const STORY: &[Self] = &[
        Self::SavePlan,
        Self::Begin,
        Self::Acquire,
        Self::Commit,
        Self::Confirm,
        Self::Load,
        Self::Progress,
        Self::Signal,
        Self::Inbox,
        Self::WishCancel,
        Self::Children,
    ];

    /// Whether the call changes something, so that a lost answer leaves its outcome unknown.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::SavePlan
                | Self::Begin
                | Self::Acquire
                | Self::Commit
                | Self::Register
                | Self::Beat
                | Self::Bury
                | Self::Retire
                | Self::Progress
                | Self::Signal
                | Self::WishCancel
                | Self::Lead
                | Self::StepDown
                | Self::Delivered
                | Self::Purge
        )
    }
}

/// What goes wrong with one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The call does not reach the store; the caller gets this error.
    Refuse(StoreError),
    /// The call happens, but its answer is lost: `Unknown` for a write, `Unavailable` for a read.
    LoseAnswer,
    /// The call waits at the gate before it reaches the store. A gate that nobody opens is a hang.
    HoldBefore(Gate),
    /// The call happens, and its answer waits at the gate.
    HoldAfter(Gate),
}

impl Fault {
    /// A refusal with each kind of error, for tests that loop over all of them.
    pub fn each_refusal() -> Vec<Self> {
        [
            StoreError::Unavailable("by script".into()),
            StoreError::Unknown("by script".into()),
            StoreError::Restarted,
            StoreError::Rejected("by script".into()),
            StoreError::Unreadable("by script".into()),
            StoreError::Refused("by script".into()),
        ]
        .map(Self::Refuse)
        .to_vec()
    }
}

/// The script of a [`FaultyStore`]: which call fails how. Clones are the same script.
#[derive(Clone, Default)]
pub struct Faults {
    script: Arc<Mutex<Script>>,
    /// Who notes what the calls really did; only in a [`Trial`](super::Trial).
    watch: Arc<OnceLock<Watch>>,
}

#[derive(Default)]
struct Script {
    calls: Vec<Call>,
    planned: Vec<Planned>,
    cut_off: bool,
}

struct Planned {
    /// Any call when empty.
    calls: Vec<Call>,
    /// How many calls of these until it happens; `None` for each of them.
    remaining: Option<u64>,
    fault: Fault,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("left", &self.left())
            .finish_non_exhaustive()
    }
}

impl Faults {
    /// Lets the `nth` call from now of one of these methods (any method when empty) fail once.
    /// Counting starts at 1.
    ///
    /// # Panics
    ///
    /// When `nth` is 0: there is no such call.
    pub fn script(&self, calls: &[Call], nth: u64, fault: Fault) {
        assert!(nth > 0, "calls are counted from 1");
        self.lock().planned.push(Planned {
            calls: calls.to_vec(),
            remaining: Some(nth),
            fault,
        });
    }

    /// Lets every call of these methods fail like this until [`clear`](Self::clear): an outage.
    pub fn script_outage(&self, calls: &[Call], error: &StoreError) {
        self.script_each(calls, Fault::Refuse(error.clone()));
    }

    /// Lets every call of these methods fail like this until [`clear`](Self::clear), for example
    /// wait at a gate.
    pub fn script_each(&self, calls: &[Call], fault: Fault) {
        self.lock().planned.push(Planned {
            calls: calls.to_vec(),
            remaining: None,
            fault,
        });
    }

    /// From now on, and for ever, no call reaches the store, also none that is held: as if the
    /// process of this handle were dead.
    pub fn cut_off(&self) {
        self.lock().cut_off = true;
    }

    /// Forgets the rest of the script: the store is healthy again. Held calls stay held.
    pub fn clear(&self) {
        self.lock().planned.clear();
    }

    /// How many scripted faults have not happened yet. 0 tells a loop over n that the story was
    /// longer than n calls.
    pub fn left(&self) -> usize {
        self.lock().planned.len()
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Lets somebody note what the calls really do.
    pub(super) fn watched_by(&self, watch: Watch) {
        self.watch.get_or_init(|| watch);
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        locked(&self.script)
    }

    /// Refuses what would happen after the process is dead.
    fn alive(&self) -> Result<(), StoreError> {
        if self.lock().cut_off {
            return Err(StoreError::Unavailable("the process is dead by script".into()));
        }
        Ok(())
    }

    /// Counts a call and takes the fault that is due for it. Of several that are due together the
    /// one that was scripted first happens, the others at the calls that follow.
    fn next(&self, call: Call) -> Option<Fault> {
        let mut script = self.lock();
        script.calls.push(call);
        let mut due = None;
        for (place, planned) in script.planned.iter_mut().enumerate() {
            if !planned.calls.is_empty() && !planned.calls.contains(&call) {
                continue;
            }
            match &mut planned.remaining {
                Some(remaining) if *remaining > 1 => *remaining -= 1,
                _ => {
                    due.get_or_insert(place);
                }
            }
        }
        let place = due?;
        if script.planned[place].remaining.is_none() {
            return Some(script.planned[place].fault.clone());
        }
        Some(script.planned.remove(place).fault)
    }

    async fn around<T>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.alive()?;
        match self.next(call) {
            None => work.await,
            Some(Fault::Refuse(error)) => Err(error),
            Some(Fault::LoseAnswer) => {
                work.await?;
                Err(if call.is_write() {
                    StoreError::Unknown("the answer was lost by script".into())
                } else {
                    StoreError::Unavailable("the answer was lost by script".into())
                })
            }
            Some(Fault::HoldBefore(gate)) => {
                let _until_answered = gate.let_through().await;
                self.alive()?;
                work.await
            }
            Some(Fault::HoldAfter(gate)) => {
                let answer = work.await;
                let _passed = gate.let_through().await;
                answer
            }
        }
    }
}
