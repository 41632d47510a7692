//! What does one operation of a batch do to the others? Nothing: not when its row is locked, not when
//! its value is refused, and two batches never wait for each other in a circle.

use std::sync::Arc;
use std::time::Duration;

use keystep::execution::WorkerId;
use keystep::store::{Begun, How, Store, StoreError, Then, Verdict};
use keystep_postgres::PostgresOptions;

use super::acts::{Told, row};
use super::stage::{Call, Gate, Player, Stage};
use crate::common::*;

const OWNER: WorkerId = WorkerId(1);

#[tokio::test]
async fn one_locked_row_does_not_hold_up_the_others() {
    let mut stage = Stage::new().await;
    let owner = stage.player("owner").await;
    let mut fences = Vec::new();
    for n in 0..20 {
        fences.push(started(&owner.store, &n.to_string()).await);
    }
    let mut other = session().await;
    let (schema, id) = (&stage.schema, fences[0].execution);
    let lock = format!("BEGIN; SELECT FROM {schema}.executions WHERE id = '{id}' FOR UPDATE");
    sql(&mut other, lock).await;

    let writes = fences
        .into_iter()
        .map(|fence| record(fence, "one", 0, Then::Continue));
    let mut writes: Vec<Call<Told>> = writes.map(|write| owner.asked(owner.commits(write))).collect();
    let blocked = writes.remove(0);
    for write in writes {
        assert_eq!(write.answer().await, Told::Verdict(Verdict::Written));
    }
    stage.is_held_up(&blocked).await;
    sql(&mut other, "COMMIT").await;
    assert_eq!(blocked.answer().await, Told::Verdict(Verdict::Written));
}

#[tokio::test]
async fn an_acquisition_of_a_busy_row_holds_up_neither_its_batch_nor_anybody_else() {
    let mut stage = Stage::new().await;
    let (first, second) = (stage.player("first").await, stage.player("second").await);
    let mut seen = Vec::new();
    for n in 0..20 {
        let fence = started(&first.store, &n.to_string()).await;
        seen.push(row(&first.store, &fence).await.seen());
    }
    stage.close(&first, Gate::Commit).await;
    let open = first.asked(first.acquires(seen[0], How::TakeOver));
    stage.arrives(&open, Gate::Commit).await;

    let takeovers = seen.into_iter().map(|seen| second.acquires(seen, How::TakeOver));
    let mut takeovers: Vec<Call<Told>> = takeovers.map(|act| second.asked(act)).collect();
    let busy = takeovers.remove(0);
    for takeover in takeovers {
        assert!(takeover.answer().await.won());
    }
    stage.is_held_up(&busy).await;
    assert!(!stage.has_written(&busy).await, "it holds nothing while it waits");
    stage.open(&first, Gate::Commit).await;
    assert!(open.answer().await.won());
    assert_eq!(busy.answer().await, Told::Lost);
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

/// Both keys begun in one statement.
pub(crate) async fn begins_in_one_batch(
    stage: &mut Stage,
    player: &Player,
    keys: [&str; 2],
) -> [Call<Told>; 2] {
    let first = player.begins(begin_of(&format!("before {keys:?}"), OWNER));
    let acts = keys.map(|key| player.begins(begin_of(key, OWNER)));
    stage.in_one_batch(player, first, acts).await
}

/// `hi` is a key whose id is greater than that of the other one: so it comes second in a sorted batch.
#[tokio::test]
async fn a_batch_of_begins_that_waits_for_another_holds_nothing_that_the_other_needs() {
    let mut stage = Stage::new().await;
    let (forth, back) = (stage.player("forth").await, stage.player("back").await);
    let hi = begin_of("hi", OWNER).id;
    let mut lo = (0..).map(|n| format!("lo {n}"));
    let lo = lo.find(|lo| begin_of(lo, OWNER).id < hi);
    let lo = lo.expect("a smaller id");

    stage.close(&forth, Gate::BeginHi).await;
    let of_forth = begins_in_one_batch(&mut stage, &forth, [&lo, "hi"]).await;
    stage.arrives(&of_forth[0], Gate::BeginHi).await;
    let of_back = begins_in_one_batch(&mut stage, &back, ["hi", &lo]).await;
    stage.is_held_up(&of_back[0]).await;
    assert!(
        !stage.has_written(&of_back[0]).await,
        "what it has inserted would be waited for, in a circle"
    );
    stage.open(&forth, Gate::BeginHi).await;
    for call in of_forth {
        assert!(call.answer().await.started());
    }
    for call in of_back {
        let told = call.answer().await;
        assert!(matches!(told, Told::Begun(Begun::Exists(_))), "{told:?}");
    }
}

/// No order is forced here; the server counts dead locks for each database, so this has its own.
#[tokio::test(flavor = "multi_thread")]
async fn batches_in_opposite_order_meet_in_no_dead_lock_and_each_row_has_one_winner() {
    const ROWS: usize = 150;
    let database = fresh_schema();
    let mut server = session().await;
    sql(&mut server, format!("CREATE DATABASE {database}")).await;
    let handle = async || {
        let options = PostgresOptions {
            lanes: 1,
            ..PostgresOptions::default()
        };
        let store = keystep_postgres::PostgresStore::connect_with(&url_to(&database), options).await;
        let store = store.expect("the server is up");
        store.migrate().await.expect("migrated");
        store
    };
    let stores = [handle().await, handle().await];
    for round in 0..12 {
        let key = |at: usize| format!("{round}/{at}");
        let begun = both_ways(&stores, ROWS, |store, at| {
            let begin = begin_of(&key(at), OWNER);
            async move {
                match store.begin(begin).await.expect("an answer") {
                    Begun::Started(fence) => Some(fence),
                    Begun::Exists(_) => None,
                }
            }
        });
        let mut fences: Vec<_> = begun.await.into_iter().flatten().collect();
        assert_eq!(fences.len(), ROWS, "each is started once");
        fences.sort_by_key(|fence| fence.execution);
        let written = both_ways(&stores, ROWS, |store, at| {
            let write = record(fences[at], "one", 0, Then::Continue);
            async move { store.commit(write).await.expect("a verdict") == Verdict::Written }
        });
        let written = written.await.into_iter().filter(|written| *written).count();
        assert_eq!(written, ROWS, "each step is written once");
        let mut seen = Vec::new();
        for fence in &fences {
            seen.push(row(&stores[0], fence).await.seen());
        }
        let won = both_ways(&stores, ROWS, |store, at| {
            let takeover = acquire_of(seen[at], How::TakeOver);
            async move {
                let acquired = store.acquire(takeover).await.expect("an answer");
                matches!(acquired, keystep::store::Acquired::Won { .. })
            }
        });
        let won = won.await.into_iter().filter(|won| *won).count();
        assert_eq!(won, ROWS, "each is taken over once");
    }
    drop(stores);
    // A session tells what it has counted at the latest when it ends.
    until("the sessions have ended", async || {
        let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
        number(&mut session().await, sessions).await == 0
    })
    .await;
    let dead_locks = format!("SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'");
    assert_eq!(number(&mut server, dead_locks).await, 0);
    sql(&mut server, format!("DROP DATABASE {database}")).await;
}

/// Runs a call for each row through both stores, in opposite order.
async fn both_ways<F, T>(
    stores: &[keystep_postgres::PostgresStore; 2],
    rows: usize,
    call: impl Fn(keystep_postgres::PostgresStore, usize) -> F,
) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut calls = Vec::new();
    for at in 0..rows {
        calls.push(tokio::spawn(call(stores[0].clone(), at)));
        calls.push(tokio::spawn(call(stores[1].clone(), rows - 1 - at)));
    }
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.expect("no panic"));
    }
    answers
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
        let mut begin = begin_of(&n.to_string(), OWNER);
        if n == 17 {
            Arc::make_mut(&mut begin.key).key = "nul\0".into();
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
