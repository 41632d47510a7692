//! A lone write is made by its caller: what if that one does not listen, or goes away in the middle?

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::poll;
use keystep::store::{Begun, Commit, Register, Store, Then, Verdict};
use tokio::task::yield_now;

use crate::support::{Database, OWNER, SHAPE, again, begin_of, commit_of, commits_in_log, start, succeed};

#[tokio::test]
async fn a_caller_that_is_not_polled_keeps_neither_writes_nor_beats_from_the_database() {
    let database = Database::new();
    let store = database.open().await;
    let register = Register {
        worker: OWNER,
        name: "test".to_owned(),
        shapes: vec![SHAPE],
    };
    store.register(register).await.expect("registered");
    let fence = start(&store, "a", OWNER).await;
    let mut steps = 0..20;
    // Most often the first one: its answer comes from another thread.
    let deaf = loop {
        let step = steps.next().expect("another one").to_string();
        let mut writing = Box::pin(store.commit(commit_of(fence, &step, Then::Continue)));
        if poll!(&mut writing).is_pending() {
            break writing;
        }
    };
    for n in 0..20 {
        start(&store, &format!("beside {n}"), OWNER).await;
        store.beat(OWNER).await.expect("a beat");
    }
    assert_eq!(deaf.await.expect("a verdict"), Verdict::Written);
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_leaves_nothing_open() {
    for polls in 0..12 {
        let database = Database::new();
        let store = database.open().await;
        // Also while the connection is opened.
        let mut beginning = Box::pin(store.begin(begin_of("first", OWNER)));
        for _poll in 0..polls {
            if poll!(&mut beginning).is_ready() {
                break;
            }
            yield_now().await;
        }
        drop(beginning);
        for then in [Then::Continue, succeed("one")] {
            let fence = start(&store, then.state().as_str(), OWNER).await;
            let commit = commit_of(fence, "one", then);
            stop_after(polls, &store, again(&commit)).await;
            // Whether it was written is not known; the same write once more is told.
            let verdict = store.commit(commit).await.expect("a verdict");
            assert_eq!(verdict, Verdict::Written, "dropped after {polls} polls");
            let progress = store.load(fence.execution, fence.run).await.expect("a read");
            assert_eq!(progress.expect("the run").checkpoints.len(), 1);
        }
    }
}

/// Polls a commit so often, and drops it.
async fn stop_after(polls: usize, store: &impl Store, commit: Commit) {
    let mut writing = Box::pin(store.commit(commit));
    for _poll in 0..polls {
        if poll!(&mut writing).is_ready() {
            return;
        }
        yield_now().await;
    }
}

#[tokio::test]
async fn while_somebody_else_has_the_lock_a_key_that_is_there_is_met_and_a_lone_write_waits() {
    let database = Database::new();
    let (store, other) = (database.open().await, database.open().await);
    start(&store, "there", OWNER).await;
    let fence = start(&store, "last, and new", OWNER).await;
    let step = other.unbound_transaction().await.expect("the lock");
    let asked = Instant::now();
    let met = store.begin(begin_of("there", OWNER)).await;
    assert!(matches!(met, Ok(Begun::Exists(_))), "{met:?}");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let mut writing = pin!(store.commit(commit_of(fence, "one", Then::Continue)));
    let waited = tokio::time::timeout(Duration::from_millis(50), &mut writing).await;
    assert!(waited.is_err(), "{waited:?}");
    drop(step);
    assert_eq!(writing.await.expect("a verdict"), Verdict::Written);
}

#[tokio::test]
async fn a_key_that_is_there_is_met_without_a_commit_also_when_the_last_one_was_new() {
    let database = Database::new();
    let store = database.open().await;
    let first = start(&store, "first", OWNER).await;
    for n in 0..3 {
        // This one is looked for, the next one is taken for new.
        start(&store, &format!("new {n}"), OWNER).await;
        let before = commits_in_log(&database.path());
        for _time in 0..2 {
            match store.begin(begin_of("first", OWNER)).await.expect("an answer") {
                Begun::Exists(record) => assert_eq!(record.run, first.run),
                other => panic!("the key is there: {other:?}"),
            }
        }
        assert_eq!(commits_in_log(&database.path()), before);
    }
}
