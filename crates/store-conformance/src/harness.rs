//! What does a case get? A fresh database, seen by two processes, on a clock that it may move.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use keystep::clock::Clock;
use keystep::execution::{Fence, WorkerId};
use keystep::store::{Enlisted, Store};

/// A future that the harness of a store hands to a case.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

type EndSession<S> = Box<dyn Fn(Arc<S>, WorkerId) -> Work<()> + Send + Sync>;

/// A fresh database with two independent handles onto it, made anew for each case.
///
/// A store's author builds one in the factory that is given to [`suite!`](crate::suite):
///
/// ```
/// use keystep::memory::MemoryStore;
/// use store_conformance::Harness;
///
/// async fn factory() -> Harness<MemoryStore> {
///     let here = MemoryStore::new();
///     let there = here.another_handle();
///     Harness::new(here, there)
/// }
/// # let _ = factory;
/// ```
pub struct Harness<S> {
    /// One process's handle.
    pub here: Arc<S>,
    /// Another process's handle onto the same database.
    pub there: Arc<S>,
    /// The clock that both handles share.
    pub clock: Clock,
    end_session: Option<EndSession<S>>,
    transactions: Option<Transactions<S>>,
    /// Last, because fields are dropped in this order.
    guards: Guards,
}

/// What outlives the handles. Dropped from the last to the first.
#[derive(Default)]
struct Guards(Vec<Box<dyn Any + Send + Sync>>);

impl Drop for Guards {
    fn drop(&mut self) {
        while let Some(guard) = self.0.pop() {
            drop(guard);
        }
    }
}

impl<S> fmt::Debug for Harness<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").finish_non_exhaustive()
    }
}

impl<S: Store> Harness<S> {
    /// Two handles onto one fresh database. They must share one [`Clock`], so that a case moves
    /// both at once.
    pub fn new(here: S, there: S) -> Self {
        let clock = here.clock();
        Self {
            here: Arc::new(here),
            there: Arc::new(there),
            clock,
            end_session: None,
            transactions: None,
            guards: Guards::default(),
        }
    }

    /// Keeps a value until the case is over, for example the temporary folder of the database or
    /// what drops its schema. Guards are dropped after the handles, the last one first.
    pub fn guarded_by(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guards.0.push(Box::new(guard));
        self
    }

    /// How to end a worker's liveness session while its handle stays usable, as a cut connection
    /// would: called with the handle that registered the worker. Leave it out where a session can
    /// only end with its handle; the cases then drop the handle.
    pub fn ending_sessions_with<F>(
        mut self,
        end: impl Fn(Arc<S>, WorkerId) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.end_session = Some(Box::new(move |store, worker| Box::pin(end(store, worker))));
        self
    }

    /// How to open transactions to enlist; needed by
    /// [`transaction_suite!`](crate::transaction_suite) only.
    pub fn with_transactions(mut self, transactions: Transactions<S>) -> Self {
        self.transactions = Some(transactions);
        self
    }

    /// Ends the session of a worker that was registered through `there`. Where a session ends only
    /// with its handle, the handle is gone afterwards and `there` is a stand-in: `here`.
    pub(crate) async fn end_session_there(&mut self, worker: WorkerId) {
        match &self.end_session {
            Some(end) => end(Arc::clone(&self.there), worker).await,
            None => self.there = Arc::clone(&self.here),
        }
    }

    /// Whether a session can be lost while its handle stays usable.
    pub(crate) fn can_lose_sessions(&self) -> bool {
        self.end_session.is_some()
    }

    /// The transactional cases need to know how to open a transaction.
    ///
    /// # Panics
    ///
    /// When the factory has not said so.
    pub(crate) fn transactions(&self) -> &Transactions<S> {
        self.transactions
            .as_ref()
            .expect("the factory of a transactional suite calls Harness::with_transactions")
    }
}

/// How a case opens a transaction as a step would, and sees what became of it.
///
/// The table behind it is the test's own: each opened transaction inserts one row with a mark.
pub struct Transactions<S> {
    open: Box<dyn Fn(Arc<S>, Fence, String) -> Work<Enlisted> + Send + Sync>,
    count: Box<dyn Fn(Arc<S>, String) -> Work<u64> + Send + Sync>,
}

impl<S> fmt::Debug for Transactions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactions").finish_non_exhaustive()
    }
}

impl<S: Store> Transactions<S> {
    /// `open` begins a transaction for the step of this fence, inserts a user's row with the given
    /// mark and returns it ready to be enlisted. `count` counts the committed rows with a mark.
    pub fn new<O, C>(
        open: impl Fn(Arc<S>, Fence, String) -> O + Send + Sync + 'static,
        count: impl Fn(Arc<S>, String) -> C + Send + Sync + 'static,
    ) -> Self
    where
        O: Future<Output = Enlisted> + Send + 'static,
        C: Future<Output = u64> + Send + 'static,
    {
        Self {
            open: Box::new(move |store, fence, mark| Box::pin(open(store, fence, mark))),
            count: Box::new(move |store, mark| Box::pin(count(store, mark))),
        }
    }

    pub(crate) async fn open(&self, store: &Arc<S>, fence: Fence, mark: &str) -> Enlisted {
        (self.open)(Arc::clone(store), fence, mark.to_owned()).await
    }

    pub(crate) async fn count(&self, store: &Arc<S>, mark: &str) -> u64 {
        (self.count)(Arc::clone(store), mark.to_owned()).await
    }
}

/// Far longer than any case takes on a slow machine: a store that hangs fails instead.
const CASE_LIMIT: Duration = Duration::from_secs(120);

/// Runs one case against a fresh harness; what [`suite!`](crate::suite) puts into each test.
///
/// # Panics
///
/// When the store breaks the promise, or does not answer within two minutes.
pub async fn run_case<S: Store>(
    name: &str,
    case: impl AsyncFnOnce(Harness<S>),
    factory: impl AsyncFnOnce() -> Harness<S>,
) {
    let harness = factory().await;
    run_within_limit(name, case(harness)).await;
}

/// Waits for a case that has all it needs; what [`crowd_suite!`](crate::crowd_suite) puts into each
/// test.
///
/// # Panics
///
/// When the case does, or does not end within two minutes.
pub async fn run_within_limit(name: &str, case: impl Future<Output = ()>) {
    let finished = tokio::time::timeout(CASE_LIMIT, case).await;
    assert!(finished.is_ok(), "{name}: no answer within {CASE_LIMIT:?}");
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, Weak};

    use keystep::memory::MemoryStore;

    use super::*;

    /// Notes its name when it is dropped, and whether the handles were gone by then.
    struct Noting {
        name: &'static str,
        handle: Weak<MemoryStore>,
        notes: Arc<Mutex<Vec<(&'static str, bool)>>>,
    }

    impl Drop for Noting {
        fn drop(&mut self) {
            let gone = self.handle.upgrade().is_none();
            let mut notes = self.notes.lock().expect("no panic under this lock");
            notes.push((self.name, gone));
        }
    }

    #[test]
    fn guards_outlive_the_handles_and_go_from_the_last_to_the_first() {
        let store = MemoryStore::new();
        let other = store.another_handle();
        let mut harness = Harness::new(store, other);
        let notes = Arc::default();
        for name in ["folder", "database"] {
            let (handle, notes) = (Arc::downgrade(&harness.here), Arc::clone(&notes));
            harness = harness.guarded_by(Noting { name, handle, notes });
        }
        drop(harness);
        let notes = notes.lock().expect("no panic under this lock").clone();
        assert_eq!(notes, [("database", true), ("folder", true)]);
    }
}
