//! What the numbers say: each outcome is counted once, under the operation's name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use keystep::store::StoreError;
use keystep::testing::faulty::{Call, Faults};
use keystep_http::Concurrency;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::stage::{Place, Script, Service, notes, request, rerun, with, within};

/// Remembers counters and gauges by name and labels.
#[derive(Default)]
struct Numbers(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Numbers {
    fn slot(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<&str> = key.labels().map(metrics::Label::value).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Arc::clone(self.0.lock().expect("no panic").entry(name).or_default())
    }

    fn counts(&self, name: &str) -> Vec<(String, u64)> {
        let numbers = self.0.lock().expect("no panic");
        let of_name = numbers.iter().filter_map(|(full, number)| {
            let rest = full.strip_prefix(name)?.trim();
            Some((rest.to_owned(), number.load(Ordering::SeqCst)))
        });
        of_name.collect()
    }
}

impl Recorder for Numbers {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.slot(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.slot(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

async fn story() {
    let (script, faults) = (Script::default(), Faults::default());
    let place = Place::memory();
    let operation = notes().concurrency(Concurrency::Reject);
    let service = Service::start_with(&place, &rerun(operation), &script, &faults).await;
    script.answer((StatusCode::SERVICE_UNAVAILABLE, "away"));
    service.send(request("a", "{}")).await; // executed
    service.send(request("a", "{}")).await; // resumed
    service.send(request("a", "{}")).await; // replayed
    service.send(request("a", "[]")).await; // mismatch
    service
        .send(with(request("a", "{}"), "idempotency-key", "b"))
        .await; // malformed
    let mut missing = request("a", "{}");
    missing.headers_mut().remove("idempotency-key");
    service.send(missing).await; // missing
    let gate = script.hold();
    let running = service.begin(request("b", "{}")); // executed
    within(gate.arrived(1)).await;
    service.send(request("b", "{}")).await; // rejected
    service
        .send(with(request("b", "{}"), "prefer", "respond-async"))
        .await; // accepted
    gate.open();
    within(running).await.expect("no panic");
    faults.script_outage(
        &[Call::Find, Call::Begin],
        &StoreError::Refused("a replica".into()),
    );
    service.send(request("c", "{}")).await; // no outcome: a store error
}

#[test]
fn each_outcome_is_counted_once() {
    let numbers = Numbers::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    metrics::with_local_recorder(&numbers, || runtime.expect("a runtime").block_on(story()));
    let expected = [
        ("accepted", 1),
        ("executed", 2),
        ("malformed", 1),
        ("mismatch", 1),
        ("missing", 1),
        ("rejected", 1),
        ("replayed", 1),
        ("resumed", 1),
    ];
    let expected = expected.map(|(outcome, count)| (format!("note.create {outcome}"), count));
    assert_eq!(numbers.counts("idempotency_requests_total"), expected);
    assert_eq!(
        numbers.counts("idempotency_store_errors_total"),
        [("note.create".to_owned(), 1)]
    );
    assert_eq!(
        numbers.counts("idempotency_in_flight"),
        [("note.create".to_owned(), 0.0_f64.to_bits())]
    );
}
