//! How does a test get a step's context without being a step? From a small engine over the store,
//! whose steps hand their contexts out and then never end.
//!
//! A store opens transactions for a [`StepContext`] only, so that none outlives its step. The
//! transactional cases have no steps: their factory opens transactions with contexts from here.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keystep::store::Store;
use keystep::{Engine, Key, Schema, StepContext, StepResult};
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

/// Contexts of running steps. Clones share one engine.
#[derive(Clone)]
pub struct StepContexts {
    engine: Engine,
    schema: Schema<u64, ()>,
    handed_out: Arc<Mutex<mpsc::UnboundedReceiver<StepContext>>>,
    next_key: Arc<AtomicU64>,
}

impl fmt::Debug for StepContexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContexts").finish_non_exhaustive()
    }
}

type Out = mpsc::UnboundedSender<StepContext>;

async fn hand_out(cx: StepContext, _number: u64) -> StepResult<()> {
    cx.get::<Out>()?.send(cx.clone())?;
    pending().await
}

impl StepContexts {
    /// Builds the engine over a clone of the handle that will open the transactions.
    ///
    /// # Panics
    ///
    /// When the store refuses the engine.
    pub async fn over(store: impl Store) -> Self {
        let schema = Schema::new("conformance.contexts")
            .step("hand_out", hand_out)
            .build();
        let (sender, receiver) = mpsc::unbounded_channel::<StepContext>();
        let engine = Engine::builder(store)
            .schema(schema.clone())
            .provide::<Out>(sender)
            .build()
            .await
            .expect("an engine over a fresh database");
        Self {
            engine,
            schema,
            handed_out: Arc::new(Mutex::new(receiver)),
            next_key: Arc::default(),
        }
    }

    /// A context that nobody has used; it is good for one transaction.
    ///
    /// # Panics
    ///
    /// When the engine can not start a step.
    pub async fn next(&self) -> StepContext {
        let number = self.next_key.fetch_add(1, Ordering::Relaxed);
        let mut handed_out = self.handed_out.lock().await;
        // Nobody else's key: an engine that has met it elsewhere would wait for that one's step.
        let key = Key::new(Uuid::new_v4().to_string());
        let call = self.engine.run(&self.schema, key, number).submit();
        call.await.expect("the step starts");
        handed_out.recv().await.expect("the engine runs")
    }
}
