//! Which rights does a running service need? To read and write rows, and none to make anything.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keystep::IntoEnlisted;
use keystep::clock::Clock;
use keystep::execution::WorkerId;
use keystep::store::Enlisted;
use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store_conformance::{Case, Harness, StepContexts, Transactions, cases, run_case, transaction_cases};
use system_tests::notebook::BOOK;
use system_tests::place::{Kind, Place, Role, server_url};
use system_tests::protocol::Policy;
use tokio::sync::OnceCell;

use crate::victim;

/// A place, and a role that may read and write its rows and nothing more.
fn place_and_role() -> (Place, Role) {
    let place = Place::fresh(Kind::Postgres);
    let role = place.role("secret", None);
    // By oid: a schema that another test drops meanwhile is NULL then, and not an error.
    let can_create: bool = place.as_superuser(async |admin| {
        sqlx::query_scalar(
            "SELECT bool_or(has_schema_privilege($1, oid, 'CREATE'))
                OR has_database_privilege($1, current_database(), 'CREATE')
             FROM pg_namespace WHERE nspname !~ '^pg_'",
        )
        .bind(&role.name)
        .fetch_one(admin)
        .await
    });
    assert!(
        !can_create,
        "the role of this test has rights that it must do without"
    );
    (place, role)
}

#[test]
fn a_role_that_can_create_nothing_runs_takes_over_and_finishes() {
    let (place, role) = place_and_role();
    let launch = victim(&place)
        .option("url", &role.url)
        .option("notebook", &role.url)
        .grace(Duration::ZERO);
    let mut owner = launch.clone().gate("last").switch("migrate").ready();
    owner.run("booked", "k", Policy::Attach);
    owner.at_gate("booked", "k", "last");
    let mut successor = launch.ready();
    owner.kill();
    successor.entered("booked", "k", "last");
    let call = successor.run("booked", "k", Policy::Attach);
    assert_eq!(successor.answer(call).map(|nonces| nonces.len()), Ok(3));
    assert_eq!(place.ledger("booked", "k").len(), 1);
    successor.exit();

    // A stopped process is declared dead although its session stands.
    let mut stopped = launch.clone().gate("second").ready();
    stopped.run("three", "k", Policy::Attach);
    stopped.at_gate("three", "k", "second");
    stopped.stop();
    let observer = launch.beat_limit(Duration::from_secs(1)).ready();
    observer.entered("three", "k", "third");
}

#[test]
fn every_promise_of_a_store_is_kept_for_a_role_that_can_create_nothing() {
    let mut left = cases::<PostgresStore>();
    left.extend(transaction_cases());
    let (count, left) = (left.len(), Mutex::new(left));
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _each_core in 0..2 {
            threads.spawn(|| {
                while let Some(case) = take(&left) {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| try_case(&case))) {
                        let line = format!("{case:?}: {}", text_of(panic.as_ref()));
                        broken.lock().expect("no panic inside").push(line);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().expect("no panic inside");
    assert!(
        broken.is_empty(),
        "{} of {count} cases:\n{}",
        broken.len(),
        broken.join("\n")
    );
    assert!(count > 100, "only {count} cases");
}

fn take(left: &Mutex<Vec<Case<PostgresStore>>>) -> Option<Case<PostgresStore>> {
    left.lock().expect("no panic inside").pop()
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "not a text".to_owned())
}

fn try_case(case: &Case<PostgresStore>) {
    let (place, role) = place_and_role();
    let schema = place.schema().to_owned();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run_case(case.name, case.run, async || {
        harness(&role, schema).await
    }));
}

/// Two handles of the role; what a case does to the outside is done by the superuser.
async fn harness(role: &Role, schema: String) -> Harness<PostgresStore> {
    let clock = Clock::new();
    let handle = async || {
        let options = PostgresOptions {
            schema: schema.clone(),
            clock: clock.clone(),
            ..PostgresOptions::default()
        };
        let opened = PostgresStore::connect_with(&role.url, options).await;
        opened.expect("the role may connect")
    };
    let (here, there) = (handle().await, handle().await);
    let contexts = Arc::new(OnceCell::new());
    let open = move |store, _fence, mark| open_transaction(store, Arc::clone(&contexts), mark);
    let (of_sessions, of_counts) = (schema.clone(), schema);
    Harness::new(here, there)
        .ending_sessions_with(move |_store, worker| end_session(of_sessions.clone(), worker))
        .with_transactions(Transactions::new(open, move |_store, mark| {
            count_rows(of_counts.clone(), mark)
        }))
}

async fn open_transaction(
    store: Arc<PostgresStore>,
    contexts: Arc<OnceCell<StepContexts>>,
    mark: String,
) -> Enlisted {
    let over = PostgresStore::clone(&store);
    let cx = contexts
        .get_or_init(|| StepContexts::over(over))
        .await
        .next()
        .await;
    let mut transaction = store.transaction(&cx).await.expect("a transaction");
    let nonce = uuid::Uuid::new_v4().to_string();
    let booked = sqlx::query(BOOK).bind(nonce).bind(mark).bind(1_i64);
    booked.execute(&mut *transaction).await.expect("a row");
    transaction.into_enlisted()
}

async fn count_rows(schema: String, mark: String) -> u64 {
    let text = format!("SELECT count(*) FROM {schema}_seen.ledger WHERE execution = $1");
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(text))
        .bind(mark)
        .fetch_one(&mut superuser().await)
        .await
        .expect("a count");
    u64::try_from(count).expect("not negative")
}

/// Ends the backend of a worker's liveness session, as a cut connection would.
async fn end_session(schema: String, worker: WorkerId) {
    let text = format!("SELECT pg_terminate_backend(backend_pid, 5000) FROM {schema}.workers WHERE id = $1");
    let ended = sqlx::query(AssertSqlSafe(text)).bind(worker.0);
    ended.execute(&mut superuser().await).await.expect("its end");
}

async fn superuser() -> PgConnection {
    let connected = PgConnection::connect(&server_url()).await;
    connected.expect("the server answers")
}
