//! Where does chance come from? Here, and nowhere else: ids, claims and jitter.
//!
//! Keeping every random source in one file lets a reader see at a glance which values are
//! unpredictable, and lets a test look for strays.

use uuid::Uuid;

/// A fresh time-ordered id (UUID v7), used for runs.
pub fn time_ordered() -> Uuid {
    Uuid::now_v7()
}

/// A fresh unpredictable id (UUID v4), used for claims and writes.
pub fn unpredictable() -> Uuid {
    Uuid::new_v4()
}

/// A fresh positive 63-bit number, used for workers.
pub fn positive() -> i64 {
    rand::random::<i64>() & i64::MAX
}

/// A number in `0.0..1.0`, used for jitter.
pub fn fraction() -> f64 {
    rand::random::<f64>()
}

/// Numbers that look random and are the same again for the same seed.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub(crate) struct Repeatable(rand::rngs::StdRng);

#[cfg(feature = "testing")]
impl Repeatable {
    /// The numbers of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(rand::SeedableRng::seed_from_u64(seed))
    }

    /// A number in `0..limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        rand::Rng::random_range(&mut self.0, 0..limit)
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len())]
    }
}
