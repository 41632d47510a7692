//! Would the tests notice? Bugs of the protocol as switches, in builds with the feature `planted`
//! only: `cargo xtask mutants` plants each and shows the test that finds it by itself.
//!
//! Each is a mistake that has been made, here or elsewhere, and stands at the very decision that it
//! spoils: in this crate, or in a store (a replacement in the text of its SQL). Which one is planted
//! is read from the environment, once, so that the processes which a test starts have it too.
//!
//! A store's author who wants to know whether the conformance suite bites finds other bugs there:
//! `store_conformance::planted` wraps any store, these change our own code.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use crate::dyn_store::DynStore;
use crate::execution::{RunId, Seen};
use crate::runs::locked;
use crate::store::Progress;

/// Names the bug that is planted; without it there is none.
const VARIABLE: &str = "KEYSTEP_PLANT";

macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $bug:ident = $name:literal,)*) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $what])+ $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),*];

            /// The name that plants it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)*
                }
            }
        }
    };
}

bugs! {
    /// An owner's write compares its claim with a row that it has not locked. In our races 2.5 % of
    /// the checkpoints that met a takeover were written after it.
    RowLockRemoved = "row-lock-removed",
    /// The fence is the epoch alone. After a failover that lost a takeover two owners had the same.
    ClaimCompareRemoved = "claim-compare-removed",
    /// The fence does not ask whether the row is still running: a late write of an owner that has
    /// put it down or finished it is taken.
    StateCompareRemoved = "state-compare-removed",
    /// A new owner builds on what its acquisition saw when it was sent, as one statement that takes
    /// and loads does: a checkpoint that was committed while it waited is missing. Here taking and
    /// loading are two calls of the store, so the second one is made first.
    TakeoverAndLoadInOne = "takeover-and-load-in-one",
    /// A takeover relies on the owner having been found dead, by a `NOT EXISTS` over the workers, and
    /// does not compare the row with what was seen. No lock checks a condition on other rows again:
    /// with four sweeps 421 of 2,400 executions were taken twice. Here that look is a statement of
    /// its own, so the takeover is left with the run and the state.
    SweepByNotExists = "sweep-by-not-exists",
    /// Batches go in the order in which their operations came. Two processes that began the same
    /// 150 keys met in 22 deadlocks in 80 rounds. Here only begins can meet so: no other operation of
    /// a batch waits for a row.
    SortRemoved = "sort-removed",
    /// Begins are one statement: a key that was neither inserted nor in its snapshot has no answer. So
    /// it was for 893 of 1,600 calls that raced for 400 keys. Only a batch can meet so: one begin alone
    /// fails as a duplicate, and is sent again.
    BeginInOneStatement = "begin-in-one-statement",
    /// A step that is recorded counts as written by whoever asks, whichever write recorded it.
    VerdictJoinedOnStep = "verdict-joined-on-step",
    /// The engine goes on, and answers its caller, while the store still decides.
    AcknowledgedBeforeVerdict = "acknowledged-before-verdict",
    /// A write without an answer counts as one that did not happen: its step runs again.
    UnknownIsFailure = "unknown-is-failure",
    /// A write without an answer counts as one that happened.
    UnknownIsSuccess = "unknown-is-success",
    /// A step's own transaction is committed whatever the verdict on its checkpoint is. A stale
    /// owner's effect stayed although the fence had refused it.
    TransactionCommitsUnseen = "transaction-commits-unseen",
    /// After a restart of the database server the sessions of all workers are gone, and nobody is
    /// given the time to come back.
    GraceNotReset = "grace-not-reset",
    /// A caller looks first, and later begins to wait to be told: what ended in between is never
    /// told again. Here the look is the one into the registry of local runs; who waits for another
    /// process polls, and has nothing to miss.
    WaitsAfterItsLook = "waits-after-its-look",
    /// A write whose answer was lost is sent again as another write, and meets itself.
    ResentAsAnotherWrite = "resent-as-another-write",
    /// On SQLite a transaction takes the write lock with its first write and not with its begin.
    BeginNotImmediate = "begin-not-immediate",
    /// A step that is done at most once begins without saying so: an owner that dies inside leaves
    /// nothing by which the next one could know.
    BeginsUnannounced = "begins-unannounced",
    /// An attempt that has begun and has no output counts as one that did nothing.
    BegunIsNotDone = "begun-is-not-done",
    /// What an operator decided is acted upon before it is stored; the next owner does not know of it.
    SettledBeforeStored = "settled-before-stored",
    /// Steps are undone in the order in which they were done.
    UndoneFirstToLast = "undone-first-to-last",
    /// Of several undos only the last is recorded, with the end: a new owner does all of them again.
    UndoNotRecorded = "undo-not-recorded",
    /// What a part is recorded under does not name its step: a part of another step passes for it.
    PartWithoutItsStep = "part-without-its-step",
    /// A name may be used twice in one run of a step: the second part gets the output of the first.
    NameUsedTwice = "name-used-twice",
    /// Outputs that wait for the next checkpoint do not ride with a part: what the part was made of is
    /// made anew, and is another value.
    RidersDropped = "riders-dropped",
    /// A message is deleted before its publisher has taken it: at most once.
    DeletedBeforeDelivered = "deleted-before-delivered",
    /// Messages are written whatever the verdict on their write is: one of a stale owner goes out.
    MessagesUnseen = "messages-unseen",
    /// A run is put down to wait for signals without a look at those that came meanwhile.
    SignalsNotCounted = "signals-not-counted",
    /// A takeover forgets that somebody wants the run cancelled: the wish was for a dead owner, and the
    /// new one goes on. Here each store clears it, and an engine does not look at what it has acquired.
    WishLostByTakeover = "wish-lost-by-takeover",
    /// A key that was purged and is remembered begins with its first generation again.
    GenerationForgotten = "generation-forgotten",
}

/// Whether this bug is planted in this process.
///
/// # Panics
/// When the variable names no bug: a test that plants nothing would find nothing, and say so.
pub fn is_planted(bug: Bug) -> bool {
    static PLANTED: OnceLock<Option<Bug>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| {
        let name = std::env::var_os(VARIABLE)?;
        let known = Bug::ALL.iter().copied().find(|bug| name == bug.name());
        Some(known.unwrap_or_else(|| panic!("{VARIABLE} names no bug: {}", name.display())))
    });
    *planted == Some(bug)
}

/// A bug in SQL: words of a file that make way for others.
#[derive(Debug)]
pub struct Edit {
    /// The bug that this plants, alone or with other edits.
    pub bug: Bug,
    /// The text of the file.
    pub file: &'static str,
    /// What is replaced.
    pub words: &'static str,
    /// What it is replaced by.
    pub by: &'static str,
}

/// The text of a file with the planted bug, if one of the edits plants it.
///
/// # Panics
/// When the words of such an edit are not in the file exactly once: a plant must not rot.
pub fn edited(edits: &[Edit], file: &str) -> String {
    let mut text = file.to_owned();
    for edit in edits {
        if edit.file == file && is_planted(edit.bug) {
            let found = text.matches(edit.words).count();
            assert_eq!(found, 1, "the edit of {} does not fit its file", edit.bug.name());
            text = text.replace(edit.words, edit.by);
        }
    }
    text
}

/// What [`Bug::TakeoverAndLoadInOne`] saw of each run when its last acquisition was sent.
static SEEN_BEFORE: Mutex<Option<HashMap<RunId, Progress>>> = Mutex::new(None);

/// Loads a run that is about to be acquired.
pub(crate) async fn load_too_early(store: &dyn DynStore, seen: &Seen) {
    if let Ok(Some(progress)) = store.load(seen.id, seen.run).await {
        let mut before = locked(&SEEN_BEFORE);
        before.get_or_insert_default().insert(seen.run, progress);
    }
}

/// What was loaded of a run before its acquisition.
pub(crate) fn loaded_too_early(run: RunId) -> Option<Progress> {
    locked(&SEEN_BEFORE).as_ref()?.get(&run).cloned()
}
