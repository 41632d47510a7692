//! A call joins an ask of the store that was on its way before it. When that one fails, does the call ask by
//! itself? Then the store may have come back, and the other call's value is not its own.

use futures::poll;
use keystep::memory::MemoryStore;
use keystep::store::StoreError;
use keystep::{Engine, RunError, Schema, StepContext, StepResult};
use store_conformance::faulty::{Call, Fault, Faults, FaultyStore, Gate};

async fn only(_cx: StepContext, n: u64) -> StepResult<u64> {
    Ok(n)
}

/// An engine on a store whose first begin is held at a gate, and which refuses begins behind it.
struct Scene {
    engine: Engine,
    schema: Schema<u64, u64>,
    first: Gate,
    /// Of what reaches the store.
    faults: Faults,
}

impl Scene {
    async fn new() -> Self {
        let schema = Schema::new("test.joined").step("only", only).build();
        let behind = FaultyStore::new(MemoryStore::new());
        let faults = behind.faults();
        let store = FaultyStore::new(behind);
        let first = Gate::closed();
        store
            .faults()
            .script(&[Call::Begin], 1, Fault::HoldBefore(first.clone()));
        let engine = Engine::builder(store).schema(schema.clone()).build();
        Self {
            engine: engine.await.expect("an engine"),
            schema,
            first,
            faults,
        }
    }

    /// Three calls of one key with these inputs, of which the first asks and the others join it; what they
    /// are told.
    async fn calls(&self, inputs: [u64; 3]) -> [Result<u64, RunError>; 3] {
        let call = |input| Box::pin(self.engine.run(&self.schema, "k", input).into_future());
        let [mut asks, mut joins, mut joins_too] = inputs.map(call);
        assert!(poll!(&mut asks).is_pending());
        self.first.arrived(1).await;
        assert!(poll!(&mut joins).is_pending() && poll!(&mut joins_too).is_pending());
        self.first.open();
        let (asked, joined, joined_too) = tokio::join!(asks, joins, joins_too);
        [asked, joined, joined_too]
    }

    fn begins(&self) -> usize {
        let calls = self.faults.calls();
        calls.iter().filter(|call| **call == Call::Begin).count()
    }
}

fn rejected() -> Fault {
    Fault::Refuse(StoreError::Rejected("not this value".to_owned()))
}

#[tokio::test]
async fn when_an_ask_from_before_a_call_fails_the_call_asks_by_itself() {
    let scene = Scene::new().await;
    scene.faults.script(&[Call::Begin], 1, rejected());
    let [asked, joined, joined_too] = scene.calls([1, 7, 7]).await;
    assert!(matches!(asked, Err(RunError::Invalid(_))), "{asked:?}");
    assert_eq!([joined, joined_too], [Ok(7), Ok(7)]);
    assert_eq!(scene.begins(), 2, "one of those who had joined asks for both");
}

#[tokio::test]
async fn nobody_is_told_that_the_value_of_another_call_is_refused() {
    let scene = Scene::new().await;
    for nth in 1..=2 {
        scene.faults.script(&[Call::Begin], nth, rejected());
    }
    let [asked, joined, joined_too] = scene.calls([1, 2, 7]).await;
    for refused in [asked, joined] {
        assert!(matches!(refused, Err(RunError::Invalid(_))), "{refused:?}");
    }
    assert_eq!(joined_too, Ok(7));
}

#[tokio::test]
async fn while_the_store_is_away_a_call_overhears_one_failure_only() {
    let scene = Scene::new().await;
    let away = StoreError::Unavailable("by script".to_owned());
    scene.faults.script_outage(&[Call::Begin], &away);
    for told in scene.calls([7; 3]).await {
        assert!(matches!(told, Err(RunError::Unavailable(_))), "{told:?}");
    }
    assert_eq!(scene.begins(), 2);
}

#[tokio::test]
async fn a_call_that_has_joined_begins_nothing_when_the_engine_closes() {
    let scene = Scene::new().await;
    scene.faults.script(&[Call::Begin], 1, rejected());
    let call = |input| Box::pin(scene.engine.run(&scene.schema, "k", input).into_future());
    let (mut asks, mut joins) = (call(1), call(7));
    assert!(poll!(&mut asks).is_pending());
    scene.first.arrived(1).await;
    assert!(poll!(&mut joins).is_pending());
    let mut closes = Box::pin(scene.engine.shutdown());
    assert!(poll!(&mut closes).is_pending());
    scene.first.open();
    let (_refused, joined, ()) = tokio::join!(asks, joins, closes);
    assert!(matches!(joined, Err(RunError::Unavailable(_))), "{joined:?}");
    assert_eq!(scene.begins(), 1);
}
