//! Does an execution that is submitted in the caller's transaction begin with it? Together with the
//! caller's rows, or not at all.

use std::time::Duration;

use keystep::{Engine, Key, Schema, StepContext, StepResult, Submission, Submitted};
use keystep_sqlite::SqliteStore;

use crate::support::{Database, Failed, execute, number};

async fn greet(_cx: StepContext, name: String) -> StepResult<String> {
    Ok(format!("hello, {name}"))
}

struct Service {
    store: SqliteStore,
    engine: Engine,
    greeting: Schema<String, String>,
}

async fn service(database: &Database) -> Service {
    let store = database.open().await;
    execute(&store, "CREATE TABLE names (name TEXT NOT NULL)").await;
    let greeting = Schema::new("greet").step("greet", greet).build();
    let engine = Engine::builder(store.clone()).schema(greeting.clone());
    let engine = engine.build().await.expect("built");
    Service {
        store,
        engine,
        greeting,
    }
}

impl Service {
    fn submission(&self, key: &str) -> Submission {
        let call = self.engine.run(&self.greeting, Key::new(key), key.to_owned());
        call.prepare().expect("a call without faults")
    }

    /// Writes a row of the caller's, submits what follows from it so many times, and commits if told.
    async fn submit(&self, key: &str, times: u32, commit: bool) -> Result<Vec<Submitted>, Failed> {
        let (store, submission) = (self.store.clone(), self.submission(key));
        self.store
            .write(|conn| {
                Box::pin(async move {
                    let insert = "INSERT INTO names (name) VALUES ('ann')";
                    sqlx::query(insert).execute(&mut *conn).await?;
                    let mut answers = Vec::new();
                    for _time in 0..times {
                        answers.push(store.submit_in(&mut *conn, &submission).await?);
                    }
                    match commit {
                        true => Ok(answers),
                        false => Err("rolled back".into()),
                    }
                })
            })
            .await
    }

    /// Rows of the caller, and executions.
    async fn rows(&self) -> (i64, i64) {
        (
            number(&self.store, "SELECT count(name) FROM names").await,
            number(&self.store, "SELECT count(id) FROM keystep_executions").await,
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_rolled_back_leaves_no_execution() {
    let database = Database::new();
    let service = service(&database).await;
    let failed = service.submit("ann", 1, false).await;
    assert_eq!(failed.expect_err("rolled back").to_string(), "rolled back");
    assert_eq!(service.rows().await, (0, 0));
    let dropped = service.store.unbound_transaction().await;
    let mut dropped = dropped.expect("a transaction");
    let submitted = service
        .store
        .submit_in(&mut dropped, &service.submission("ann"))
        .await;
    assert_eq!(submitted.expect("an answer"), Submitted::New);
    drop(dropped);
    assert_eq!(service.rows().await, (0, 0));
    service.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_runs_by_itself_and_a_call_gets_its_outcome() {
    let database = Database::new();
    let service = service(&database).await;
    let answers = service.submit("ann", 2, true).await.expect("committed");
    assert_eq!(answers, [Submitted::New, Submitted::Exists]);
    service.engine.wake();
    let ran = tokio::time::timeout(Duration::from_secs(20), async {
        let finished = "SELECT count(id) FROM keystep_executions WHERE state = 10";
        while number(&service.store, finished).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    ran.await.expect("somebody runs it");
    let call = service
        .engine
        .run(&service.greeting, Key::new("ann"), "ann".to_owned());
    assert_eq!(call.await.expect("its outcome"), "hello, ann");
    let again = service.submit("ann", 1, true).await.expect("committed");
    assert_eq!(again, [Submitted::Exists], "finished, so nothing begins");
    assert_eq!(service.rows().await, (2, 1));
    service.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_key_that_is_submitted_takes_it_up() {
    let database = Database::new();
    let service = service(&database).await;
    service.submit("ann", 1, true).await.expect("committed");
    let call = service
        .engine
        .run(&service.greeting, Key::new("ann"), "ann".to_owned());
    let greeting = call.within(Duration::from_secs(20)).await;
    assert_eq!(greeting.expect("its outcome"), "hello, ann");
    let other = service
        .engine
        .run(&service.greeting, Key::new("ann"), "bob".to_owned());
    other.await.expect_err("the input is another one");
    assert_eq!(service.rows().await, (1, 1));
    service.engine.shutdown().await;
}
