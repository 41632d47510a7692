//! The memory store keeps every promise that a store without transactions can keep.

use keystep::memory::MemoryStore;
use store_conformance::Harness;

async fn fresh() -> Harness<MemoryStore> {
    let here = MemoryStore::new();
    let there = here.another_handle();
    Harness::new(here, there)
        .ending_sessions_with(async |store: std::sync::Arc<MemoryStore>, worker| store.end_session(worker))
}

store_conformance::suite!(fresh);
