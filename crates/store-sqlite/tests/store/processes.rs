//! What happens between processes? Each test starts itself again as the other process.

use std::path::Path;
use std::time::Duration;

use keystep::execution::WorkerId;
use keystep::store::{Beat, Begun, Store, StoreError, Then, Verdict};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use rustix::process::Signal;

use crate::others::{Other, in_child, say};
use crate::sessions::{register, session};
use crate::support::{Database, begin_of, commit_of, start};

async fn impatient(database: &Path) -> SqliteStore {
    let options = SqliteOptions::from(database).busy_timeout(Duration::from_millis(200));
    SqliteStore::open(options).await.expect("an open store")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_processes_start_together_on_an_empty_file() {
    if let Some(path) = in_child() {
        let store = SqliteStore::open(path).await.expect("an open store");
        let me = WorkerId::fresh();
        register(&store, me).await;
        start(&store, &me.to_string(), me).await;
        return;
    }
    let database = Database::new();
    let test = "processes::ten_processes_start_together_on_an_empty_file";
    let others: Vec<Other> = (0..10).map(|_| Other::start(test, &database.path())).collect();
    for other in others {
        other.succeed();
    }
    let store = SqliteStore::connect(database.path()).await.expect("migrated");
    let seen = store.observe(WorkerId(1)).await.expect("a read");
    assert_eq!(seen.others.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_a_killed_process_ends_at_once_and_that_of_a_stopped_one_stands() {
    const CHILD: WorkerId = WorkerId(7);
    if let Some(path) = in_child() {
        let store = SqliteStore::open(path).await.expect("an open store");
        register(&store, CHILD).await;
        say("registered");
        return std::future::pending().await;
    }
    let database = Database::new();
    let store = database.open().await;
    let test = "processes::the_session_of_a_killed_process_ends_at_once_and_that_of_a_stopped_one_stands";
    let mut other = Other::start(test, &database.path());
    assert_eq!(other.hear().as_deref(), Some("registered"));
    assert_eq!(session(&store, CHILD).await, Some(true));
    other.signal(Signal::STOP);
    assert_eq!(session(&store, CHILD).await, Some(true), "its beat tells");
    other.signal(Signal::CONT);
    other.kill();
    assert_eq!(session(&store, CHILD).await, Some(false));
    assert!(store.bury(CHILD, 0).await.expect("a write"));
    assert_eq!(store.beat(CHILD).await.expect("a write"), Beat::Dead);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stopped_inside_a_transaction_makes_writes_unavailable_until_it_is_gone() {
    if let Some(path) = in_child() {
        let store = SqliteStore::open(path).await.expect("an open store");
        return store
            .write(|_conn| {
                Box::pin(async {
                    say("holds the write lock");
                    std::future::pending::<Result<(), StoreError>>().await
                })
            })
            .await
            .expect("never");
    }
    let database = Database::new();
    let store = impatient(&database.path()).await;
    start(&store, "before", WorkerId(1)).await;
    let test = "processes::a_process_stopped_inside_a_transaction_makes_writes_unavailable_until_it_is_gone";
    let mut other = Other::start(test, &database.path());
    assert_eq!(other.hear().as_deref(), Some("holds the write lock"));
    other.signal(Signal::STOP);
    match store.begin(begin_of("after", WorkerId(1))).await {
        Err(StoreError::Unavailable(why)) => assert!(why.contains("another process"), "{why}"),
        answer => panic!("{answer:?}"),
    }
    let before = begin_of("before", WorkerId(1)).id;
    assert_eq!(store.find(vec![before]).await.expect("reads go on").len(), 1);
    other.kill();
    start(&store, "after", WorkerId(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_of_a_killed_process_is_there() {
    if let Some(path) = in_child() {
        let store = SqliteStore::open(path).await.expect("an open store");
        let me = WorkerId::fresh();
        let lanes = (0..8).map(|lane| {
            let store = store.clone();
            async move {
                for n in 0.. {
                    let key = format!("{me}-{lane}-{n}");
                    let fence = start(&store, &key, me).await;
                    let verdict = store.commit(commit_of(fence, "step", Then::Continue)).await;
                    assert_eq!(verdict.expect("an answer"), Verdict::Written);
                    say(&key);
                }
            }
        });
        futures::future::join_all(lanes).await;
        return;
    }
    let database = Database::new();
    let store = database.open().await;
    let test = "processes::every_acknowledged_write_of_a_killed_process_is_there";
    for round in 0..5 {
        let mut other = Other::start(test, &database.path());
        let mut acknowledged: Vec<String> = (0..40 + 7 * round)
            .map(|_| other.hear().expect("it works"))
            .collect();
        other.kill();
        // What it said before it died, but was not heard yet, counts too.
        acknowledged.extend(std::iter::from_fn(|| other.hear()));
        for key in acknowledged {
            let begin = begin_of(&key, WorkerId(1));
            let found = store.find(vec![begin.id]).await.expect("a read");
            let record = found.first().unwrap_or_else(|| panic!("{key} is lost"));
            let progress = store.load(record.id, record.run).await.expect("a read");
            let steps = progress.expect("the same run").checkpoints;
            assert_eq!(steps.len(), 1, "the step of {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_begin_the_same_keys_start_each_once() {
    const KEYS: usize = 60;
    if let Some(path) = in_child() {
        let store = SqliteStore::open(path).await.expect("an open store");
        let me = WorkerId::fresh();
        let begins = (0..KEYS).map(|n| {
            let store = store.clone();
            async move {
                match store.begin(begin_of(&format!("key-{n}"), me)).await {
                    Ok(Begun::Started(_)) => say(&n.to_string()),
                    Ok(Begun::Exists(_)) => {}
                    Err(error) => panic!("key {n}: {error}"),
                }
            }
        });
        futures::future::join_all(begins).await;
        return;
    }
    let database = Database::new();
    drop(database.open().await);
    let test = "processes::processes_that_begin_the_same_keys_start_each_once";
    let others: Vec<Other> = (0..4).map(|_| Other::start(test, &database.path())).collect();
    let mut started = Vec::new();
    for mut other in others {
        while let Some(key) = other.hear() {
            started.push(key.parse::<usize>().expect("a number"));
        }
        other.succeed();
    }
    started.sort_unstable();
    assert_eq!(started, (0..KEYS).collect::<Vec<_>>());
}
