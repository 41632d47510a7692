//! How does the conformance suite get a fresh database? A schema of its own with two handles onto it,
//! as two processes.

use std::sync::Arc;

use keystep::IntoEnlisted;
use keystep::clock::Clock;
use keystep::execution::{Fence, WorkerId};
use keystep::store::Enlisted;
use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::AssertSqlSafe;
use store_conformance::{Harness, StepContexts, Transactions};
use tokio::sync::OnceCell;

use crate::common::{fresh_schema, number, session, sql, store_with};

/// A schema that its owner has made, and two handles of the role that `url` names. `rights` are given
/// on the schema's tables; `{schema}` stands for its name.
pub(crate) async fn fresh(role_url: &str, rights: &str) -> Harness<PostgresStore> {
    let schema = fresh_schema();
    let clock = Clock::new();
    let handle = || PostgresOptions {
        schema: schema.clone(),
        clock: clock.clone(),
        ..PostgresOptions::default()
    };
    drop(store_with(handle()).await);
    let prepare = format!("CREATE TABLE {schema}.effects (mark text NOT NULL); {rights}");
    sql(&mut session().await, prepare.replace("{schema}", &schema)).await;
    let connect = async || {
        PostgresStore::connect_with(role_url, handle())
            .await
            .expect("connected")
    };
    let (here, there) = (connect().await, connect().await);
    let (of_sessions, of_counts) = (schema.clone(), schema.clone());
    // Contexts come from an engine, which is a worker of its own: only where a case opens one.
    let contexts = Arc::new(OnceCell::new());
    let open = move |store, _fence: Fence, mark| {
        open_transaction(store, Arc::clone(&contexts), schema.clone(), mark)
    };
    Harness::new(here, there)
        .ending_sessions_with(move |_store, worker| end_session(of_sessions.clone(), worker))
        .with_transactions(Transactions::new(open, move |_store, mark| {
            count_rows(of_counts.clone(), mark)
        }))
}

/// Ends the backend of a worker's liveness session, as a cut connection would.
async fn end_session(schema: String, worker: WorkerId) {
    let mut session = session().await;
    let id = worker.0;
    let end = format!("SELECT pg_terminate_backend(backend_pid, 5000) FROM {schema}.workers WHERE id = {id}");
    sql(&mut session, end).await;
}

async fn open_transaction(
    store: Arc<PostgresStore>,
    contexts: Arc<OnceCell<StepContexts>>,
    schema: String,
    mark: String,
) -> Enlisted {
    let over = PostgresStore::clone(&store);
    let contexts = contexts.get_or_init(|| StepContexts::over(over)).await;
    let cx = contexts.next().await;
    let mut transaction = store.transaction(&cx).await.expect("a transaction");
    let insert = format!("INSERT INTO {schema}.effects (mark) VALUES ($1)");
    sqlx::query(AssertSqlSafe(insert))
        .bind(mark)
        .execute(&mut *transaction)
        .await
        .expect("a row");
    transaction.into_enlisted()
}

async fn count_rows(schema: String, mark: String) -> u64 {
    let mut session = session().await;
    let count = number(
        &mut session,
        format!("SELECT count(*) FROM {schema}.effects WHERE mark = '{mark}'"),
    )
    .await;
    u64::try_from(count).expect("not negative")
}
