//! Every promise of the store contract, kept by an SQLite file that two processes share.

use std::path::PathBuf;
use std::sync::Arc;

use keystep::IntoEnlisted;
use keystep::clock::Clock;
use keystep::execution::{Fence, WorkerId};
use keystep::store::Enlisted;
use keystep_sqlite::{SqliteOptions, SqliteStore};
use store_conformance::{Harness, Transactions};
use tempfile::TempDir;

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn fresh() -> Harness<SqliteStore> {
    let folder = TempDir::new().expect("a temporary folder");
    let database = folder.path().join("keys.db");
    let clock = Clock::new();
    let options = SqliteOptions::from(&database).clock(clock);
    let here = SqliteStore::open(options.clone()).await.expect("a new database");
    make_table(&here).await.expect("a table");
    let there = SqliteStore::connect(options).await.expect("the same database");
    Harness::new(here, there)
        .guarded_by(folder)
        .ending_sessions_with(move |_store, worker| end_session(database.clone(), worker))
        .with_transactions(Transactions::new(open_transaction, count_rows))
}

/// As if somebody had tidied up: nobody finds the lock of the worker any more.
async fn end_session(database: PathBuf, worker: WorkerId) {
    let mut folder = database.into_os_string();
    folder.push(".workers");
    let lock = PathBuf::from(folder).join(format!("{worker}.lock"));
    std::fs::remove_file(lock).expect("the worker is registered");
}

/// The table of the user whose rows must agree with the checkpoints.
async fn make_table(store: &SqliteStore) -> Result<(), Failed> {
    store
        .write(|conn| {
            Box::pin(async move {
                let table = "CREATE TABLE effects (mark TEXT NOT NULL)";
                sqlx::query(table).execute(conn).await?;
                Ok(())
            })
        })
        .await
}

async fn open_transaction(store: Arc<SqliteStore>, _fence: Fence, mark: String) -> Enlisted {
    let mut transaction = store.unbound_transaction().await.expect("a transaction");
    let insert = sqlx::query("INSERT INTO effects (mark) VALUES (?1)").bind(mark);
    insert.execute(&mut *transaction).await.expect("a row");
    transaction.into_enlisted()
}

async fn count_rows(store: Arc<SqliteStore>, mark: String) -> u64 {
    let count: Result<i64, Failed> = store
        .read(|conn| {
            Box::pin(async move {
                let count = sqlx::query_scalar("SELECT count(mark) FROM effects WHERE mark = ?1").bind(mark);
                Ok(count.fetch_one(conn).await?)
            })
        })
        .await;
    u64::try_from(count.expect("a count")).expect("not negative")
}

store_conformance::suite!(fresh);
store_conformance::transaction_suite!(fresh);
