//! What if a PostgreSQL store fails at any one call, in any way? The transactional step's rows are in
//! the same schema.

mod common;

use keystep::clock::Clock;
use keystep::{StepContext, StepResult};
use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::AssertSqlSafe;
use store_conformance::under_faults::Ground;

#[derive(Clone)]
struct InSchema(String, Clock);

async fn fresh() -> InSchema {
    let (_store, schema) = common::store().await;
    let mut session = common::session().await;
    let table = format!("CREATE TABLE {schema}.effects (mark text NOT NULL)");
    common::sql(&mut session, table).await;
    InSchema(schema, Clock::new())
}

impl Ground for InSchema {
    type Store = PostgresStore;

    async fn open(&self) -> PostgresStore {
        let options = PostgresOptions {
            clock: self.1.clone(),
            ..PostgresOptions::default()
        };
        common::same_with(&self.0, options).await
    }

    async fn book(&self, store: &PostgresStore, cx: &StepContext, mark: &str) -> StepResult<()> {
        let mut transaction = store.transaction(cx).await?;
        let insert = format!("INSERT INTO {}.effects (mark) VALUES ($1)", self.0);
        let insert = sqlx::query(AssertSqlSafe(insert)).bind(mark);
        insert.execute(&mut *transaction).await?;
        cx.enlist(transaction)
    }

    async fn rows(&self, _store: &PostgresStore, mark: &str) -> u64 {
        let count = format!("SELECT count(*) FROM {}.effects WHERE mark = '{mark}'", self.0);
        let count = common::number(&mut common::session().await, count).await;
        u64::try_from(count).expect("not negative")
    }
}

store_conformance::under_faults_suite!(fresh);

mod stories {
    store_conformance::stories_suite!(fresh);
    store_conformance::transaction_stories_suite!(fresh);
}
