//! Which outcomes does this process remember? Successes, so that a replay of a key that is called again
//! and again asks nobody.
//!
//! Only what can not change any more is kept: a success, until its retention ends. Its time runs on
//! the monotonic clock from before the store was asked, so that it never ends later here than there.
//! Memory is bounded; what has not been asked for lately makes way.
//!
//! A failover to a server that misses the newest commits takes successes back. So what is remembered
//! counts only while the server is looked at, and is forgotten when it is another start of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::clock::Clock;
use crate::execution::{ExecutionId, FullKey, InputHash};
use crate::runs::locked;

/// A success that was stored.
#[derive(Debug, Clone)]
pub(crate) struct Success {
    pub(crate) key: Arc<FullKey>,
    pub(crate) hash: InputHash,
    /// The output, as JSON.
    pub(crate) output: Bytes,
    /// Until this time of the engine's clock; `None` for ever.
    until: Option<Duration>,
}

/// The successes that this process remembers.
pub(crate) struct Outcomes {
    /// `None` when nothing is to be remembered.
    kept: Option<Cache<ExecutionId, Arc<Success>, Bytewise>>,
    server: Mutex<Server>,
    /// Whether the server is seen, and so whether what is remembered counts.
    counts: AtomicBool,
}

/// What the last look has shown of the database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// It could not be looked at.
    Unseen,
    /// This start of it; `None` where there is none.
    Seen(Option<i64>),
}

impl Outcomes {
    /// Room for so many bytes, with what each success needs beside its output.
    pub(crate) fn new(bytes: usize) -> Self {
        let kept = (bytes > 0).then(|| Cache::with_weighter(bytes / USUAL, bytes as u64, Bytewise));
        Self {
            kept,
            server: Mutex::new(Server::Unseen),
            counts: AtomicBool::new(false),
        }
    }

    /// The server was looked at: it is this start of it.
    pub(crate) fn seen(&self, incarnation: Option<i64>) {
        let seen = Server::Seen(incarnation);
        let mut server = locked(&self.server);
        // Also after it could not be seen for a while.
        if *server != seen
            && let Some(cache) = &self.kept
        {
            cache.clear();
        }
        *server = seen;
        self.counts.store(true, Ordering::Release);
    }

    /// The server could not be looked at.
    pub(crate) fn unseen(&self) {
        let mut server = locked(&self.server);
        *server = Server::Unseen;
        self.counts.store(false, Ordering::Release);
    }

    /// Remembers a success. `asked` is the time before the store was asked, `kept` how long it keeps
    /// the execution from then on.
    pub(crate) fn keep(
        &self,
        id: ExecutionId,
        key: &Arc<FullKey>,
        hash: InputHash,
        output: &Bytes,
        (asked, kept): (Duration, Option<Duration>),
    ) {
        let Some(cache) = &self.kept else {
            return;
        };
        let success = Success {
            key: Arc::clone(key),
            hash,
            output: output.clone(),
            until: kept.map(|kept| asked.saturating_add(kept)),
        };
        cache.insert(id, Arc::new(success));
    }

    /// The success of an execution, while it counts.
    pub(crate) fn of(&self, id: ExecutionId, clock: &Clock) -> Option<Arc<Success>> {
        let cache = self.kept.as_ref()?;
        let success = cache.get(&id)?;
        if !self.counts.load(Ordering::Acquire) {
            return None;
        }
        let counts = success.until.is_none_or(|until| clock.elapsed() < until);
        if !counts {
            cache.remove(&id);
        }
        counts.then_some(success)
    }
}

/// Bytes of a usual success, by which the number of places is chosen.
const USUAL: usize = 512;

#[derive(Debug, Clone)]
struct Bytewise;

impl Weighter<ExecutionId, Arc<Success>> for Bytewise {
    fn weight(&self, _id: &ExecutionId, success: &Arc<Success>) -> u64 {
        let FullKey { schema, scope, key } = &*success.key;
        let texts = schema.len() + scope.len() + key.len();
        // With the entry itself and its places in the tables.
        (success.output.len() + texts + 256) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(bytes: usize) -> Outcomes {
        let outcomes = Outcomes::new(bytes);
        outcomes.seen(Some(1));
        outcomes
    }

    fn key(n: u32) -> Arc<FullKey> {
        Arc::new(FullKey {
            schema: "s".into(),
            scope: String::new(),
            key: n.to_string(),
        })
    }

    fn keep(
        outcomes: &Outcomes,
        n: u32,
        output: usize,
        clock: &Clock,
        kept: Option<Duration>,
    ) -> ExecutionId {
        let key = key(n);
        let id = ExecutionId::of(&key);
        let output = Bytes::from(vec![b'1'; output]);
        outcomes.keep(id, &key, InputHash([0; 32]), &output, (clock.elapsed(), kept));
        id
    }

    #[test]
    fn a_success_counts_until_its_retention_ends_and_not_longer() {
        let (outcomes, clock) = (outcomes(1 << 20), Clock::new());
        let day = Duration::from_secs(86_400);
        let kept = keep(&outcomes, 1, 10, &clock, Some(day));
        let for_ever = keep(&outcomes, 2, 10, &clock, None);
        clock.advance(day - Duration::from_secs(60));
        assert!(outcomes.of(kept, &clock).is_some());
        clock.advance(Duration::from_secs(60));
        assert!(outcomes.of(kept, &clock).is_none());
        assert!(outcomes.of(for_ever, &clock).is_some());
    }

    #[test]
    fn memory_is_bounded_by_bytes_and_a_large_output_is_not_kept_at_all() {
        let (outcomes, clock) = (outcomes(100_000), Clock::new());
        let large = keep(&outcomes, 0, 200_000, &clock, None);
        assert!(outcomes.of(large, &clock).is_none());
        let ids: Vec<_> = (1..=1_000)
            .map(|n| keep(&outcomes, n, 100, &clock, None))
            .collect();
        let kept = ids
            .iter()
            .filter(|id| outcomes.of(**id, &clock).is_some())
            .count();
        assert!((1..=100_000 / 356).contains(&kept), "{kept}");
    }

    #[test]
    fn what_another_start_of_the_server_may_have_lost_does_not_count() {
        let (outcomes, clock) = (outcomes(1 << 20), Clock::new());
        let id = keep(&outcomes, 1, 10, &clock, None);
        outcomes.seen(Some(1));
        assert!(outcomes.of(id, &clock).is_some());
        outcomes.unseen();
        assert!(
            outcomes.of(id, &clock).is_none(),
            "nobody knows which server it is"
        );
        outcomes.seen(Some(2));
        assert!(outcomes.of(id, &clock).is_none());
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let (outcomes, clock) = (outcomes(0), Clock::new());
        let id = keep(&outcomes, 1, 1, &clock, None);
        assert!(outcomes.of(id, &clock).is_none());
    }
}
