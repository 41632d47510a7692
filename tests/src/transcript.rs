//! What has a process said so far, and when? Everything, each line with the moment it arrived.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one stream, in order. Clones share them.
#[derive(Clone, Default)]
pub struct Transcript {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    said: Vec<(Instant, String)>,
    ended: bool,
}

impl Transcript {
    /// Adds a line that arrived now.
    pub fn push(&self, line: String) {
        self.lines().said.push((Instant::now(), line));
        self.shared.more.notify_all();
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.lines().ended = true;
        self.shared.more.notify_all();
    }

    /// The first answer of `pick` on any line, said before or within `limit`, with the moment when
    /// that line arrived; `None` when there is none by then or ever.
    pub fn find<T>(&self, limit: Duration, mut pick: impl FnMut(&str) -> Option<T>) -> Option<(Instant, T)> {
        let deadline = Instant::now() + limit;
        let mut seen = 0;
        let mut lines = self.lines();
        loop {
            while let Some((at, line)) = lines.said.get(seen) {
                if let Some(picked) = pick(line) {
                    return Some((*at, picked));
                }
                seen += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.ended || left.is_zero() {
                return None;
            }
            let woken = self.shared.more.wait_timeout(lines, left);
            lines = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether both are one stream's.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.lines().said.iter().map(|(_at, line)| line.clone()).collect()
    }

    /// Whether nothing more will come.
    pub fn has_ended(&self) -> bool {
        self.lines().ended
    }

    /// The lines from this one on (counted from 0), so far.
    pub fn since(&self, first: usize) -> Vec<String> {
        let lines = self.lines();
        lines
            .said
            .iter()
            .skip(first)
            .map(|(_at, line)| line.clone())
            .collect()
    }

    /// All lines so far, each with the moment when it arrived.
    pub fn timed(&self) -> Vec<(Instant, String)> {
        self.lines().said.clone()
    }

    /// All lines, once the stream has ended.
    ///
    /// # Panics
    /// When it does not end soon.
    pub fn to_the_end(&self) -> Vec<String> {
        let _never_picked: Option<(Instant, ())> = self.find(Duration::from_secs(10), |_line| None);
        assert!(self.lines().ended, "the stream does not end");
        self.all()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last lines, for the message of a failed test.
impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all();
        for line in all.iter().skip(all.len().saturating_sub(40)) {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript")
            .field("lines", &self.lines().said.len())
            .finish()
    }
}
