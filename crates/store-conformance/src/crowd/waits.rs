//! Does a caller who waits for another process ever miss the end? Whenever it comes: before the end,
//! while it is written, after it; and whatever the look that it began with had shown.

use std::sync::Arc;
use std::time::Duration;

use keystep::store::Store;
use keystep::{Engine, OnDuplicate, RunError, Schema, StepContext, StepResult};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Crowd;
use crate::faulty::{Call, Fault, Faults, FaultyStore, Gate};

/// Holds the step of each key until the test lets one go on.
#[derive(Clone)]
struct Work {
    entered: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

async fn gated(cx: StepContext, n: u64) -> StepResult<u64> {
    let work = cx.get::<Work>()?;
    work.entered.add_permits(1);
    work.go_on.acquire().await?.forget();
    Ok(n + 1)
}

fn schema() -> Schema<u64, u64> {
    Schema::new("crowd.waits").step("gated", gated).build()
}

/// One process: its engine, and what can be done to its store.
struct Process {
    engine: Engine,
    faults: Faults,
}

async fn process<S: Store>(store: S, work: &Work) -> Process {
    let store = FaultyStore::new(store);
    let faults = store.faults();
    let engine = Engine::builder(store)
        .schema(schema())
        .provide(work.clone())
        .build()
        .await
        .expect("an engine");
    Process { engine, faults }
}

impl Process {
    fn attach(&self, key: &str) -> Waiting {
        let call = self
            .engine
            .run(&schema(), key, 1)
            .on_duplicate(OnDuplicate::Attach);
        Waiting(tokio::spawn(call.into_future()))
    }

    fn looks(&self) -> usize {
        let calls = self.faults.calls();
        calls.iter().filter(|call| **call == Call::Find).count()
    }

    /// Waits for a look at the store that begins after this moment.
    async fn looks_again(&self) {
        let looks = self.looks();
        within("a look", async {
            while self.looks() == looks {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// Holds the next call of this kind: before it happens, or its answer.
    fn hold(&self, call: Call, fault: fn(Gate) -> Fault) -> Gate {
        let gate = Gate::closed();
        self.faults.script(&[call], 1, fault(gate.clone()));
        gate
    }
}

/// A caller.
struct Waiting(JoinHandle<Result<u64, RunError>>);

impl Waiting {
    async fn gets_the_end(self, who: &str) {
        let told = within(who, self.0).await.expect("no panic");
        assert_eq!(told, Ok(2), "{who}");
    }
}

/// Far longer than the longest pause between two looks.
async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(Duration::from_secs(20), wait).await;
    came.unwrap_or_else(|_late| panic!("never came: {what}"))
}

/// A key that `here` runs, inside its step.
async fn running(here: &Process, work: &Work, key: &str) -> Waiting {
    let owner = here.attach(key);
    within("the step", work.entered.acquire())
        .await
        .expect("open")
        .forget();
    owner
}

/// Each order of a caller's way to its place among those who wait and the owner's way to the end.
pub async fn a_caller_who_comes_before_during_or_after_the_end_gets_it<S: Store + Clone>(crowd: Crowd<S>) {
    let work = Work {
        entered: Arc::new(Semaphore::new(0)),
        go_on: Arc::new(Semaphore::new(0)),
    };
    let here = process(crowd.handles[0].clone(), &work).await;
    let there = process(crowd.handles[1].clone(), &work).await;

    let owner = running(&here, &work, "before").await;
    let early = there.attach("before");
    there.looks_again().await;
    work.go_on.add_permits(1);
    owner.gets_the_end("the owner's caller").await;
    early.gets_the_end("who came before the end").await;

    // What it has read says "running"; then comes the end; only then it is one of those who wait.
    let owner = running(&here, &work, "between").await;
    let answer = there.hold(Call::Begin, Fault::HoldAfter);
    let between = there.attach("between");
    within("the read", answer.arrived(1)).await;
    work.go_on.add_permits(1);
    owner.gets_the_end("the owner's caller").await;
    answer.open();
    between
        .gets_the_end("who read before the end and waits after it")
        .await;

    // It comes while a look is under way that does not see the end any more.
    let owner = running(&here, &work, "look").await;
    let answer = there.hold(Call::Find, Fault::HoldAfter);
    let first = there.attach("look");
    within("the look", answer.arrived(1)).await;
    let second = there.attach("look");
    work.go_on.add_permits(1);
    owner.gets_the_end("the owner's caller").await;
    answer.open();
    first.gets_the_end("whose look was old").await;
    second.gets_the_end("who came during an old look").await;

    // It comes while the end is on its way.
    let owner = running(&here, &work, "sent").await;
    let end = here.hold(Call::Commit, Fault::HoldBefore);
    work.go_on.add_permits(1);
    within("the end", end.arrived(1)).await;
    let during = there.attach("sent");
    there.looks_again().await;
    end.open();
    owner.gets_the_end("the owner's caller").await;
    during.gets_the_end("who came while the end was on its way").await;

    // It comes when the end is there, and the owner does not know it yet.
    let owner = running(&here, &work, "written").await;
    let end = here.hold(Call::Commit, Fault::HoldAfter);
    work.go_on.add_permits(1);
    within("the end", end.arrived(1)).await;
    there
        .attach("written")
        .gets_the_end("who came after the end")
        .await;
    end.open();
    owner.gets_the_end("the owner's caller").await;

    here.engine.shutdown().await;
    there.engine.shutdown().await;
}

/// No order is forced here: callers of both processes come at any moment around the end.
pub async fn callers_who_come_around_the_end_all_get_it<S: Store + Clone>(crowd: Crowd<S>) {
    let work = Work {
        entered: Arc::new(Semaphore::new(0)),
        go_on: Arc::new(Semaphore::new(0)),
    };
    let here = process(crowd.handles[0].clone(), &work).await;
    let there = process(crowd.handles[1].clone(), &work).await;
    for round in 0..60 {
        let key = format!("{round}");
        let owner = running(&here, &work, &key).await;
        work.go_on.add_permits(1);
        let mut callers = Vec::new();
        for nth in 0..6 {
            for _turn in 0..round * nth {
                tokio::task::yield_now().await;
            }
            callers.push([&here, &there][nth % 2].attach(&key));
        }
        owner.gets_the_end("the owner's caller").await;
        for caller in callers {
            caller.gets_the_end("a caller around the end").await;
        }
    }
    here.engine.shutdown().await;
    there.engine.shutdown().await;
}
