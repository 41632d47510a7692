//! What if an SQLite store fails at any one call, in any way? The transactional step's rows are in
//! the same file.

use std::sync::Arc;

use keystep::clock::Clock;
use keystep::{StepContext, StepResult};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use store_conformance::under_faults::Ground;
use tempfile::TempDir;

type Failed = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
struct InFile(Arc<TempDir>, Clock);

async fn fresh() -> InFile {
    let ground = InFile(
        Arc::new(TempDir::new().expect("a temporary folder")),
        Clock::new(),
    );
    let store = SqliteStore::open(ground.path()).await.expect("a new database");
    let made: Result<(), Failed> = store
        .write(|conn| {
            Box::pin(async move {
                let table = "CREATE TABLE effects (mark TEXT NOT NULL)";
                sqlx::query(table).execute(conn).await?;
                Ok(())
            })
        })
        .await;
    made.expect("a table");
    ground
}

impl InFile {
    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("keys.db")
    }
}

impl Ground for InFile {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        let options = SqliteOptions::from(self.path()).clock(self.1.clone());
        SqliteStore::connect(options).await.expect("the database opens")
    }

    async fn book(&self, store: &SqliteStore, cx: &StepContext, mark: &str) -> StepResult<()> {
        let mut transaction = store.transaction(cx).await?;
        let insert = sqlx::query("INSERT INTO effects (mark) VALUES (?1)").bind(mark);
        insert.execute(&mut *transaction).await?;
        cx.enlist(transaction)
    }

    async fn rows(&self, store: &SqliteStore, mark: &str) -> u64 {
        let mark = mark.to_owned();
        let count: Result<i64, Failed> = store
            .read(|conn| {
                Box::pin(async move {
                    let count = sqlx::query_scalar("SELECT count(mark) FROM effects WHERE mark = ?1");
                    Ok(count.bind(mark).fetch_one(conn).await?)
                })
            })
            .await;
        u64::try_from(count.expect("a count")).expect("not negative")
    }
}

store_conformance::under_faults_suite!(fresh);

mod stories {
    store_conformance::stories_suite!(fresh);
    store_conformance::transaction_stories_suite!(fresh);
}
