//! Are a step's own rows there exactly when its checkpoint is, and is the writer free afterwards?

use std::sync::Arc;
use std::time::Duration;

use keystep::execution::{ExecutionId, WorkerId};
use keystep::store::{Acquired, Enlisted, How, Store, StoreError, Then, Verdict};
use keystep::{
    Engine, IntoEnlisted, Retry, RunError, Schema, StepContext, StepError, StepResult, WorkerOptions,
};
use keystep_sqlite::{SqliteOptions, SqliteStore, SqliteTransaction};
use tokio::sync::Semaphore;

use crate::support::{Database, acquire_of, commit_of, execute, number, start};

const TABLES: &str = "CREATE TABLE orders (sku TEXT PRIMARY KEY);
    CREATE TABLE items (sku TEXT REFERENCES orders (sku) DEFERRABLE INITIALLY DEFERRED)";
const COUNT: &str = "SELECT count(sku) FROM orders";

/// A database with the tables of an application.
async fn shop(database: &Database) -> SqliteStore {
    let store = database.open().await;
    execute(&store, TABLES).await;
    store
}

async fn insert(transaction: &mut SqliteTransaction, sku: &str) -> Result<(), sqlx::Error> {
    let insert = sqlx::query("INSERT INTO orders (sku) VALUES (?1)").bind(sku);
    insert.execute(&mut **transaction).await.map(drop)
}

/// Tells the test where a step is, and holds it there.
struct Gate {
    reached: Semaphore,
    opened: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            reached: Semaphore::new(0),
            opened: Semaphore::new(0),
        }
    }
}

impl Gate {
    async fn pass(&self) {
        self.reached.add_permits(1);
        self.opened.acquire().await.expect("open for ever").forget();
    }

    async fn reached(&self) {
        self.reached.acquire().await.expect("open for ever").forget();
    }

    fn open(&self) {
        self.opened.add_permits(1);
    }
}

type Order = Schema<String, u32>;

fn schema<F, Fut>(step: F) -> Order
where
    F: Fn(StepContext, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StepResult<u32>> + Send + 'static,
{
    Schema::new("order")
        .step("insert", step)
        .retry(Retry::none())
        .build()
}

async fn engine(store: &SqliteStore, schema: &Order, gate: &Arc<Gate>) -> Engine {
    Engine::builder(store.clone())
        .schema(schema.clone())
        .provide(store.clone())
        .provide(Arc::clone(gate))
        .worker(WorkerOptions {
            drain: Duration::from_millis(100),
            ..WorkerOptions::default()
        })
        .build()
        .await
        .expect("an engine")
}

async fn good(cx: StepContext, sku: String) -> StepResult<u32> {
    let mut transaction = cx.get::<SqliteStore>()?.transaction(&cx).await?;
    insert(&mut transaction, &sku).await?;
    cx.enlist(transaction)?;
    Ok(7)
}

async fn fails_after_enlisting(cx: StepContext, sku: String) -> StepResult<u32> {
    let _output = good(cx, sku).await?;
    Err(StepError::terminal("no"))
}

async fn fails_before_enlisting(cx: StepContext, sku: String) -> StepResult<u32> {
    let mut transaction = cx.get::<SqliteStore>()?.transaction(&cx).await?;
    insert(&mut transaction, &sku).await?;
    Err(StepError::terminal("no"))
}

async fn forgets_to_enlist(cx: StepContext, sku: String) -> StepResult<u32> {
    let mut transaction = cx.get::<SqliteStore>()?.transaction(&cx).await?;
    insert(&mut transaction, &sku).await?;
    Ok(7)
}

async fn ends_it_itself(cx: StepContext, sku: String) -> StepResult<u32> {
    let mut transaction = cx.get::<SqliteStore>()?.transaction(&cx).await?;
    insert(&mut transaction, &sku).await?;
    sqlx::query("ROLLBACK").execute(&mut *transaction).await?;
    cx.enlist(transaction)?;
    Ok(7)
}

async fn overlooks_that_all_was_undone(cx: StepContext, sku: String) -> StepResult<u32> {
    let mut transaction = cx.get::<SqliteStore>()?.transaction(&cx).await?;
    insert(&mut transaction, &sku).await?;
    let again = "INSERT OR ROLLBACK INTO orders (sku) SELECT sku FROM orders";
    assert!(sqlx::query(again).execute(&mut *transaction).await.is_err());
    cx.enlist(transaction)?;
    Ok(7)
}

async fn leaves_a_dangling_reference(cx: StepContext, sku: String) -> StepResult<u32> {
    let mut transaction = cx.get::<SqliteStore>()?.transaction(&cx).await?;
    let item = sqlx::query("INSERT INTO items (sku) VALUES (?1)").bind(sku);
    item.execute(&mut *transaction).await?;
    cx.enlist(transaction)?;
    Ok(7)
}

async fn waits_before_its_transaction(cx: StepContext, sku: String) -> StepResult<u32> {
    let gate = cx.get::<Arc<Gate>>()?;
    gate.pass().await;
    let output = good(cx, sku).await?;
    gate.reached.add_permits(1);
    Ok(output)
}

async fn waits_after_enlisting(cx: StepContext, sku: String) -> StepResult<u32> {
    let output = good(cx.clone(), sku).await?;
    cx.get::<Arc<Gate>>()?.pass().await;
    Ok(output)
}

#[tokio::test]
async fn the_rows_of_a_step_are_committed_with_its_checkpoint() {
    let database = Database::new();
    let store = shop(&database).await;
    let schema = schema(good);
    let engine = engine(&store, &schema, &Arc::default()).await;
    assert_eq!(engine.run(&schema, "k", "apple".to_owned()).await, Ok(7));
    assert_eq!(engine.run(&schema, "k", "apple".to_owned()).await, Ok(7));
    assert_eq!(number(&store, COUNT).await, 1);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_step_that_does_not_succeed_leaves_no_rows_and_a_free_writer() {
    let database = Database::new();
    let store = shop(&database).await;
    let (before, after) = (schema(fails_before_enlisting), schema(fails_after_enlisting));
    for (key, schema) in [("before", before), ("after", after)] {
        let engine = engine(&store, &schema, &Arc::default()).await;
        let failed = engine.run(&schema, key, "apple".to_owned()).await;
        assert!(matches!(failed, Err(RunError::Failed(_))), "{failed:?}");
        engine.shutdown().await;
    }
    assert_eq!(number(&store, COUNT).await, 0);
}

#[tokio::test]
async fn a_transaction_that_is_not_enlisted_is_rolled_back_and_the_step_recorded() {
    let database = Database::new();
    let store = shop(&database).await;
    let schema = schema(forgets_to_enlist);
    let engine = engine(&store, &schema, &Arc::default()).await;
    assert_eq!(engine.run(&schema, "k", "apple".to_owned()).await, Ok(7));
    assert_eq!(number(&store, COUNT).await, 0);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_step_whose_rows_are_gone_is_not_recorded() {
    let database = Database::new();
    let store = shop(&database).await;
    for (key, schema) in [
        ("itself", schema(ends_it_itself)),
        ("undone", schema(overlooks_that_all_was_undone)),
        ("dangling", schema(leaves_a_dangling_reference)),
    ] {
        let engine = engine(&store, &schema, &Arc::default()).await;
        let failed = engine.run(&schema, key, "apple".to_owned()).await;
        assert!(matches!(failed, Err(RunError::Failed(_))), "{key}: {failed:?}");
        engine.shutdown().await;
        assert_eq!(number(&store, COUNT).await, 0, "{key}");
        let steps = number(&store, "SELECT count(step) FROM keystep_checkpoints").await;
        assert_eq!(steps, 0, "{key}");
    }
}

/// Takes the execution over as another process would, while its owner still works.
async fn take_over(store: &SqliteStore, id: ExecutionId) {
    let seen = store.find(vec![id]).await.expect("a read")[0].seen();
    let acquired = store
        .acquire(acquire_of(seen, How::TakeOver))
        .await
        .expect("an answer");
    assert!(matches!(acquired, Acquired::Won { .. }), "{acquired:?}");
}

#[tokio::test]
async fn the_rows_of_a_stale_owner_are_rolled_back_though_its_body_ran_to_the_end() {
    let database = Database::new();
    let store = shop(&database).await;
    let other = SqliteStore::connect(database.path())
        .await
        .expect("a second handle");
    let (schema, gate) = (schema(waits_before_its_transaction), Arc::<Gate>::default());
    let engine = engine(&store, &schema, &gate).await;
    let handle = engine.run(&schema, "k", "apple".to_owned()).submit().await;
    let id = handle.expect("started").id();
    gate.reached().await;
    take_over(&other, id).await;
    gate.open();
    gate.reached().await;
    // The transaction holds the writer to its end, so this write comes after it.
    start(&store, "next", WorkerId(1)).await;
    assert_eq!(number(&store, COUNT).await, 0);
    let steps = number(&store, "SELECT count(step) FROM keystep_checkpoints").await;
    assert_eq!(steps, 0);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_step_that_is_cancelled_after_enlisting_leaves_no_rows_and_a_free_writer() {
    let database = Database::new();
    let store = shop(&database).await;
    let (schema, gate) = (schema(waits_after_enlisting), Arc::<Gate>::default());
    let engine = engine(&store, &schema, &gate).await;
    let handle = engine.run(&schema, "k", "apple".to_owned()).submit().await;
    handle.expect("started");
    gate.reached().await;
    engine.shutdown().await;
    start(&store, "next", WorkerId(1)).await;
    assert_eq!(number(&store, COUNT).await, 0);
}

async fn uses_another_store(cx: StepContext, sku: String) -> StepResult<u32> {
    let other = cx.get::<Arc<SqliteStore>>()?;
    let mut transaction = other.transaction(&cx).await?;
    insert(&mut transaction, &sku).await?;
    cx.enlist(transaction)?;
    Ok(7)
}

#[tokio::test]
async fn a_transaction_of_another_store_is_refused_when_it_is_opened() {
    let (one, two) = (Database::new(), Database::new());
    let (store, other) = (shop(&one).await, shop(&two).await);
    let schema = schema(uses_another_store);
    let engine = Engine::builder(store)
        .schema(schema.clone())
        .provide(Arc::new(other.clone()));
    let engine = engine.build().await.expect("an engine");
    let failed = engine.run(&schema, "k", "apple".to_owned()).await;
    match failed {
        Err(RunError::Failed(failure)) => assert!(failure.message.contains("the store"), "{failure:?}"),
        answer => panic!("{answer:?}"),
    }
    assert_eq!(number(&other, COUNT).await, 0);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_begin_whose_caller_is_dropped_leaves_no_transaction_open() {
    let database = Database::new();
    let store = shop(&database).await;
    for _ in 0..100 {
        let mut begin = Box::pin(store.unbound_transaction());
        // Dropped at its first await, or a little later.
        let _begun = futures::poll!(&mut begin);
        tokio::task::yield_now().await;
    }
    let transaction = store.unbound_transaction().await.expect("a free writer");
    drop(transaction);
    start(&store, "next", WorkerId(1)).await;
}

#[tokio::test]
async fn the_lane_waits_while_a_transaction_is_open() {
    let database = Database::new();
    let store = shop(&database).await;
    let fence = start(&store, "k", WorkerId(1)).await;
    let mut transaction = store.unbound_transaction().await.expect("a transaction");
    let mut commit = Box::pin(store.commit(commit_of(fence, "one", Then::Continue)));
    assert!(futures::poll!(&mut commit).is_pending());
    insert(&mut transaction, "apple").await.expect("a row");
    let mut own = commit_of(fence, "two", Then::Continue);
    own.enlisted = Some(transaction.into_enlisted());
    assert_eq!(store.commit(own).await.expect("an answer"), Verdict::Written);
    assert_eq!(commit.await.expect("an answer"), Verdict::Written);
    assert_eq!(number(&store, COUNT).await, 1);
}

#[tokio::test]
async fn what_another_store_opened_is_rejected_and_leaves_its_writer_free() {
    let (one, two) = (Database::new(), Database::new());
    let (store, other) = (shop(&one).await, shop(&two).await);
    let fence = start(&store, "k", WorkerId(1)).await;
    let transaction = other.unbound_transaction().await.expect("a transaction");
    let strange = Enlisted {
        instance: store.describe().instance,
        transaction: Box::new("not a transaction"),
    };
    for enlisted in [transaction.into_enlisted(), strange] {
        let mut commit = commit_of(fence, "one", Then::Continue);
        commit.enlisted = Some(enlisted);
        let rejected = store.commit(commit).await;
        assert!(matches!(rejected, Err(StoreError::Rejected(_))), "{rejected:?}");
    }
    start(&other, "next", WorkerId(1)).await;
}

#[tokio::test]
async fn rows_of_a_write_that_is_recorded_already_do_not_come_a_second_time() {
    let database = Database::new();
    let store = shop(&database).await;
    let fence = start(&store, "k", WorkerId(1)).await;
    let write_id = keystep::execution::WriteId::fresh();
    for sku in ["apple", "pear"] {
        let mut transaction = store.unbound_transaction().await.expect("a transaction");
        insert(&mut transaction, sku).await.expect("a row");
        let mut commit = commit_of(fence, "one", Then::Continue);
        commit.write_id = write_id;
        commit.enlisted = Some(transaction.into_enlisted());
        assert_eq!(store.commit(commit).await.expect("an answer"), Verdict::Written);
    }
    assert_eq!(number(&store, COUNT).await, 1);
}

#[tokio::test]
async fn a_second_writer_of_the_same_step_ends_as_unavailable_instead_of_a_dead_lock() {
    let database = Database::new();
    drop(shop(&database).await);
    let options = SqliteOptions::from(database.path()).busy_timeout(Duration::from_millis(100));
    let store = SqliteStore::open(options).await.expect("the same database");
    let transaction = store.unbound_transaction().await.expect("a transaction");
    let refused: Result<(), StoreError> = store.write(|_conn| Box::pin(async { Ok(()) })).await;
    match refused {
        Err(StoreError::Unavailable(why)) => assert!(why.contains("a step's transaction"), "{why}"),
        answer => panic!("{answer:?}"),
    }
    drop(transaction);
    start(&store, "next", WorkerId(1)).await;
}

#[tokio::test]
async fn a_long_queue_of_short_transactions_is_waited_for() {
    let database = Database::new();
    drop(shop(&database).await);
    let options = SqliteOptions::from(database.path()).busy_timeout(Duration::from_secs(1));
    let store = SqliteStore::open(options).await.expect("the same database");
    let steps = (0..15).map(|_| async {
        let transaction = store.unbound_transaction().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        transaction.map(drop)
    });
    for step in futures::future::join_all(steps).await {
        step.expect("the last one waits for longer than the busy timeout");
    }
}
