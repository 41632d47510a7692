//! What is stored and read back, when the codec or the schema is not quite the one that wrote it?

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use keystep::execution::Payload;
use keystep::store::{Begin, Store};
use keystep::{
    Codec, Engine, ExecutionId, FullKey, InputHash, MemoryStore, Place, Retry, RunError, RunId, Schema, Slot,
    Step, StepContext, StepError, StepResult, StoredStep,
};
use serde::{Deserialize, Serialize};

/// No wait of a test is longer than ten seconds.
async fn within<T>(wait: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), wait.into_future())
        .await
        .expect("in time")
}

/// Binds an output to the step it belongs to, as a codec that encrypts does, and has no way to store
/// a failure.
struct Bound;

impl Codec for Bound {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, json: Bytes, place: &Place<'_>) -> Result<Bytes, String> {
        match place.slot {
            Slot::Output(step) => Ok([step.as_bytes(), b":", &json].concat().into()),
            Slot::Failure => Err("no key".to_owned()),
            _ => Ok(json),
        }
    }

    fn decode(&self, bytes: Bytes, place: &Place<'_>) -> Result<Bytes, String> {
        match place.slot {
            Slot::Output(step) => bytes
                .strip_prefix([step.as_bytes(), b":"].concat().as_slice())
                .map(Bytes::copy_from_slice)
                .ok_or_else(|| "it belongs to another step".to_owned()),
            _ => Ok(bytes),
        }
    }
}

async fn double(_cx: StepContext, n: u64) -> StepResult<u64> {
    Ok(2 * n)
}

async fn engine(store: &MemoryStore, schema: &Schema<u64, u64>) -> Engine {
    Engine::builder(store.another_handle())
        .schema(schema.clone())
        .codec(Bound)
        .build()
        .await
        .expect("an engine")
}

#[tokio::test]
async fn an_outcome_is_replayed_also_by_a_program_whose_schema_ends_with_another_step() {
    let store = MemoryStore::new();
    let before = Schema::new("test.stored")
        .step("first", double)
        .step("last", double)
        .build();
    let after = Schema::new("test.stored")
        .step("first", double)
        .step("renamed", double)
        .build();
    assert_eq!(engine(&store, &before).await.run(&before, "k", 1).await, Ok(4));
    assert_eq!(engine(&store, &after).await.run(&after, "k", 1).await, Ok(4));
}

#[tokio::test]
async fn a_failure_that_the_codec_refuses_is_stored_without_its_text_and_can_be_resumed() {
    let calls = Arc::new(AtomicU32::new(0));
    let fails_once = move |_cx: StepContext, n: u64| {
        let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                return Err(StepError::retry("a canary").code("partner_down"));
            }
            Ok(n)
        }
    };
    let schema = Schema::new("test.stored")
        .step("fails", fails_once)
        .retry(Retry::none())
        .build();
    let store = MemoryStore::new();
    let engine = engine(&store, &schema).await;
    assert!(matches!(
        engine.run(&schema, "k", 1).await,
        Err(RunError::Failed(_))
    ));
    let stored = engine
        .find(&schema, "k")
        .await
        .expect("read")
        .expect("there")
        .failure;
    let stored = stored.expect("a failure");
    assert_eq!(
        (stored.step.as_str(), stored.code.as_deref()),
        ("fails", Some("partner_down"))
    );
    assert!(!stored.message.contains("canary"), "{stored}");
    assert_eq!(
        engine.run(&schema, "k", 1).await,
        Ok(1),
        "resumed, as used-up failures are"
    );
}

#[derive(Serialize, Deserialize)]
struct Greet {
    word: String,
}

impl Step for Greet {
    type Input = u64;
    type Output = String;

    async fn run(&self, _cx: StepContext, n: u64) -> StepResult<String> {
        Ok(format!("{} {n}", self.word))
    }
}

#[typetag::serde(name = "test.stored.greet")]
impl StoredStep for Greet {}

#[tokio::test]
async fn a_schema_with_other_stored_parameters_than_the_registered_one_is_refused() {
    let greeting = |word: &str| {
        let word = word.to_owned();
        Schema::new("test.greeting")
            .stored_step("greet", Greet { word })
            .build()
    };
    let (registered, other) = (greeting("hello"), greeting("goodbye"));
    let engine = Engine::builder(MemoryStore::new())
        .schema(registered)
        .build()
        .await
        .expect("an engine");
    let refused = engine.run(&other, "k", 1).await;
    let text = "the schema `test.greeting` is registered with this engine with other stored parameters";
    assert_eq!(
        refused,
        Err(RunError::Invalid(text.to_owned())),
        "its plan is not stored"
    );
    assert_eq!(
        engine.run(&greeting("hello"), "k", 1).await,
        Ok("hello 1".to_owned()),
        "equal is enough"
    );
}

#[tokio::test]
async fn a_delay_of_any_length_puts_the_execution_down() {
    let patient = Retry::attempts(5)
        .first_delay(Duration::MAX)
        .max_delay(Duration::MAX);
    let asks = |error: fn() -> StepError| {
        Schema::new("test.delay").step("waits", move |_cx, _n: u64| async move { Err::<u64, _>(error()) })
    };
    for schema in [
        asks(|| StepError::retry("later")).retry(patient).build(),
        asks(|| StepError::retry_after("later", Duration::MAX)).build(),
    ] {
        let store = MemoryStore::new();
        let engine = engine(&store, &schema).await;
        let told = within(engine.run(&schema, "k", 1)).await;
        assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
        let told = within(engine.run(&schema, "k", 1)).await;
        assert!(
            matches!(told, Err(RunError::Waiting { .. })),
            "a call takes it up: {told:?}"
        );
    }
}

#[tokio::test]
async fn a_key_whose_id_belongs_to_another_text_is_refused_and_told_nothing() {
    let store = MemoryStore::new();
    let schema = Schema::new("test.stored").step("double", double).build();
    let engine = engine(&store, &schema).await;
    let key = |key: &str| FullKey {
        schema: "test.stored".to_owned(),
        scope: String::new(),
        key: key.to_owned(),
    };
    // No two texts with one hash are known, so the row of another text is put under the id of this.
    let other = Begin {
        id: ExecutionId::of(&key("k")),
        key: key("other").into(),
        run: RunId::fresh(),
        token: uuid::Uuid::nil(),
        owner: engine.worker_id(),
        plan: schema.plan().id,
        shape: schema.shape(),
        input: Payload::default(),
        input_hash: InputHash([0; 32]),
        parent: None,
    };
    store.begin(other).await.expect("begun");
    let refused = within(engine.run(&schema, "k", 1)).await;
    let text = "another key has the same id as this one: use another key";
    assert_eq!(refused, Err(RunError::Invalid(text.to_owned())));
}
