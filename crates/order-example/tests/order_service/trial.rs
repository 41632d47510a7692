//! Is there one order, one authorization, one reservation, one receipt and one payment, whatever goes
//! wrong wherever? The service's own schemas, run through everything that can, with real tables, a real
//! provider and real files.

use std::path::PathBuf;

use keystep::clock::Clock;
use keystep::testing::{Process, Report, Trial};
use keystep_postgres::{PostgresOptions, PostgresStore};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use order_example::database::Database;
use order_example::domain::{CartAt, Checkout, Delivery, Line, Money, Offer, Payment, PaymentRequest, Seen};
use order_example::ledger::Ledger;
use order_example::payments::PaymentGateway;
use order_example::provider::{Entry, Provider, Stats};
use order_example::receipts::Receipts;
use order_example::shop::{Counts, Shop};
use order_example::workflow::{ChargeMode, Policy, order_create, payment_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
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
    /// A world in which `planted` is in the shop's tables: each story has its own, and all ask for the same.
    async fn with(place: Place, clock: Clock, planted: &'static str) -> Self {
        drop(place.shop().await);
        plant(&place, planted).await;
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

    /// What the provider did.
    fn stats(&self) -> Stats {
        let ledger = Ledger::<Entry>::read(&self.place.path("payments.jsonl"));
        ledger.expect("reads").iter().collect()
    }
}

/// Runs statements on the shop's tables.
async fn plant(place: &Place, statements: &'static str) {
    match &place.database {
        Database::Sqlite(file) => {
            let url = format!("sqlite:{}", file.display());
            let mut connection = SqliteConnection::connect(&url).await.expect("connects");
            let planted = sqlx::raw_sql(statements).execute(&mut connection).await;
            planted.expect("plants");
            connection.close().await.expect("closes");
        }
        Database::Postgres(url) => {
            let mut connection = PgConnection::connect(url).await.expect("connects");
            let schema = &place.schemas.shop_schema;
            let statements = format!("SET search_path TO {schema}; {statements}");
            let planted = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection);
            planted.await.expect("plants");
            connection.close().await.expect("closes");
        }
    }
}

fn in_mode(charge_mode: ChargeMode) -> Policy {
    Policy {
        charge_mode,
        ..Policy::default()
    }
}

/// A cart with two packets of tea.
const CART: &str = "INSERT INTO carts (owner, cart_id, revision, items) VALUES ('anna', 'c_1', 1, '[]')";

fn some_tea() -> Checkout {
    let line = Line {
        sku: "TEA".into(),
        qty: 2,
        unit_price: Money::new(1000, "RUB"),
    };
    Checkout {
        owner: "anna".into(),
        offer: Offer {
            request_id: Some("req_1".into()),
            cart: Some(CartAt {
                id: "c_1".into(),
                revision: 1,
            }),
            payment: Payment::Card {
                card_id: "card_1".into(),
            },
            delivery: Delivery::Courier,
            items: vec![line],
            total: Money::new(2000, "RUB"),
        },
        comment: None,
        seen_orders: Seen::one(0),
    }
}

/// Runs the schema of orders through all of it, at places like this one.
async fn every_order_happens_once(place: fn() -> Place, mode: ChargeMode) -> Report {
    Trial::new(order_create(in_mode(mode)), some_tea())
        .world(
            async move |clock| World::with(place(), clock, CART).await,
            async |world: &World| world.open().await,
        )
        .check(async |world, story| {
            let shop = world.place.shop().await;
            let counts = shop.counts().await.expect("counts");
            let once = Counts {
                orders: 1,
                reservations: 1,
                payments: 0,
            };
            assert_eq!(counts, once);
            assert_eq!(world.stats().authorizations, 1);
            assert_eq!(lines(&world.place.path("payments.jsonl")), 1, "and no void");
            assert_eq!(lines(&world.receipts()), 1, "receipts");
            let told = story.outcome.as_ref().expect("a receipt");
            let list = shop.orders("anna").await.expect("reads");
            assert_eq!(list.version, 1);
            assert_eq!(
                list.orders.as_slice(),
                std::slice::from_ref(&told.order),
                "callers are told the order that is stored"
            );
            let cart = shop.cart("anna").await.expect("reads");
            assert_eq!(cart.revision, 0);
            assert_ne!(cart.id, "c_1", "the cart is closed");
            drop(shop);
            world.place.clean_up().await;
        })
        .at_once(6)
        .run()
        .await
}

/// An order that is to be paid. The run is written as each database writes 16 bytes.
macro_rules! order_to_pay {
    ($run:literal) => {
        concat!(
            "INSERT INTO reservations (reservation, epoch) VALUES ('r_1', 1);
            INSERT INTO orders (
                order_nr, run, owner, status, version, orders_version, reservation, items, total,
                currency, payment, delivery, created_at
            )
            VALUES (
                '20240102-000017', ",
            $run,
            ", 'anna', 'confirmed', 1, 1, 'r_1', '[]', 1000, 'RUB', '{\"method\":\"cash\"}', 'courier',
                CURRENT_TIMESTAMP
            )"
        )
    };
}

/// Runs the schema of payments through all of it, at places like this one.
async fn every_payment_happens_once(place: fn() -> Place, mode: ChargeMode, order: &'static str) -> Report {
    let request = PaymentRequest {
        owner: "anna".into(),
        order_nr: "20240102-000017".into(),
        amount: Money::new(1000, "RUB"),
        method: Payment::Card {
            card_id: "card_1".into(),
        },
    };
    Trial::new(payment_process(in_mode(mode)), request)
        .world(
            async move |clock| World::with(place(), clock, order).await,
            async |world: &World| world.open().await,
        )
        .check(async |world, story| {
            let shop = world.place.shop().await;
            assert_eq!(shop.counts().await.expect("counts").payments, 1);
            assert_eq!(world.stats().charges, 1);
            let told = story.outcome.as_ref().expect("a payment");
            let stored = shop.payment("anna", &told.payment_id).await;
            assert_eq!(stored.expect("reads").as_ref(), Some(told));
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
    let report = every_order_happens_once(Place::sqlite, ChargeMode::Idempotent).await;
    expect_all_of_it(report, BOUNDARIES);
}

#[tokio::test]
async fn whatever_goes_wrong_there_is_one_of_each_on_postgres() {
    let report = every_order_happens_once(Place::postgres, ChargeMode::Idempotent).await;
    expect_all_of_it(report, BOUNDARIES);
}

#[tokio::test]
async fn whatever_goes_wrong_a_provider_that_is_asked_once_has_one_of_each_on_sqlite() {
    let report = every_order_happens_once(Place::sqlite, ChargeMode::AtMostOnce).await;
    // That the payment begins is recorded too.
    expect_all_of_it(report, BOUNDARIES + 1);
}

fn expect_a_whole_payment(report: &Report, boundaries: usize) {
    println!("{report}");
    assert_eq!(report.boundaries, boundaries, "{report}");
    assert!(report.stories > 50, "{report}");
    assert!(report.takeovers >= 20, "{report}");
}

/// A begin and a commit for each step.
const PAYMENT_BOUNDARIES: usize = 3;

#[tokio::test]
async fn whatever_goes_wrong_an_order_is_paid_once_on_sqlite() {
    let order = order_to_pay!("x'00000000000000000000000000000001'");
    let report = every_payment_happens_once(Place::sqlite, ChargeMode::Idempotent, order).await;
    expect_a_whole_payment(&report, PAYMENT_BOUNDARIES);
}

#[tokio::test]
async fn whatever_goes_wrong_an_order_is_paid_once_on_postgres() {
    let order = order_to_pay!("'00000000-0000-0000-0000-000000000001'");
    let report = every_payment_happens_once(Place::postgres, ChargeMode::Idempotent, order).await;
    expect_a_whole_payment(&report, PAYMENT_BOUNDARIES);
}

#[tokio::test]
async fn whatever_goes_wrong_a_provider_that_is_asked_once_is_paid_once_on_sqlite() {
    let order = order_to_pay!("x'00000000000000000000000000000001'");
    let report = every_payment_happens_once(Place::sqlite, ChargeMode::AtMostOnce, order).await;
    // That the charge begins is recorded too.
    expect_a_whole_payment(&report, PAYMENT_BOUNDARIES + 1);
}
