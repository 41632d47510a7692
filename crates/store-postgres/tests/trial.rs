//! Does a schema on a real server survive everything that the kit for users can think of? One step
//! writes in a transaction of its own, another by itself under its key.

mod common;

use common::{fresh_schema, number, session, sql, url};
use keystep::clock::Clock;
use keystep::testing::{Process, Trial};
use keystep::{Schema, StepContext, StepResult};
use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A schema of the server that the processes of a story share.
struct World {
    schema: String,
    clock: Clock,
}

/// The name of that schema, for steps.
struct Tables(String);

impl World {
    async fn fresh(clock: Clock) -> Self {
        let schema = fresh_schema();
        let world = Self { schema, clock };
        let store = world.open().await;
        store.migrate().await.expect("migrated");
        let schema = &world.schema;
        let tables = format!(
            "CREATE TABLE {schema}.reservations (key text PRIMARY KEY); \
             CREATE TABLE {schema}.orders (run uuid PRIMARY KEY, sku text NOT NULL)"
        );
        sql(&mut session().await, tables).await;
        world
    }

    async fn open(&self) -> PostgresStore {
        let options = PostgresOptions {
            schema: self.schema.clone(),
            clock: self.clock.clone(),
            ..PostgresOptions::default()
        };
        PostgresStore::connect_with(&url(), options)
            .await
            .expect("the server is up")
    }
}

async fn reserve(cx: StepContext, sku: String) -> StepResult<String> {
    let Tables(schema) = &*cx.get::<Tables>()?;
    let insert = format!("INSERT INTO {schema}.reservations (key) VALUES ($1) ON CONFLICT DO NOTHING");
    let mut connection = PgConnection::connect(&url()).await?;
    sqlx::query(AssertSqlSafe(insert))
        .bind(cx.idempotency_key())
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(sku)
}

async fn order(cx: StepContext, sku: String) -> StepResult<String> {
    let Tables(schema) = &*cx.get::<Tables>()?;
    let mut tx = cx.get::<PostgresStore>()?.transaction(&cx).await?;
    let insert = format!("INSERT INTO {schema}.orders (run, sku) VALUES ($1, $2)");
    sqlx::query(AssertSqlSafe(insert))
        .bind(cx.run_id().0)
        .bind(&sku)
        .execute(&mut *tx)
        .await?;
    cx.enlist(tx)?;
    Ok(sku)
}

#[tokio::test]
async fn a_step_in_a_transaction_takes_effect_once_wherever_its_process_ends() {
    let schema = Schema::new("order.create")
        .step("reserve", reserve)
        .step("order", order)
        .build();
    let report = Trial::new(schema, "tea".to_owned())
        .world(World::fresh, async |world: &World| {
            let store = world.open().await;
            Process::on(store.clone())
                .provide(store)
                .provide(Tables(world.schema.clone()))
        })
        .check(async |world, story| {
            let schema = &world.schema;
            let mut session = session().await;
            for table in ["orders", "reservations"] {
                let count = format!("SELECT count(*) FROM {schema}.{table}");
                assert_eq!(number(&mut session, count).await, 1, "{table}");
            }
            assert_eq!(story.outcome.as_deref(), Ok("tea"));
            sql(&mut session, format!("DROP SCHEMA {schema} CASCADE")).await;
        })
        .at_once(4)
        .run()
        .await;
    println!("{report}");
    assert_eq!(report.boundaries, 3, "a begin and two commits");
    assert!(report.stories > 60, "{report}");
    assert!(report.takeovers >= 30, "{report}");
    assert!(report.fenced >= 5, "{report}");
}
