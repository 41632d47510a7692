//! Does a call or a step that is dropped half-way leave a transaction open? A future of the driver that
//! begins a transaction and is dropped does: the connection goes back to its pool with the transaction
//! in it. Callers and steps are dropped at random awaits for ten seconds, and nothing is left behind.

mod drops;
mod steps;
mod storm;

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use keystep_postgres::{PostgresOptions, PostgresStore};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use store_conformance::model::seed;
use system_tests::notebook::LEDGER_TABLE;
use system_tests::place::server_url;

use storm::storm;

/// Sessions of an application that are in a transaction and do nothing, for longer than this.
const FORGOTTEN: &str = "SELECT a.pid, a.query FROM pg_stat_activity AS a
    WHERE a.application_name = $1 AND a.state LIKE 'idle in transaction%'
        AND a.state_change < clock_timestamp() - $2::bigint * interval '1 millisecond'";

async fn forgotten(server: &PgPool, application: &str, longer_than: Duration) -> Vec<(i32, String)> {
    let millis = i64::try_from(longer_than.as_millis()).expect("short");
    sqlx::query_as(FORGOTTEN)
        .bind(application)
        .bind(millis)
        .fetch_all(server)
        .await
        .expect("the server looks")
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_calls_and_steps_leave_no_session_of_postgres_idle_in_a_transaction() {
    let schema = format!("t_{}", uuid::Uuid::new_v4().simple());
    let url = PgConnectOptions::from_str(&server_url()).expect("a URL");
    let url = url.options([("search_path", schema.as_str())]);
    let server = PgPoolOptions::new()
        .max_connections(2)
        .connect_with(url.clone())
        .await
        .expect("the server answers");
    let joint = if server_url().contains('?') { '&' } else { '?' };
    let named = format!(
        "{}{joint}application_name={schema}&options[search_path]={schema}",
        server_url()
    );
    let store = async || {
        let options = PostgresOptions {
            schema: schema.clone(),
            ..PostgresOptions::default()
        };
        let store = PostgresStore::connect_with(&named, options).await;
        let store = store.expect("the server answers");
        store.migrate().await.expect("tables");
        store
    };
    let stores = [store().await, store().await];
    sqlx::query(LEDGER_TABLE)
        .execute(&server)
        .await
        .expect("a ledger");

    let look = async || {
        let forgotten = forgotten(&server, &schema, Duration::from_secs(2)).await;
        assert_eq!(forgotten, [], "idle in a transaction during the storm");
    };
    // When no step is there any more, a roll-back may still be on its way.
    let look_closely = async || {
        let none_is_left = async {
            while !forgotten(&server, &schema, Duration::ZERO).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(3), none_is_left)
            .await
            .is_err()
        {
            let left = forgotten(&server, &schema, Duration::ZERO).await;
            panic!("idle in a transaction, and nobody is at work: {left:?}");
        }
    };
    // Kept, so that its pool is as the storm has left it.
    let kept = stores.clone();
    let expected = storm(stores, seed(), look, look_closely).await;

    let booked: Vec<String> = sqlx::query_scalar("SELECT nonce FROM ledger")
        .fetch_all(&server)
        .await
        .expect("the ledger");
    assert_eq!(BTreeSet::from_iter(booked), expected, "rows and checkpoints");
    drop(kept);
    let drop_all = format!("DROP SCHEMA {schema} CASCADE");
    let dropped = sqlx::raw_sql(AssertSqlSafe(drop_all)).execute(&server).await;
    dropped.expect("nobody holds a lock any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_calls_and_steps_leave_no_writer_of_sqlite_in_a_transaction() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("store.db");
    let options = SqliteOptions::from(&file).busy_timeout(Duration::from_secs(20));
    let store = async || SqliteStore::open(options.clone()).await.expect("an open store");
    let stores = [store().await, store().await];
    let kept = stores.clone();
    let writer = SqliteConnectOptions::new().filename(&file);
    let writer = writer.busy_timeout(Duration::from_secs(10));
    let mut other = writer.connect().await.expect("the file opens");
    sqlx::query(LEDGER_TABLE)
        .execute(&mut other)
        .await
        .expect("a ledger");

    let look = async || {
        let mut other = writer.connect().await.expect("the file opens");
        take_and_free(&mut other).await;
    };
    let expected = storm(stores, seed(), look, look).await;

    let booked: Vec<String> = sqlx::query_scalar("SELECT nonce FROM ledger")
        .fetch_all(&mut other)
        .await
        .expect("the ledger");
    assert_eq!(BTreeSet::from_iter(booked), expected, "rows and checkpoints");
    drop(kept);
}

/// Another program gets the file's write lock within its patience.
async fn take_and_free(other: &mut SqliteConnection) {
    for statement in ["BEGIN IMMEDIATE", "ROLLBACK"] {
        let done = sqlx::query(statement).execute(&mut *other).await;
        done.expect("nobody keeps the write lock");
    }
}
