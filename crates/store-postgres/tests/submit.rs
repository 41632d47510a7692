//! Does an execution that is submitted in the caller's transaction begin with it? Together with the
//! caller's rows, or not at all.

mod common;

use std::time::Duration;

use common::*;
use keystep::{Engine, Key, OnDuplicate, Schema, StepContext, StepResult, Submitted};
use keystep_postgres::PostgresStore;
use sqlx::{Connection, PgConnection};

async fn greet(_cx: StepContext, name: String) -> StepResult<String> {
    Ok(format!("hello, {name}"))
}

struct Service {
    store: PostgresStore,
    schema: String,
    engine: Engine,
    greeting: Schema<String, String>,
}

async fn service() -> Service {
    let (store, schema) = store().await;
    let names = format!("CREATE TABLE {schema}.names (name text NOT NULL)");
    sql(&mut session().await, names).await;
    let greeting = Schema::new("greet").step("greet", greet).build();
    let engine = Engine::builder(store.clone()).schema(greeting.clone());
    Service {
        store,
        schema,
        engine: engine.build().await.expect("built"),
        greeting,
    }
}

impl Service {
    /// Writes a row of the caller's, and submits what follows from it.
    async fn submit(&self, transaction: &mut PgConnection, key: &str) -> Submitted {
        let schema = &self.schema;
        let insert = format!("INSERT INTO {schema}.names (name) VALUES ('{key}')");
        sql(transaction, insert).await;
        let call = self.engine.run(&self.greeting, Key::new(key), key.to_owned());
        let submission = call.prepare().expect("a call without faults");
        let submitted = self.store.submit_in(transaction, &submission).await;
        submitted.expect("an answer")
    }

    async fn count(&self, what: &str) -> i64 {
        let schema = &self.schema;
        number(
            &mut session().await,
            format!("SELECT count(*) FROM {schema}.{what}"),
        )
        .await
    }
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_no_execution() {
    let service = service().await;
    let mut caller = session().await;
    let mut tx = caller.begin().await.expect("a transaction");
    assert_eq!(service.submit(&mut tx, "ann").await, Submitted::New);
    tx.rollback().await.expect("rolled back");
    assert_eq!(
        (service.count("names").await, service.count("executions").await),
        (0, 0)
    );
    service.engine.shutdown().await;
}

#[tokio::test]
async fn what_is_committed_runs_by_itself_and_a_call_gets_its_outcome() {
    let service = service().await;
    let mut caller = session().await;
    let mut tx = caller.begin().await.expect("a transaction");
    assert_eq!(service.submit(&mut tx, "ann").await, Submitted::New);
    assert_eq!(
        service.submit(&mut tx, "ann").await,
        Submitted::Exists,
        "in the same transaction"
    );
    assert_eq!(service.count("executions").await, 0, "nobody sees it yet");
    tx.commit().await.expect("committed");
    service.engine.wake();
    until("somebody has run it", async || {
        service.count("executions WHERE state = 10").await == 1
    })
    .await;
    let call = service
        .engine
        .run(&service.greeting, Key::new("ann"), "ann".to_owned());
    // Its owner may not have heard yet that it is stored.
    let greeting = call.on_duplicate(OnDuplicate::Attach).await;
    assert_eq!(greeting.expect("its outcome"), "hello, ann");

    let mut tx = caller.begin().await.expect("a transaction");
    assert_eq!(service.submit(&mut tx, "ann").await, Submitted::Exists);
    tx.commit().await.expect("committed");
    assert_eq!(service.count("executions").await, 1);
    service.engine.shutdown().await;
}

#[tokio::test]
async fn a_call_of_a_key_that_is_being_submitted_waits_for_the_transaction() {
    let service = service().await;
    let mut caller = session().await;
    let mut tx = caller.begin().await.expect("a transaction");
    assert_eq!(service.submit(&mut tx, "ann").await, Submitted::New);
    let call = service
        .engine
        .run(&service.greeting, Key::new("ann"), "ann".to_owned());
    let call = tokio::spawn(async move { call.within(Duration::from_secs(20)).await });
    let schema = &service.schema;
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%\"{schema}\"%'"
    );
    until("the call meets the open transaction", async || {
        number(&mut session().await, waits.clone()).await == 1
    })
    .await;
    tx.commit().await.expect("committed");
    assert_eq!(call.await.expect("no panic").expect("its outcome"), "hello, ann");
    let schema = &service.schema;
    let runs = format!("SELECT generation FROM {schema}.executions");
    assert_eq!(number(&mut session().await, runs).await, 1);
    service.engine.shutdown().await;
}
