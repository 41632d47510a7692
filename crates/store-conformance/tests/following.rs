//! How soon does a caller who waits for another process hear of the end? As soon as the first one did,
//! however long the process has been following others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keystep::{Engine, MemoryStore, OnDuplicate, RunError, Schema, StepContext, StepResult};
use store_conformance::faulty::{Call, Faults, FaultyStore};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

#[derive(Clone)]
struct GoOn(Arc<Semaphore>);

async fn gated(cx: StepContext, n: u64) -> StepResult<u64> {
    cx.get::<GoOn>()?.0.acquire().await?.forget();
    Ok(n)
}

fn schema() -> Schema<u64, u64> {
    Schema::new("test.following").step("gated", gated).build()
}

async fn process(store: &MemoryStore, go_on: &GoOn) -> (Engine, Faults) {
    let store = FaultyStore::new(store.another_handle());
    let faults = store.faults();
    let engine = Engine::builder(store).schema(schema()).provide(go_on.clone());
    (engine.build().await.expect("an engine"), faults)
}

fn attach(engine: &Engine, key: &str) -> JoinHandle<Result<u64, RunError>> {
    let call = engine.run(&schema(), key, 1).on_duplicate(OnDuplicate::Attach);
    tokio::spawn(call.into_future())
}

/// Waits for so many looks at the store that begin after this moment, at most ten seconds.
async fn looks(faults: &Faults, count: usize) {
    let so_far = || faults.calls().iter().filter(|call| **call == Call::Find).count();
    let wanted = so_far() + count;
    let looked = async {
        while so_far() < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looked)
        .await
        .expect("it looks");
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_caller_who_comes_later_is_looked_for_as_often_as_the_first() {
    let (store, go_on) = (MemoryStore::new(), GoOn(Arc::new(Semaphore::new(0))));
    let (here, _) = process(&store, &go_on).await;
    let (there, faults) = process(&store, &go_on).await;
    // Many come one after the other, and each gets its end.
    for round in 0..15 {
        let key = format!("{round}");
        let owner = attach(&here, &key);
        while here
            .find(&schema(), key.as_str())
            .await
            .expect("a read")
            .is_none()
        {
            tokio::task::yield_now().await;
        }
        let caller = attach(&there, &key);
        looks(&faults, 1).await;
        go_on.0.add_permits(1);
        assert_eq!(owner.await.expect("no panic"), Ok(1));
        assert_eq!(caller.await.expect("no panic"), Ok(1));
    }
    let _owner = attach(&here, "last");
    while here.find(&schema(), "last").await.expect("a read").is_none() {
        tokio::task::yield_now().await;
    }
    let came = Instant::now();
    let _caller = attach(&there, "last");
    looks(&faults, 4).await;
    // Pauses of 20, 30 and 45 ms; one that goes on growing would be 500 ms each.
    let took = came.elapsed();
    assert!(took < Duration::from_millis(800), "four looks took {took:?}");
    println!("four looks took {took:?}");
    go_on.0.add_permits(1);
}
