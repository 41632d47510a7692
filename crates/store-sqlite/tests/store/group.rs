//! Do writes that wait together share a commit, and does none of them pay for another?

use std::time::Duration;

use futures::future::join_all;
use keystep::execution::{Fence, State, WorkerId};
use keystep::store::{Begun, Commit, Store, StoreError, Then, Verdict};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, unconstrained};

use crate::support::{
    Database, Failed, OWNER, begin_of, commit_of, commits_in_log, execute, number, start, succeed,
};

/// Holds the writer until the answer is used, so that writes gather behind it.
async fn hold(store: &SqliteStore) -> (oneshot::Sender<()>, JoinHandle<Result<(), StoreError>>) {
    let (held, is_held) = oneshot::channel();
    let (release, released) = oneshot::channel();
    let holder = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .write(|_conn| {
                    Box::pin(async move {
                        held.send(()).expect("the test waits");
                        released.await.expect("the test releases");
                        Ok::<_, StoreError>(())
                    })
                })
                .await
        }
    });
    is_held.await.expect("the writer is held");
    (release, holder)
}

#[tokio::test]
async fn writes_that_wait_together_share_one_commit() {
    let database = Database::new();
    let store = database.open().await;
    let mut fences = Vec::new();
    for n in 0..64 {
        fences.push(start(&store, &format!("key-{n}"), OWNER).await);
    }
    let before = commits_in_log(&database.path());

    let (release, holder) = hold(&store).await;
    let commits = fences
        .iter()
        .map(|fence| store.commit(commit_of(*fence, "step", Then::Continue)));
    let mut commits = Box::pin(unconstrained(join_all(commits)));
    assert!(futures::poll!(&mut commits).is_pending(), "all are queued");
    release.send(()).expect("the holder waits");
    for verdict in commits.await {
        assert_eq!(verdict.expect("an answer"), Verdict::Written);
    }
    holder.await.expect("no panic").expect("nothing was written");

    let used = commits_in_log(&database.path()) - before;
    assert!((1..=2).contains(&used), "64 writes took {used} commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_need_fewer_commits_than_writes() {
    let database = Database::new();
    let store = database.open().await;
    let writers = (0..64).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let fence = start(&store, &format!("key-{n}"), OWNER).await;
            store.commit(commit_of(fence, "step", Then::Continue)).await
        })
    });
    for verdict in join_all(writers.collect::<Vec<_>>()).await {
        let verdict = verdict.expect("no panic").expect("an answer");
        assert_eq!(verdict, Verdict::Written);
    }
    let used = commits_in_log(&database.path());
    assert!(used < 128, "128 writes took {used} commits");
}

#[tokio::test]
async fn a_value_that_can_not_be_stored_fails_its_own_write_only() {
    let database = Database::new();
    let store = database.open().await;
    let mut fences = Vec::new();
    for n in 0..16 {
        fences.push(start(&store, &format!("key-{n}"), OWNER).await);
    }
    let is_bad = |n: usize| n % 5 == 3;
    let before = commits_in_log(&database.path());

    let (release, holder) = hold(&store).await;
    let commits = fences.iter().enumerate().map(|(n, fence)| {
        let step = if is_bad(n) { "step\0" } else { "step" };
        store.commit(commit_of(*fence, step, Then::Continue))
    });
    let mut commits = Box::pin(unconstrained(join_all(commits)));
    assert!(futures::poll!(&mut commits).is_pending(), "all are queued");
    release.send(()).expect("the holder waits");
    for (n, verdict) in commits.await.into_iter().enumerate() {
        match verdict {
            Err(StoreError::Rejected(_)) => assert!(is_bad(n), "{n} is a good one"),
            Ok(Verdict::Written) => assert!(!is_bad(n), "{n} is a bad one"),
            other => panic!("{n}: {other:?}"),
        }
    }
    holder.await.expect("no panic").expect("nothing was written");

    for (n, fence) in fences.iter().enumerate() {
        let progress = store.load(fence.execution, fence.run).await.expect("a read");
        let steps = progress.expect("the run").checkpoints.len();
        assert_eq!(steps, usize::from(!is_bad(n)), "{n}");
    }
    let used = commits_in_log(&database.path()) - before;
    assert!((1..=2).contains(&used), "the good ones still took {used} commits");
}

/// Commits that wait together, and their verdicts.
async fn commit_together(store: &SqliteStore, commits: Vec<Commit>) -> Vec<Verdict> {
    let (release, holder) = hold(store).await;
    let commits = commits.into_iter().map(|commit| store.commit(commit));
    let mut commits = Box::pin(unconstrained(join_all(commits)));
    assert!(futures::poll!(&mut commits).is_pending(), "all are queued");
    release.send(()).expect("the holder waits");
    let verdicts = commits
        .await
        .into_iter()
        .map(|verdict| verdict.expect("an answer"));
    let verdicts = verdicts.collect();
    holder.await.expect("no panic").expect("nothing was written");
    verdicts
}

async fn state_of(store: &SqliteStore, fence: Fence) -> State {
    let found = store.find(vec![fence.execution]).await.expect("a read");
    found[0].state
}

#[tokio::test]
async fn begins_and_finishes_that_wait_together_are_all_made() {
    let database = Database::new();
    let store = database.open().await;
    // More than one statement takes.
    const MANY: usize = 150;
    let keys: Vec<String> = (0..MANY).map(|n| format!("key-{n}")).collect();
    let begun = join_all(keys.iter().map(|key| start(&store, key, OWNER))).await;
    let before = commits_in_log(&database.path());
    let finishes = begun
        .iter()
        .map(|fence| commit_of(*fence, "step", succeed("step")));
    let verdicts = commit_together(&store, finishes.collect()).await;
    assert_eq!(verdicts, [Verdict::Written; MANY]);
    for fence in &begun {
        assert_eq!(state_of(&store, *fence).await, State::Succeeded);
        let progress = store.load(fence.execution, fence.run).await.expect("a read");
        assert_eq!(progress.expect("the run").checkpoints.len(), 1);
    }
    let used = commits_in_log(&database.path()) - before;
    assert!((1..=2).contains(&used), "{MANY} finishes took {used} commits");
}

#[tokio::test]
async fn a_fenced_write_is_told_apart_from_those_that_are_written_with_it() {
    let database = Database::new();
    let store = database.open().await;
    let (mut fences, mut commits) = (Vec::new(), Vec::new());
    for n in 0..20 {
        let fence = start(&store, &format!("key-{n}"), OWNER).await;
        fences.push(fence);
        let mut commit = match n % 2 {
            0 => commit_of(fence, "step", Then::Continue),
            _ => commit_of(fence, "step", succeed("step")),
        };
        if n % 7 == 3 {
            commit.fence.claim.epoch += 1;
        }
        commits.push(commit);
    }
    let verdicts = commit_together(&store, commits).await;
    for (n, (verdict, fence)) in verdicts.into_iter().zip(fences).enumerate() {
        let fenced = n % 7 == 3;
        let wanted = if fenced { Verdict::Fenced } else { Verdict::Written };
        assert_eq!(verdict, wanted, "{n}");
        let state = state_of(&store, fence).await;
        assert_eq!(state == State::Succeeded, n % 2 == 1 && !fenced, "{n}");
    }
}

#[tokio::test]
async fn a_finish_whose_step_was_recorded_by_another_write_ends_nothing() {
    let database = Database::new();
    let store = database.open().await;
    let fence = start(&store, "key", OWNER).await;
    let first = commit_of(fence, "step", Then::Continue);
    let by = first.write_id;
    assert_eq!(store.commit(first).await.expect("an answer"), Verdict::Written);

    let alone = store.commit(commit_of(fence, "step", succeed("step"))).await;
    assert_eq!(alone.expect("an answer"), Verdict::Exists(by));
    assert_eq!(state_of(&store, fence).await, State::Running);

    let other = start(&store, "other", OWNER).await;
    let together = [fence, other].map(|fence| commit_of(fence, "step", succeed("step")));
    let verdicts = commit_together(&store, together.into()).await;
    assert_eq!(verdicts, [Verdict::Exists(by), Verdict::Written]);
    assert_eq!(state_of(&store, fence).await, State::Running);
    assert_eq!(state_of(&store, other).await, State::Succeeded);
}

#[tokio::test]
async fn two_ends_of_one_execution_that_wait_together_are_not_both_written() {
    let database = Database::new();
    let store = database.open().await;
    let fence = start(&store, "key", OWNER).await;
    let finish = commit_of(fence, "step", succeed("step"));
    let mut release = commit_of(fence, "step", Then::Release);
    release.checkpoint = None;
    let verdicts = commit_together(&store, vec![finish, release]).await;
    assert_eq!(verdicts, [Verdict::Written, Verdict::Fenced]);
    assert_eq!(state_of(&store, fence).await, State::Succeeded);
}

#[tokio::test]
async fn a_replay_of_a_finished_key_takes_no_write() {
    let database = Database::new();
    let store = database.open().await;
    let fence = start(&store, "done", OWNER).await;
    let verdict = store.commit(commit_of(fence, "step", succeed("step"))).await;
    assert_eq!(verdict.expect("an answer"), Verdict::Written);

    // Nobody can write now, and the answer comes all the same.
    let (release, holder) = hold(&store).await;
    match store.begin(begin_of("done", WorkerId(2))).await {
        Ok(Begun::Exists(record)) => {
            assert_eq!(record.state, State::Succeeded);
            assert_eq!(record.output, Some(crate::support::payload("step")));
        }
        other => panic!("{other:?}"),
    }
    release.send(()).expect("the holder waits");
    holder.await.expect("no panic").expect("nothing was written");
}

#[tokio::test]
async fn a_writer_that_is_held_too_long_makes_the_store_unavailable_and_recovers() {
    let database = Database::new();
    let options = SqliteOptions::from(database.path()).busy_timeout(Duration::from_millis(100));
    let store = SqliteStore::open(options).await.expect("a new database");
    let (release, holder) = hold(&store).await;
    match store.begin(begin_of("late", OWNER)).await {
        Err(StoreError::Unavailable(why)) => assert!(why.contains("this process"), "{why}"),
        other => panic!("{other:?}"),
    }
    release.send(()).expect("the holder waits");
    holder.await.expect("no panic").expect("nothing was written");
    start(&store, "late", OWNER).await;
}

#[tokio::test]
async fn a_write_whose_caller_is_dropped_leaves_the_writer_free() {
    let database = Database::new();
    let store = database.open().await;
    let fence = start(&store, "key", OWNER).await;
    let (release, holder) = hold(&store).await;
    for _ in 0..16 {
        let mut commit = Box::pin(store.commit(commit_of(fence, "step", Then::Continue)));
        assert!(futures::poll!(&mut commit).is_pending());
        let mut write = Box::pin(store.write(|_conn| Box::pin(async { Ok::<_, StoreError>(()) })));
        assert!(futures::poll!(&mut write).is_pending());
    }
    release.send(()).expect("the holder waits");
    holder.await.expect("no panic").expect("nothing was written");
    start(&store, "next", OWNER).await;
}

#[tokio::test]
async fn a_plain_write_is_committed_when_it_succeeds_and_undone_when_it_fails() {
    let database = Database::new();
    let store = database.open().await;
    execute(&store, "CREATE TABLE orders (sku TEXT)").await;
    let failed: Result<(), Failed> = store
        .write(|conn| {
            Box::pin(async move {
                sqlx::query("INSERT INTO orders (sku) VALUES ('a')")
                    .execute(conn)
                    .await?;
                Err("no".into())
            })
        })
        .await;
    assert_eq!(failed.expect_err("its own error").to_string(), "no");
    assert_eq!(number(&store, "SELECT count(sku) FROM orders").await, 0);
    let forbidden: Result<(), Failed> = store
        .read(|conn| {
            Box::pin(async move {
                sqlx::query("INSERT INTO orders (sku) VALUES ('a')")
                    .execute(conn)
                    .await?;
                Ok(())
            })
        })
        .await;
    assert!(forbidden.is_err(), "a reader does not write");
}
