//! How does an execution begin together with the caller's own rows? In the caller's transaction, as a row
//! that nobody owns.

use keystep::store::StoreError;
use keystep::{Submission, Submitted};
use sqlx::PgConnection;

use crate::batch::fetch_within;
use crate::bind;
use crate::error::Trouble;
use crate::store::PostgresStore;

impl PostgresStore {
    /// Begins an execution inside a transaction of the caller's, on the database of this store. When the
    /// transaction is committed any process that knows the schema takes it up, within a sweep, or at once
    /// after [`Engine::wake`](keystep::Engine::wake); when it is rolled back there is no execution.
    ///
    /// Keep the transaction short: a call of the same key waits for its end, and with it those that are
    /// written by the same statement.
    ///
    /// ```no_run
    /// # use keystep::{Engine, Key, Schema};
    /// # use keystep_postgres::PostgresStore;
    /// # async fn order(
    /// #     pool: sqlx::PgPool, store: PostgresStore, engine: Engine, schema: Schema<String, i64>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let submission = engine.run(&schema, Key::new("order-7"), "tea".to_owned()).prepare()?;
    /// let mut tx = pool.begin().await?;
    /// sqlx::query("INSERT INTO orders (item) VALUES ('tea')").execute(&mut *tx).await?;
    /// store.submit_in(&mut tx, &submission).await?;
    /// tx.commit().await?;
    /// engine.wake();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the tables can not be used, [`StoreError::Rejected`] when they can not
    /// hold the value, others when the database does not answer. After each of them the transaction can
    /// only be rolled back.
    pub async fn submit_in(
        &self,
        transaction: &mut PgConnection,
        submission: &Submission,
    ) -> Result<Submitted, StoreError> {
        self.usable().await?;
        let query = self.query(&self.inner.sql.submit).bind(self.offset());
        let query = bind::submitted(query, submission.begin());
        let inserted = fetch_within(transaction, query, self.inner.options.deadline).await;
        // Nothing is written before the caller commits.
        let inserted = inserted.map_err(Trouble::of_read)?;
        Ok(if inserted.is_empty() {
            Submitted::Exists
        } else {
            Submitted::New
        })
    }
}
