//! Where do the numbers go that the engine and the layer count? Into a recorder of this process, which
//! `/metrics` shows.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Upper bounds of the time that something took, in seconds.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How often what was recorded is put together, so that it does not pile up when nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the engine counts under a name of its own, and clients of this service know under another.
const PURGED: (&str, &str) = ("keystep_purged_total", "idempotency_purged_total");

/// Records from now on. Of two services in one process the first one's numbers are both's.
///
/// # Errors
///
/// The recorder can not be built.
pub fn record() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new().set_buckets(&SECONDS)?.build_recorder();
    let handle = recorder.handle();
    if let Err(error) = metrics::set_global_recorder(Renamed(recorder)) {
        tracing::warn!(%error, "the numbers of this service are not shown");
    }
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    // There from the start, so that nobody takes a number that is missing for one that is not kept.
    metrics::counter!(PURGED.0).increment(0);
    metrics::counter!("idempotency_store_errors_total").increment(0);
    Ok(handle)
}

/// A recorder that knows what this service calls things.
struct Renamed(PrometheusRecorder);

impl Recorder for Renamed {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_counter(name, unit, description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_gauge(name, unit, description);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_histogram(name, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        if key.name() == PURGED.0 {
            return self
                .0
                .register_counter(&Key::from_static_name(PURGED.1), metadata);
        }
        self.0.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.0.register_histogram(key, metadata)
    }
}
