//! Is the shop the same shop on both databases? One file per subject.
//!
//! What needs an execution runs in an engine inside the test ([`Open`]), without HTTP.

mod cart;
mod offers;
mod orders;
mod payments;
mod stock;

use keystep::{Engine, Failure, RunError};
use order_example::domain::{
    Cart, Checkout, Delivery, Offer, Order, OrderPatch, Payment, Quantity, Receipt, Seen, Wanted,
};
use order_example::payments::PaymentGateway;
use order_example::provider::Provider;
use order_example::receipts::Receipts;
use order_example::service::open_database;
use order_example::shop::Shop;
use order_example::workflow::{
    ChargeMode, Policy, key_of, order_change, order_create, order_request, payment_process,
};
use tokio::net::TcpListener;

use crate::server::Place;

/// An open shop: its tables, an engine that runs its schemas, a payment provider.
pub(crate) struct Open {
    pub(crate) shop: Shop,
    pub(crate) engine: Engine,
    pub(crate) policy: Policy,
    pub(crate) provider_url: String,
}

impl Open {
    pub(crate) async fn at(place: &Place) -> Self {
        Self::with(place, ChargeMode::Idempotent).await
    }

    pub(crate) async fn with(place: &Place, charge_mode: ChargeMode) -> Self {
        let provider = Provider::open(&place.path("payments.jsonl")).expect("opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let provider_url = format!("http://{}", listener.local_addr().expect("has an address"));
        tokio::spawn(provider.serve(listener, std::future::pending()));
        Self::paying_at(place, charge_mode, provider_url).await
    }

    /// The shop of somebody whose payment provider is elsewhere.
    pub(crate) async fn paying_at(place: &Place, charge_mode: ChargeMode, provider_url: String) -> Self {
        let policy = Policy {
            charge_mode,
            ..Policy::default()
        };
        Self::under(place, policy, provider_url).await
    }

    /// The shop of somebody who refuses what was paid with the same content under another key.
    pub(crate) async fn refusing_equal_payments(place: &Place) -> Self {
        let policy = Policy {
            refuse_equal_payments: true,
            ..Policy::default()
        };
        // Nothing is paid by card.
        Self::under(place, policy, "http://127.0.0.1:9".to_owned()).await
    }

    async fn under(place: &Place, policy: Policy, provider_url: String) -> Self {
        let opened = open_database(&place.database, &place.schemas).await;
        let (builder, shop, _) = opened.expect("opens");
        let engine = builder
            .schema(order_create(policy))
            .schema(order_request(policy))
            .schema(order_change(policy))
            .schema(payment_process(policy))
            .provide(shop.clone())
            .provide(PaymentGateway::new(&provider_url).expect("a client"))
            .provide(Receipts::open(&place.path("receipts.jsonl")).expect("opens"))
            .build()
            .await
            .expect("starts");
        Self {
            shop,
            engine,
            policy,
            provider_url,
        }
    }

    pub(crate) async fn put(&self, owner: &str, sku: &str, qty: i32) -> Cart {
        let wish = quantity(owner, sku, qty, Seen::Any);
        let decided = self.shop.set_quantity(wish).await.expect("answers");
        decided.expect("not refused")
    }

    /// Puts so many of a product into the cart, and has it offered to be paid so.
    pub(crate) async fn offer(&self, owner: &str, sku: &str, qty: i32, payment: Payment) -> Offer {
        self.put(owner, sku, qty).await;
        let wanted = Wanted {
            payment: vec![payment],
            delivery: vec![Delivery::Courier],
        };
        let secret = self.shop.offer_secret().await.expect("answers");
        let offers = self.shop.check_out(owner, &wanted, &secret).await;
        let offers = offers.expect("answers").expect("not refused");
        let id = offers.offers[0].request_id.as_ref().expect("available");
        let offer = self.shop.offer(owner, id).await.expect("answers");
        offer.expect("is remembered")
    }

    pub(crate) async fn order(&self, key: &str, checkout: Checkout) -> Result<Receipt, RunError> {
        let key = key_of(&checkout.owner, key);
        self.engine.run(&order_create(self.policy), key, checkout).await
    }

    /// An order of some tea, paid in cash.
    pub(crate) async fn some_order(&self, owner: &str) -> Order {
        let offer = self.offer(owner, "TEA", 1, Payment::Cash).await;
        let key = offer.request_id.clone().expect("an id");
        let ordered = self.order(&key, checkout(owner, offer)).await;
        ordered.expect("an order").order
    }

    /// Ends the engine in order, so that it leaves nothing under way.
    pub(crate) async fn end(self) {
        self.engine.shutdown().await;
    }
}

pub(crate) fn quantity(owner: &str, sku: &str, qty: i32, seen: Seen<String>) -> Quantity {
    Quantity {
        owner: owner.to_owned(),
        sku: sku.to_owned(),
        qty,
        seen,
    }
}

pub(crate) fn checkout(owner: &str, offer: Offer) -> Checkout {
    Checkout {
        owner: owner.to_owned(),
        offer,
        comment: Some("ring twice".to_owned()),
        seen_orders: Seen::Any,
    }
}

pub(crate) fn card(id: &str) -> Payment {
    Payment::Card {
        card_id: id.to_owned(),
    }
}

pub(crate) fn comment(text: &str) -> OrderPatch {
    OrderPatch {
        comment: Some(Some(text.to_owned())),
        address: None,
    }
}

/// The failure of a run, whether it was undone or had nothing to undo.
pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T, RunError>) -> Failure {
    match result {
        Err(RunError::Failed(failure) | RunError::Undone(failure)) => failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// The code of a run's failure.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, RunError>) -> String {
    failure(result).code.expect("a code")
}
