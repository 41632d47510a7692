//! What does an execution cost? Counted by the server, by statement text.

mod common;

use common::*;
use keystep::execution::WorkerId;
use keystep::store::{Begun, Store, Then, Verdict};
use keystep_postgres::PostgresStore;
use sqlx::PgConnection;

/// What the server counted for the statements of one schema.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    /// Of the lanes: begins and writes of owners.
    lane_calls: i64,
    wal_bytes: i64,
    /// All others.
    other_calls: i64,
}

/// A session that may count.
async fn counter() -> PgConnection {
    let mut session = session().await;
    let preloaded = number(
        &mut session,
        "SELECT position('pg_stat_statements' IN current_setting('shared_preload_libraries'))::bigint",
    )
    .await;
    assert!(
        preloaded > 0,
        "needs a PostgreSQL server with pg_stat_statements: run `cargo xtask test`"
    );
    // Two tests must not create it at the same moment.
    sql(
        &mut session,
        "BEGIN; SELECT pg_advisory_xact_lock(1); CREATE EXTENSION IF NOT EXISTS pg_stat_statements; COMMIT",
    )
    .await;
    session
}

/// How often the server had to forget counts to make room, and when somebody made it forget all.
async fn forgotten(session: &mut PgConnection) -> (i64, i64) {
    sqlx::query_as(
        "SELECT dealloc, (extract(epoch FROM stats_reset) * 1000000)::bigint FROM pg_stat_statements_info",
    )
    .fetch_one(session)
    .await
    .expect("counted")
}

/// Measures until the server has not forgotten anything meanwhile, and gives the counts before and
/// after.
async fn measured(measure: impl AsyncFn(&mut PgConnection) -> (Counted, Counted)) -> (Counted, Counted) {
    let mut session = counter().await;
    for _try in 0..20 {
        let before = forgotten(&mut session).await;
        let counts = measure(&mut session).await;
        if forgotten(&mut session).await == before {
            return counts;
        }
    }
    panic!("the server forgets its counts all the time: raise pg_stat_statements.max");
}

async fn counted(session: &mut PgConnection, schema: &str) -> Counted {
    let counts: (i64, i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(calls) FILTER (WHERE query ~ '^WITH (begun|held) AS'), 0)::bigint, \
                coalesce(sum(wal_bytes), 0)::bigint, \
                coalesce(sum(calls) FILTER (WHERE query !~ '^WITH (begun|held) AS'), 0)::bigint \
         FROM pg_stat_statements WHERE query LIKE '%' || $1 || '%'",
    )
    .bind(format!("\"{schema}\"."))
    .fetch_one(session)
    .await
    .expect("counted");
    Counted {
        lane_calls: counts.0,
        wal_bytes: counts.1,
        other_calls: counts.2,
    }
}

/// Runs an execution of so many steps and one statement for each of its writes.
async fn run(store: &PostgresStore, key: &str, steps: i32) {
    let fence = started(store, key).await;
    for step in 0..steps - 1 {
        let write = record(fence, &format!("step {step}"), step, Then::Continue);
        assert_eq!(store.commit(write).await.expect("a verdict"), Verdict::Written);
    }
    let last = record(fence, "last", steps - 1, succeed("last"));
    assert_eq!(store.commit(last).await.expect("a verdict"), Verdict::Written);
}

#[tokio::test]
async fn n_steps_cost_n_plus_one_statements_and_nothing_else() {
    const STEPS: i32 = 5;
    let (before, after) = measured(async |counter| {
        let (store, schema) = store().await;
        let before = counted(counter, &schema).await;
        run(&store, "a", STEPS).await;
        (before, counted(counter, &schema).await)
    })
    .await;
    // Each statement is a commit of its own: none of them is inside a transaction.
    assert_eq!(after.lane_calls - before.lane_calls, i64::from(STEPS) + 1);
    assert_eq!(after.other_calls, before.other_calls);
}

#[tokio::test]
async fn a_replay_of_a_finished_key_is_one_statement_and_writes_nothing() {
    let (before, after) = measured(async |counter| {
        let (store, schema) = store().await;
        run(&store, "a", 1).await;
        // The first look at a changed page may tidy it up.
        let _tidied = store.begin(begin_of("a", WorkerId(1))).await.expect("an answer");
        let before = counted(counter, &schema).await;
        let begun = store.begin(begin_of("a", WorkerId(2))).await.expect("an answer");
        let Begun::Exists(record) = begun else {
            panic!("started anew");
        };
        assert_eq!(record.output, Some(payload("output")));
        (before, counted(counter, &schema).await)
    })
    .await;
    let one_more = Counted {
        lane_calls: before.lane_calls + 1,
        ..before
    };
    assert_eq!(after, one_more);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_at_once_need_fewer_statements_than_operations() {
    const KEYS: i32 = 64;
    const STEPS: i32 = 5;
    let (before, after) = measured(async |counter| {
        let (store, schema) = store().await;
        let before = counted(counter, &schema).await;
        let mut runs = Vec::new();
        for n in 0..KEYS {
            let store = store.clone();
            runs.push(tokio::spawn(
                async move { run(&store, &n.to_string(), STEPS).await },
            ));
        }
        for run in runs {
            run.await.expect("no panic");
        }
        (before, counted(counter, &schema).await)
    })
    .await;
    let statements = after.lane_calls - before.lane_calls;
    let operations = i64::from(KEYS * (STEPS + 1));
    assert!(
        statements < operations / 2,
        "{statements} statements for {operations} operations"
    );
}
