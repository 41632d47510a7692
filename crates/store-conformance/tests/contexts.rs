//! A context handed out by an engine is as good as a step's own.

use keystep::memory::MemoryStore;
use keystep::store::Store;
use store_conformance::StepContexts;

#[tokio::test]
async fn each_context_opens_one_transaction_of_its_store() {
    let store = MemoryStore::new();
    let contexts = StepContexts::over(store.clone()).await;
    let instance = store.describe().instance;
    let first = contexts.next().await;
    let second = contexts.next().await;
    assert_ne!(first.execution_id(), second.execution_id());
    let open = first.open_transaction(instance).expect("the first");
    first.open_transaction(instance).expect_err("one at a time");
    second.open_transaction(instance).expect("another step's");
    second
        .open_transaction(store.another_handle().describe().instance)
        .expect_err("another store's");
    drop(open);
}
