//! Do the steps of an atomic schema take effect together? In one transaction that goes from step to step
//! and is committed with the outcome, or not at all.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keystep::{Engine, Key, Retry, RunError, Schema, StepContext, StepError, StepResult};
use keystep_sqlite::SqliteStore;

use crate::support::{Database, execute, number};

/// What happens in the last step, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twist {
    /// The step fails after its write.
    Fail,
    /// The step takes the transaction and does not hand it back.
    Keep,
    /// The step ends the transaction of all of them by itself.
    EndIt,
}

struct Shop {
    store: SqliteStore,
    engine: Engine,
    order: Schema<String, i64>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// How often the first step ran.
    begun: AtomicU32,
    twist: Mutex<Option<Twist>>,
    /// How many rows others saw while the last step ran.
    seen: Mutex<Vec<i64>>,
}

const ORDERS: &str = "SELECT count(id) FROM orders";

/// Writes a row in the run's transaction.
async fn write(cx: &StepContext, item: &str) -> StepResult<i64> {
    let mut tx = cx.get::<SqliteStore>()?.transaction(cx).await?;
    let insert = "INSERT INTO orders (item) VALUES (?1) RETURNING id";
    let number = sqlx::query_scalar(insert).bind(item).fetch_one(&mut *tx).await?;
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

async fn add_line(cx: StepContext, order: i64) -> StepResult<i64> {
    let state = cx.get::<Arc<State>>()?;
    let store = cx.get::<SqliteStore>()?;
    write(&cx, "a line").await?;
    let seen = number(&store, ORDERS).await;
    state.seen.lock().expect("no panic").push(seen);
    let twist = state.twist.lock().expect("no panic").take();
    match twist {
        None => Ok(order),
        Some(Twist::Fail) => Err(StepError::retry("after the write")),
        Some(Twist::Keep) => {
            drop(store.transaction(&cx).await?);
            Ok(order)
        }
        Some(Twist::EndIt) => {
            let mut tx = store.transaction(&cx).await?;
            sqlx::query("ROLLBACK").execute(&mut *tx).await?;
            cx.enlist(tx)?;
            Ok(order)
        }
    }
}

async fn shop(database: &Database, twist: Option<Twist>) -> Shop {
    let store = database.open().await;
    execute(
        &store,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL)",
    )
    .await;
    let state = Arc::new(State {
        twist: Mutex::new(twist),
        ..State::default()
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
        .provide(store.clone())
        .provide(Arc::clone(&state))
        .build()
        .await
        .expect("built");
    Shop {
        store,
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
        (
            number(&self.store, ORDERS).await,
            number(&self.store, "SELECT count(step) FROM keystep_checkpoints").await,
        )
    }

    fn begun(&self) -> u32 {
        self.state.begun.load(Ordering::SeqCst)
    }

    /// How many rows others saw before the end.
    fn seen(&self) -> Vec<i64> {
        self.state.seen.lock().expect("no panic").clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_steps_write_is_seen_when_the_outcome_is_and_not_before() {
    let database = Database::new();
    let shop = shop(&database, None).await;
    let order = shop.run().await.expect("an order");
    assert_eq!(shop.seen(), [0], "nothing is seen while the last step runs");
    assert_eq!(shop.rows().await, (2, 1), "two rows, one checkpoint");
    assert_eq!(shop.run().await.expect("the same"), order);
    assert_eq!(shop.begun(), 1);
    shop.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_leaves_nothing_and_the_next_one_begins_at_the_first_step() {
    let database = Database::new();
    let shop = shop(&database, Some(Twist::Fail)).await;
    shop.run().await.expect("an order, at the second attempt");
    assert_eq!(shop.rows().await, (2, 1));
    assert_eq!((shop.begun(), shop.seen()), (2, vec![0, 0]));
    shop.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_keeps_or_ends_the_transaction_of_those_before_it_gives_no_outcome() {
    for twist in [Twist::Keep, Twist::EndIt] {
        let database = Database::new();
        let shop = shop(&database, Some(twist)).await;
        let outcome = shop.run().await;
        assert!(
            matches!(outcome, Err(RunError::Failed(_))),
            "{twist:?}: {outcome:?}"
        );
        assert_eq!(shop.rows().await.0, 0, "{twist:?}: no outcome without the rows");
        // The writer is free again.
        execute(&shop.store, "INSERT INTO orders (item) VALUES ('by hand')").await;
        shop.engine.shutdown().await;
    }
}
