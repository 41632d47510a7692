//! Is there one order, one authorization, one reservation and one receipt, whatever goes wrong
//! wherever? The service's own schema, run through everything that can, with real tables, a real
//! provider and real files.

use std::path::PathBuf;

use keystep::clock::Clock;
use keystep::testing::{Process, Report, Trial};
use keystep_postgres::{PostgresOptions, PostgresStore};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use order_example::database::Database;
use order_example::domain::{Checkout, Item, Payment};
use order_example::payments::PaymentGateway;
use order_example::provider::Provider;
use order_example::receipts::Receipts;
use order_example::shop::{Counts, Shop};
use order_example::workflow::{ChargeMode, order_create};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::server::{Place, lines};

/// What all processes of a story share: the database, the provider, the folder with the files.
struct World {
    place: Place,
    clock: Clock,
    provider_url: String,
    /// The provider ends with it.
    _provider: oneshot::Sender<()>,
}

impl World {
    async fn fresh(place: Place, clock: Clock) -> Self {
        let provider = Provider::open(&place.path("payments.jsonl")).expect("opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let (open, closed) = oneshot::channel();
        tokio::spawn(provider.serve(listener, async {
            closed.await.ok();
        }));
        Self {
            place,
            clock,
            provider_url: format!("http://{address}"),
            _provider: open,
        }
    }

    /// What one service opens, on the clock of the story.
    async fn open(&self) -> Process {
        let (process, shop) = match &self.place.database {
            Database::Sqlite(file) => {
                let options = SqliteOptions::from(file).clock(self.clock.clone());
                let store = SqliteStore::open(options).await.expect("opens");
                let shop = Shop::in_sqlite(store.clone(), file).await;
                (Process::on(store), shop)
            }
            Database::Postgres(url) => {
                let options = PostgresOptions {
                    schema: self.place.schemas.store_schema.to_string(),
                    clock: self.clock.clone(),
                    ..PostgresOptions::default()
                };
                let store = PostgresStore::connect_with(url, options).await.expect("opens");
                store.migrate().await.expect("migrates");
                let tables = self.place.schemas.shop_schema.clone();
                let shop = Shop::in_postgres(store.clone(), url, tables).await;
                (Process::on(store), shop)
            }
        };
        process
            .provide(shop.expect("opens"))
            .provide(PaymentGateway::new(&self.provider_url).expect("a client"))
            .provide(Receipts::open(&self.receipts()).expect("opens"))
    }

    fn receipts(&self) -> PathBuf {
        self.place.path("receipts.jsonl")
    }
}

fn some_tea() -> Checkout {
    Checkout {
        items: vec![Item {
            sku: "TEA".into(),
            qty: 2,
        }],
        payment: Payment::Card {
            card_id: "card_1".into(),
        },
        comment: None,
    }
}

/// Runs the schema of the service through all of it, at places like this one.
async fn everything_happens_once(place: fn() -> Place, mode: ChargeMode) -> Report {
    Trial::new(order_create(mode), some_tea())
        .world(
            async move |clock| World::fresh(place(), clock).await,
            async |world: &World| world.open().await,
        )
        .check(async |world, story| {
            let shop = world.place.shop().await;
            let counts = shop.counts().await.expect("counts");
            let once = Counts {
                orders: 1,
                reservations: 1,
            };
            assert_eq!(counts, once);
            assert_eq!(lines(&world.place.path("payments.jsonl")), 1, "authorizations");
            assert_eq!(lines(&world.receipts()), 1, "receipts");
            let told = story.outcome.as_ref().expect("a receipt");
            let stored = shop.order(&told.order.order_nr).await.expect("reads");
            assert_eq!(
                stored.as_ref(),
                Some(&told.order),
                "callers are told the order that is stored"
            );
            drop(shop);
            world.place.clean_up().await;
        })
        .at_once(6)
        .run()
        .await
}

fn expect_all_of_it(report: Report, boundaries: usize) {
    println!("{report}");
    assert_eq!(report.boundaries, boundaries, "{report}");
    assert!(report.stories > 100, "{report}");
    assert!(report.takeovers >= 40, "{report}");
    assert!(report.fenced >= 8, "{report}");
}

/// A begin, a part for the line, and a commit for each step.
const BOUNDARIES: usize = 6;

#[tokio::test]
async fn whatever_goes_wrong_there_is_one_of_each_on_sqlite() {
    let report = everything_happens_once(Place::sqlite, ChargeMode::Idempotent).await;
    expect_all_of_it(report, BOUNDARIES);
}

#[tokio::test]
async fn whatever_goes_wrong_there_is_one_of_each_on_postgres() {
    let report = everything_happens_once(Place::postgres, ChargeMode::Idempotent).await;
    expect_all_of_it(report, BOUNDARIES);
}

#[tokio::test]
async fn whatever_goes_wrong_a_provider_that_is_asked_once_has_one_of_each_on_sqlite() {
    let report = everything_happens_once(Place::sqlite, ChargeMode::AtMostOnce).await;
    // That the payment begins is recorded too.
    expect_all_of_it(report, BOUNDARIES + 1);
}
