//! Many at once, over both processes.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::StreamExt;

use crate::answer::Answer;
use crate::service::{Place, at_one_process, on_both_databases};
use crate::world::ORDERS;

on_both_databases!(
    alone_a_hundred_equal_orders_are_one,
    alone_ten_thousand_orders_over_five_hundred_keys_are_five_hundred,
);

at_one_process!(alone_a_hundred_equal_orders_are_one,);

async fn alone_a_hundred_equal_orders_are_one(place: Place) {
    let pair = place.pair().await;
    let id = pair.one.ada().offer().await;
    let asked: Vec<_> = (0..100)
        .map(|at| {
            let service = if at % 2 == 0 { &pair.one } else { &pair.two };
            service.ada().order(&id).key("k").spawn()
        })
        .collect();
    let mut first = 0;
    let mut orders = HashSet::new();
    for answer in asked {
        let answer = answer.await.expect("an answer");
        if answer.status == 409 {
            answer.problem(409, "idempotency-in-progress");
            continue;
        }
        orders.insert(answer.ok(201).to_string());
        first += usize::from(!answer.is_replay());
    }
    assert_eq!((orders.len(), first), (1, 1));
    assert_eq!(pair.two.ada().order_count().await, 1);
    let effects = pair.two.effects().await;
    for step in ["reserve_stock", "authorize_payment", "create_order"] {
        assert_eq!(effects["steps"][step], 1, "{effects}");
    }
    pair.end().await;
}

/// Every key belongs to a customer of its own, whose cart is ordered once.
async fn alone_ten_thousand_orders_over_five_hundred_keys_are_five_hundred(place: Place) {
    const KEYS: usize = 500;
    const EACH: usize = 20;
    let pair = place.pair().await;
    let customers: Vec<String> = (0..KEYS).map(|at| format!("customer-{at}")).collect();
    let offers = futures::stream::iter(customers.iter().enumerate().map(async |(at, name)| {
        let service = if at % 2 == 0 { &pair.one } else { &pair.two };
        (name.as_str(), service.customer(name).offer().await)
    }));
    let offers: HashMap<&str, String> = offers.buffer_unordered(64).collect().await;

    let all = (0..EACH).flat_map(|round| customers.iter().map(move |name| (round, name)));
    let answers = futures::stream::iter(all.map(|(round, name)| {
        let service = if round % 2 == 0 { &pair.one } else { &pair.two };
        let request = service.customer(name).order(&offers[name.as_str()]).key("k");
        async move { (name, request.await) }
    }));
    let answers: Vec<(&String, Answer)> = answers.buffer_unordered(64).collect().await;
    let mut orders: BTreeMap<&str, HashSet<String>> = BTreeMap::new();
    let (mut first, mut told) = (0, 0);
    for (name, answer) in answers {
        if answer.status == 409 {
            answer.problem(409, "idempotency-in-progress");
            continue;
        }
        told += 1;
        let order = answer.ok(201)["orderNr"].as_str().expect("a number").to_owned();
        orders.entry(name).or_default().insert(order);
        first += usize::from(!answer.is_replay());
    }
    println!(
        "{told} of {} were told their order, {first} of them made it",
        KEYS * EACH
    );
    assert_eq!(orders.len(), KEYS);
    assert!(orders.values().all(|orders| orders.len() == 1), "{orders:?}");
    assert_eq!(first, KEYS);
    let made = pair.one.done("create_order").await;
    assert_eq!(made, KEYS as u64);
    for name in customers.iter().step_by(50) {
        let list = pair.two.customer(name).get(ORDERS).await.ok(200);
        assert_eq!(list["version"], 1);
    }
    pair.end().await;
}
