//! How often, and how long apart, is a step tried? Plain data and pure arithmetic.

use std::time::Duration;

/// How a step is retried.
///
/// | field | default |
/// |---|---|
/// | attempts | 5 |
/// | first delay | 100 ms |
/// | growth | 2 |
/// | longest delay | 60 s |
/// | hold | 2 s |
///
/// A delay is drawn evenly from the upper half of its range, so that many executions that failed
/// together do not come back together. Delays up to *hold* are waited for by the process that owns
/// the execution; for a longer one the execution is put down as `waiting`, and any process, or the
/// next call of the key, takes it up.
///
/// ```
/// # use std::time::Duration;
/// let patient = keystep::Retry::attempts(8).first_delay(Duration::from_millis(50));
/// let never = keystep::Retry::none();
/// # let _ = (patient, never);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    pub(crate) attempts: u32,
    pub(crate) first_delay: Duration,
    pub(crate) growth: f64,
    pub(crate) max_delay: Duration,
    pub(crate) hold: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(100),
            growth: 2.0,
            max_delay: Duration::from_secs(60),
            hold: Duration::from_secs(2),
        }
    }
}

impl Retry {
    /// So many attempts in all, at least one.
    pub fn attempts(attempts: u32) -> Self {
        Self {
            attempts: attempts.max(1),
            ..Self::default()
        }
    }

    /// One attempt.
    pub fn none() -> Self {
        Self::attempts(1)
    }

    /// The delay after the first attempt.
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// By how much each delay is longer than the one before; values below 1 count as 1.
    #[must_use]
    pub fn growth(mut self, growth: f64) -> Self {
        self.growth = if growth.is_finite() { growth.max(1.0) } else { 1.0 };
        self
    }

    /// The longest delay.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Delays up to this are waited for in the process; longer ones are put down as `waiting`.
    #[must_use]
    pub fn hold(mut self, delay: Duration) -> Self {
        self.hold = delay;
        self
    }

    /// The delay after so many failed attempts (from 1); `chance` is in `0.0..1.0`.
    pub(crate) fn delay(&self, failed: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        // Finite, since nothing times infinity is no number.
        let growth = self.growth.powi(exponent).min(f64::MAX);
        let range = self.first_delay.as_secs_f64() * growth;
        let capped = range.min(self.max_delay.as_secs_f64());
        Duration::try_from_secs_f64(capped * (0.5 + chance / 2.0)).unwrap_or(self.max_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let retry = Retry::attempts(9).max_delay(Duration::from_millis(500));
        let delays: Vec<u128> = (1..=5).map(|n| retry.delay(n, 1.0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 500, 500]);
    }

    #[test]
    fn jitter_draws_from_the_upper_half() {
        let retry = Retry::default();
        assert_eq!(retry.delay(1, 0.0), Duration::from_millis(50));
        assert_eq!(retry.delay(1, 0.5), Duration::from_millis(75));
    }

    #[test]
    fn a_huge_count_of_failures_stays_within_the_cap() {
        let retry = Retry::default();
        assert_eq!(retry.delay(u32::MAX, 1.0), retry.max_delay);
        let at_once = retry.first_delay(Duration::ZERO);
        assert_eq!(at_once.delay(u32::MAX, 1.0), Duration::ZERO);
        let endless = retry.first_delay(Duration::MAX).max_delay(Duration::MAX);
        assert_eq!(endless.delay(2, 1.0), Duration::MAX);
    }
}
