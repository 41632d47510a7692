//! What if two sessions meet at one row? Each race is played with a second session that stops in
//! the middle of its transaction.

mod common;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use common::*;
use keystep::execution::{ExecutionId, Fence, State, WorkerId};
use keystep::store::{Acquire, Acquired, Begun, How, Store, StoreError, Then, Verdict};
use keystep_postgres::{PostgresOptions, PostgresStore};
use uuid::Uuid;

/// Long enough that what could go on would have gone on.
const LONG: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_checkpoint_that_meets_an_open_takeover_waits_and_is_fenced() {
    let (store, schema) = store().await;
    let fence = started(&store, "a").await;
    let mut other = session().await;
    let id = fence.execution;
    sql(
        &mut other,
        format!(
            "BEGIN; UPDATE {schema}.executions SET epoch = 2, token = gen_random_uuid(), owner = 9 \
             WHERE id = '{id}'"
        ),
    )
    .await;

    let write = tokio::spawn({
        let store = store.clone();
        async move { store.commit(record(fence, "one", 0, Then::Continue)).await }
    });
    tokio::time::sleep(LONG).await;
    assert!(
        !write.is_finished(),
        "there is no verdict while the takeover is open"
    );
    sql(&mut other, "COMMIT").await;

    let verdict = write.await.expect("no panic").expect("a verdict");
    assert_eq!(verdict, Verdict::Fenced);
    let recorded = number(&mut other, format!("SELECT count(*) FROM {schema}.checkpoints")).await;
    assert_eq!(recorded, 0);
}

#[tokio::test]
async fn a_takeover_that_meets_an_open_checkpoint_waits_and_loads_it() {
    let (store, schema) = store().await;
    let fence = started(&store, "a").await;
    let (id, run) = (fence.execution, fence.run);
    let seen = store.find(vec![id]).await.expect("found")[0].seen();
    let mut other = session().await;
    sql(
        &mut other,
        format!(
            "BEGIN; SELECT FROM {schema}.executions WHERE id = '{id}' FOR NO KEY UPDATE; \
             INSERT INTO {schema}.checkpoints VALUES \
             ('{run}', gen_random_uuid(), 1, 1, now(), 0, 1, 0, 'one', 'output')"
        ),
    )
    .await;

    let takeover = tokio::spawn({
        let store = store.clone();
        async move {
            let acquire = Acquire {
                seen,
                owner: WorkerId(9),
                token: Uuid::new_v4(),
                how: How::TakeOver,
            };
            store.acquire(acquire).await
        }
    });
    tokio::time::sleep(LONG).await;
    assert!(
        !takeover.is_finished(),
        "nobody owns it while the checkpoint is open"
    );
    sql(&mut other, "COMMIT").await;

    let acquired = takeover.await.expect("no panic").expect("an answer");
    assert!(matches!(acquired, Acquired::Won { .. }));
    let progress = store.load(id, run).await.expect("loaded").expect("there");
    assert_eq!(progress.checkpoints.len(), 1, "the new owner sees the step");
}

#[tokio::test]
async fn one_locked_row_does_not_hold_up_the_others() {
    let options = PostgresOptions {
        lanes: 1,
        ..options()
    };
    let schema = options.schema.clone();
    let store = store_with(options).await;
    let mut fences = Vec::new();
    for n in 0..20 {
        fences.push(started(&store, &n.to_string()).await);
    }
    let locked = fences[0];
    let mut other = session().await;
    let id = locked.execution;
    sql(
        &mut other,
        format!("BEGIN; SELECT FROM {schema}.executions WHERE id = '{id}' FOR UPDATE"),
    )
    .await;

    let mut writes: Vec<_> = fences
        .into_iter()
        .map(|fence| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(record(fence, "one", 0, Then::Continue)).await })
        })
        .collect();
    let blocked = writes.remove(0);
    for write in writes {
        let verdict = tokio::time::timeout(Duration::from_secs(1), write).await;
        let verdict = verdict.expect("not held up").expect("no panic");
        assert_eq!(verdict.expect("a verdict"), Verdict::Written);
    }
    assert!(!blocked.is_finished());
    sql(&mut other, "COMMIT").await;
    let verdict = blocked.await.expect("no panic");
    assert_eq!(verdict.expect("a verdict"), Verdict::Written);
}

#[tokio::test]
async fn a_row_that_stays_locked_is_given_up_without_a_write() {
    let options = PostgresOptions {
        lock_patience: Duration::from_millis(300),
        ..options()
    };
    let schema = options.schema.clone();
    let store = store_with(options).await;
    let fence = started(&store, "a").await;
    let mut other = session().await;
    sql(
        &mut other,
        format!("BEGIN; SELECT FROM {schema}.executions FOR UPDATE"),
    )
    .await;
    let write = record(fence, "one", 0, Then::Continue);
    let same = again(&write);
    assert!(matches!(
        store.commit(write).await,
        Err(StoreError::Unavailable(_))
    ));
    sql(&mut other, "ROLLBACK").await;
    let recorded = number(&mut other, format!("SELECT count(*) FROM {schema}.checkpoints")).await;
    assert_eq!(recorded, 0);
    assert_eq!(store.commit(same).await.expect("a verdict"), Verdict::Written);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_begins_of_the_same_keys_start_each_once_and_all_get_an_answer() {
    const KEYS: usize = 100;
    let (first, schema) = store().await;
    let mut callers = Vec::new();
    for handle in 0..4_usize {
        let store = if handle == 0 {
            first.clone()
        } else {
            same(&schema).await
        };
        for n in 0..KEYS {
            // Each handle in another order, so that unsorted batches would deadlock.
            let n = if handle % 2 == 0 { n } else { KEYS - 1 - n };
            let store = store.clone();
            callers.push(tokio::spawn(async move {
                let begun = store.begin(begin_of(&n.to_string(), WorkerId(1))).await;
                match begun.expect("an answer") {
                    Begun::Started(fence) => Some(fence.execution),
                    Begun::Exists(_) => None,
                }
            }));
        }
    }
    let mut started: Vec<ExecutionId> = Vec::new();
    for caller in callers {
        started.extend(caller.await.expect("no panic"));
    }
    let distinct: HashSet<_> = started.iter().copied().collect();
    assert_eq!((started.len(), distinct.len()), (KEYS, KEYS));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_in_opposite_order_do_not_deadlock_and_each_row_has_one_winner() {
    const ROWS: usize = 40;
    let one_lane = || PostgresOptions {
        lanes: 1,
        ..PostgresOptions::default()
    };
    let options = options();
    let schema = options.schema.clone();
    let store = store_with(options).await;
    let mut ids = Vec::new();
    for n in 0..ROWS {
        ids.push(started(&store, &n.to_string()).await.execution);
    }
    let forth = same_with(&schema, one_lane()).await;
    let back = same_with(&schema, one_lane()).await;
    for _round in 0..10 {
        let seen: Vec<_> = store
            .find(ids.clone())
            .await
            .expect("found")
            .iter()
            .map(|row| row.seen())
            .collect();
        let mut calls = Vec::new();
        for n in 0..ROWS {
            for (store, at) in [(&forth, n), (&back, ROWS - 1 - n)] {
                let store: PostgresStore = store.clone();
                let acquire = Acquire {
                    seen: seen[at],
                    owner: WorkerId(5),
                    token: Uuid::new_v4(),
                    how: How::TakeOver,
                };
                calls.push(tokio::spawn(async move {
                    let asked = Instant::now();
                    let answer = store.acquire(acquire).await.expect("an answer");
                    (matches!(answer, Acquired::Won { .. }), asked.elapsed())
                }));
            }
        }
        let mut won = 0;
        for call in calls {
            let (is_won, took) = call.await.expect("no panic");
            won += usize::from(is_won);
            // The server looks for deadlocks after a second.
            assert!(took < Duration::from_secs(1), "waited {took:?}");
        }
        assert_eq!(won, ROWS);
    }
}

#[tokio::test]
async fn a_value_that_the_server_rejects_hurts_nobody_else_in_its_batch() {
    let options = PostgresOptions {
        lanes: 1,
        ..options()
    };
    let store = store_with(options).await;
    let fence = started(&store, "old").await;
    let mut begins = Vec::new();
    for n in 0..30 {
        let mut begin = begin_of(&n.to_string(), WorkerId(1));
        if n == 17 {
            begin.key.key = "nul\0".into();
        }
        let store = store.clone();
        begins.push(tokio::spawn(async move { store.begin(begin).await }));
    }
    let write = store.commit(record(fence, "one", 0, Then::Continue)).await;
    assert_eq!(write.expect("a verdict"), Verdict::Written);
    for (n, begin) in begins.into_iter().enumerate() {
        let begun = begin.await.expect("no panic");
        if n == 17 {
            assert!(matches!(begun, Err(StoreError::Rejected(_))), "{begun:?}");
        } else {
            assert!(matches!(begun, Ok(Begun::Started(_))), "{begun:?}");
        }
    }
}

#[tokio::test]
async fn the_same_write_sent_twice_at_once_is_written_once() {
    let options = PostgresOptions {
        lanes: 1,
        ..options()
    };
    let schema = options.schema.clone();
    let store = store_with(options).await;
    let fence = started(&store, "a").await;
    let write = record(fence, "one", 0, succeed("one"));
    let (first, second) = (again(&write), again(&write));
    let (other, third) = (same(&schema).await, write);
    let (a, b, c) = tokio::join!(store.commit(first), store.commit(second), other.commit(third));
    for verdict in [a, b, c] {
        assert_eq!(verdict.expect("a verdict"), Verdict::Written);
    }
    let found = store.find(vec![fence.execution]).await.expect("found");
    assert_eq!(found[0].state, State::Succeeded);
}

#[tokio::test]
async fn a_step_that_appears_after_the_snapshot_is_never_overwritten_nor_finished_over() {
    let (store, schema) = store().await;
    let fence = started(&store, "a").await;
    let (id, run) = (fence.execution, fence.run);
    let mut other = session().await;
    // Not a thing that an owner does: another write of the same claim, without the row's lock.
    sql(
        &mut other,
        format!(
            "BEGIN; INSERT INTO {schema}.checkpoints VALUES \
             ('{run}', '{run}', 1, 1, now(), 0, 1, 0, 'one', 'other')"
        ),
    )
    .await;
    let write = tokio::spawn({
        let store = store.clone();
        async move { store.commit(record(fence, "one", 0, succeed("one"))).await }
    });
    tokio::time::sleep(LONG).await;
    assert!(!write.is_finished());
    sql(&mut other, "COMMIT").await;
    let verdict = write.await.expect("no panic").expect("a verdict");
    assert!(
        matches!(verdict, Verdict::Exists(by) if by.0 == run.0),
        "{verdict:?}"
    );
    let found = store.find(vec![id]).await.expect("found");
    assert_eq!(found[0].state, State::Running, "the state did not change either");
}

#[tokio::test]
async fn a_fence_of_another_start_of_the_server_is_refused_for_as_long_as_it_is_used() {
    let (store, schema) = store().await;
    let fence = started(&store, "a").await;
    let other_start = Fence {
        incarnation: fence.incarnation - 1,
        ..fence
    };
    for _time in 0..2 {
        let write = store.commit(record(other_start, "one", 0, Then::Continue)).await;
        assert!(matches!(write, Err(StoreError::Restarted)), "{write:?}");
    }
    let mut session = session().await;
    let recorded = number(&mut session, format!("SELECT count(*) FROM {schema}.checkpoints")).await;
    assert_eq!(recorded, 0);
    let write = store.commit(record(fence, "one", 0, Then::Continue)).await;
    assert_eq!(write.expect("a verdict"), Verdict::Written);
}
