//! What does a key have already? A front door asks before it checks a request: what is known is answered
//! whatever the world looks like now, and only a free key is worth a check.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::admission::{Aim, Request, join};
use crate::call::{check_registered, in_time};
use crate::context::StepContext;
use crate::engine::Engine;
use crate::execution::{ExecutionId, InputHash};
use crate::handle::Handle;
use crate::key::Key;
use crate::policy::{AfterFailure, OnDuplicate, OnExpired};
use crate::run_error::RunError;
use crate::schema::Schema;

/// A lookup that is being made. Await it.
///
/// It is a [`Call`](crate::Call) without an input: it joins, resumes or replays as the policies say, and
/// where a call would begin it gives `None` instead.
#[must_use = "a lookup does nothing until it is awaited"]
pub struct Lookup<In, Out> {
    engine: Engine,
    schema: Schema<In, Out>,
    key: Key,
    fingerprint: Option<InputHash>,
    on_duplicate: OnDuplicate,
    after_failure: Option<AfterFailure>,
    on_expired: OnExpired,
    within: Option<Duration>,
}

impl Engine {
    /// Joins what a key has already, without an input: waits for the one who runs it, takes up what was
    /// left, or gives the recorded outcome. `None` when the key is free, because it was never used, its
    /// retention is over, or its failure is to be followed by a new beginning: then
    /// [`run`](Self::run) it.
    ///
    /// ```
    /// use keystep::{Engine, MemoryStore, Schema, StepContext, StepResult, Verdict};
    ///
    /// async fn double(_cx: StepContext, n: u32) -> StepResult<u32> { Ok(2 * n) }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let schema = Schema::new("double").step("double", double).build();
    /// let engine = Engine::builder(MemoryStore::new()).schema(schema.clone()).build().await?;
    /// assert!(engine.lookup(&schema, "k").await?.is_none());
    ///
    /// engine.run(&schema, "k", 4).await?;
    /// let found = engine.lookup(&schema, "k").await?.expect("known by now");
    /// assert_eq!(found.verdict(), Verdict::Finished);
    /// assert_eq!(found.wait().await?, 8);
    /// # engine.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it is awaited, see [`RunError`]: each variant says what to do next.
    pub fn lookup<In, Out>(&self, schema: &Schema<In, Out>, key: impl Into<Key>) -> Lookup<In, Out> {
        Lookup {
            engine: self.clone(),
            schema: schema.clone(),
            key: key.into(),
            fingerprint: None,
            on_duplicate: OnDuplicate::default(),
            after_failure: None,
            on_expired: OnExpired::default(),
            within: None,
        }
    }
}

impl<In, Out> Lookup<In, Out> {
    /// Refuses a key that was used with another fingerprint. Without this nothing is compared.
    pub fn fingerprint(mut self, hash: InputHash) -> Self {
        self.fingerprint = Some(hash);
        self
    }

    /// What to do while a call of this key is being worked on.
    pub fn on_duplicate(mut self, policy: OnDuplicate) -> Self {
        self.on_duplicate = policy;
        self
    }

    /// What to do when the last run of this key failed; [`AfterFailure::Restart`] makes the key free.
    pub fn after_failure(mut self, policy: AfterFailure) -> Self {
        self.after_failure = Some(policy);
        self
    }

    /// What to do when the retention of the last use of this key is over.
    pub fn on_expired(mut self, policy: OnExpired) -> Self {
        self.on_expired = policy;
        self
    }

    /// This caller's own limit: then [`RunError::TimedOut`], and the work goes on.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    fn request(self) -> Result<Request, RunError> {
        let inner = &self.engine.inner;
        StepContext::refuse_in_transaction().map_err(RunError::Invalid)?;
        let schema = self.schema.core();
        check_registered(inner, schema)?;
        let key = self.key.within(&schema.name).map_err(RunError::Invalid)?;
        Ok(Request {
            inner: Arc::clone(inner),
            schema: Arc::clone(schema),
            id: ExecutionId::of(&key),
            key: Arc::new(key),
            aim: Aim::Join(self.fingerprint),
            on_duplicate: self.on_duplicate,
            after_failure: self.after_failure,
            on_expired: self.on_expired,
            parent: None,
        })
    }
}

impl<In: 'static, Out: 'static> IntoFuture for Lookup<In, Out> {
    type Output = Result<Option<Handle<Out>>, RunError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let within = self.within;
            let request = self.request()?;
            let admitted = in_time(within, join(&request)).await?;
            Ok(admitted.map(|admitted| Handle::new(request, admitted, within)))
        })
    }
}

impl<In, Out> std::fmt::Debug for Lookup<In, Out> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup")
            .field("schema", &self.schema.name())
            .field("on_duplicate", &self.on_duplicate)
            .field("after_failure", &self.after_failure)
            .finish_non_exhaustive()
    }
}
