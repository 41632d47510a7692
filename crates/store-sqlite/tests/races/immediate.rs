//! Is every writing transaction one that writes from its start? One that first reads and then writes
//! fails at once when somebody else has written between: SQLite then says *busy* without any wait.

use std::time::Duration;

use keystep::IntoEnlisted;
use keystep::store::{Confirm, Confirmed, Store, StoreError, Then, Verdict};
use keystep_sqlite::{SqliteOptions, SqliteStore};

use crate::support::{Database, Failed, OWNER, begin_of, commit_of, execute, start};

#[tokio::test]
async fn a_transaction_that_reads_before_it_writes_keeps_every_other_writer_out() {
    let database = Database::new();
    let owner = database.open().await;
    execute(&owner, "CREATE TABLE ledger (mark TEXT)").await;
    let fence = start(&owner, "a", OWNER).await;
    let options = SqliteOptions::from(database.path()).busy_timeout(Duration::from_millis(100));
    let impatient = SqliteStore::open(options).await.expect("another handle");

    let mut transaction = owner.unbound_transaction().await.expect("a transaction");
    let count = sqlx::query_scalar("SELECT count(mark) FROM ledger");
    let count: i64 = count.fetch_one(&mut *transaction).await.expect("a count");
    assert_eq!(count, 0);
    let between = impatient.begin(begin_of("between", OWNER)).await;
    assert!(
        matches!(between, Err(StoreError::Unavailable(_))),
        "somebody wrote between the read and the write: {between:?}"
    );
    let book = sqlx::query("INSERT INTO ledger (mark) VALUES ('a')");
    book.execute(&mut *transaction).await.expect("never too late");
    let mut write = commit_of(fence, "one", Then::Continue);
    write.enlisted = Some(transaction.into_enlisted());
    assert_eq!(owner.commit(write).await.expect("a verdict"), Verdict::Written);
}

#[tokio::test]
async fn a_plain_write_that_reads_first_keeps_every_other_writer_out() {
    let database = Database::new();
    let store = database.open().await;
    execute(&store, "CREATE TABLE ledger (mark TEXT)").await;
    let options = SqliteOptions::from(database.path()).busy_timeout(Duration::from_millis(100));
    let impatient = SqliteStore::open(options).await.expect("another handle");
    let written: Result<(), Failed> = store
        .write(|conn| {
            Box::pin(async move {
                let count = sqlx::query_scalar("SELECT count(mark) FROM ledger");
                let _none: i64 = count.fetch_one(&mut *conn).await?;
                let between = impatient.begin(begin_of("between", OWNER)).await;
                assert!(matches!(between, Err(StoreError::Unavailable(_))), "{between:?}");
                let book = sqlx::query("INSERT INTO ledger (mark) VALUES ('a')");
                book.execute(conn).await?;
                Ok(())
            })
        })
        .await;
    written.expect("never too late");
}

/// A question is a read, and shares a transaction with the writes that wait beside it.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_begin_with_a_read_never_find_their_snapshot_too_old() {
    const ROUNDS: i32 = 150;
    let database = Database::new();
    let handles = [database.open().await, database.open().await];
    let works = handles.into_iter().enumerate().map(|(nth, store)| {
        tokio::spawn(async move {
            let fence = start(&store, &format!("{nth}"), OWNER).await;
            for round in 0..ROUNDS {
                let write = commit_of(fence, &format!("step {round}"), Then::Continue);
                let question = Confirm {
                    fence,
                    step: "none".into(),
                    write_id: write.write_id,
                };
                let (confirmed, verdict) = tokio::join!(store.confirm(question), store.commit(write));
                assert_eq!(confirmed.expect("an answer"), Confirmed::Absent, "round {round}");
                assert_eq!(verdict.expect("a verdict"), Verdict::Written, "round {round}");
            }
        })
    });
    for work in works.collect::<Vec<_>>() {
        work.await.expect("no panic");
    }
}
