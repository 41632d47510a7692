//! What time is it, and who may move it? One door for time.
//!
//! Wake-ups and retention are judged by the *database's* clock. A [`Clock`] carries the offset
//! that a store adds to that clock in each statement: zero in production, moved by tests instead
//! of sleeping. The engine's own waits for wake-ups go through the same door, so that one
//! [`Clock::advance`] moves the store and the waiting tasks together.
//!
//! Liveness is deliberately not behind this door: it is judged by the observer's monotonic clock
//! ([`monotonic`]), which no test and no administrator can set.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// The offset from the database's time, shared by an engine and its store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock {
    offset: Arc<watch::Sender<Duration>>,
    origin: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            offset: Arc::new(watch::Sender::new(Duration::ZERO)),
            origin: Instant::now(),
        }
    }
}

impl Clock {
    /// A clock that shows real time until somebody moves it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves this clock, and everything that shares it, forward. For tests.
    pub fn advance(&self, by: Duration) {
        self.offset.send_modify(|offset| *offset += by);
    }

    /// Whether somebody waits for a time on this clock.
    #[cfg(feature = "testing")]
    pub(crate) fn is_awaited(&self) -> bool {
        self.offset.receiver_count() > 0
    }

    /// Whether moving one of the two moves the other.
    #[cfg(feature = "testing")]
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.offset, &other.offset)
    }

    /// How far this clock is ahead of the database's, in microseconds: what a store adds to
    /// `now()` in its statements.
    pub fn offset_micros(&self) -> i64 {
        i64::try_from(self.offset.borrow().as_micros()).unwrap_or(i64::MAX)
    }

    /// This machine's wall clock plus the offset, in whole microseconds since 1970. For stores
    /// that have no clock of their own (memory, SQLite).
    pub fn wall_micros(&self) -> i64 {
        micros_of(SystemTime::now()).saturating_add(self.offset_micros())
    }

    /// Time on this clock since it was made. Never goes back.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed() + *self.offset.borrow()
    }

    /// Ends when `wait` has passed on this clock since the call; [`advance`](Self::advance)
    /// shortens it.
    pub fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + Send + use<> {
        let mut offset = self.offset.subscribe();
        let due = offset.borrow().saturating_add(wait);
        let started = Instant::now();
        async move {
            loop {
                let ahead = offset.borrow_and_update().saturating_add(started.elapsed());
                let Some(left) = due.checked_sub(ahead).filter(|left| !left.is_zero()) else {
                    return;
                };
                tokio::select! {
                    () = tokio::time::sleep(left) => {}
                    moved = offset.changed() => if moved.is_err() { return },
                }
            }
        }
    }
}

/// The monotonic clock by which liveness is judged.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Whole microseconds since 1970, the resolution of every stored time.
pub fn micros_of(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The inverse of [`micros_of`].
pub fn time_of(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn advancing_the_clock_ends_a_wait() {
        let clock = Clock::new();
        let waiting = clock.sleep(Duration::from_secs(3600));
        clock.advance(Duration::from_secs(3601));
        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .expect("the wait ended");
    }

    #[tokio::test]
    async fn a_wait_may_be_of_any_length() {
        let clock = Clock::new();
        clock.advance(Duration::from_secs(1));
        let waiting = clock.sleep(Duration::MAX);
        let early = tokio::time::timeout(Duration::from_millis(1), waiting).await;
        assert!(early.is_err(), "not yet");
    }

    #[test]
    fn stored_times_keep_whole_microseconds() {
        let micros = 1_700_000_000_123_456;
        assert_eq!(micros_of(time_of(micros)), micros);
    }
}
