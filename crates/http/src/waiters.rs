//! How many requests may wait for others at once? As many as there is room for, for one key and in all.
//!
//! A waiter is parked on a notification: it holds neither a thread nor a connection, only itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keystep::ExecutionId;

/// Limits of waiting requests. Clones share one count.
#[derive(Debug, Clone)]
pub struct Waiters(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    per_key: usize,
    in_all: usize,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    in_all: usize,
    by_key: HashMap<ExecutionId, usize>,
}

impl Default for Waiters {
    fn default() -> Self {
        Self::new(64, 4096)
    }
}

impl Waiters {
    /// At most so many for one key, and in all. Over it a duplicate is refused at once.
    pub fn new(per_key: usize, in_all: usize) -> Self {
        Self(Arc::new(Counts {
            per_key,
            in_all,
            now: Mutex::default(),
        }))
    }

    /// How many wait at the moment.
    pub fn waiting(&self) -> usize {
        self.now().in_all
    }

    /// A place to wait; `None` when there is none.
    pub(crate) fn enter(&self, id: ExecutionId) -> Option<Place> {
        let mut now = self.now();
        let of_key = now.by_key.get(&id).copied().unwrap_or_default();
        if of_key >= self.0.per_key || now.in_all >= self.0.in_all {
            return None;
        }
        now.in_all += 1;
        now.by_key.insert(id, of_key + 1);
        Some(Place {
            waiters: self.clone(),
            id,
        })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    waiters: Waiters,
    id: ExecutionId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut now = self.waiters.now();
        now.in_all -= 1;
        let left = now.by_key.get(&self.id).map_or(0, |count| count - 1);
        if left == 0 {
            now.by_key.remove(&self.id);
        } else {
            now.by_key.insert(self.id, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn places_are_limited_for_a_key_and_in_all_and_come_back() {
        let waiters = Waiters::new(2, 3);
        let (one, two) = (ExecutionId(Uuid::nil()), ExecutionId(Uuid::max()));
        let held = [waiters.enter(one), waiters.enter(one)];
        assert!(held.iter().all(Option::is_some));
        assert!(waiters.enter(one).is_none(), "a third of one key");
        let other = waiters.clone().enter(two);
        assert!(other.is_some() && waiters.enter(two).is_none(), "a fourth in all");
        drop(held);
        assert!(waiters.enter(one).is_some());
        drop(other);
        assert!(waiters.now().by_key.is_empty());
    }
}
