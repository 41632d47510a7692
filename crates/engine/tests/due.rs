//! When is work taken up whose time has come, and there is more of it than one process runs at once?

use std::sync::Arc;
use std::time::Duration;

use keystep::clock::Clock;
use keystep::{Engine, MemoryStore, RunError, Schema, StepContext, StepError, StepResult, WorkerOptions};
use tokio::sync::Semaphore;

/// How many executions the process takes up at once, and how often that many.
const ROOM: usize = 4;
const ROUNDS: usize = 10;

const DELAY: Duration = Duration::from_secs(3600);

/// Who is in the step for the second time, and who may leave it.
#[derive(Clone)]
struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

async fn again_later(cx: StepContext, n: u64) -> StepResult<u64> {
    if cx.attempt() == 1 {
        return Err(StepError::retry_after("not yet", DELAY));
    }
    let gate = cx.get::<Gate>()?;
    gate.entered.add_permits(1);
    gate.open.acquire().await?.forget();
    Ok(n)
}

#[tokio::test]
async fn what_one_look_had_no_room_for_is_taken_up_when_there_is_room_and_not_at_the_next_sweep() {
    let schema = Schema::new("test.due").step("again_later", again_later).build();
    let gate = Gate {
        entered: Arc::new(Semaphore::new(0)),
        open: Arc::new(Semaphore::new(0)),
    };
    let clock = Clock::new();
    let engine = Engine::builder(MemoryStore::with_clock(clock.clone()))
        .schema(schema.clone())
        .provide(gate.clone())
        .worker(WorkerOptions {
            in_flight: ROOM,
            sweep: DELAY,
            ..WorkerOptions::default()
        })
        .build()
        .await
        .expect("an engine");
    for n in 0..(ROOM * ROUNDS) as u64 {
        let put_down = engine.run(&schema, format!("k{n}"), n).await;
        assert!(matches!(put_down, Err(RunError::Waiting { .. })), "{put_down:?}");
    }
    clock.advance(2 * DELAY);
    for round in 0..ROUNDS {
        let all = gate.entered.acquire_many(ROOM as u32);
        let entered = tokio::time::timeout(Duration::from_secs(10), all).await;
        let entered = entered.unwrap_or_else(|_late| panic!("nobody was taken up in round {round}"));
        entered.expect("never closed").forget();
        gate.open.add_permits(ROOM);
    }
    engine.shutdown().await;
}
