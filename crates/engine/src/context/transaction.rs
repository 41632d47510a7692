//! How does a step write to the same database exactly once? It opens a transaction at the store's own
//! handle and hands it over; while it is open, durable calls of the step are refused.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};

use uuid::Uuid;

use super::{Inner, StepContext};
use crate::error::{StepError, StepResult};
use crate::store::Enlisted;

/// A step has at most one transaction: open in the step's hands, or handed to the engine.
#[derive(Default)]
pub(crate) enum TransactionSlot {
    #[default]
    Empty,
    Open,
    Enlisted(Enlisted),
}

tokio::task_local! {
    /// The step that the current task runs, so that a durable call made inside its transaction can
    /// be refused at once instead of waiting for a database that waits for the step.
    static CURRENT: StepContext;
}

impl StepContext {
    /// Hands a transaction of the engine's own store over: the engine commits it together with
    /// this step's checkpoint, or rolls it back. Exactly once for what was written in it.
    ///
    /// # Errors
    /// When the transaction is another step's or another store's.
    pub fn enlist(&self, transaction: impl IntoEnlisted) -> StepResult<()> {
        let enlisted = transaction.into_enlisted();
        if enlisted.instance != self.inner.instance {
            return Err(StepError::stop(
                "the transaction belongs to another store than the engine's",
            ));
        }
        let mut slot = self.slot();
        match *slot {
            TransactionSlot::Open => {
                *slot = TransactionSlot::Enlisted(enlisted);
                Ok(())
            }
            TransactionSlot::Empty | TransactionSlot::Enlisted(_) => {
                Err(StepError::stop("the transaction was not opened by this step"))
            }
        }
    }

    /// For stores: notes that this attempt opens a transaction of the store `instance`.
    ///
    /// # Errors
    /// When the engine runs on another store, or the attempt has a transaction already.
    pub fn open_transaction(&self, instance: Uuid) -> StepResult<OpenTransaction> {
        if instance != self.inner.instance {
            return Err(StepError::stop(
                "a step can only join transactions of the store that its engine runs on",
            ));
        }
        if self.is_bare() {
            let why = "a verify and an undo can not enlist a transaction: write in one of your own, so that it \
                       may be done again";
            return Err(StepError::stop(why).code("no_durable_calls"));
        }
        let mut slot = self.slot();
        if !matches!(*slot, TransactionSlot::Empty) {
            return Err(StepError::stop("this attempt has a transaction already"));
        }
        *slot = TransactionSlot::Open;
        Ok(OpenTransaction {
            context: Arc::downgrade(&self.inner),
        })
    }

    /// For stores: the transaction that the step before has left for this one, in an atomic schema.
    /// Taken before [`open_transaction`](Self::open_transaction).
    pub fn inherited(&self) -> Option<Enlisted> {
        let inherits = self.inner.inherits;
        let enlisted = inherits.then(|| self.take_enlisted()).flatten();
        if enlisted.is_some() {
            self.inner.has_inherited.store(true, Ordering::Release);
        }
        enlisted
    }

    /// Takes what the attempt enlisted.
    pub(crate) fn take_enlisted(&self) -> Option<Enlisted> {
        let mut slot = self.slot();
        match std::mem::take(&mut *slot) {
            TransactionSlot::Enlisted(enlisted) => Some(enlisted),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Runs `work` as the body of this step.
    pub(crate) async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).await
    }

    /// Refuses a durable call from a step that has a transaction.
    ///
    /// # Errors
    /// A sentence that says why.
    pub(crate) fn refuse_in_transaction() -> Result<(), String> {
        let open = CURRENT.try_with(Self::has_transaction);
        if open.unwrap_or(false) {
            return Err(IN_TRANSACTION.to_owned());
        }
        Ok(())
    }

    /// Whether the attempt has handed a transaction to the engine.
    pub(crate) fn has_enlisted(&self) -> bool {
        matches!(*self.slot(), TransactionSlot::Enlisted(_))
    }

    /// Whether the step has taken the transaction of the steps before it and kept it: what they wrote in
    /// it is lost.
    pub(crate) fn keeps_inherited(&self) -> bool {
        self.inner.has_inherited.load(Ordering::Acquire) && !self.has_enlisted()
    }

    pub(super) fn has_transaction(&self) -> bool {
        !matches!(*self.slot(), TransactionSlot::Empty)
    }

    fn slot(&self) -> MutexGuard<'_, TransactionSlot> {
        self.inner
            .transaction
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a durable call is refused.
pub(super) const IN_TRANSACTION: &str =
    "this step has an open transaction: a durable call inside it could wait for itself";

/// A store's transaction type, as it is handed to [`StepContext::enlist`].
pub trait IntoEnlisted {
    /// Makes it opaque.
    fn into_enlisted(self) -> Enlisted;
}

/// While this lives, the attempt has an open transaction, and durable calls from it are refused.
/// A store keeps it beside the transaction.
pub struct OpenTransaction {
    /// Weak, because an enlisted transaction lives in the context: held both ways, neither would
    /// end when a step is cancelled, and the transaction would stay open for ever.
    context: Weak<Inner>,
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        let Some(context) = self.context.upgrade() else {
            return;
        };
        let mut slot = context.transaction.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*slot, TransactionSlot::Open) {
            *slot = TransactionSlot::Empty;
        }
    }
}

impl fmt::Debug for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenTransaction")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Earlier;
    use super::super::tests::context;
    use super::*;

    struct Fake(Uuid, OpenTransaction);

    impl IntoEnlisted for Fake {
        fn into_enlisted(self) -> Enlisted {
            Enlisted {
                instance: self.0,
                transaction: Box::new(self.1),
            }
        }
    }

    #[test]
    fn a_transaction_of_another_store_is_refused_when_it_is_opened() {
        let cx = context(Uuid::nil(), Earlier::default());
        assert!(cx.open_transaction(Uuid::max()).is_err());
    }

    #[tokio::test]
    async fn while_a_transaction_is_open_durable_calls_are_refused() {
        let cx = context(Uuid::nil(), Earlier::default());
        cx.scope(async {
            assert!(StepContext::refuse_in_transaction().is_ok());
            let open = cx.open_transaction(Uuid::nil()).expect("the first");
            assert!(StepContext::refuse_in_transaction().is_err());
            assert!(cx.open_transaction(Uuid::nil()).is_err(), "one at a time");
            drop(open);
            assert!(StepContext::refuse_in_transaction().is_ok());
            let open = cx.open_transaction(Uuid::nil()).expect("again");
            cx.enlist(Fake(Uuid::nil(), open)).expect("enlisted");
            assert!(StepContext::refuse_in_transaction().is_err());
            assert!(cx.take_enlisted().is_some());
            assert!(StepContext::refuse_in_transaction().is_ok());
        })
        .await;
    }

    #[test]
    fn an_enlisted_transaction_ends_with_the_context_of_a_cancelled_step() {
        let (transaction, ended) = std::sync::mpsc::channel::<()>();
        struct Watched {
            _open: OpenTransaction,
            _ended: std::sync::mpsc::Sender<()>,
        }
        impl IntoEnlisted for Watched {
            fn into_enlisted(self) -> Enlisted {
                Enlisted {
                    instance: Uuid::nil(),
                    transaction: Box::new(self),
                }
            }
        }
        let cx = context(Uuid::nil(), Earlier::default());
        let open = cx.open_transaction(Uuid::nil()).expect("the first");
        let watched = Watched {
            _open: open,
            _ended: transaction,
        };
        cx.enlist(watched).expect("enlisted");
        assert_eq!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty));
        drop(cx);
        assert_eq!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
    }
}
