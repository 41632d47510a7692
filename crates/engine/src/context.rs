//! What does a step know about itself? Its context: ids, earlier outputs, resources, the fence.
//!
//! Owned and cheap to clone, so that it works in closures and spawned tasks. It knows no store:
//! a step that writes to the same database opens a transaction at the store's own handle and
//! enlists it here, and the engine commits it together with the checkpoint.

mod calls;
mod durable;
mod outputs;
mod resources;
mod transaction;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::calls::CallAs;
pub(crate) use self::outputs::{Earlier, Outputs};
pub(crate) use self::resources::Resources;
pub(crate) use self::transaction::TransactionSlot;
pub use self::transaction::{IntoEnlisted, OpenTransaction};
use crate::asks::{Desk, Recorded};
use crate::clock::Clock;
use crate::error::{StepError, StepResult};
use crate::execution::{ExecutionId, Fence, FullKey, Payload, RunId, WorkerId};
use crate::inner::Inner as EngineInner;
use crate::key::check;
use crate::limits::{Limits, NAME_BYTES};
use crate::marks::Mark;
use crate::random;
use crate::runs::locked;
use crate::schema::SchemaCore;
use crate::store::NewMessage;

/// What one attempt of a step can know and ask for.
#[derive(Clone)]
pub struct StepContext {
    inner: Arc<Inner>,
}

/// What the engine puts into a context.
pub(crate) struct Inner {
    pub(crate) key: Arc<FullKey>,
    pub(crate) step: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) generation: i64,
    pub(crate) fence: Fence,
    pub(crate) worker: WorkerId,
    pub(crate) input: Bytes,
    pub(crate) outputs: Earlier,
    pub(crate) resources: Arc<Resources>,
    pub(crate) instance: Uuid,
    pub(crate) transaction: Mutex<TransactionSlot>,
    /// Whether the transaction of the step before is this one's too.
    pub(crate) inherits: bool,
    /// Whether the step has taken what it inherits.
    pub(crate) has_inherited: AtomicBool,
    /// Under which name what belongs to the step is recorded: the one that the run was born with.
    pub(crate) recorded_as: Arc<str>,
    /// Whether it must not run again from its start, and so can not be put down.
    pub(crate) begins_once: bool,
    /// What else than outputs is recorded of the run.
    pub(crate) recorded: Arc<Recorded>,
    /// The database's time when that was read, and the engine's at that moment.
    pub(crate) read_at: (SystemTime, Duration),
    /// Where durable calls are left; none for a body that may not make any.
    pub(crate) desk: Option<Desk>,
    /// How often each name was used in this run of the step.
    pub(crate) names: Mutex<HashMap<String, u32>>,
    pub(crate) messages: Mutex<Vec<NewMessage>>,
    /// How many parts are being done at this moment.
    pub(crate) parts_under_way: AtomicU32,
    pub(crate) cancelled: CancellationToken,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    /// The engine, for calls of other schemas.
    pub(crate) engine: Weak<EngineInner>,
    pub(crate) schema: Arc<SchemaCore>,
}

impl StepContext {
    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The execution.
    pub fn execution_id(&self) -> ExecutionId {
        self.inner.fence.execution
    }

    /// This run of it; a new one for each generation of the key.
    pub fn run_id(&self) -> RunId {
        self.inner.fence.run
    }

    /// The key's three parts.
    pub fn key(&self) -> &FullKey {
        &self.inner.key
    }

    /// How often the key has been used, from 1.
    pub fn generation(&self) -> i64 {
        self.inner.generation
    }

    /// The step's name.
    pub fn step_name(&self) -> &str {
        &self.inner.step
    }

    /// Which attempt of this step this is, from 1. A lost owner counts as one attempt, however
    /// often it tried: what it did in memory nobody knows. A resume after a failure begins at 1.
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// The worker that runs this attempt.
    pub fn worker_id(&self) -> WorkerId {
        self.inner.worker
    }

    /// The key to send to downstream services: the same for every attempt of this step in a
    /// generation, different between steps, keys and generations. 36 characters, a UUID. A `verify` has
    /// the one of its step, an `undo` has one of its own.
    pub fn idempotency_key(&self) -> String {
        self.key_of(&self.inner.recorded_as)
    }

    /// The downstream key of one part of this step, see [`step`](Self::step).
    pub fn idempotency_key_of(&self, part: &str) -> String {
        self.key_of(&Mark::Part(part).of(&self.inner.recorded_as))
    }

    fn key_of(&self, name: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.run_id().0.as_bytes());
        hash.update(name.as_bytes());
        let mut first = [0_u8; 16];
        first.copy_from_slice(&hash.finalize()[..16]);
        uuid::Builder::from_custom_bytes(first).into_uuid().to_string()
    }

    /// The right to write of this attempt's owner. A downstream system that remembers the highest
    /// epoch per execution can refuse a stale owner.
    pub fn fence(&self) -> Fence {
        self.inner.fence
    }

    /// Completes when somebody wants the execution cancelled. A step that listens can end in its own
    /// way; one that does not is dropped after [`WorkerOptions::cancel_grace`](crate::WorkerOptions).
    pub async fn cancelled(&self) {
        self.inner.cancelled.cancelled().await;
    }

    /// Whether somebody wants the execution cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.is_cancelled()
    }

    /// Sends a message when this step is recorded: it becomes a row of the outbox in the same
    /// transaction, and [`Engine::relay`](crate::Engine::relay) delivers it at least once. Its id is
    /// fixed now and returned; receivers tell duplicates by it.
    ///
    /// An attempt that fails sends nothing.
    ///
    /// # Errors
    /// When the topic is not usable, the payload can not be stored, or inside a part, a verify or an undo: no
    /// further try now.
    pub fn emit<T: Serialize + DeserializeOwned>(
        &self,
        topic: impl Into<String>,
        payload: &T,
    ) -> StepResult<Uuid> {
        let topic = topic.into();
        let usable = if topic.is_empty() {
            Err("the topic is empty".to_owned())
        } else {
            check("topic", &topic, NAME_BYTES)
        };
        usable.map_err(|why| StepError::stop(why).code("bad_name"))?;
        if self.is_bare() {
            let why = "a verify and an undo send no messages: nothing is recorded with which they could go";
            return Err(StepError::stop(why).code("no_durable_calls"));
        }
        if self.inner.parts_under_way.load(Ordering::Acquire) > 0 {
            let why = "a message goes with its step, and a part is not done again when the step is: emit it \
                       outside of the part";
            return Err(StepError::stop(why).code("emit_in_part"));
        }
        let json = self.encode(payload, "the message")?;
        let id = random::time_ordered();
        let message = NewMessage {
            id,
            topic,
            // As JSON; the owner encodes it when it is sent.
            payload: Payload(json),
        };
        locked(&self.inner.messages).push(message);
        Ok(id)
    }

    /// Whether this is a verify or an undo, whose body records nothing of its own.
    fn is_bare(&self) -> bool {
        self.inner.desk.is_none() && !self.inner.inherits
    }

    /// Takes the messages that the attempt emitted, as JSON.
    pub(crate) fn take_messages(&self) -> Vec<NewMessage> {
        std::mem::take(&mut *locked(&self.inner.messages))
    }

    /// The desk of this attempt, if its body may make durable calls.
    pub(crate) fn desk(&self) -> Option<&Desk> {
        self.inner.desk.as_ref()
    }
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("execution", &self.execution_id())
            .field("step", &self.step_name())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::execution::Claim;

    pub(crate) fn context(instance: Uuid, outputs: Earlier) -> StepContext {
        let schema = crate::schema::Schema::new("s")
            .step("first", double)
            .step("second", double);
        let schema = schema.build();
        StepContext::new(Inner {
            key: Arc::new(FullKey {
                schema: "s".into(),
                scope: String::new(),
                key: "k".into(),
            }),
            step: "second".into(),
            attempt: 1,
            generation: 1,
            fence: Fence {
                execution: ExecutionId(Uuid::nil()),
                run: RunId(Uuid::nil()),
                claim: Claim {
                    epoch: 1,
                    token: Uuid::nil(),
                },
                incarnation: 0,
            },
            worker: WorkerId(1),
            input: Bytes::from_static(b"7"),
            outputs,
            resources: Arc::default(),
            instance,
            transaction: Mutex::default(),
            inherits: false,
            has_inherited: false.into(),
            recorded_as: "second".into(),
            begins_once: false,
            recorded: Arc::default(),
            read_at: (SystemTime::UNIX_EPOCH, Duration::ZERO),
            desk: Some(Desk::default()),
            names: Mutex::default(),
            messages: Mutex::default(),
            parts_under_way: AtomicU32::new(0),
            cancelled: CancellationToken::new(),
            clock: Clock::new(),
            limits: Limits::default(),
            engine: Weak::new(),
            schema: Arc::clone(schema.core()),
        })
    }

    pub(crate) async fn double(_cx: StepContext, n: u32) -> StepResult<u32> {
        Ok(2 * n)
    }

    #[test]
    fn the_downstream_key_depends_on_run_and_step_only() {
        let one = context(Uuid::nil(), Earlier::default());
        let two = context(Uuid::max(), Earlier::default());
        assert_eq!(one.idempotency_key(), two.idempotency_key());
        assert_eq!(one.idempotency_key().len(), 36);
    }
}
