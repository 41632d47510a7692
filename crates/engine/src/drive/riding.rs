//! What waits for the next checkpoint? The outputs of lazy steps, and all outputs of an atomic schema. They
//! ride with whatever is recorded next, an output or a part of one: what is recorded of a later step was
//! made of them, so it must not outlive them.

use std::sync::Mutex;

use bytes::Bytes;

use crate::runs::locked;

/// Outputs that are not recorded yet, in order, by step.
#[derive(Default)]
pub(super) struct Riding {
    outputs: Mutex<Vec<(String, Bytes)>>,
}

impl Riding {
    pub(super) fn add(&self, step: &str, output: Bytes) {
        locked(&self.outputs).push((step.to_owned(), output));
    }

    /// What the next checkpoint takes along. Of several that are written beside each other each does.
    pub(super) fn all(&self) -> Vec<(String, Bytes)> {
        locked(&self.outputs).clone()
    }

    /// Forgets them: they are recorded, or rolled back.
    pub(super) fn clear(&self) {
        locked(&self.outputs).clear();
    }

    pub(super) fn bytes(&self) -> usize {
        locked(&self.outputs)
            .iter()
            .map(|(_step, output)| output.len())
            .sum()
    }
}
