//! What do the tests of this crate share? A server, a schema of one's own, and short ways to make
//! arguments.
#![expect(dead_code, reason = "each test file uses another part of it")]

use std::time::Duration;

use keystep::clock::Clock;
use keystep::execution::{
    ExecutionId, Fence, FullKey, InputHash, Payload, PlanId, RunId, Seen, ShapeId, WorkerId, WriteId,
};
use keystep::store::{Acquire, Begin, Begun, Commit, How, NewCheckpoint, Register, Store, Then};
use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// The server that `cargo xtask test` starts.
pub(crate) fn url() -> String {
    std::env::var("KEYSTEP_TEST_POSTGRES_URL").expect("needs a PostgreSQL server: run `cargo xtask test`")
}

/// The same server, with parameters of the connection.
pub(crate) fn url_with(parameters: &str) -> String {
    let url = url();
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{parameters}")
}

/// Another database of the same server.
pub(crate) fn url_to(database: &str) -> String {
    let url = url();
    let (address, parameters) = url.split_once('?').unwrap_or((&url, ""));
    let (server, _database) = address.rsplit_once('/').expect("a database");
    format!("{server}/{database}?{parameters}")
}

/// A schema name that nobody else uses.
pub(crate) fn fresh_schema() -> String {
    format!("t_{}", Uuid::new_v4().simple())
}

/// Options with a schema of its own, so that tests run side by side on one server.
pub(crate) fn options() -> PostgresOptions {
    PostgresOptions {
        schema: fresh_schema(),
        ..PostgresOptions::default()
    }
}

/// A migrated store in a schema of its own, and that schema's name.
pub(crate) async fn store() -> (PostgresStore, String) {
    let options = options();
    let schema = options.schema.clone();
    (store_with(options).await, schema)
}

pub(crate) async fn store_with(options: PostgresOptions) -> PostgresStore {
    let store = PostgresStore::connect_with(&url(), options)
        .await
        .expect("the server is up");
    store.migrate().await.expect("migrated");
    store
}

/// Another handle, as another process has it.
pub(crate) async fn same(schema: &str) -> PostgresStore {
    same_with(schema, PostgresOptions::default()).await
}

pub(crate) async fn same_with(schema: &str, options: PostgresOptions) -> PostgresStore {
    let options = PostgresOptions {
        schema: schema.to_owned(),
        ..options
    };
    PostgresStore::connect_with(&url(), options)
        .await
        .expect("the server is up")
}

/// A connection beside the store.
pub(crate) async fn session() -> PgConnection {
    PgConnection::connect(&url()).await.expect("the server is up")
}

/// Makes a role that may log in and nothing else.
pub(crate) async fn fresh_role() -> String {
    let role = fresh_schema().replace("t_", "r_");
    let mut session = session().await;
    sql(
        &mut session,
        format!("CREATE ROLE {role} LOGIN PASSWORD '{role}'"),
    )
    .await;
    role
}

/// The address of the test server for another role.
pub(crate) fn url_as(role: &str) -> String {
    url_of(role, &url())
}

/// An address for another role.
pub(crate) fn url_of(role: &str, url: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (_user, host) = rest.split_once('@').expect("a user");
    format!("{scheme}://{role}:{role}@{host}")
}

/// Runs SQL that a test makes for its own schema.
pub(crate) async fn sql(connection: &mut PgConnection, text: impl Into<String>) {
    let text: String = text.into();
    sqlx::raw_sql(AssertSqlSafe(text.clone()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{error} in {text}"));
}

/// Reads one number with SQL that a test makes for its own schema.
pub(crate) async fn number(connection: &mut PgConnection, text: impl Into<String>) -> i64 {
    let text: String = text.into();
    sqlx::query_scalar(AssertSqlSafe(text.clone()))
        .fetch_one(connection)
        .await
        .unwrap_or_else(|error| panic!("{error} in {text}"))
}

pub(crate) fn key(text: &str) -> FullKey {
    FullKey {
        schema: "order.create".into(),
        scope: "user-7".into(),
        key: text.into(),
    }
}

pub(crate) const PLAN: PlanId = PlanId(Uuid::from_u128(1));
pub(crate) const SHAPE: ShapeId = ShapeId(Uuid::from_u128(2));

pub(crate) fn begin_of(text: &str, owner: WorkerId) -> Begin {
    let key = key(text);
    Begin {
        id: ExecutionId::of(&key),
        key: key.into(),
        run: RunId::fresh(),
        token: Uuid::new_v4(),
        owner,
        plan: PLAN,
        shape: SHAPE,
        input: payload("input"),
        input_hash: InputHash([7; 32]),
        parent: None,
    }
}

/// Begins a new execution and returns the right to write for it.
pub(crate) async fn started(store: &PostgresStore, text: &str) -> Fence {
    match store.begin(begin_of(text, WorkerId::fresh())).await {
        Ok(Begun::Started(fence)) => fence,
        other => panic!("not started: {other:?}"),
    }
}

pub(crate) fn payload(text: &str) -> Payload {
    Payload(text.as_bytes().to_vec().into())
}

/// A wish of a fresh worker to own what was seen.
pub(crate) fn acquire_of(seen: Seen, how: How) -> Acquire {
    Acquire {
        seen,
        owner: WorkerId::fresh(),
        token: Uuid::new_v4(),
        how,
    }
}

/// A write that records a step.
pub(crate) fn record(fence: Fence, step: &str, seq: i32, then: Then) -> Commit {
    Commit {
        fence,
        write_id: WriteId::fresh(),
        worker: WorkerId(1),
        checkpoint: Some(NewCheckpoint {
            step: step.into(),
            seq,
            attempt: 1,
            lost: 0,
            output: payload("output"),
        }),
        then,
        enlisted: None,
        messages: Vec::new(),
    }
}

pub(crate) fn succeed(step: &str) -> Then {
    Then::Succeed {
        output_step: step.into(),
        retention: Some(Duration::from_secs(3600)),
    }
}

/// The same write once more, as after a lost answer.
pub(crate) fn again(commit: &Commit) -> Commit {
    Commit {
        fence: commit.fence,
        write_id: commit.write_id,
        worker: commit.worker,
        checkpoint: commit.checkpoint.clone(),
        then: commit.then.clone(),
        enlisted: None,
        messages: commit.messages.clone(),
    }
}

pub(crate) fn worker() -> Register {
    Register {
        worker: WorkerId::fresh(),
        name: "test".into(),
        shapes: vec![SHAPE],
    }
}

/// Waits until something is so, for at most ten seconds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap_or_else(|_elapsed| panic!("never came: {what}"));
}

pub(crate) fn moved_clock() -> (PostgresOptions, Clock) {
    let options = options();
    let clock = options.clock.clone();
    (options, clock)
}
