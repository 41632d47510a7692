//! What rights does a running service need? To read and write rows: the tables are made by another
//! role.

mod common;

use common::*;
use keystep::execution::WorkerId;
use keystep::store::{Begun, Shapes, Store, StoreError, Then, Verdict, Wanted};
use keystep_postgres::{PostgresOptions, PostgresStore};

async fn connect_as(role: &str, schema: &str) -> PostgresStore {
    let options = PostgresOptions {
        schema: schema.to_owned(),
        ..PostgresOptions::default()
    };
    PostgresStore::connect_with(&url_as(role), options)
        .await
        .expect("connected")
}

#[tokio::test]
async fn a_role_that_can_create_nothing_runs_on_migrated_tables() {
    let (_owner, schema) = store().await;
    let role = fresh_role().await;
    let mut session = session().await;
    sql(
        &mut session,
        format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}; \
             REVOKE INSERT, UPDATE, DELETE ON {schema}.format FROM {role}"
        ),
    )
    .await;

    let store = connect_as(&role, &schema).await;
    store.migrate().await.expect("nothing to do");
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    store.beat(me.worker).await.expect("a beat");
    store.observe(me.worker).await.expect("observed");
    let begun = store.begin(begin_of("a", me.worker)).await.expect("begun");
    let Begun::Started(fence) = begun else {
        panic!("not started");
    };
    let verdict = store.commit(record(fence, "one", 0, Then::Continue)).await;
    assert_eq!(verdict.expect("a verdict"), Verdict::Written);
    let verdict = store.commit(record(fence, "two", 1, succeed("two"))).await;
    assert_eq!(verdict.expect("a verdict"), Verdict::Written);
    let all = Wanted {
        shapes: Shapes::Except(Vec::new()),
        limit: 10,
    };
    store.due(all.clone()).await.expect("looked");
    store.orphans(all).await.expect("looked");
    store.purge(10, None).await.expect("purged");
    store.bury(WorkerId(1), 0).await.expect("judged");
    store.retire(me.worker).await.expect("retired");
}

#[tokio::test]
async fn a_role_that_can_create_nothing_can_not_migrate_and_says_so() {
    let role = fresh_role().await;
    let store = connect_as(&role, &fresh_schema()).await;
    let refused = store.migrate().await;
    assert!(
        matches!(&refused, Err(StoreError::Refused(why)) if why.contains("permission")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_role_with_strange_defaults_gets_the_same_promises() {
    let (_owner, schema) = store().await;
    let role = fresh_role().await;
    let mut session = session().await;
    sql(
        &mut session,
        format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}; \
             ALTER ROLE {role} SET default_transaction_isolation = 'repeatable read'; \
             ALTER ROLE {role} SET synchronous_commit = off; \
             ALTER ROLE {role} SET search_path = nowhere"
        ),
    )
    .await;
    let store = connect_as(&role, &schema).await;
    let overridden: Vec<_> = store
        .report()
        .settings
        .iter()
        .filter(|setting| setting.verdict == keystep_postgres::SettingVerdict::SetByUs)
        .map(|setting| setting.name.as_str())
        .collect();
    assert!(overridden.contains(&"default_transaction_isolation"));
    assert!(overridden.contains(&"synchronous_commit"));

    // Under repeatable read this would be a serialization failure.
    let fence = started(&store, "a").await;
    let mut other = common::session().await;
    let id = fence.execution;
    sql(
        &mut other,
        format!("BEGIN; UPDATE {schema}.executions SET epoch = 2 WHERE id = '{id}'"),
    )
    .await;
    let write = tokio::spawn({
        let store = store.clone();
        async move { store.commit(record(fence, "one", 0, Then::Continue)).await }
    });
    let met = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND state = 'idle' \
         AND query ~ '^WITH held AS'"
    );
    until("the write has met the open takeover", async || {
        number(&mut common::session().await, met.clone()).await > 0
    })
    .await;
    assert!(
        !write.is_finished(),
        "there is no verdict while the takeover is open"
    );
    sql(&mut other, "COMMIT").await;
    let verdict = write.await.expect("no panic").expect("a verdict");
    assert_eq!(verdict, Verdict::Fenced);
}

#[tokio::test]
async fn a_read_only_role_is_refused() {
    let role = fresh_role().await;
    let mut session = session().await;
    sql(
        &mut session,
        format!("ALTER ROLE {role} SET default_transaction_read_only = on"),
    )
    .await;
    let refused = PostgresStore::connect(&url_as(&role)).await.err();
    assert!(
        matches!(&refused, Some(StoreError::Refused(why)) if why.contains("read-only")),
        "{refused:?}"
    );
}
