//! The answer to an acquisition is lost, and then the store is away for a moment: does the caller learn
//! what came of it, and does nobody have to find the execution later?

use keystep::memory::MemoryStore;
use keystep::store::StoreError;
use keystep::{AfterFailure, Engine, Retry, Schema, StepContext, StepResult, WorkerOptions};
use store_conformance::faulty::{Call, Fault, Faults, FaultyStore};

async fn only(cx: StepContext, n: u64) -> StepResult<u64> {
    if cx.fence().claim.epoch == 1 && n == 0 {
        return Err("the partner is down".into());
    }
    Ok(n)
}

/// The answer to the next call of this kind is lost, and the store is away at the three that follow.
fn lose_answer_then_be_away(faults: &Faults, call: Call) {
    faults.script(&[call], 1, Fault::LoseAnswer);
    let away = Fault::Refuse(StoreError::Unavailable("by script".into()));
    for nth in 2..5 {
        faults.script(&[call], nth, away.clone());
    }
}

async fn start() -> (Engine, Schema<u64, u64>, Faults) {
    let schema = Schema::new("test.lost")
        .step("only", only)
        .retry(Retry::none())
        .build();
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.faults();
    let engine = Engine::builder(store)
        .schema(schema.clone())
        .worker(WorkerOptions::default())
        .build()
        .await
        .expect("an engine");
    (engine, schema, faults)
}

async fn epoch(engine: &Engine, schema: &Schema<u64, u64>) -> i64 {
    engine
        .find(schema, "k")
        .await
        .expect("read")
        .expect("there")
        .epoch
}

#[tokio::test]
async fn a_begin_whose_answer_is_lost_is_asked_again_while_the_store_is_away() {
    let (engine, schema, faults) = start().await;
    lose_answer_then_be_away(&faults, Call::Begin);
    assert_eq!(engine.run(&schema, "k", 7).await, Ok(7));
    assert_eq!(faults.left(), 0);
    assert_eq!(epoch(&engine, &schema).await, 1, "nobody had to take it over");
}

#[tokio::test]
async fn an_acquisition_whose_answer_is_lost_is_asked_again_while_the_store_is_away() {
    let (engine, schema, faults) = start().await;
    assert!(engine.run(&schema, "k", 0).await.is_err());
    lose_answer_then_be_away(&faults, Call::Acquire);
    let resumed = engine.run(&schema, "k", 0).after_failure(AfterFailure::Resume);
    assert_eq!(resumed.await, Ok(0));
    assert_eq!(faults.left(), 0);
    assert_eq!(epoch(&engine, &schema).await, 2, "begun and resumed");
}

#[tokio::test]
async fn a_begin_that_was_not_sent_is_answered_at_once() {
    let (engine, schema, faults) = start().await;
    faults.script_outage(&[Call::Begin], &StoreError::Unavailable("by script".into()));
    assert!(engine.run(&schema, "k", 7).await.is_err());
    assert_eq!(
        faults.calls().iter().filter(|call| **call == Call::Begin).count(),
        1
    );
}
