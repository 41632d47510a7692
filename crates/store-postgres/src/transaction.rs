//! How does a step write to the user's tables exactly once? In a transaction that the engine commits
//! together with the step's checkpoint.
//!
//! The step opens it, writes, and enlists it. The fenced checkpoint is its last statement, so the
//! execution's row is locked for one round trip only; the commit follows only when the verdict says
//! written. A stale owner's transaction is rolled back although its body ran to the end.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

#[cfg(feature = "planted")]
use keystep::bugs::{Bug, is_planted};
use keystep::execution::WriteId;
use keystep::store::{Enlisted, NewMessage, StoreError, Verdict};
use keystep::{IntoEnlisted, OpenTransaction, StepContext, StepError, StepResult};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, SqlStr, Transaction};
use uuid::Uuid;

use crate::batch::{BUSY, EXISTS, FENCED, RESTARTED, WISHED, WRITTEN, WRITTEN_BEFORE, fetch_within};
use crate::bind::{self, Bound};
use crate::error::Trouble;
use crate::op::Write;
use crate::rows::column;
use crate::store::{PostgresStore, unknown_verdict};

/// A step's own transaction on the database of its engine. Derefs to the connection.
///
/// Dropped without [`StepContext::enlist`], it is rolled back. Neither `COMMIT` nor `ROLLBACK` may
/// be sent on it; savepoints are fine.
pub struct StepTransaction {
    open: Open,
    instance: Uuid,
    guard: OpenTransaction,
}

impl PostgresStore {
    /// Opens a transaction for the running step, on a connection apart from the store's own. In an atomic
    /// schema it is the one that the step before has enlisted, if there is one.
    ///
    /// ```no_run
    /// # use keystep::{StepContext, StepResult};
    /// # use keystep_postgres::PostgresStore;
    /// async fn create_order(cx: StepContext, item: String) -> StepResult<i64> {
    ///     let store = cx.get::<PostgresStore>()?;
    ///     let mut tx = store.transaction(&cx).await?;
    ///     let number: i64 = sqlx::query_scalar("INSERT INTO orders (item) VALUES ($1) RETURNING id")
    ///         .bind(&item)
    ///         .fetch_one(&mut *tx)
    ///         .await?;
    ///     cx.enlist(tx)?;
    ///     Ok(number)
    /// }
    /// ```
    ///
    /// # Errors
    /// When the engine runs on another store or the step has a transaction already: no further try.
    /// When there is no connection in time: try again, which `?` does.
    pub async fn transaction(&self, cx: &StepContext) -> StepResult<StepTransaction> {
        // Without its guard, which would take the new one for its own.
        let inherited = cx
            .inherited()
            .map(|enlisted| self.own(enlisted).map(|own| own.open));
        let inherited = inherited.transpose().map_err(StepError::terminal)?;
        let guard = cx.open_transaction(self.inner.instance)?;
        if let Some(open) = inherited {
            return Ok(StepTransaction {
                open,
                instance: self.inner.instance,
                guard,
            });
        }
        let pool = self.inner.transactions.clone();
        let text = self.inner.sql.open_transaction.clone();
        let deadline = self.inner.options.deadline;
        // A step's future may be dropped at any time, and a dropped BEGIN leaves an open transaction
        // in the pool: so it runs in a task of its own, and what it opened closes itself.
        let opening = tokio::spawn(async move {
            match within(deadline, pool.begin_with(text)).await {
                Ok(transaction) => Ok(Open {
                    transaction: Some(transaction),
                    deadline,
                }),
                Err(trouble) => Err(trouble),
            }
        });
        let opened = opening
            .await
            .unwrap_or_else(|ended| Err(Trouble::Unavailable(ended.to_string())));
        let open = opened.map_err(|trouble| StepError::retry(trouble.of_connect()))?;
        Ok(StepTransaction {
            open,
            instance: self.inner.instance,
            guard,
        })
    }

    /// What a step of this store's engine has enlisted.
    fn own(&self, enlisted: Enlisted) -> Result<StepTransaction, &'static str> {
        match enlisted.transaction.downcast::<StepTransaction>() {
            Ok(transaction) if enlisted.instance == self.inner.instance => Ok(*transaction),
            _ => Err("the enlisted transaction belongs to another store"),
        }
    }

    /// Records a write that the lanes can not share: one with the transaction of its step, or with messages.
    pub(crate) async fn commit_beside(
        &self,
        write: Write,
        enlisted: Option<Enlisted>,
        messages: Vec<NewMessage>,
    ) -> Result<Verdict, StoreError> {
        self.usable().await?;
        match enlisted {
            Some(enlisted) => commit(self, enlisted, write, &messages).await,
            None => self.commit_with_messages(&write, &messages).await,
        }
    }

    /// Records a write and its messages by one statement, which is a transaction of its own.
    async fn commit_with_messages(
        &self,
        write: &Write,
        messages: &[NewMessage],
    ) -> Result<Verdict, StoreError> {
        let (text, offset) = (&self.inner.sql.judge_waiting, self.offset());
        let question = || judge(text, offset, write, messages);
        self.write_until_told(question, |rows| {
            let judged = judged(rows).map_err(Trouble::of_read)?;
            match judged.0 {
                BUSY => Ok(None),
                WRITTEN => Ok(Some(Verdict::Written)),
                _ => not_now(judged).map(Some),
            }
        })
        .await
    }
}

impl Deref for StepTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.open.connection()
    }
}

impl DerefMut for StepTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.open.connection_mut()
    }
}

impl IntoEnlisted for StepTransaction {
    fn into_enlisted(self) -> Enlisted {
        Enlisted {
            instance: self.instance,
            transaction: Box::new(self),
        }
    }
}

impl fmt::Debug for StepTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepTransaction").finish_non_exhaustive()
    }
}

/// Commits an enlisted transaction with its fenced checkpoint, or rolls it back.
pub(crate) async fn commit(
    store: &PostgresStore,
    enlisted: Enlisted,
    write: Write,
    messages: &[NewMessage],
) -> Result<Verdict, StoreError> {
    let transaction = store.own(enlisted);
    let transaction = transaction.map_err(|why| StoreError::Rejected(why.to_owned()))?;
    let text = store.inner.sql.judge_waiting.clone();
    let offset = store.inner.options.clock.offset_micros();
    // Not in a task of its own: when the caller drops this call, no COMMIT may follow any more unless
    // the row has been locked since. Else `confirm` could find nothing and be wrong a moment later.
    let StepTransaction { open, guard, .. } = transaction;
    let ended = end(open, || judge(&text, offset, &write, messages)).await;
    drop(guard);
    ended
}

async fn end(mut open: Open, question: impl Fn() -> Bound) -> Result<Verdict, StoreError> {
    let mut judged = open.judge(question()).await?;
    if judged.0 == BUSY {
        // The row is locked by now, so only the snapshot can have been too old.
        judged = open.judge(question()).await?;
    }
    if judged.0 == WRITTEN {
        return match open.commit().await {
            Ok(()) => Ok(Verdict::Written),
            Err(trouble) => Err(trouble.of_write()),
        };
    }
    #[cfg(feature = "planted")]
    if is_planted(Bug::TransactionCommitsUnseen) {
        open.commit().await.map_err(Trouble::of_write)?;
    }
    open.roll_back().await;
    not_now(judged)
}

/// `judge.sql` with a lock that waits, for one write and its messages.
fn judge(text: &SqlStr, offset: i64, write: &Write, messages: &[NewMessage]) -> Bound {
    let query = sqlx::query(text.clone()).bind(offset);
    bind::emitted(bind::judged(query, &[write]), messages)
}

/// A verdict of `judge.sql`, and the write that has recorded the step.
type Judged = (i32, Option<WriteId>);

fn judged(rows: &[PgRow]) -> Result<Judged, Trouble> {
    let none = || Trouble::Unreadable("no verdict".to_owned());
    let row = rows.first().ok_or_else(none)?;
    let by = column::<Option<Uuid>>(row, 2)?;
    Ok((column(row, 1)?, by.map(WriteId)))
}

/// What a verdict means by which nothing is written now.
fn not_now(judged: Judged) -> Result<Verdict, StoreError> {
    match judged {
        // An earlier send of this write was committed with a transaction of its own. Committing this
        // one too would do the step's work twice.
        (WRITTEN_BEFORE, _) => Ok(Verdict::Written),
        (EXISTS, Some(by)) => Ok(Verdict::Exists(by)),
        // A statement that waits for the row and still gets none has seen it go.
        (FENCED | BUSY, _) => Ok(Verdict::Fenced),
        (WISHED, _) => Ok(Verdict::Wished),
        (RESTARTED, _) => Err(StoreError::Restarted),
        (other, _) => Err(unknown_verdict(Some(other))),
    }
}

/// An open transaction. Dropped, it is rolled back before its connection is used again.
struct Open {
    transaction: Option<Transaction<'static, Postgres>>,
    deadline: Duration,
}

impl Open {
    /// Writes the fenced checkpoint. An error means that the transaction will never be committed.
    async fn judge(&mut self, question: Bound) -> Result<Judged, StoreError> {
        let deadline = self.deadline;
        let judged = fetch_within(self.connection_mut(), question, deadline).await;
        let judged = judged.and_then(|rows| self::judged(&rows));
        match &judged {
            Err(trouble) if trouble.ends_the_connection() => drop(self.transaction.take()),
            Err(_) => self.roll_back().await,
            Ok(_) => {}
        }
        // No COMMIT was sent: nothing was written, whatever happened to the connection.
        judged.map_err(Trouble::of_read)
    }

    async fn commit(&mut self) -> Result<(), Trouble> {
        match self.transaction.take() {
            Some(transaction) => within(self.deadline, transaction.commit()).await,
            None => Err(Trouble::Unavailable(STILL_OPEN.to_owned())),
        }
    }

    async fn roll_back(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            let rolled_back = within(self.deadline, transaction.rollback()).await;
            if let Err(trouble) = rolled_back {
                tracing::debug!(?trouble, "a roll-back got no answer; its connection is closed");
            }
        }
    }

    fn connection(&self) -> &PgConnection {
        self.transaction.as_deref().expect(STILL_OPEN)
    }

    fn connection_mut(&mut self) -> &mut PgConnection {
        self.transaction.as_deref_mut().expect(STILL_OPEN)
    }
}

const STILL_OPEN: &str = "a transaction has its connection until it has ended";

/// Waits for an answer, but not for ever. What gets none in time goes back to its pool, which closes
/// it.
async fn within<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => answer.map_err(|error| Trouble::of(&error)),
        Err(_elapsed) => Err(Trouble::deadline(deadline)),
    }
}
