//! Somebody removes the write-ahead log: what is still promised?

use std::path::PathBuf;
use std::time::Duration;

use keystep::IntoEnlisted;
use keystep::execution::WorkerId;
use keystep::store::{Begun, Commit, Confirm, Store, StoreError, Then};
use keystep_sqlite::SqliteStore;

use crate::support::{Database, Failed, begin_of, commit_of, start};

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

fn unknown<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unknown(why)) => why,
        other => panic!("not unknown: {other:?}"),
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
    let why = unknown(written.map_err(|error| *error.downcast().expect("of the store")));
    assert!(why.contains("-wal was removed"), "{why}");
}

/// Its COMMIT was carried out, so the step must not run again as if it had been rolled back.
#[tokio::test]
async fn a_steps_transaction_whose_log_is_removed_meanwhile_is_of_unknown_outcome() {
    let database = Database::new();
    let store = database.open().await;
    let fence = start(&store, "k", ME).await;
    let transaction = store.unbound_transaction().await.expect("begun");
    remove_log(&database);
    let commit = Commit {
        enlisted: Some(transaction.into_enlisted()),
        ..commit_of(fence, "step", Then::Continue)
    };
    let confirm = Confirm {
        fence,
        step: "step".into(),
        write_id: commit.write_id,
    };
    let why = unknown(store.commit(commit).await);
    assert!(why.contains("-wal was removed"), "{why}");
    // Nor is it confirmed by a process that may be the only one to see it.
    refusal(store.confirm(confirm).await);
}

#[tokio::test]
async fn after_a_connection_was_given_up_a_removed_or_replaced_log_is_noticed_too() {
    for replaced in [false, true] {
        let database = Database::new();
        let store = database.open().await;
        start(&store, "before", ME).await;
        lose_connection(&store).await;
        let log = beside(&database, "-wal");
        if replaced {
            let other = beside(&database, "-other");
            std::fs::copy(&log, &other).expect("a copy");
            std::fs::rename(other, log).expect("replaced");
        } else {
            remove_log(&database);
        }
        for key in ["one", "two"] {
            let why = refusal(store.begin(begin_of(key, ME)).await);
            assert!(why.contains("-wal was removed"), "{why}");
            let why = refusal(write_nothing(&store).await);
            assert!(why.contains("-wal was removed"), "{why}");
        }
    }
}

#[tokio::test]
async fn a_log_that_is_removed_before_the_first_lone_write_is_noticed_too() {
    let database = Database::new();
    let store = database.open().await;
    assert!(!is_there(&store, "one").await);
    remove_log(&database);
    for key in ["one", "two"] {
        let why = refusal(store.begin(begin_of(key, ME)).await);
        assert!(why.contains("-wal was removed"), "{why}");
    }
}

#[tokio::test]
async fn after_a_connection_was_given_up_the_next_one_writes_to_the_same_log() {
    let database = Database::new();
    let store = database.open().await;
    for key in ["one", "two"] {
        lose_connection(&store).await;
        start(&store, key, ME).await;
        write_nothing(&store).await.expect("written");
    }
    assert!(is_there(&store, "one").await);
}

/// A transaction of the thread's connection.
async fn write_nothing(store: &SqliteStore) -> Result<(), StoreError> {
    store.write(|_conn| Box::pin(async move { Ok(()) })).await
}

/// A COMMIT that fails, as on a full disk: the connection's state is not certain.
async fn lose_connection(store: &SqliteStore) {
    let written: Result<(), Failed> = store
        .write(|conn| {
            Box::pin(async move {
                sqlx::raw_sql("COMMIT").execute(conn).await?;
                Ok(())
            })
        })
        .await;
    unknown(written.map_err(|error| *error.downcast().expect("of the store")));
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
