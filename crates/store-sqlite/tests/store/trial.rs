//! Does a schema on a real file survive everything that the kit for users can think of? One step
//! writes in a transaction of its own, another by itself under its key.

use keystep::clock::Clock;
use keystep::testing::{Process, Trial};
use keystep::{Schema, StepContext, StepResult};
use keystep_sqlite::{SqliteOptions, SqliteStore};

use crate::support::{Database, Failed, execute, number};

const TABLES: &str = "CREATE TABLE reservations (key TEXT PRIMARY KEY);
    CREATE TABLE orders (nr INTEGER PRIMARY KEY, sku TEXT NOT NULL)";
const RESERVE: &str = "INSERT INTO reservations (key) VALUES (?1) ON CONFLICT DO NOTHING";
const ORDER: &str = "INSERT INTO orders (sku) VALUES (?1) RETURNING nr";
const RESERVATIONS: &str = "SELECT count(key) FROM reservations";
const ORDERS: &str = "SELECT count(nr) FROM orders";

/// A file that the processes of a story share.
struct World {
    database: Database,
    clock: Clock,
}

impl World {
    async fn fresh(clock: Clock) -> Self {
        let world = Self {
            database: Database::new(),
            clock,
        };
        execute(&world.open().await, TABLES).await;
        world
    }

    async fn open(&self) -> SqliteStore {
        let options = SqliteOptions::from(self.database.path()).clock(self.clock.clone());
        SqliteStore::open(options).await.expect("a database")
    }
}

async fn reserve(cx: StepContext, sku: String) -> StepResult<String> {
    let key = cx.idempotency_key();
    let reserved: Result<(), Failed> = cx
        .get::<SqliteStore>()?
        .write(|conn| {
            Box::pin(async move {
                sqlx::query(RESERVE).bind(key).execute(conn).await?;
                Ok(())
            })
        })
        .await;
    reserved.map_err(|error| error.to_string())?;
    Ok(sku)
}

async fn order(cx: StepContext, sku: String) -> StepResult<i64> {
    let mut tx = cx.get::<SqliteStore>()?.transaction(&cx).await?;
    let nr = sqlx::query_scalar(ORDER).bind(sku).fetch_one(&mut *tx).await?;
    cx.enlist(tx)?;
    Ok(nr)
}

fn trial() -> Trial<String, i64, World> {
    let schema = Schema::new("order.create")
        .step("reserve", reserve)
        .step("order", order)
        .build();
    Trial::new(schema, "tea".to_owned())
        .world(World::fresh, async |world: &World| {
            let store = world.open().await;
            Process::on(store.clone()).provide(store)
        })
        .check(async |world, story| {
            let store = world.open().await;
            assert_eq!(number(&store, ORDERS).await, 1, "an order");
            assert_eq!(number(&store, RESERVATIONS).await, 1, "a reservation");
            assert_eq!(story.outcome, Ok(1));
        })
}

#[tokio::test]
async fn a_step_in_a_transaction_takes_effect_once_wherever_its_process_ends() {
    let report = trial().at_once(8).random(20).run().await;
    println!("{report}");
    assert_eq!(report.boundaries, 3, "a begin and two commits");
    assert!(report.stories > 60, "{report}");
    assert!(report.takeovers >= 30, "{report}");
    assert!(report.fenced >= 5, "{report}");
}

/// Neither the burial of the first process nor the start of a third one waits for it; nor does the
/// story wait for a first process that can not write meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_stands_still_in_its_transaction_holds_no_story_up() {
    for script in [
        "oversleep before begin 1; pause before commit 2",
        "pause after commit 1; oversleep before commit 1",
        "pause after commit 1; pause before commit 1",
    ] {
        let report = trial().replay(script).run().await;
        assert_eq!(report.incomplete, 0, "{report}");
    }
}
