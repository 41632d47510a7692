//! How do the tables come to be, and who may use them?

mod common;

use common::*;
use keystep::execution::WorkerId;
use keystep::store::{Store, StoreError};
use keystep_postgres::{PostgresOptions, PostgresStore};

#[tokio::test(flavor = "multi_thread")]
async fn ten_processes_that_start_together_on_an_empty_database_all_succeed() {
    let schema = fresh_schema();
    let mut starts = Vec::new();
    for n in 0..10 {
        let schema = schema.clone();
        starts.push(tokio::spawn(async move {
            let store = same(&schema).await;
            store.migrate().await?;
            store.begin(begin_of(&n.to_string(), WorkerId(n))).await
        }));
    }
    for start in starts {
        start.await.expect("no panic").expect("migrated and begun");
    }
    let mut session = session().await;
    let executions = number(&mut session, format!("SELECT count(*) FROM {schema}.executions")).await;
    assert_eq!(executions, 10);
}

#[tokio::test]
async fn a_database_without_tables_says_to_run_migrate_until_somebody_does() {
    let schema = fresh_schema();
    let store = same(&schema).await;
    let refused = store.find(Vec::new()).await;
    let Err(StoreError::Refused(why)) = refused else {
        panic!("not refused: {refused:?}");
    };
    assert!(why.contains("migrate()") && why.contains(&schema), "{why}");
    assert!(matches!(
        store.begin(begin_of("a", WorkerId(1))).await,
        Err(StoreError::Refused(_))
    ));
    assert!(matches!(
        store.register(worker()).await,
        Err(StoreError::Refused(_))
    ));

    let another_process = same(&schema).await;
    another_process.migrate().await.expect("migrated");
    let _fence = started(&store, "a").await;
}

#[tokio::test]
async fn tables_of_an_older_program_say_to_run_migrate() {
    let (_store, schema) = store().await;
    let mut session = session().await;
    sql(&mut session, format!("UPDATE {schema}.format SET version = 0")).await;
    let old = same(&schema).await;
    let refused = old.find(Vec::new()).await;
    assert!(
        matches!(&refused, Err(StoreError::Refused(why)) if why.contains("run migrate()") && why.contains("format 0")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_program_that_is_too_old_for_the_tables_is_refused_with_both_versions() {
    let (_store, schema) = store().await;
    let mut session = session().await;
    sql(
        &mut session,
        format!("UPDATE {schema}.format SET version = 42, min_reader = 41"),
    )
    .await;
    let options = || PostgresOptions {
        schema: schema.clone(),
        ..PostgresOptions::default()
    };
    let refused = PostgresStore::connect_with(&url(), options()).await.err();
    let Some(StoreError::Refused(why)) = refused else {
        panic!("not refused: {refused:?}");
    };
    assert!(why.contains("41") && why.contains("format 2"), "{why}");
}

#[tokio::test]
async fn a_program_goes_on_with_newer_tables_that_it_may_still_read() {
    let (_store, schema) = store().await;
    let mut session = session().await;
    sql(
        &mut session,
        format!("UPDATE {schema}.format SET version = 42, min_reader = 2"),
    )
    .await;
    let store = same(&schema).await;
    store.migrate().await.expect("nothing to do, and nothing undone");
    let _fence = started(&store, "a").await;
    let version = number(
        &mut session,
        format!("SELECT version::bigint FROM {schema}.format"),
    )
    .await;
    assert_eq!(version, 42);
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let (store, schema) = store().await;
    let _fence = started(&store, "a").await;
    let mut session = session().await;
    let migrated_at =
        format!("SELECT (extract(epoch FROM migrated_at) * 1000000)::bigint FROM {schema}.format");
    let before = number(&mut session, migrated_at.clone()).await;
    store.migrate().await.expect("nothing to do");
    assert_eq!(number(&mut session, migrated_at).await, before);
}

#[tokio::test]
async fn a_schema_name_that_carries_sql_is_refused_before_anything_is_sent() {
    let options = PostgresOptions {
        schema: "x; DROP TABLE y".into(),
        ..PostgresOptions::default()
    };
    let refused = PostgresStore::connect_with("postgres://nobody@127.0.0.1:1/none", options).await;
    assert!(matches!(refused.err(), Some(StoreError::Refused(_))));
}

#[tokio::test]
async fn a_program_that_runs_while_the_tables_become_too_new_stops() {
    let options = PostgresOptions {
        format_check: std::time::Duration::ZERO,
        ..options()
    };
    let schema = options.schema.clone();
    let store = store_with(options).await;
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    store.beat(me.worker).await.expect("a beat");
    let mut session = session().await;
    sql(
        &mut session,
        format!("UPDATE {schema}.format SET version = 9, min_reader = 9"),
    )
    .await;
    assert!(matches!(store.beat(me.worker).await, Err(StoreError::Refused(_))));
    assert!(matches!(
        store.begin(begin_of("a", me.worker)).await,
        Err(StoreError::Refused(_))
    ));
}
