//! Random operations: what no case has thought of.

use keystep::store::Store;

use crate::{Harness, model};

pub async fn random_operations_are_answered_as_by_the_memory_store<S: Store>(harness: Harness<S>) {
    model::agree(&harness, model::seed(), 400).await;
}
