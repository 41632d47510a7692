//! Which files are opened, made, and refused?

use keystep::execution::WorkerId;
use keystep::store::{Store, StoreError};
use keystep_sqlite::SqliteStore;

use crate::support::{self, Database, execute};

/// The sentence of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_open_a_new_file_at_the_same_time_all_succeed() {
    let database = Database::new();
    let path = database.path();
    let opening: Vec<_> = (0..10)
        .map(|_| tokio::spawn(SqliteStore::open(path.clone())))
        .collect();
    for opened in opening {
        let store = opened.await.expect("no panic").expect("an open store");
        assert_eq!(store.purge(1, None).await.expect("a write"), 0);
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = Database::new();
    let store = database.open().await;
    support::start(&store, "kept", WorkerId(1)).await;
    SqliteStore::migrate(database.path()).await.expect("again");
    let kept = support::begin_of("kept", WorkerId(1)).id;
    assert_eq!(store.find(vec![kept]).await.expect("a read").len(), 1);
}

#[tokio::test]
async fn connecting_to_a_file_without_tables_names_migrate() {
    let database = Database::new();
    let why = refusal(SqliteStore::connect(database.path()).await);
    assert!(
        why.contains("no such database") && why.contains("migrate()"),
        "{why}"
    );
    std::fs::write(database.path(), b"").expect("an empty file");
    let why = refusal(SqliteStore::connect(database.path()).await);
    assert!(
        why.contains("no keystep tables") && why.contains("migrate()"),
        "{why}"
    );
}

#[tokio::test]
async fn an_older_format_is_refused_and_names_migrate() {
    let database = Database::new();
    let store = database.open().await;
    execute(&store, "UPDATE keystep_format SET version = 0").await;
    let why = refusal(SqliteStore::connect(database.path()).await);
    assert!(why.contains("format 0") && why.contains("migrate()"), "{why}");
}

#[tokio::test]
async fn a_format_that_only_newer_programs_can_read_is_refused_with_both_versions() {
    let database = Database::new();
    let store = database.open().await;
    execute(&store, "UPDATE keystep_format SET version = 9, min_reader = 8").await;
    for refused in [
        SqliteStore::connect(database.path()).await.map(drop),
        SqliteStore::migrate(database.path()).await,
        SqliteStore::open(database.path()).await.map(drop),
    ] {
        let why = refusal(refused);
        assert!(why.contains("format 8") && why.contains("format 2"), "{why}");
    }
    let why = refusal(store.beat(WorkerId(1)).await);
    assert!(
        why.contains("use a newer program"),
        "a running program learns it: {why}"
    );
}

#[tokio::test]
async fn a_newer_format_that_this_program_can_read_is_used() {
    let database = Database::new();
    let store = database.open().await;
    execute(&store, "UPDATE keystep_format SET version = 9, min_reader = 1").await;
    SqliteStore::open(database.path()).await.expect("still readable");
}

#[tokio::test]
async fn a_read_only_database_is_refused() {
    let database = Database::new();
    drop(database.open().await);
    let url = format!("sqlite:{}?mode=ro", database.path().display());
    for refused in [
        SqliteStore::connect(url.clone()).await.map(drop),
        SqliteStore::open(url.clone()).await.map(drop),
    ] {
        let why = refusal(refused);
        assert!(why.contains("readonly"), "{why}");
    }
}

#[tokio::test]
async fn a_file_that_can_not_become_wal_is_refused() {
    let database = Database::new();
    // This file system layer of SQLite has no shared memory, which WAL needs.
    let url = format!("sqlite:{}?vfs=unix-dotfile", database.path().display());
    let why = refusal(SqliteStore::open(url).await);
    assert!(why.contains("delete") && why.contains("wal"), "{why}");
}

#[tokio::test]
async fn a_memory_database_is_refused_and_names_the_memory_store() {
    for place in [
        ":memory:",
        "sqlite::memory:",
        "sqlite://:memory:",
        "sqlite:x?mode=memory",
        "sqlite:",
        "",
    ] {
        let why = refusal(SqliteStore::open(place).await);
        assert!(why.contains("MemoryStore"), "{place}: {why}");
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let database = Database::new();
    std::fs::write(database.path(), vec![b'x'; 4096]).expect("a file");
    let why = refusal(SqliteStore::open(database.path()).await);
    assert!(why.contains("not a database"), "{why}");

    let folder = database.path().with_file_name("folder");
    std::fs::create_dir(&folder).expect("a folder");
    let why = refusal(SqliteStore::open(folder.clone()).await);
    assert!(why.contains("folder"), "{why}");
    let why = refusal(SqliteStore::open(folder.join("none").join("keys.db")).await);
    assert!(why.contains("no such folder"), "{why}");
}

#[tokio::test]
async fn a_url_opens_the_same_file_as_its_path() {
    let database = Database::new();
    let store = database.open().await;
    support::start(&store, "shared", WorkerId(1)).await;
    let url = format!("sqlite://{}", database.path().display());
    let other = SqliteStore::connect(url).await.expect("the same file");
    let id = support::begin_of("shared", WorkerId(1)).id;
    assert_eq!(other.find(vec![id]).await.expect("a read").len(), 1);
}

#[tokio::test]
async fn the_tables_live_beside_those_of_the_application() {
    let database = Database::new();
    let store = database.open().await;
    execute(
        &store,
        "CREATE TABLE executions (id INTEGER); CREATE TABLE format (id INTEGER)",
    )
    .await;
    SqliteStore::open(database.path()).await.expect("no clash");
}
