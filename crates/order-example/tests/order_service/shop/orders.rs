//! Is there one order of each offer, and does it change as its customer says?

use keystep::{AfterFailure, FailureKind, InputHash};
use order_example::domain::{Cancel, Change, OrderPatch, Payment, Refusal, Requested, Seen, Status};
use order_example::ledger::Ledger;
use order_example::payments::UNAVAILABLE;
use order_example::provider::{DECLINED_CARD, Entry};
use order_example::workflow::{ChargeMode, key_of, order_change, order_create, order_request};

use super::{Open, card, checkout, code, comment, failure};
use crate::server::{Place, lines};

async fn an_order_closes_its_cart_and_raises_the_list_by_one(place: &Place) {
    let open = Open::at(place).await;
    let offer = open.offer("anna", "TEA", 2, card("card_1")).await;
    let id = offer.request_id.clone().expect("an id");
    let before = open.shop.cart("anna").await.expect("answers");
    let ordered = open.order(&id, checkout("anna", offer.clone())).await;
    let order = ordered.expect("an order").order;
    assert_eq!((order.version, order.orders_version), (1, 1));
    assert_eq!(order.request_id.as_ref(), Some(&id));
    assert_eq!(order.cart_id.as_ref(), Some(&before.id));
    assert_eq!((&order.items, &order.total), (&offer.items, &offer.total));
    assert_eq!(order.payment, card("card_1"));

    let found = open.shop.order("anna", &order.order_nr).await;
    assert_eq!(found.expect("answers").as_ref(), Some(&order));
    let found = open.shop.order_of_request("anna", &id).await;
    assert_eq!(found.expect("answers").as_ref(), Some(&order));
    let other = open.shop.order("boris", &order.order_nr).await;
    assert_eq!(other.expect("answers"), None);

    let cart = open.shop.cart("anna").await.expect("answers");
    assert_ne!(cart.id, before.id);
    assert_eq!((cart.revision, cart.items.len()), (0, 0));
    let second = open.some_order("anna").await;
    let list = open.shop.orders("anna").await.expect("answers");
    assert_eq!((list.version, list.orders), (2, vec![order, second]));
    assert_eq!(open.shop.orders_version("boris").await.expect("answers"), 0);
    open.end().await;
}

async fn what_is_not_as_the_customer_has_seen_it_is_refused_and_undone(place: &Place) {
    let open = Open::at(place).await;
    let stale = open.offer("anna", "TEA", 1, card("card_1")).await;
    open.put("anna", "TEA", 2).await;
    let refused = open.order("stale", checkout("anna", stale)).await;
    assert_eq!(code(refused), "offer-stale");

    let offer = open.offer("anna", "TEA", 2, card("card_1")).await;
    let mut late = checkout("anna", offer.clone());
    late.seen_orders = Seen::one(7);
    assert_eq!(code(open.order("late", late).await), "orders-changed");

    let counts = open.shop.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (0, 0));
    let ledger = Ledger::<Entry>::read(&place.path("payments.jsonl")).expect("reads");
    let voided = |entry: &&Entry| matches!(entry, Entry::Voided { .. });
    assert_eq!((ledger.len(), ledger.iter().filter(voided).count()), (4, 2));
    // The offer can still be ordered.
    open.order("now", checkout("anna", offer))
        .await
        .expect("an order");
    open.end().await;
}

async fn of_two_orders_of_one_cart_one_is_made(place: &Place) {
    let open = Open::at(place).await;
    let by_card = open.offer("anna", "TEA", 1, card("card_1")).await;
    let in_cash = open.offer("anna", "TEA", 1, Payment::Cash).await;
    let (one, two) = tokio::join!(
        open.order("card", checkout("anna", by_card)),
        open.order("cash", checkout("anna", in_cash)),
    );
    let (made, refused) = if one.is_ok() { (one, two) } else { (two, one) };
    made.expect("an order");
    assert_eq!(code(refused), "offer-stale");
    let counts = open.shop.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (1, 1));
    open.end().await;
}

async fn what_is_sold_out_or_declined_leaves_nothing_behind(place: &Place) {
    let open = Open::at(place).await;
    let offer = open.offer("anna", "SAMOVAR", 2, card("card_1")).await;
    let sold_out = open.order("many", checkout("anna", offer)).await;
    assert_eq!(code(sold_out), "out-of-stock");
    let offer = open.offer("anna", "SAMOVAR", 1, card(DECLINED_CARD)).await;
    let declined = open.order("broke", checkout("anna", offer)).await;
    assert_eq!(code(declined), "payment-declined");
    let counts = open.shop.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (0, 0));
    // The one that there is can still be had.
    let offer = open.offer("anna", "SAMOVAR", 1, Payment::Cash).await;
    open.order("one", checkout("anna", offer))
        .await
        .expect("an order");
    open.end().await;
}

async fn an_order_goes_on_when_the_provider_is_back(place: &Place) {
    let nowhere = "http://127.0.0.1:9".to_owned();
    let away = Open::paying_at(place, ChargeMode::Idempotent, nowhere).await;
    let offer = away.offer("anna", "TEA", 1, card("card_1")).await;
    let failure = failure(away.order("k", checkout("anna", offer.clone())).await);
    assert_eq!(failure.kind, FailureKind::Exhausted);
    assert_eq!(failure.code.as_deref(), Some(UNAVAILABLE));
    assert_eq!(failure.attempt, away.policy.step_retries + 1);
    away.end().await;
    let back = Open::at(place).await;
    let ordered = back.order("k", checkout("anna", offer)).await;
    ordered.expect("an order");
    let counts = back.shop.counts().await.expect("counts");
    assert_eq!((counts.orders, counts.reservations), (1, 1));
    back.end().await;
}

async fn two_keys_for_one_offer_meet_in_one_order(place: &Place) {
    let (one, two) = (Open::at(place).await, Open::at(place).await);
    let offer = one.offer("anna", "TEA", 1, card("card_1")).await;
    let id = offer.request_id.clone().expect("an id");
    let requested = Requested {
        checkout: checkout("anna", offer.clone()),
        fingerprint: [7; 32],
        restart: false,
    };
    let calls = (0..8).map(|n| {
        let open = if n % 2 == 0 { &one } else { &two };
        let key = key_of("anna", format!("header {n}"));
        let call = open
            .engine
            .run(&order_request(open.policy), key, requested.clone());
        async move { call.await }
    });
    let receipts = futures::future::try_join_all(calls).await.expect("orders");
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    // The offer's own key has the same order, for the same request.
    let alone = one
        .engine
        .run(
            &order_create(one.policy),
            key_of("anna", &id),
            checkout("anna", offer),
        )
        .fingerprint(InputHash([7; 32]));
    assert_eq!(alone.await.as_ref(), Ok(&receipts[0]));
    assert_eq!(one.shop.counts().await.expect("counts").orders, 1);
    assert_eq!(lines(&place.path("payments.jsonl")), 1);
    one.end().await;
    two.end().await;
}

async fn what_the_offers_own_key_refuses_the_other_key_refuses_too(place: &Place) {
    let open = Open::at(place).await;
    let stale = open.offer("anna", "TEA", 1, card("card_1")).await;
    open.put("anna", "TEA", 2).await;
    let requested = Requested {
        checkout: checkout("anna", stale),
        fingerprint: [7; 32],
        restart: false,
    };
    let call = open
        .engine
        .run(&order_request(open.policy), key_of("anna", "header"), requested);
    assert_eq!(code(call.await), "offer-stale");
    open.end().await;
}

async fn a_change_raises_both_versions_and_no_change_raises_none(place: &Place) {
    let open = Open::at(place).await;
    let order = open.some_order("anna").await;
    let change = |seen, patch| Change {
        owner: "anna".into(),
        order_nr: order.order_nr.clone(),
        seen,
        patch,
    };
    let changed = open
        .shop
        .change_order(change(Seen::one(1), comment("knock")))
        .await;
    let changed = changed.expect("answers").expect("not refused");
    assert_eq!((changed.version, changed.orders_version), (2, 2));
    assert_eq!(changed.comment.as_deref(), Some("knock"));
    for patch in [OrderPatch::default(), comment("knock")] {
        let same = open.shop.change_order(change(Seen::one(2), patch)).await;
        assert_eq!(same.expect("answers").as_ref(), Ok(&changed));
    }
    let stale = open
        .shop
        .change_order(change(Seen::one(1), comment("shout")))
        .await;
    assert_eq!(
        stale.expect("answers"),
        Err(Refusal::VersionMismatch { current: 2 })
    );
    let found = open.shop.order("anna", &order.order_nr).await;
    assert_eq!(found.expect("answers"), Some(changed));

    let mut others = change(Seen::Any, comment("mine"));
    others.owner = "boris".into();
    let refused = open.shop.change_order(others).await.expect("answers");
    assert_eq!(refused, Err(Refusal::NotFound("order")));
    open.end().await;
}

async fn a_cancelled_order_gives_its_goods_back_once_and_changes_no_more(place: &Place) {
    let open = Open::at(place).await;
    let offer = open.offer("anna", "SAMOVAR", 1, Payment::Cash).await;
    let ordered = open.order("k", checkout("anna", offer)).await;
    let order = ordered.expect("an order").order;
    let cancel = |seen| Cancel {
        owner: "anna".into(),
        order_nr: order.order_nr.clone(),
        seen,
    };
    let stale = open.shop.cancel_order(cancel(Seen::one(7))).await;
    assert_eq!(
        stale.expect("answers"),
        Err(Refusal::VersionMismatch { current: 1 })
    );
    let calls = (0..8).map(|_| open.shop.cancel_order(cancel(Seen::one(1))));
    let decided = futures::future::try_join_all(calls).await.expect("answers");
    let cancelled = decided[0].clone().expect("not refused");
    assert_eq!(cancelled.status, Status::Cancelled);
    assert_eq!((cancelled.version, cancelled.orders_version), (2, 2));
    assert_eq!(cancelled.items, order.items);
    assert!(decided.iter().all(|one| one.as_ref() == Ok(&cancelled)));

    let change = Change {
        owner: "anna".into(),
        order_nr: order.order_nr.clone(),
        seen: Seen::one(2),
        patch: comment("too late"),
    };
    let refused = open.shop.change_order(change).await.expect("answers");
    assert_eq!(refused, Err(Refusal::OrderStateConflict));
    let offer = open.offer("boris", "SAMOVAR", 1, Payment::Cash).await;
    open.order("k", checkout("boris", offer)).await.expect("an order");
    open.end().await;
}

async fn a_keyed_change_is_made_once_and_answered_again(place: &Place) {
    let open = Open::at(place).await;
    let order = open.some_order("anna").await;
    let change = Change {
        owner: "anna".into(),
        order_nr: order.order_nr.clone(),
        seen: Seen::one(1),
        patch: comment("knock"),
    };
    let schema = order_change(open.policy);
    let first = open
        .engine
        .run(&schema, key_of("anna", "k"), change.clone())
        .await;
    let first = first.expect("a change");
    // The version that it names is stale by now.
    let again = open
        .engine
        .run(&schema, key_of("anna", "k"), change.clone())
        .await;
    assert_eq!(again.as_ref(), Ok(&first));
    // What was refused is refused again, until the customer says what it has seen since. The request is
    // the same: its fingerprint leaves out what was seen.
    let same_request = InputHash([1; 32]);
    let other = |change, wish| {
        let call = open.engine.run(&schema, key_of("anna", "other"), change);
        let call = call.fingerprint(same_request).after_failure(wish);
        async move { call.await }
    };
    for _ in 0..2 {
        let refused = other(change.clone(), AfterFailure::Replay).await;
        assert_eq!(code(refused), "version-mismatch");
    }
    let now = Change {
        seen: Seen::one(2),
        patch: comment("shout"),
        ..change
    };
    let changed = other(now, AfterFailure::Restart).await.expect("a change");
    assert_eq!((changed.version, changed.comment.as_deref()), (3, Some("shout")));
    open.end().await;
}

async fn everything_of_a_customer_at_once_makes_versions_without_a_gap(place: &Place) {
    let open = Open::at(place).await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(open.some_order("anna").await);
    }
    let changes = orders.iter().flat_map(|order| {
        (0..4).map(|n| Change {
            owner: "anna".into(),
            order_nr: order.order_nr.clone(),
            seen: Seen::Any,
            patch: comment(&format!("change {n}")),
        })
    });
    let changed = futures::future::try_join_all(changes.map(|change| open.shop.change_order(change))).await;
    let versions: Result<Vec<i64>, Refusal> = changed
        .expect("answers")
        .into_iter()
        .map(|order| order.map(|order| order.orders_version))
        .collect();
    let mut versions = versions.expect("not refused");
    versions.sort_unstable();
    assert_eq!(versions, (5..=20).collect::<Vec<i64>>());
    let list = open.shop.orders("anna").await.expect("answers");
    assert_eq!(list.version, 20);
    assert!(list.orders.iter().all(|order| order.version == 5));
    open.end().await;
}

on_both_databases! {
    an_order_closes_its_cart_and_raises_the_list_by_one
    what_is_not_as_the_customer_has_seen_it_is_refused_and_undone
    of_two_orders_of_one_cart_one_is_made
    what_is_sold_out_or_declined_leaves_nothing_behind
    an_order_goes_on_when_the_provider_is_back
    two_keys_for_one_offer_meet_in_one_order
    what_the_offers_own_key_refuses_the_other_key_refuses_too
    a_change_raises_both_versions_and_no_change_raises_none
    a_cancelled_order_gives_its_goods_back_once_and_changes_no_more
    a_keyed_change_is_made_once_and_answered_again
    everything_of_a_customer_at_once_makes_versions_without_a_gap
}
