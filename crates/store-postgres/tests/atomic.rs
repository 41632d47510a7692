//! Do the steps of an atomic schema take effect together? In one transaction that goes from step to step and
//! is committed with the outcome, or not at all.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use keystep::{Engine, Key, Retry, RunError, Schema, StepContext, StepError, StepResult};
use keystep_postgres::PostgresStore;
use sqlx::AssertSqlSafe;

/// What happens in the last step, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twist {
    /// The step fails after its write.
    Fail,
    /// The step takes the transaction and does not hand it back.
    Keep,
    /// Somebody else takes the execution over.
    TakeOver,
}

struct Shop {
    schema: String,
    engine: Engine,
    order: Schema<String, i64>,
    state: Arc<State>,
}

struct State {
    schema: String,
    /// How often the first step ran.
    begun: AtomicU32,
    twist: Mutex<Option<Twist>>,
    /// How many rows others saw while the last step ran.
    seen: Mutex<Vec<i64>>,
}

/// Writes a row in the run's transaction.
async fn write(cx: &StepContext, item: &str) -> StepResult<i64> {
    let state = cx.get::<Arc<State>>()?;
    let mut tx = cx.get::<PostgresStore>()?.transaction(cx).await?;
    let schema = &state.schema;
    let insert = format!("INSERT INTO {schema}.orders (item) VALUES ($1) RETURNING id");
    let number = sqlx::query_scalar(AssertSqlSafe(insert))
        .bind(item)
        .fetch_one(&mut *tx)
        .await?;
    cx.enlist(tx)?;
    Ok(number)
}

async fn create_order(cx: StepContext, item: String) -> StepResult<i64> {
    cx.get::<Arc<State>>()?.begun.fetch_add(1, Ordering::SeqCst);
    write(&cx, &item).await
}

/// A step that needs no transaction leaves it to the next one.
async fn check(_cx: StepContext, number: i64) -> StepResult<i64> {
    Ok(number)
}

async fn add_line(cx: StepContext, number: i64) -> StepResult<i64> {
    let state = cx.get::<Arc<State>>()?;
    write(&cx, "a line").await?;
    let seen = count(&state.schema, "orders").await;
    state.seen.lock().expect("no panic").push(seen);
    let twist = state.twist.lock().expect("no panic").take();
    match twist {
        None => Ok(number),
        Some(Twist::Fail) => Err(StepError::retry("after the write")),
        Some(Twist::Keep) => {
            drop(cx.get::<PostgresStore>()?.transaction(&cx).await?);
            Ok(number)
        }
        Some(Twist::TakeOver) => {
            let schema = &state.schema;
            let take_over = format!(
                "UPDATE {schema}.executions SET epoch = epoch + 1, token = gen_random_uuid(), owner = 9"
            );
            sql(&mut session().await, take_over).await;
            Ok(number)
        }
    }
}

async fn shop(twist: Option<Twist>) -> Shop {
    let (store, schema) = store().await;
    let orders =
        format!("CREATE TABLE {schema}.orders (id bigint GENERATED ALWAYS AS IDENTITY, item text NOT NULL)");
    sql(&mut session().await, orders).await;
    let state = Arc::new(State {
        schema: schema.clone(),
        begun: AtomicU32::new(0),
        twist: Mutex::new(twist),
        seen: Mutex::default(),
    });
    let order = Schema::new("order.create")
        .atomic()
        .step("create_order", create_order)
        .step("check", check)
        .step("add_line", add_line)
        .retry(Retry::attempts(5).first_delay(Duration::from_millis(1)))
        .build();
    let engine = Engine::builder(store.clone())
        .schema(order.clone())
        .provide(store)
        .provide(Arc::clone(&state))
        .build()
        .await
        .expect("built");
    Shop {
        schema,
        engine,
        order,
        state,
    }
}

impl Shop {
    async fn run(&self) -> Result<i64, RunError> {
        let run = self.engine.run(&self.order, Key::new("a"), "tea".to_owned());
        run.within(Duration::from_secs(20)).await
    }

    /// Rows of the user, and checkpoints.
    async fn rows(&self) -> (i64, i64) {
        let schema = &self.schema;
        (count(schema, "orders").await, count(schema, "checkpoints").await)
    }

    fn begun(&self) -> u32 {
        self.state.begun.load(Ordering::SeqCst)
    }

    /// How many rows others saw before the end.
    fn seen(&self) -> Vec<i64> {
        self.state.seen.lock().expect("no panic").clone()
    }
}

async fn count(schema: &str, what: &str) -> i64 {
    number(
        &mut session().await,
        format!("SELECT count(*) FROM {schema}.{what}"),
    )
    .await
}

#[tokio::test]
async fn what_the_steps_write_is_seen_when_the_outcome_is_and_not_before() {
    let shop = shop(None).await;
    let number = shop.run().await.expect("an order");
    assert_eq!(shop.seen(), [0], "nothing is seen while the last step runs");
    assert_eq!(shop.rows().await, (2, 1), "two rows, one checkpoint");
    assert_eq!(shop.run().await.expect("the same"), number);
    assert_eq!(shop.begun(), 1);
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn an_attempt_that_fails_leaves_nothing_and_the_next_one_begins_at_the_first_step() {
    let shop = shop(Some(Twist::Fail)).await;
    shop.run().await.expect("an order, at the second attempt");
    assert_eq!(shop.rows().await, (2, 1));
    assert_eq!((shop.begun(), shop.seen()), (2, vec![0, 0]));
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn a_step_that_keeps_the_transaction_of_those_before_it_does_not_lose_their_rows() {
    let shop = shop(Some(Twist::Keep)).await;
    let outcome = shop.run().await;
    let Err(RunError::Failed(failure)) = &outcome else {
        panic!("not failed: {outcome:?}");
    };
    assert!(failure.message.contains("enlist"), "{failure:?}");
    assert_eq!(shop.rows().await, (0, 0), "no outcome without the rows");
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn a_stale_owner_is_rolled_back_with_all_its_steps() {
    let shop = shop(Some(Twist::TakeOver)).await;
    // Nobody is worker 9, so its execution is an orphan and is taken over in turn.
    shop.run().await.expect("an order, by the next owner");
    assert_eq!(shop.rows().await, (2, 1));
    assert_eq!(shop.begun(), 2);
    shop.engine.shutdown().await;
}
