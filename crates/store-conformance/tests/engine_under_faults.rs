//! What if the memory store fails at any one call, in any way? It has no transactions: what its
//! story books is not counted.

use keystep::{MemoryStore, StepContext, StepResult};
use store_conformance::under_faults::Ground;

#[derive(Clone)]
struct InMemory(MemoryStore);

async fn fresh() -> InMemory {
    InMemory(MemoryStore::new())
}

impl Ground for InMemory {
    type Store = MemoryStore;

    async fn open(&self) -> MemoryStore {
        self.0.another_handle()
    }

    async fn book(&self, _store: &MemoryStore, _cx: &StepContext, _mark: &str) -> StepResult<()> {
        unreachable!("the memory store has no transactions")
    }

    async fn rows(&self, _store: &MemoryStore, _mark: &str) -> u64 {
        unreachable!("the memory store has no transactions")
    }
}

store_conformance::under_faults_suite!(fresh);

mod stories {
    store_conformance::stories_suite!(fresh);
}
