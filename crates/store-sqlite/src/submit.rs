//! How does an execution begin together with the caller's own rows? In the caller's transaction, as a row
//! that nobody owns.

use keystep::store::StoreError;
use keystep::{Submission, Submitted};
use sqlx::SqliteConnection;

use crate::error::before_commit;
use crate::store::SqliteStore;

const SUBMIT: &str = include_str!("../sql/submit.sql");

impl SqliteStore {
    /// Begins an execution inside a transaction of the caller's, on the file of this store: that of
    /// [`write`](Self::write), of a step, or of any connection. When the transaction is committed any
    /// process that knows the schema takes it up, within a sweep, or at once after
    /// [`Engine::wake`](keystep::Engine::wake); when it is rolled back there is no execution.
    ///
    /// ```
    /// # use keystep::{Engine, Key, Schema};
    /// # use keystep_sqlite::SqliteStore;
    /// # type Failed = Box<dyn std::error::Error + Send + Sync>;
    /// # async fn order(
    /// #     store: SqliteStore, engine: Engine, schema: Schema<String, i64>,
    /// # ) -> Result<(), Failed> {
    /// let submission = engine.run(&schema, Key::new("order-7"), "tea".to_owned()).prepare()?;
    /// let submitting = store.clone();
    /// store
    ///     .write(|conn| {
    ///         Box::pin(async move {
    ///             sqlx::query("INSERT INTO orders (item) VALUES ('tea')").execute(&mut *conn).await?;
    ///             submitting.submit_in(conn, &submission).await?;
    ///             Ok::<(), Failed>(())
    ///         })
    ///     })
    ///     .await?;
    /// engine.wake();
    /// # Ok(())
    /// # }
    /// # let _example = order;
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when the tables can not hold the value, others when the file can not be
    /// written. After each of them roll the transaction back.
    pub async fn submit_in(
        &self,
        transaction: &mut SqliteConnection,
        submission: &Submission,
    ) -> Result<Submitted, StoreError> {
        let begin = submission.begin();
        let inserted = sqlx::query(SUBMIT)
            .bind(begin.id.0)
            .bind(begin.run.0)
            .bind(begin.token)
            .bind(self.now())
            .bind(begin.plan.0)
            .bind(begin.shape.0)
            .bind(&begin.input_hash.0[..])
            .bind(begin.parent.map(|parent| parent.0))
            .bind(&begin.key.schema)
            .bind(&begin.key.scope)
            .bind(&begin.key.key)
            .bind(&*begin.input.0)
            .execute(transaction);
        Ok(match inserted.await.map_err(before_commit)?.rows_affected() {
            0 => Submitted::Exists,
            _ => Submitted::New,
        })
    }
}
