//! What if many processes meet at one row? Promises about races that need more than two handles, or
//! many rounds, to break: a second net under the tests that force one order.
//!
//! A store's author says how to open a crowd of handles and adds one line:
//!
//! ```
//! use keystep::memory::MemoryStore;
//! use store_conformance::crowd::Crowd;
//!
//! async fn crowd(handles: usize) -> Crowd<MemoryStore> {
//!     let store = MemoryStore::new();
//!     Crowd::new((0..handles).map(|_nth| store.another_handle()).collect())
//! }
//!
//! store_conformance::crowd_suite!(crowd);
//! # fn main() {}
//! ```

mod owners;
mod rows;
mod waits;

use std::any::Any;
use std::fmt;

use keystep::clock::Clock;
use keystep::store::Store;

pub use owners::{
    a_checkpoint_and_a_takeover_that_race_agree_on_what_is_recorded,
    a_finish_and_a_takeover_that_race_never_both_win, four_who_recycle_an_expired_key_start_it_once,
    two_and_four_sweeps_that_saw_the_same_rows_take_each_once,
};
pub use rows::{
    begins_of_the_same_keys_by_four_start_each_once, one_write_sent_by_four_at_once_is_written_once,
};
pub use waits::{
    a_caller_who_comes_before_during_or_after_the_end_gets_it, callers_who_come_around_the_end_all_get_it,
};

/// Handles of several processes onto one fresh database, on one clock.
pub struct Crowd<S> {
    /// One handle for each process.
    pub handles: Vec<S>,
    /// Last, because fields are dropped in this order.
    _guard: Option<Box<dyn Any + Send + Sync>>,
}

impl<S: Store + Clone> Crowd<S> {
    /// All handles must share one [`Clock`].
    pub fn new(handles: Vec<S>) -> Self {
        Self {
            handles,
            _guard: None,
        }
    }

    /// Keeps a value until the case is over, for example the temporary folder of the database.
    pub fn guarded_by(self, guard: impl Any + Send + Sync) -> Self {
        Self {
            _guard: Some(Box::new(guard)),
            ..self
        }
    }

    fn first(&self) -> &S {
        &self.handles[0]
    }

    fn clock(&self) -> Clock {
        self.first().clock()
    }
}

impl<S> fmt::Debug for Crowd<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crowd")
            .field("handles", &self.handles.len())
            .finish_non_exhaustive()
    }
}

/// Makes one test for each promise of [`mod@crate::crowd`].
///
/// The argument is an `async fn(usize) -> Crowd<impl Store + Clone>` that makes a fresh database with
/// so many handles.
#[macro_export]
macro_rules! crowd_suite {
    ($crowd:path) => {
        $crate::crowd_suite! {
            ($crowd)
            2 => a_checkpoint_and_a_takeover_that_race_agree_on_what_is_recorded,
            2 => a_finish_and_a_takeover_that_race_never_both_win,
            4 => two_and_four_sweeps_that_saw_the_same_rows_take_each_once,
            4 => four_who_recycle_an_expired_key_start_it_once,
            4 => begins_of_the_same_keys_by_four_start_each_once,
            4 => one_write_sent_by_four_at_once_is_written_once,
            2 => a_caller_who_comes_before_during_or_after_the_end_gets_it,
            2 => callers_who_come_around_the_end_all_get_it,
        }
    };
    (($crowd:path) $($handles:literal => $case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let case = $crate::crowd::$case($crowd($handles).await);
                $crate::run_within_limit(stringify!($case), case).await;
            }
        )*
    };
}
