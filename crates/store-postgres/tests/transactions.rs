//! Does a step's own transaction take effect exactly once? Together with the checkpoint, or not at
//! all.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use keystep::{Engine, Key, Retry, Schema, StepContext, StepError, StepResult};
use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection};
use store_conformance::proxy::Proxy;

/// What happens in the step after it has written its row.
enum Twist {
    /// The step fails.
    Fail,
    /// The step forgets its transaction.
    Forget,
    /// Somebody else takes the execution over.
    TakeOver,
    /// The network fails.
    Cut,
    /// The network fails while the commit is on its way.
    CutDuringCommit,
}

/// A table of orders, an engine whose step writes to it, and what is to happen.
struct Shop {
    schema: String,
    proxy: Proxy,
    engine: Engine,
    step: Schema<String, i64>,
    state: Arc<State>,
}

struct State {
    schema: String,
    attempts: AtomicU32,
    twists: Mutex<Vec<Twist>>,
    /// Asks the test to cut the network.
    cut: tokio::sync::Notify,
    is_cut: tokio::sync::Notify,
}

async fn create_order(cx: StepContext, item: String) -> StepResult<i64> {
    let state = cx.get::<Arc<State>>()?;
    let store = cx.get::<PostgresStore>()?;
    state.attempts.fetch_add(1, Ordering::SeqCst);
    let schema = &state.schema;
    let mut tx = store.transaction(&cx).await?;
    let insert = format!("INSERT INTO {schema}.orders (item) VALUES ($1) RETURNING id");
    let number: i64 = sqlx::query_scalar(AssertSqlSafe(insert))
        .bind(&item)
        .fetch_one(&mut *tx)
        .await?;
    let twist = state.twists.lock().expect("no panic").pop();
    match twist {
        None => {}
        Some(Twist::Fail) => return Err(StepError::retry("after the write")),
        Some(Twist::Forget) => return Ok(number),
        Some(Twist::TakeOver) => {
            let take_over = format!(
                "UPDATE {schema}.executions SET epoch = epoch + 1, token = gen_random_uuid(), owner = 9"
            );
            sql(&mut session().await, take_over).await;
        }
        Some(Twist::Cut) => {
            state.cut.notify_one();
            state.is_cut.notified().await;
        }
        Some(Twist::CutDuringCommit) => state.cut.notify_one(),
    }
    cx.enlist(tx)?;
    Ok(number)
}

async fn shop(twist: Option<Twist>) -> Shop {
    let schema = fresh_schema();
    let proxy = Proxy::before(&url()).expect("a proxy");
    let options = PostgresOptions {
        schema: schema.clone(),
        transactions: 1,
        deadline: Duration::from_secs(4),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::connect_with(proxy.url(), options)
        .await
        .expect("connected");
    shop_on(store, schema, proxy, twist).await
}

async fn shop_on(store: PostgresStore, schema: String, proxy: Proxy, twist: Option<Twist>) -> Shop {
    store.migrate().await.expect("migrated");
    let orders =
        format!("CREATE TABLE {schema}.orders (id bigint GENERATED ALWAYS AS IDENTITY, item text NOT NULL)");
    sql(&mut session().await, orders).await;
    let state = Arc::new(State {
        schema: schema.clone(),
        attempts: AtomicU32::new(0),
        twists: Mutex::new(twist.into_iter().collect()),
        cut: tokio::sync::Notify::new(),
        is_cut: tokio::sync::Notify::new(),
    });
    let step = Schema::new("order.create")
        .step("create_order", create_order)
        .retry(Retry::attempts(5).first_delay(Duration::from_millis(1)))
        .build();
    let engine = Engine::builder(store.clone())
        .schema(step.clone())
        .provide(store)
        .provide(Arc::clone(&state))
        .build()
        .await
        .expect("built");
    Shop {
        schema,
        proxy,
        engine,
        step,
        state,
    }
}

impl Shop {
    async fn order(&self, key: &str) -> Result<i64, keystep::RunError> {
        self.engine.run(&self.step, Key::new(key), "tea".to_owned()).await
    }

    async fn count(&self, what: &str) -> i64 {
        let schema = &self.schema;
        number(
            &mut session().await,
            format!("SELECT count(*) FROM {schema}.{what}"),
        )
        .await
    }

    fn attempts(&self) -> u32 {
        self.state.attempts.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn the_row_and_the_checkpoint_are_committed_together() {
    let shop = shop(None).await;
    let number = shop.order("a").await.expect("an order");
    assert_eq!(shop.order("a").await.expect("the same"), number);
    assert_eq!(
        (shop.count("orders").await, shop.count("checkpoints").await),
        (1, 1)
    );
    assert_eq!(shop.attempts(), 1);
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn a_step_that_fails_after_its_write_leaves_nothing_behind() {
    let shop = shop(Some(Twist::Fail)).await;
    shop.order("a").await.expect("an order, at the second attempt");
    assert_eq!(
        (shop.count("orders").await, shop.count("checkpoints").await),
        (1, 1)
    );
    assert_eq!(shop.attempts(), 2);
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn a_transaction_that_is_not_enlisted_is_rolled_back() {
    let shop = shop(Some(Twist::Forget)).await;
    shop.order("a").await.expect("an output");
    assert_eq!(
        (shop.count("orders").await, shop.count("checkpoints").await),
        (0, 1)
    );
    // Its connection is the only one, and free again.
    shop.order("b").await.expect("an order");
    assert_eq!(shop.count("orders").await, 1);
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn a_stale_owner_is_rolled_back_although_its_step_ran_to_the_end() {
    let shop = shop(Some(Twist::TakeOver)).await;
    let outcome = shop
        .engine
        .run(&shop.step, Key::new("a"), "tea".to_owned())
        .within(Duration::from_secs(20))
        .await;
    // Nobody is worker 9, so its execution is an orphan and is taken over in turn.
    outcome.expect("an order, by the next owner");
    assert_eq!(
        (shop.count("orders").await, shop.count("checkpoints").await),
        (1, 1)
    );
    assert_eq!(shop.attempts(), 2);
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn a_connection_lost_before_the_commit_leaves_nothing_behind_and_the_step_runs_again() {
    let shop = shop(Some(Twist::Cut)).await;
    let cut = async {
        shop.state.cut.notified().await;
        shop.proxy.cut();
        shop.state.is_cut.notify_one();
    };
    let (outcome, ()) = tokio::join!(shop.order("a"), cut);
    outcome.expect("an order, at the second attempt");
    assert_eq!(
        (shop.count("orders").await, shop.count("checkpoints").await),
        (1, 1)
    );
    assert_eq!(shop.attempts(), 2);
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_and_the_step_does_not_run_again() {
    let shop = shop(Some(Twist::CutDuringCommit)).await;
    let schema = &shop.schema;
    // The commit waits for a lock that the test holds.
    let lock = i64::from(std::process::id()) << 16 | 7;
    let mut holder = session().await;
    sql(
        &mut holder,
        format!(
            "CREATE FUNCTION {schema}.hold() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_advisory_xact_lock({lock}); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON {schema}.orders \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.hold(); \
             SELECT pg_advisory_lock({lock})"
        ),
    )
    .await;
    let cut = async {
        shop.state.cut.notified().await;
        until("the commit is on its way", async || {
            let waiting = format!(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                 AND objid::bigint = {lock}::bigint & 4294967295 AND classid::bigint = {lock}::bigint >> 32"
            );
            number(&mut session().await, waiting).await == 1
        })
        .await;
        shop.proxy.cut();
        // The engine asks what became of it, and waits for the row.
        tokio::time::sleep(Duration::from_millis(300)).await;
        sql(&mut holder, format!("SELECT pg_advisory_unlock({lock})")).await;
    };
    let (outcome, ()) = tokio::join!(shop.order("a"), cut);
    outcome.expect("an order");
    assert_eq!(
        (shop.count("orders").await, shop.count("checkpoints").await),
        (1, 1)
    );
    assert_eq!(shop.attempts(), 1, "it had been committed");
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn many_steps_share_one_connection_without_starving_the_store() {
    let shop = shop(None).await;
    let orders = (0..30).map(|n| async move { n.to_string() });
    let keys: Vec<String> = futures::future::join_all(orders).await;
    let all = futures::future::join_all(keys.iter().map(|key| shop.order(key))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(shop.count("orders").await, 30);
    assert_eq!(shop.attempts(), 30);
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn a_store_over_a_pool_takes_transactions_from_it_as_it_is() {
    let schema = fresh_schema();
    let proxy = Proxy::before(&url()).expect("a proxy");
    let path = schema.clone();
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .after_connect(move |connection, _about| {
            let path = format!("SET search_path = {path}");
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(path)).execute(connection).await?;
                Ok(())
            })
        })
        .connect(&url())
        .await
        .expect("the server is up");
    let options = PostgresOptions {
        schema: schema.clone(),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::from_pool(pool, options).await.expect("opened");
    let shop = shop_on(store.clone(), schema, proxy, None).await;
    shop.order("a").await.expect("an order");

    async fn by_search_path(cx: StepContext, item: String) -> StepResult<i64> {
        let store = cx.get::<PostgresStore>()?;
        let mut tx = store.transaction(&cx).await?;
        let insert = "INSERT INTO orders (item) VALUES ($1) RETURNING id";
        // A step may use savepoints.
        let mut savepoint = tx.begin().await?;
        let number = sqlx::query_scalar(insert)
            .bind(&item)
            .fetch_one(&mut *savepoint)
            .await?;
        savepoint.commit().await?;
        let mut undone = tx.begin().await?;
        sqlx::query(insert).bind(&item).execute(&mut *undone).await?;
        undone.rollback().await?;
        cx.enlist(tx)?;
        Ok(number)
    }
    let step = Schema::new("by_search_path")
        .step("insert", by_search_path)
        .build();
    let engine = Engine::builder(store.clone())
        .schema(step.clone())
        .provide(store)
        .build()
        .await
        .expect("built");
    engine
        .run(&step, Key::new("b"), "tea".to_owned())
        .await
        .expect("an order");
    assert_eq!(shop.count("orders").await, 2);
    engine.shutdown().await;
    shop.engine.shutdown().await;
}
