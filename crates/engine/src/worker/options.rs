//! How often does a worker show itself, and how long is a silent one believed?

use std::time::Duration;

/// How this process takes part in the work. Every engine is a worker, also one that only calls.
///
/// | option | default |
/// |---|---|
/// | beat | 1 s |
/// | grace | 1 s |
/// | beat limit | 10 s |
/// | reconnect budget | 5 s |
/// | sweep | 1 s |
/// | in flight | 1,024 |
/// | drain | 20 s |
/// | unknown shape after | 60 s |
/// | purge | 60 s |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerOptions {
    /// How often this worker shows that it lives.
    pub beat: Duration,
    /// How long another worker's session must be gone before it is declared dead. Zero is allowed
    /// on one host: takeover within tens of milliseconds, but a lost connection counts as a death.
    pub grace: Duration,
    /// How long an owner whose beat stands still is believed (stopped or cut off).
    pub beat_limit: Duration,
    /// How long after a start of the database server its clients are given to come back.
    pub reconnect_budget: Duration,
    /// How often to look for work that is due or whose owner died.
    pub sweep: Duration,
    /// Executions this process runs before it stops taking up others' work. Calls are not limited.
    pub in_flight: usize,
    /// How long a shutdown waits for running executions before it hands them back.
    pub drain: Duration,
    /// How long a shape must be known to no live worker before its executions are parked.
    pub unknown_shape_after: Duration,
    /// How often to delete executions whose retention has ended.
    pub purge: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(1),
            grace: Duration::from_secs(1),
            beat_limit: Duration::from_secs(10),
            reconnect_budget: Duration::from_secs(5),
            sweep: Duration::from_secs(1),
            in_flight: 1024,
            drain: Duration::from_secs(20),
            unknown_shape_after: Duration::from_secs(60),
            purge: Duration::from_secs(60),
        }
    }
}

impl WorkerOptions {
    /// How often to look at the other workers.
    pub(crate) fn look(&self) -> Duration {
        (self.grace / 4).clamp(Duration::from_millis(25), Duration::from_millis(250))
    }
}
