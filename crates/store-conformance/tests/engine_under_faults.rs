//! What if the store fails at any one call, in any way? The loop fails the first call, then the
//! second, until the story needs no more calls; every caller ends with the same output, and no step
//! runs more often than the fault explains.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keystep::store::StoreError;
use keystep::{
    Engine, MemoryStore, OnDuplicate, Retry, RunError, Schema, StepContext, StepResult, WorkerOptions,
};
use store_conformance::faulty::{Call, Fault, FaultyStore};

#[derive(Clone, Default)]
struct Counts(Arc<[AtomicU32; 3]>);

impl Counts {
    fn all(&self) -> [u32; 3] {
        [0, 1, 2].map(|step| self.0[step].load(Ordering::SeqCst))
    }
}

async fn count(cx: &StepContext, step: usize) -> StepResult<u32> {
    Ok(cx.get::<Counts>()?.0[step].fetch_add(1, Ordering::SeqCst))
}

fn schema() -> Schema<u64, u64> {
    Schema::new("test.faults")
        .step("first", |cx: StepContext, n: u64| async move {
            count(&cx, 0).await?;
            Ok(n + 1)
        })
        .step("second", |cx: StepContext, n: u64| async move {
            // The first attempt fails and is put down, so that the story has a wait and a resume.
            if count(&cx, 1).await? == 0 {
                return Err("the partner is down".into());
            }
            Ok(n * 10)
        })
        .retry(
            Retry::attempts(5)
                .first_delay(Duration::from_secs(60))
                .hold(Duration::ZERO),
        )
        .step("third", |cx: StepContext, n: u64| async move {
            count(&cx, 2).await?;
            Ok(n + 3)
        })
        .build()
}

/// How the story ended.
struct Told {
    counts: [u32; 3],
    fault_happened: bool,
}

/// Calls until there is an output, as a client that retries does.
async fn tell(fault: Fault, nth: u64) -> Told {
    let (schema, counts) = (schema(), Counts::default());
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.faults();
    let options = WorkerOptions {
        drain: Duration::from_millis(100),
        ..WorkerOptions::default()
    };
    let engine = Engine::builder(store)
        .schema(schema.clone())
        .provide(counts.clone())
        .worker(options)
        .build()
        .await
        .expect("an engine");
    faults.script(Call::STORY, nth, fault.clone());
    let mut calls = 0;
    loop {
        calls += 1;
        assert!(
            calls < 20,
            "no output after {calls} calls; {fault:?} at call {nth}"
        );
        let told = engine
            .run(&schema, "k", 1)
            .on_duplicate(OnDuplicate::Attach)
            .within(Duration::from_secs(20))
            .await;
        match told {
            Ok(output) => {
                assert_eq!(output, 23, "{fault:?} at call {nth}");
                break;
            }
            Err(
                error
                @ (RunError::TimedOut(_) | RunError::InputMismatch { .. } | RunError::InProgress { .. }),
            ) => {
                panic!("{error}; {fault:?} at call {nth}")
            }
            // An operator's part: a row that could not be read once is resumed by hand.
            Err(RunError::Parked { execution, .. }) => {
                engine.resume(execution).await.expect("resumed");
            }
            Err(_call_again) => {}
        }
    }
    let fault_happened = faults.left() == 0;
    faults.clear();
    let again = engine.run(&schema, "k", 1).await;
    assert_eq!(again, Ok(23), "the outcome stands; {fault:?} at call {nth}");
    let told = Told {
        counts: counts.all(),
        fault_happened,
    };
    engine.shutdown().await;
    told
}

/// Tells the story with the fault at each call, until it happens no more.
async fn at_each_call(fault: Fault, most_runs: [u32; 3]) {
    for nth in 1.. {
        assert!(nth < 100, "the story has no end");
        let told = tell(fault.clone(), nth).await;
        for (runs, most) in told.counts.iter().zip(most_runs) {
            assert!(
                (1..=most).contains(runs),
                "{:?} runs; {fault:?} at call {nth}",
                told.counts
            );
        }
        if !told.fault_happened {
            assert!(nth > 5, "the fault was tried at {} calls only", nth - 1);
            return;
        }
    }
}

#[tokio::test]
async fn a_lost_answer_never_repeats_a_step() {
    at_each_call(Fault::LoseAnswer, [1, 2, 1]).await;
}

#[tokio::test]
async fn an_outage_of_one_call_never_repeats_a_step() {
    at_each_call(
        Fault::Refuse(StoreError::Unavailable("by script".into())),
        [1, 2, 1],
    )
    .await;
    at_each_call(Fault::Refuse(StoreError::Unknown("by script".into())), [1, 2, 1]).await;
    at_each_call(Fault::Refuse(StoreError::Refused("by script".into())), [1, 2, 1]).await;
}

#[tokio::test]
async fn a_restarted_server_repeats_at_most_the_step_whose_result_it_did_not_record() {
    at_each_call(Fault::Refuse(StoreError::Restarted), [2, 3, 2]).await;
}

#[tokio::test]
async fn a_refused_value_ends_the_run_and_the_next_call_resumes() {
    at_each_call(Fault::Refuse(StoreError::Rejected("by script".into())), [2, 3, 2]).await;
    at_each_call(
        Fault::Refuse(StoreError::Unreadable("by script".into())),
        [1, 2, 1],
    )
    .await;
}
