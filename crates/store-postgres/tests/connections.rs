//! What if a connection is lost, or there is none? Every wait ends, what was not written says so, and
//! the store comes back by itself.

mod common;

use std::pin::pin;
use std::time::{Duration, Instant};

use common::*;
use futures::poll;
use keystep::execution::{Fence, WorkerId};
use keystep::store::{Begun, Store, StoreError, Then, Verdict};
use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::PgConnection;
use store_conformance::proxy::{Fate, Proxy};
use tokio::runtime::Builder;

/// Ends all sessions that ran a statement on the schema, but not the caller's.
async fn end_sessions(session: &mut PgConnection, schema: &str) -> i64 {
    let ended: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE query LIKE '%' || $1 || '%' AND pid <> pg_backend_pid()",
    )
    .bind(schema)
    .fetch_all(session)
    .await
    .expect("ended");
    i64::try_from(ended.len()).expect("a count")
}

#[tokio::test]
async fn lanes_and_readers_come_back_after_their_sessions_were_ended() {
    let (store, schema) = store().await;
    let fence = started(&store, "a").await;
    store.find(vec![fence.execution]).await.expect("found");
    let mut session = session().await;
    assert!(end_sessions(&mut session, &schema).await >= 2);

    // The same write is sent until there is a verdict; only what is lost in between is unknown.
    let write = record(fence, "one", 0, Then::Continue);
    let verdict = loop {
        match store.commit(again(&write)).await {
            Ok(verdict) => break verdict,
            Err(StoreError::Unknown(_) | StoreError::Unavailable(_)) => {}
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(verdict, Verdict::Written);
    until("a read", async || store.find(vec![fence.execution]).await.is_ok()).await;
    let recorded = number(&mut session, format!("SELECT count(*) FROM {schema}.checkpoints")).await;
    assert_eq!(recorded, 1);
}

#[tokio::test]
async fn a_lost_answer_leaves_a_write_unknown_and_the_same_write_finds_out() {
    let proxy = Proxy::before(&url()).expect("a proxy");
    let schema = fresh_schema();
    let options = PostgresOptions {
        schema: schema.clone(),
        deadline: Duration::from_millis(500),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::connect_with(proxy.url(), options)
        .await
        .expect("connected");
    same(&schema).await.migrate().await.expect("migrated");
    let fence = started(&store, "a").await;

    proxy.swallow_answers(true);
    let write = record(fence, "one", 0, Then::Continue);
    let asked = Instant::now();
    let unknown = store.commit(again(&write)).await;
    assert!(matches!(unknown, Err(StoreError::Unknown(_))), "{unknown:?}");
    assert!(asked.elapsed() < Duration::from_secs(2));
    let unavailable = store.find(vec![fence.execution]).await;
    assert!(
        matches!(unavailable, Err(StoreError::Unavailable(_))),
        "a read has no unknown outcome: {unavailable:?}"
    );

    proxy.swallow_answers(false);
    let verdict = loop {
        match store.commit(again(&write)).await {
            Ok(verdict) => break verdict,
            Err(StoreError::Unknown(_) | StoreError::Unavailable(_)) => {}
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(verdict, Verdict::Written);
    let mut session = session().await;
    let recorded = number(&mut session, format!("SELECT count(*) FROM {schema}.checkpoints")).await;
    assert_eq!(recorded, 1);
}

#[tokio::test]
async fn a_write_that_is_cut_before_the_server_is_not_there_and_one_that_is_cut_after_it_is() {
    for (fate, there) in [(Fate::CutBefore, 0), (Fate::LoseAnswer, 1)] {
        let proxy = Proxy::before(&url()).expect("a proxy");
        let options = options();
        let schema = options.schema.clone();
        let store = PostgresStore::connect_with(proxy.url(), options)
            .await
            .expect("connected");
        same(&schema).await.migrate().await.expect("migrated");
        let fence = started(&store, "a").await;

        let cut = proxy.trap(|text| text.starts_with("INSERT"), 1, fate);
        let write = record(fence, "one", 0, Then::Continue);
        let unknown = store.commit(again(&write)).await;
        assert!(matches!(unknown, Err(StoreError::Unknown(_))), "{unknown:?}");
        assert!(cut.is_sprung());
        let mut session = session().await;
        let recorded = format!("SELECT count(*) FROM {schema}.checkpoints");
        assert_eq!(number(&mut session, recorded.clone()).await, there);
        assert_eq!(store.commit(write).await.expect("a verdict"), Verdict::Written);
        assert_eq!(number(&mut session, recorded).await, 1);
    }
}

#[tokio::test]
async fn a_lone_write_needs_no_task_but_its_callers() {
    let (store, schema) = store().await;
    let fence = started(&store, "a").await;
    is_once_sent_by_its_caller(&store, &schema, fence).await;
}

#[tokio::test]
async fn after_a_turn_that_lost_its_connection_there_are_turns_again() {
    let options = options();
    let schema = options.schema.clone();
    let named = url_with(&format!("application_name={schema}"));
    let store = PostgresStore::connect_with(&named, options).await;
    let store = store.expect("the server is up");
    store.migrate().await.expect("migrated");
    let fence = started(&store, "a").await;
    is_once_sent_by_its_caller(&store, &schema, fence).await;
    let mut session = session().await;
    let named = format!("FROM pg_stat_activity WHERE application_name = '{schema}'");
    sql(&mut session, format!("SELECT pg_terminate_backend(pid) {named}")).await;
    let count = format!("SELECT count(*) {named}");
    soon(&count, 0).await;
    let lost = store.commit(record(fence, "lost", 100, Then::Continue)).await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    // Without any other call.
    soon(&count, 1).await;
    // The second lane may still have to find out that it has no connection.
    let other = loop {
        if let Ok(Begun::Started(fence)) = store.begin(begin_of("b", WorkerId(1))).await {
            break fence;
        }
    };
    is_once_sent_by_its_caller(&store, &schema, other).await;
}

/// Writes until one is sent before any task of the lanes goes on: the first lane has to have its
/// connection, and the server the statement.
async fn is_once_sent_by_its_caller(store: &PostgresStore, schema: &str, fence: Fence) {
    let mut steps = 0..20;
    loop {
        let seq = steps.next().expect("a write that is sent by its caller");
        let write = record(fence, &format!("step {seq}"), seq, Then::Continue);
        let same = again(&write);
        let mut call = pin!(store.commit(write));
        if poll!(&mut call).is_pending() {
            let run = fence.run;
            let count =
                format!("SELECT count(*) FROM {schema}.checkpoints WHERE run_id = '{run}' AND seq = {seq}");
            // This runtime has one thread, which waits.
            let look = std::thread::spawn(move || is_soon(count, 1));
            let is_there = look.join().expect("no panic");
            let verdict = call.await;
            if is_there {
                return assert_eq!(verdict.expect("a verdict"), Verdict::Written);
            }
        }
        until("a verdict", async || store.commit(again(&same)).await.is_ok()).await;
    }
}

/// Waits for a count to be as wanted.
async fn soon(count: &str, wanted: i64) {
    let found = async || number(&mut session().await, count.to_owned()).await;
    until(count, async || found().await == wanted).await;
}

/// Whether a count is as wanted within half a second, by a runtime of its own.
fn is_soon(count: String, wanted: i64) -> bool {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut session = session().await;
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_millis(500) {
            if number(&mut session, count.clone()).await == wanted {
                return true;
            }
        }
        false
    })
}

#[tokio::test]
async fn the_answer_to_a_write_whose_caller_goes_away_is_nobody_elses() {
    let (store, schema) = store().await;
    let fence = started(&store, "a").await;
    let refused = record(fence, "refused \0", 0, Then::Continue);
    // In which of its waits it is dropped.
    for wait in 1..=6 {
        let good = record(fence, &format!("step {wait}"), wait, Then::Continue);
        for left in [&good, &refused] {
            {
                let mut call = pin!(store.commit(again(left)));
                for _wait in 0..wait {
                    if poll!(&mut call).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let other = begin_of(&format!("after {wait} {}", left.write_id.0), WorkerId(1));
            let begun = store.begin(other).await;
            assert!(matches!(begun, Ok(Begun::Started(_))), "{begun:?}");
        }
        assert_eq!(store.commit(good).await.expect("a verdict"), Verdict::Written);
    }
    let recorded = format!("SELECT count(*) FROM {schema}.checkpoints");
    assert_eq!(number(&mut session().await, recorded).await, 6);
}

#[tokio::test]
async fn a_caller_that_does_not_hear_its_answer_keeps_nobody_from_writing() {
    for lanes in [1, 2] {
        let store = store_with(PostgresOptions { lanes, ..options() }).await;
        let fence = started(&store, "a").await;
        let mut seqs = 0..20;
        // Most often the first one: its answer comes from the server.
        let deaf = loop {
            let seq = seqs.next().expect("another one");
            let write = record(fence, &format!("step {seq}"), seq, Then::Continue);
            let mut writing = Box::pin(store.commit(write));
            if poll!(&mut writing).is_pending() {
                break writing;
            }
        };
        for n in 0..20 {
            started(&store, &format!("beside {n}")).await;
        }
        assert_eq!(deaf.await.expect("a verdict"), Verdict::Written);
    }
}

#[tokio::test]
async fn while_the_server_is_away_calls_fail_quickly_and_afterwards_they_go_on() {
    let proxy = Proxy::before(&url()).expect("a proxy");
    let schema = fresh_schema();
    let options = PostgresOptions {
        schema: schema.clone(),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::connect_with(proxy.url(), options)
        .await
        .expect("connected");
    same(&schema).await.migrate().await.expect("migrated");
    let fence = started(&store, "a").await;

    proxy.refuse(true);
    // The first call may find a connection that breaks under it.
    let _lost = store.commit(record(fence, "one", 0, Then::Continue)).await;
    for _time in 0..3 {
        let asked = Instant::now();
        let begun = store.begin(begin_of("b", WorkerId(1))).await;
        assert!(
            matches!(begun, Err(StoreError::Unavailable(_) | StoreError::Unknown(_))),
            "{begun:?}"
        );
        let found = store.find(Vec::new()).await;
        assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }

    proxy.refuse(false);
    let begin = begin_of("c", WorkerId(1));
    until("a begin", async || {
        matches!(store.begin(begin.clone()).await, Ok(Begun::Started(_)))
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_at_once() {
    let asked = Instant::now();
    let error = PostgresStore::connect("postgres://app:canary@127.0.0.1:1/shop")
        .await
        .err();
    assert!(matches!(error, Some(StoreError::Unavailable(_))), "{error:?}");
    assert!(asked.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn an_error_never_shows_what_is_in_the_url() {
    for url in [
        "canary",
        "postgres://app:canary@127.0.0.1:1/shop",
        "postgres://app:canary@127.0.0.1:canary/shop",
        "postgres://app:canary@[::1/shop?sslmode=canary",
        "postgres://app@127.0.0.1:1/shop?password=canary&sslmode=canary",
    ] {
        let error = PostgresStore::connect(url).await.expect_err("an error");
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
}

#[tokio::test]
async fn sixty_four_keys_get_through_with_few_connections() {
    let options = PostgresOptions {
        lanes: 1,
        readers: 1,
        transactions: 1,
        ..options()
    };
    let store = store_with(options).await;
    let mut runs = Vec::new();
    for n in 0..64 {
        let store = store.clone();
        runs.push(tokio::spawn(async move {
            let fence = started(&store, &n.to_string()).await;
            for step in 0..4 {
                let write = record(fence, &format!("step {step}"), step, Then::Continue);
                assert_eq!(store.commit(write).await.expect("a verdict"), Verdict::Written);
            }
            let last = record(fence, "last", 4, succeed("last"));
            assert_eq!(store.commit(last).await.expect("a verdict"), Verdict::Written);
            store.find(vec![fence.execution]).await.expect("found")
        }));
    }
    for run in runs {
        assert_eq!(run.await.expect("no panic").len(), 1);
    }
}
