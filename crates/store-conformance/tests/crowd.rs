//! Does the memory store keep its promises in a crowd?

use keystep::memory::MemoryStore;
use store_conformance::crowd::Crowd;

async fn crowd(handles: usize) -> Crowd<MemoryStore> {
    let store = MemoryStore::new();
    Crowd::new((0..handles).map(|_nth| store.another_handle()).collect())
}

store_conformance::crowd_suite!(crowd);
