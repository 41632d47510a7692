//! What does a repeated request meet when the types or the name of its schema have changed? No
//! process dies here: it is about fingerprints, names and finished keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keystep::{Engine, MemoryStore, RunError, Schema, StepContext};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The rows of the page that are tried here.
pub(crate) const ROWS: [&str; 3] = [
    "a field added to the input",
    "a field removed from the input",
    "the schema's name, or how scopes are made",
];

#[derive(Serialize, Deserialize)]
struct Order {
    sku: String,
}

#[derive(Serialize, Deserialize)]
struct WithNote {
    sku: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WithNull {
    sku: String,
    #[serde(default)]
    note: Option<String>,
}

fn order() -> Order {
    Order {
        sku: "tea".to_owned(),
    }
}

fn with_note(note: Option<&str>) -> WithNote {
    WithNote {
        sku: "tea".to_owned(),
        note: note.map(str::to_owned),
    }
}

/// A database, and how often a step has run on it.
#[derive(Default)]
struct Shop {
    store: MemoryStore,
    runs: Arc<AtomicUsize>,
}

impl Shop {
    /// A program of one schema, called once. The step gives the count of its runs.
    async fn call<In, Out>(&self, name: &str, input: In, output: fn(usize) -> Out) -> Result<Out, RunError>
    where
        In: Serialize + DeserializeOwned + Send + 'static,
        Out: Serialize + DeserializeOwned + Send + 'static,
    {
        let runs = Arc::clone(&self.runs);
        let place = move |_cx: StepContext, _order: In| {
            let run = 1 + runs.fetch_add(1, Ordering::SeqCst);
            async move { Ok(output(run)) }
        };
        let schema = Schema::new(name).step("place", place).build();
        let engine = Engine::builder(self.store.another_handle())
            .schema(schema.clone())
            .build()
            .await
            .expect("an engine");
        let answer = engine.run(&schema, "request-1", input).await;
        engine.shutdown().await;
        answer
    }
}

fn number(run: usize) -> usize {
    run
}

#[tokio::test]
async fn an_added_field_that_is_left_out_when_it_is_absent_is_the_same_request() {
    let shop = Shop::default();
    assert_eq!(shop.call("order", order(), number).await, Ok(1));
    assert_eq!(shop.call("order", with_note(None), number).await, Ok(1));
    assert_eq!(shop.call("order", order(), number).await, Ok(1), "and back");
}

#[tokio::test]
async fn an_added_field_that_is_written_when_it_is_absent_is_another_request() {
    let shop = Shop::default();
    assert_eq!(shop.call("order", order(), number).await, Ok(1));
    let with_null = WithNull {
        sku: "tea".to_owned(),
        note: None,
    };
    let refused = shop.call("order", with_null, number).await;
    assert!(
        matches!(refused, Err(RunError::InputMismatch { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_removed_field_makes_another_request_of_those_that_had_it() {
    let shop = Shop::default();
    assert_eq!(shop.call("order", with_note(Some("gift")), number).await, Ok(1));
    let refused = shop.call("order", order(), number).await;
    assert!(
        matches!(refused, Err(RunError::InputMismatch { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_schema_of_another_name_runs_again() {
    let shop = Shop::default();
    assert_eq!(shop.call("order", order(), number).await, Ok(1));
    assert_eq!(shop.call("orders", order(), number).await, Ok(2));
}

#[tokio::test]
async fn a_finished_key_whose_output_can_not_be_read_any_more_answers_unreadable_and_runs_nothing() {
    let shop = Shop::default();
    assert_eq!(shop.call("order", order(), number).await, Ok(1));
    let unreadable = shop.call("order", order(), |run| vec![run]).await;
    assert!(
        matches!(unreadable, Err(RunError::Unreadable(_))),
        "{unreadable:?}"
    );
    assert_eq!(
        shop.call("order", order(), number).await,
        Ok(1),
        "the old program reads it"
    );
}
