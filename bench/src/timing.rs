//! How fast is it? Callers that call again as soon as they are answered, and the times they waited.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

/// The times of calls that ended in a measured time.
#[derive(Debug, Default, Clone)]
pub(crate) struct Times {
    micros: Vec<u32>,
    /// How long was measured.
    elapsed: Duration,
}

impl Times {
    pub(crate) fn count(&self) -> usize {
        self.micros.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time in milliseconds within which this part of all calls ended.
    pub(crate) fn millis(&self, part: f64) -> f64 {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        sorted.get(at).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
    }

    /// Adds another measured time.
    pub(crate) fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.elapsed += other.elapsed;
    }

    /// The same where each call was `count` in step: each of them took as long as all together.
    pub(crate) fn each_as(self, count: usize) -> Self {
        let each = self
            .micros
            .iter()
            .flat_map(|micros| std::iter::repeat_n(*micros, count));
        Self {
            micros: each.collect(),
            elapsed: self.elapsed,
        }
    }

    /// The same where each call was `count` one after the other.
    pub(crate) fn each_of(self, count: u32) -> Self {
        let each = self
            .micros
            .iter()
            .flat_map(|micros| std::iter::repeat_n(micros / count, count as usize));
        Self {
            micros: each.collect(),
            elapsed: self.elapsed,
        }
    }

    /// What took so long, one after the other.
    pub(crate) fn of_each(times: Vec<Duration>) -> Self {
        let elapsed = times.iter().sum();
        Self::of(times, elapsed)
    }

    /// Calls that took so long, all in one measured time.
    pub(crate) fn of(times: impl IntoIterator<Item = Duration>, elapsed: Duration) -> Self {
        let micros = times.into_iter().map(micros);
        Self {
            micros: micros.collect(),
            elapsed,
        }
    }
}

/// A caller: each call of [`call`](Self::call) is one unit of work.
pub(crate) trait Caller: Send + 'static {
    /// Does it once.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Lets callers work, each in a task of its own: first warms up, then measures. `around` is called at
/// both ends of the measured time, and what it gives is given back.
///
/// # Errors
/// The first error of a caller.
pub(crate) async fn measure<C: Caller, T>(
    callers: Vec<C>,
    warm_up: Duration,
    time: Duration,
    mut around: impl AsyncFnMut() -> Result<T>,
) -> Result<(Times, T, T)> {
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let from = began + warm_up;
    let tasks: Vec<_> = callers
        .into_iter()
        .map(|caller| tokio::spawn(work(caller, from, Arc::clone(&stop))))
        .collect();
    tokio::time::sleep(warm_up).await;
    let before = around().await?;
    let measured = Instant::now();
    tokio::time::sleep(time).await;
    let elapsed = measured.elapsed();
    let after = around().await?;
    stop.store(true, Ordering::Relaxed);
    let mut times = Times {
        micros: Vec::new(),
        elapsed,
    };
    let since = |at: Instant| micros(at.duration_since(from));
    let measured = since(measured)..since(measured + elapsed);
    for task in tasks {
        let ended = task.await??;
        let inside = ended.into_iter().filter(|call| measured.contains(&call.ended));
        times.micros.extend(inside.map(|call| call.took));
    }
    Ok((times, before, after))
}

/// One call, in microseconds. There are many, and the memory of the process is measured.
struct Call {
    /// When it ended, after the warm-up.
    ended: u32,
    took: u32,
}

/// Calls until it is told to stop; gives the calls that ended after `from`.
async fn work<C: Caller>(mut caller: C, from: Instant, stop: Arc<AtomicBool>) -> Result<Vec<Call>> {
    let mut ended = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        caller.call().await?;
        let now = Instant::now();
        if now >= from {
            ended.push(Call {
                ended: micros(now - from),
                took: micros(now - began),
            });
        }
    }
    Ok(ended)
}

fn micros(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_all_calls_ends_within_its_percentile() {
        let times = Times::of((1..=101).map(Duration::from_millis), Duration::from_secs(1));
        assert_eq!((times.millis(0.5), times.millis(0.99)), (51.0, 100.0));
        assert_eq!(Times::default().millis(0.5), 0.0);
    }
}
