//! Somebody removes the write-ahead log: what is still promised?

use std::path::PathBuf;
use std::time::Duration;

use keystep::execution::WorkerId;
use keystep::store::{Begun, Store, StoreError};
use keystep_sqlite::SqliteStore;

use crate::support::{Database, Failed, begin_of, start};

const ME: WorkerId = WorkerId(1);

fn beside(database: &Database, what: &str) -> PathBuf {
    let mut path = database.path().into_os_string();
    path.push(what);
    path.into()
}

fn remove_log(database: &Database) {
    std::fs::remove_file(beside(database, "-wal")).expect("a write-ahead log");
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

async fn is_there(store: &SqliteStore, key: &str) -> bool {
    let found = store.find(vec![begin_of(key, ME).id]).await.expect("a read");
    !found.is_empty()
}

#[tokio::test]
async fn after_its_log_is_removed_a_store_acknowledges_nothing() {
    let database = Database::new();
    let store = database.open().await;
    start(&store, "before", ME).await;
    remove_log(&database);
    for key in ["one", "two"] {
        let why = refusal(store.begin(begin_of(key, ME)).await);
        assert!(why.contains("-wal was removed"), "{why}");
    }
    assert!(store.beat(ME).await.is_err(), "others see that it is out of work");

    // Another process makes a log of its own: that does not make it good again.
    let _whether_it_can_be_read_depends = SqliteStore::connect(database.path()).await;
    refusal(store.begin(begin_of("three", ME)).await);
}

#[tokio::test]
async fn a_transaction_whose_log_is_removed_meanwhile_is_not_acknowledged() {
    let database = Database::new();
    let store = database.open().await;
    let log = beside(&database, "-wal");
    let written: Result<(), Failed> = store
        .write(|_conn| Box::pin(async move { Ok(std::fs::remove_file(log)?) }))
        .await;
    let why = written.expect_err("not acknowledged").to_string();
    assert!(why.contains("-wal was removed"), "{why}");
}

#[tokio::test]
async fn what_was_acknowledged_before_is_there_when_the_process_ends_gracefully() {
    let database = Database::new();
    let store = database.open().await;
    start(&store, "before", ME).await;
    remove_log(&database);
    drop(store);
    // The last connection takes over what is in its log, and removes the shared memory.
    let closed = async {
        while beside(&database, "-shm").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let closed = tokio::time::timeout(Duration::from_secs(10), closed).await;
    assert!(closed.is_ok(), "somebody still holds the file");

    let store = database.open().await;
    assert!(is_there(&store, "before").await);
    let after = store.begin(begin_of("after", ME)).await;
    assert!(matches!(after, Ok(Begun::Started(_))), "{after:?}");
}
