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
/// | cancel grace | 5 s |
/// | remember | not at all |
/// | purge | 60 s |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerOptions {
    /// How often this worker shows that it lives; at least four times within the beat limit.
    pub beat: Duration,
    /// How long another worker's session must be gone before it is declared dead. Zero is allowed
    /// on one host: takeover within tens of milliseconds, but a lost connection counts as a death.
    pub grace: Duration,
    /// How long an owner whose beat stands still is believed (stopped or cut off). One whose last
    /// beat is older than half of it starts no step. Give all processes of a store the same.
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
    /// How long a step is given to end when its execution is cancelled.
    pub cancel_grace: Duration,
    /// For how long a purged execution leaves its generation, fingerprint and state behind, so that
    /// [`OnExpired::Refuse`](crate::OnExpired) can tell it from a new one; `None` for not at all.
    pub remember: Option<Duration>,
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
            cancel_grace: Duration::from_secs(5),
            remember: None,
            purge: Duration::from_secs(60),
        }
    }
}

/// No loop of the engine is hotter than this.
const SHORTEST: Duration = Duration::from_millis(1);
/// Beats cost a write each.
const SHORTEST_BEAT_LIMIT: Duration = Duration::from_millis(100);
/// As good as never, and far from where arithmetic on time fails.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl WorkerOptions {
    /// These options within the bounds of what can work.
    pub(crate) fn bounded(self) -> Self {
        let beat_limit = self.beat_limit.clamp(SHORTEST_BEAT_LIMIT, LONGEST);
        Self {
            beat: self.beat.clamp(SHORTEST, beat_limit / 4),
            grace: self.grace.min(LONGEST),
            beat_limit,
            reconnect_budget: self.reconnect_budget.min(LONGEST),
            sweep: self.sweep.clamp(SHORTEST, LONGEST),
            in_flight: self.in_flight,
            drain: self.drain.min(LONGEST),
            cancel_grace: self.cancel_grace.min(LONGEST),
            remember: self.remember,
            unknown_shape_after: self.unknown_shape_after.min(LONGEST),
            purge: self.purge.clamp(SHORTEST, LONGEST),
        }
    }

    /// How often to look at the other workers. Beats are sent between two looks.
    pub(crate) fn look(&self) -> Duration {
        let by_grace = (self.grace / 4).clamp(Duration::from_millis(25), Duration::from_millis(250));
        by_grace.min(self.beat / 2).max(Duration::from_millis(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(duration: Duration) -> WorkerOptions {
        WorkerOptions {
            beat: duration,
            grace: duration,
            beat_limit: duration,
            reconnect_budget: duration,
            sweep: duration,
            in_flight: 1,
            drain: duration,
            cancel_grace: duration,
            remember: None,
            unknown_shape_after: duration,
            purge: duration,
        }
    }

    #[test]
    fn the_defaults_are_taken_as_they_are() {
        assert_eq!(WorkerOptions::default().bounded(), WorkerOptions::default());
    }

    #[test]
    fn never_and_always_are_bounded_to_what_can_work() {
        let never = all(Duration::MAX).bounded();
        assert_eq!((never.sweep, never.purge), (LONGEST, LONGEST));
        assert!(
            never.beat_limit / 2 > never.beat,
            "a fresh beat stays fresh until the next"
        );
        let always = all(Duration::ZERO).bounded();
        assert_eq!((always.sweep, always.grace), (SHORTEST, Duration::ZERO));
        assert!(always.beat_limit / 2 > always.beat + always.look());
    }
}
