//! How does a step write to the same file exactly once? In a transaction that the engine commits.
//!
//! While a [`SqliteTransaction`] lives it is the only one that writes: nothing else is written
//! meanwhile, so it must be short. Open it late, write, enlist it, return. What
//! takes time (a request, a computation) belongs before it or into another step.
//!
//! BEGIN and COMMIT run in tasks of the writer's own, since a step's future may be dropped at any
//! await. A dropped transaction is rolled back and frees the writer.

use std::fmt;
use std::ops::{Deref, DerefMut};

use futures::future::BoxFuture;
#[cfg(feature = "planted")]
use keystep::bugs::{Bug, is_planted};
use keystep::store::{Enlisted, StoreError, Verdict};
use keystep::{IntoEnlisted, OpenTransaction, StepContext, StepError, StepResult};
use sqlx::SqliteConnection;

use crate::error::{before_commit, writer_gone, writer_lost};
use crate::group::Write;
use crate::store::SqliteStore;
use crate::writer::{Transaction, Writer};
use crate::writes::commit::{Applied, Record};

const MARK: &str = include_str!("../sql/mark.sql");
const UNMARK: &str = include_str!("../sql/unmark.sql");

/// A step's own transaction. Derefs to sqlx's connection; hand it to
/// [`StepContext::enlist`] for the engine to commit. Dropping it rolls it back.
///
/// Do not end it yourself with COMMIT or ROLLBACK: the step's result is then refused. For a part
/// that may fail alone use `SAVEPOINT`; sqlx's own nested transactions do not work inside it.
pub struct SqliteTransaction {
    transaction: Transaction,
    /// Keeps the writer's thread alive.
    store: SqliteStore,
    /// Dropped last: durable calls are refused until the writer is free again.
    _open: Option<OpenTransaction>,
}

impl SqliteStore {
    /// Opens a transaction for the step behind `cx`, waiting for the writing connection. In an atomic
    /// schema it is the one that the step before has enlisted, if there is one.
    ///
    /// ```
    /// # use keystep::{StepContext, StepResult};
    /// # use keystep_sqlite::SqliteStore;
    /// async fn create_order(cx: StepContext, sku: String) -> StepResult<()> {
    ///     let store = cx.get::<SqliteStore>()?;
    ///     let mut tx = store.transaction(&cx).await?;
    ///     sqlx::query("INSERT INTO orders (sku) VALUES (?1)").bind(sku).execute(&mut *tx).await?;
    ///     cx.enlist(tx)?;
    ///     Ok(())
    /// }
    /// # let _step = create_order;
    /// ```
    ///
    /// # Errors
    /// When the engine runs on another store or this attempt has a transaction already (final), or
    /// when another writer does not finish within the busy timeout (try again).
    pub async fn transaction(&self, cx: &StepContext) -> StepResult<SqliteTransaction> {
        // Without its guard, which would take the new one for its own.
        let inherited = cx
            .inherited()
            .map(|enlisted| self.own(enlisted).map(|own| own.transaction));
        let inherited = inherited.transpose().map_err(StepError::terminal)?;
        let open = cx.open_transaction(self.instance())?;
        let transaction = match inherited {
            Some(transaction) => transaction,
            None => self.begin_marked().await?,
        };
        Ok(self.handed_out(transaction, Some(open)))
    }

    /// Opens a transaction that belongs to no step, for tests that play the engine. Enlisting it
    /// in a step is refused.
    ///
    /// # Errors
    /// As [`transaction`](Self::transaction).
    #[doc(hidden)]
    pub async fn unbound_transaction(&self) -> Result<SqliteTransaction, StoreError> {
        Ok(self.handed_out(self.begin_marked().await?, None))
    }

    /// Runs plain writes to the same file, outside of any execution, in one transaction of the
    /// writing connection: committed when `work` succeeds, rolled back when it fails or is dropped.
    /// Other programs' tools may write too, but only this way writes never wait for a busy file.
    ///
    /// ```
    /// # use keystep::store::StoreError;
    /// # use keystep_sqlite::SqliteStore;
    /// async fn add_table(store: &SqliteStore) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    ///     store
    ///         .write(|conn| {
    ///             Box::pin(async move {
    ///                 sqlx::query("CREATE TABLE IF NOT EXISTS orders (sku TEXT)").execute(conn).await?;
    ///                 Ok(())
    ///             })
    ///         })
    ///         .await
    /// }
    /// # let _example = add_table;
    /// ```
    ///
    /// # Errors
    /// What `work` answers, or a [`StoreError`]: after `Unknown` look whether the write happened,
    /// after the others nothing was written. Inside a step that holds a transaction of its own
    /// this waits for itself and ends as `Unavailable`: use that transaction instead.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>>,
    {
        let mut transaction = self.writer().begin_detached().await?;
        let value = work(transaction.conn()).await?;
        let committed = self.writer().tasks().spawn(transaction.commit());
        committed.await.unwrap_or_else(|_lost| Err(writer_lost()))?;
        Ok(value)
    }

    /// Runs plain reads of the same file on a connection that only reads. Keep them short: a long
    /// read keeps the write-ahead log from being reset.
    ///
    /// # Errors
    /// What `work` answers, or a [`StoreError`] when no connection can be opened.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>>,
    {
        self.readers().read(work).await
    }

    /// Opens a transaction with a mark in it that tells whether it is still the same at its end.
    async fn begin_marked(&self) -> Result<Transaction, StoreError> {
        let writer = self.writer().clone();
        let begun = self.writer().tasks().spawn(begin_marked(writer));
        begun.await.unwrap_or_else(|_gone| Err(writer_gone()))
    }

    fn handed_out(&self, transaction: Transaction, open: Option<OpenTransaction>) -> SqliteTransaction {
        SqliteTransaction {
            transaction,
            store: self.clone(),
            _open: open,
        }
    }

    /// What a step of this store's engine has enlisted.
    fn own(&self, enlisted: Enlisted) -> Result<SqliteTransaction, StoreError> {
        match enlisted.transaction.downcast::<SqliteTransaction>() {
            Ok(transaction) if enlisted.instance == self.instance() => Ok(*transaction),
            _ => Err(StoreError::Rejected(
                "the enlisted transaction belongs to another store".to_owned(),
            )),
        }
    }

    /// Commits an enlisted transaction with its checkpoint, if the fence holds.
    pub(crate) async fn commit_enlisted(
        &self,
        enlisted: Enlisted,
        record: Record,
    ) -> Result<Verdict, StoreError> {
        let transaction = self.own(enlisted)?;
        let now = self.now();
        let finishing = self.writer().tasks().spawn(async move {
            let SqliteTransaction {
                transaction,
                store,
                _open,
            } = transaction;
            let verdict = finish(transaction, &record, now).await;
            drop(store);
            verdict
        });
        finishing.await.unwrap_or_else(|_lost| Err(writer_lost()))
    }
}

async fn begin_marked(writer: Writer) -> Result<Transaction, StoreError> {
    let mut transaction = writer.begin().await?;
    match sqlx::query(MARK).execute(transaction.conn()).await {
        Ok(_marked) => Ok(transaction),
        Err(error) => {
            transaction.rollback().await;
            Err(before_commit(error))
        }
    }
}

/// The fenced checkpoint as the last statement, then COMMIT, but only if it was written just now.
async fn finish(mut transaction: Transaction, record: &Record, now: i64) -> Result<Verdict, StoreError> {
    if let Err(error) = sqlx::query(UNMARK).execute(transaction.conn()).await {
        transaction.rollback().await;
        return Err(StoreError::Rejected(format!(
            "the step's transaction had ended before its checkpoint ({error})"
        )));
    }
    let applied = record.apply(transaction.conn(), now).await;
    #[cfg(feature = "planted")]
    if is_planted(Bug::TransactionCommitsUnseen) {
        let verdict = applied?.verdict;
        return transaction.commit().await.map(|()| verdict);
    }
    match applied {
        Ok(Applied {
            verdict: Verdict::Written,
            now: true,
        }) => transaction.commit().await.map(|()| Verdict::Written),
        // An earlier send of this write is durable, with the effects of *that* transaction: these
        // would be a second time.
        Ok(Applied { verdict, .. }) => {
            transaction.rollback().await;
            Ok(verdict)
        }
        Err(error) => {
            transaction.rollback().await;
            Err(error)
        }
    }
}

impl Deref for SqliteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.transaction.conn_ref()
    }
}

impl DerefMut for SqliteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.transaction.conn()
    }
}

impl IntoEnlisted for SqliteTransaction {
    fn into_enlisted(self) -> Enlisted {
        Enlisted {
            instance: self.store.instance(),
            transaction: Box::new(self),
        }
    }
}

impl fmt::Debug for SqliteTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteTransaction")
    }
}
