//! Is the money of an order taken once?

use futures::FutureExt;
use keystep::{AfterFailure, ExecutionId, FailureKind, InputHash, ParkReason, Retry, RunError, Schema};
use order_example::domain::{
    Cancel, Captured, Charged, Money, Order, Payment, PaymentRequest, Refusal, Seen,
};
use order_example::payments::{PaymentGateway, UNAVAILABLE, UNDER_WAY};
use order_example::provider::{DECLINED_CARD, PaymentOrder, Provider, Stats};
use order_example::service::open_database;
use order_example::shop::{Hold, NewHold, Payer, ShopError};
use order_example::steps::record_payment;
use order_example::workflow::{ChargeMode, key_of, payment_process};
use tokio::net::TcpListener;

use super::{Open, card, code, failure};
use crate::server::Place;

fn payment(order: &Order, method: Payment) -> PaymentRequest {
    PaymentRequest {
        owner: "anna".into(),
        order_nr: order.order_nr.clone(),
        amount: order.total.clone(),
        method,
    }
}

impl Open {
    async fn pay(&self, text: &str, request: PaymentRequest) -> Result<Captured, RunError> {
        let key = key_of(&request.owner, text);
        self.engine.run(&payment_process(self.policy), key, request).await
    }

    async fn stats(&self) -> Stats {
        let stats = reqwest::get(format!("{}/v1/stats", self.provider_url)).await;
        stats.expect("answers").json().await.expect("counts")
    }

    /// Tells the provider how to behave.
    async fn behave(&self, how: &str) {
        let told = reqwest::Client::new()
            .put(format!("{}/v1/behaviour", self.provider_url))
            .header("content-type", "application/json")
            .body(how.to_owned());
        told.send()
            .await
            .expect("answers")
            .error_for_status()
            .expect("done");
    }
}

async fn a_payment_is_taken_once_and_a_second_one_is_refused(place: &Place) {
    let open = Open::at(place).await;
    let order = open.some_order("anna").await;
    let request = payment(&order, card("card_1"));
    let paid = open.pay("k", request.clone()).await.expect("a payment");
    assert_eq!((&paid.order_nr, &paid.amount), (&order.order_nr, &order.total));
    let again = open.pay("k", request.clone()).await;
    assert_eq!(again.as_ref(), Ok(&paid));
    assert_eq!(
        code(open.pay("other", request.clone()).await),
        "order-already-paid"
    );

    let found = open.shop.payment("anna", &paid.payment_id).await;
    assert_eq!(found.expect("answers").as_ref(), Some(&paid));
    let others = open.shop.payment("boris", &paid.payment_id).await;
    assert_eq!(others.expect("answers"), None);
    let like = open.shop.payment_like(&request).await.expect("answers");
    assert_eq!(like, Some(paid));
    let unlike = PaymentRequest {
        method: Payment::Cash,
        ..request
    };
    assert_eq!(open.shop.payment_like(&unlike).await.expect("answers"), None);
    let stats = Stats {
        authorizations: 0,
        charge_calls: 1,
        charges: 1,
    };
    assert_eq!(open.stats().await, stats);
    open.end().await;
}

async fn of_many_payments_of_one_order_one_takes_money(place: &Place) {
    let (one, two) = (Open::at(place).await, Open::at(place).await);
    let order = one.some_order("anna").await;
    let calls = (0..6).map(|n| {
        let open = if n % 2 == 0 { &one } else { &two };
        let request = payment(&order, card("card_1"));
        async move { open.pay(&format!("k{n}"), request).await }
    });
    let answers = futures::future::join_all(calls).await;
    let (paid, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(paid.len(), 1, "{paid:?}");
    for refused in refused {
        // It is told that the order is paid, or, while nobody knew, that it may come again.
        let failure = failure(refused);
        match failure.kind {
            FailureKind::Exhausted => assert_eq!(failure.code.as_deref(), Some(UNDER_WAY)),
            _ => assert_eq!(failure.code.as_deref(), Some("order-already-paid")),
        }
    }
    assert_eq!(one.stats().await.charges, 1);
    assert_eq!(one.shop.counts().await.expect("counts").payments, 1);
    one.end().await;
    two.end().await;
}

async fn a_declined_payment_leaves_the_order_to_be_paid_otherwise(place: &Place) {
    let open = Open::at(place).await;
    let order = open.some_order("anna").await;
    let declined = payment(&order, card(DECLINED_CARD));
    for _ in 0..2 {
        let refused = open.pay("broke", declined.clone()).await;
        assert_eq!(code(refused), "payment-declined");
    }
    let part = PaymentRequest {
        amount: Money::new(400, "RUB"),
        ..payment(&order, Payment::Cash)
    };
    open.pay("part", part.clone()).await.expect("a payment");
    let rest = PaymentRequest {
        amount: Money::new(600, "RUB"),
        ..payment(&order, card("card_1"))
    };
    open.pay("rest", rest).await.expect("a payment");
    assert_eq!(code(open.pay("more", part).await), "order-already-paid");
    let stats = open.stats().await;
    assert_eq!((stats.charge_calls, stats.charges), (2, 1));
    open.end().await;
}

async fn what_can_not_be_paid_is_refused_before_money_is_taken(place: &Place) {
    let open = Open::at(place).await;
    let order = open.some_order("anna").await;
    let others = PaymentRequest {
        owner: "boris".into(),
        ..payment(&order, card("card_1"))
    };
    assert_eq!(code(open.pay("k", others).await), "not-found");
    let cancel = Cancel {
        owner: "anna".into(),
        order_nr: order.order_nr.clone(),
        seen: Seen::Any,
    };
    let cancelled = open.shop.cancel_order(cancel).await;
    cancelled.expect("answers").expect("not refused");
    let late = open.pay("k", payment(&order, card("card_1"))).await;
    assert_eq!(code(late), "order-state-conflict");
    assert_eq!(open.stats().await.charge_calls, 0);
    open.end().await;
}

async fn a_provider_that_was_not_reached_does_not_keep_the_order(place: &Place) {
    let nowhere = "http://127.0.0.1:9".to_owned();
    let away = Open::paying_at(place, ChargeMode::AtMostOnce, nowhere).await;
    let order = away.some_order("anna").await;
    let request = payment(&order, card("card_1"));
    let failed = failure(away.pay("k", request.clone()).await);
    assert_eq!(failed.kind, FailureKind::Exhausted);
    assert_eq!(failed.code.as_deref(), Some(UNAVAILABLE));
    away.end().await;
    let back = Open::with(place, ChargeMode::AtMostOnce).await;
    back.pay("another", request.clone()).await.expect("a payment");
    assert_eq!(code(back.pay("k", request).await), "order-already-paid");
    assert_eq!(back.stats().await.charges, 1);
    back.end().await;
}

async fn a_provider_that_dedupes_no_more_is_told_from_one_that_does(place: &Place) {
    let open = Open::at(place).await;
    let order = PaymentOrder {
        amount: Money::new(1000, "RUB"),
        card_id: "card_1".into(),
    };
    let gateway = PaymentGateway::new(&open.provider_url).expect("a client");
    let first = gateway.charge("k", &order).await.expect("charges");
    assert_eq!(gateway.charge("k", &order).await.expect("answers"), first);
    open.behave(r#"{"dedupe":false}"#).await;
    assert_ne!(gateway.charge("k", &order).await.expect("charges"), first);
    let stats = open.stats().await;
    assert_eq!((stats.charge_calls, stats.charges), (3, 2));
    let reset = reqwest::Client::new().post(format!("{}/v1/reset", open.provider_url));
    reset
        .send()
        .await
        .expect("answers")
        .error_for_status()
        .expect("done");
    assert_eq!(open.stats().await, Stats::default());
    gateway.charge("k", &order).await.expect("charges");
    gateway.charge("k", &order).await.expect("answers");
    assert_eq!(open.stats().await.charges, 1, "it dedupes again");
    open.end().await;
}

async fn a_payment_that_nobody_can_tell_about_waits_for_a_person(place: &Place) {
    let provider = mute_provider(place).await;
    let open = Open::paying_at(place, ChargeMode::AtMostOnce, provider).await;
    let order = open.some_order("anna").await;
    open.behave(r#"{"verify":false}"#).await;
    let request = payment(&order, card("card_1"));
    for _ in 0..2 {
        let parked = open.pay("k", request.clone()).await;
        let Err(RunError::Parked { reason, .. }) = parked else {
            panic!("expected that it is parked, got {parked:?}");
        };
        assert_eq!(reason, ParkReason::InDoubt);
    }
    // Nobody else takes money for the order meanwhile.
    let other = failure(open.pay("other", request).await);
    assert_eq!(other.kind, FailureKind::Exhausted);
    assert_eq!(other.code.as_deref(), Some(UNDER_WAY));
    assert_eq!(open.stats().await.charges, 1);
    open.end().await;
}

async fn a_payment_whose_answer_was_lost_is_found_and_not_taken_again(place: &Place) {
    let provider = mute_provider(place).await;
    let open = Open::paying_at(place, ChargeMode::AtMostOnce, provider).await;
    let order = open.some_order("anna").await;
    let paid = open.pay("k", payment(&order, card("card_1"))).await;
    paid.expect("a payment");
    let stats = open.stats().await;
    assert_eq!((stats.charge_calls, stats.charges), (1, 1));
    open.end().await;
}

async fn a_payment_that_begins_anew_asks_under_the_key_that_it_asked_under_first(place: &Place) {
    let provider = mute_provider(place).await;
    let mute = Open::paying_at(place, ChargeMode::Idempotent, provider).await;
    let order = mute.some_order("anna").await;
    let request = payment(&order, card("card_1"));
    let anew = |open: &Open, request| {
        let schema = payment_process(open.policy);
        let call = open.engine.run(&schema, key_of("anna", "k"), request);
        let call = call.fingerprint(InputHash([1; 32]));
        let call = call.after_failure(AfterFailure::Restart);
        async move { call.await }
    };
    let failed = failure(anew(&mute, request.clone()).await);
    assert_eq!(failed.code.as_deref(), Some(UNAVAILABLE));
    mute.end().await;

    let open = Open::at(place).await;
    // The money that was taken is for something else: nobody can tell what became of it.
    let less = PaymentRequest {
        amount: Money::new(1, "RUB"),
        ..request.clone()
    };
    assert_eq!(code(anew(&open, less).await), UNDER_WAY);
    anew(&open, request).await.expect("a payment");
    assert_eq!(open.stats().await.charges, 1);
    assert_eq!(open.shop.counts().await.expect("counts").payments, 1);
    open.end().await;
}

async fn an_owner_that_was_given_up_neither_holds_an_order_nor_lets_it_go(place: &Place) {
    let open = Open::at(place).await;
    let order = open.some_order("anna").await;
    let payer = |execution, epoch| Payer {
        execution: ExecutionId(uuid::Uuid::from_u128(execution)),
        epoch,
    };
    let hold = |by, key: &str| {
        let hold = open.shop.hold_for_payment(NewHold {
            by,
            key: key.into(),
            request: payment(&order, card("card_1")),
            refuse_equal: false,
        });
        async move { Ok::<_, ShopError>(hold.await?.expect("not refused")) }
    };
    let held = |key: &str| Hold::Held { key: key.into() };
    let (old, new, other) = (payer(1, 1), payer(1, 2), payer(2, 1));
    assert_eq!(hold(old, "first").await.expect("answers"), held("first"));
    assert_eq!(hold(new, "second").await.expect("answers"), held("first"));
    let late = open.shop.let_go(old, &order.order_nr).await;
    assert!(matches!(late, Err(ShopError::GivenUp)), "{late:?}");
    assert_eq!(hold(other, "other").await.expect("answers"), Hold::Busy);
    open.shop.let_go(new, &order.order_nr).await.expect("lets it go");
    let late = hold(old, "third").await;
    assert!(matches!(late, Err(ShopError::GivenUp)), "{late:?}");
    assert_eq!(hold(other, "other").await.expect("answers"), held("other"));
    open.end().await;
}

async fn an_order_that_is_paid_for_or_about_to_be_is_not_cancelled(place: &Place) {
    let open = Open::at(place).await;
    let order = open.some_order("anna").await;
    let cancel = || {
        let cancelled = open.shop.cancel_order(Cancel {
            owner: "anna".into(),
            order_nr: order.order_nr.clone(),
            seen: Seen::Any,
        });
        async move { cancelled.await.expect("answers") }
    };
    let part = PaymentRequest {
        amount: Money::new(400, "RUB"),
        ..payment(&order, Payment::Cash)
    };
    let by = Payer {
        execution: ExecutionId(uuid::Uuid::from_u128(1)),
        epoch: 1,
    };
    let held = open.shop.hold_for_payment(NewHold {
        by,
        key: "k".into(),
        request: part.clone(),
        refuse_equal: false,
    });
    held.await.expect("answers").expect("not refused");
    assert_eq!(cancel().await, Err(Refusal::OrderStateConflict));
    open.shop.let_go(by, &order.order_nr).await.expect("lets it go");
    open.pay("part", part).await.expect("a payment");
    assert_eq!(cancel().await, Err(Refusal::OrderStateConflict));
    open.end().await;
}

async fn an_equal_payment_is_refused_where_the_order_is_held(place: &Place) {
    let open = Open::refusing_equal_payments(place).await;
    let order = open.some_order("anna").await;
    let part = PaymentRequest {
        amount: Money::new(400, "RUB"),
        ..payment(&order, Payment::Cash)
    };
    open.pay("one", part.clone()).await.expect("a payment");
    assert_eq!(code(open.pay("two", part.clone()).await), "duplicate-payload");
    let other = PaymentRequest {
        amount: Money::new(600, "RUB"),
        ..part
    };
    open.pay("other", other).await.expect("a payment");
    open.end().await;
}

async fn a_payment_of_an_order_that_is_not_held_is_not_recorded(place: &Place) {
    let open = Open::at(place).await;
    let order = open.some_order("anna").await;
    let schema = Schema::new("payment.unheld")
        .step("record_payment", |cx, _request: PaymentRequest| {
            record_payment(cx, Charged { charge: None })
        })
        .retry(Retry::none())
        .build();
    let (builder, shop, _) = open_database(&place.database, &place.schemas)
        .await
        .expect("opens");
    let engine = builder.schema(schema.clone()).provide(shop).build().await;
    let engine = engine.expect("starts");
    let request = payment(&order, Payment::Cash);
    let refused = engine.run(&schema, key_of("anna", "k"), request).await;
    assert_eq!(failure(refused).kind, FailureKind::Exhausted);
    engine.shutdown().await;
    assert_eq!(open.shop.counts().await.expect("counts").payments, 0);
    open.end().await;
}

/// Starts a provider that takes money and cuts the connection instead of saying so; says where it is.
async fn mute_provider(place: &Place) -> String {
    let provider = Provider::open(&place.path("payments.jsonl"));
    let provider = provider
        .expect("opens")
        .before_answer(|_| async { panic!("the answer is lost") }.boxed());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("has an address"));
    tokio::spawn(provider.serve(listener, std::future::pending()));
    url
}

on_both_databases! {
    a_payment_is_taken_once_and_a_second_one_is_refused
    of_many_payments_of_one_order_one_takes_money
    a_declined_payment_leaves_the_order_to_be_paid_otherwise
    what_can_not_be_paid_is_refused_before_money_is_taken
    a_provider_that_was_not_reached_does_not_keep_the_order
    a_provider_that_dedupes_no_more_is_told_from_one_that_does
    a_payment_that_nobody_can_tell_about_waits_for_a_person
    a_payment_whose_answer_was_lost_is_found_and_not_taken_again
    a_payment_that_begins_anew_asks_under_the_key_that_it_asked_under_first
    an_owner_that_was_given_up_neither_holds_an_order_nor_lets_it_go
    a_payment_of_an_order_that_is_not_held_is_not_recorded
    an_order_that_is_paid_for_or_about_to_be_is_not_cancelled
    an_equal_payment_is_refused_where_the_order_is_held
}
