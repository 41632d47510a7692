//! What does a step know about itself? Its context: ids, earlier outputs, resources, the fence.
//!
//! Owned and cheap to clone, so that it works in closures and spawned tasks. It knows no store:
//! a step that writes to the same database opens a transaction at the store's own handle and
//! enlists it here, and the engine commits it together with the checkpoint.

mod calls;
mod durable;

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::asks::{Desk, Recorded};
use crate::clock::Clock;
use crate::error::{StepError, StepResult};
use crate::execution::{ExecutionId, Fence, FullKey, Payload, RunId, WorkerId};
use crate::inner::Inner as EngineInner;
use crate::json;
use crate::key::check;
use crate::limits::{Limits, NAME_BYTES};
use crate::marks::Mark;
use crate::random;
use crate::runs::locked;
use crate::schema::{SchemaCore, StepEntry};
use crate::store::{Enlisted, NewMessage};

/// What one attempt of a step can know and ask for.
#[derive(Clone)]
pub struct StepContext {
    inner: Arc<Inner>,
}

/// What the engine puts into a context.
pub(crate) struct Inner {
    pub(crate) key: FullKey,
    pub(crate) step: String,
    pub(crate) attempt: u32,
    pub(crate) generation: i64,
    pub(crate) fence: Fence,
    pub(crate) worker: WorkerId,
    pub(crate) input: Bytes,
    pub(crate) outputs: Arc<Outputs>,
    pub(crate) resources: Arc<Resources>,
    pub(crate) instance: Uuid,
    pub(crate) transaction: Mutex<TransactionSlot>,
    /// Whether the transaction of the step before is this one's too.
    pub(crate) inherits: bool,
    /// Whether the step has taken what it inherits.
    pub(crate) has_inherited: AtomicBool,
    /// Under which name what belongs to the step is recorded: the one that the run was born with.
    pub(crate) recorded_as: String,
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
    pub(crate) cancelled: CancellationToken,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    /// The engine, for calls of other schemas.
    pub(crate) engine: Weak<EngineInner>,
    pub(crate) schema: Arc<SchemaCore>,
}

/// A step has at most one transaction: open in the step's hands, or handed to the engine.
#[derive(Default)]
pub(crate) enum TransactionSlot {
    #[default]
    Empty,
    Open,
    Enlisted(Enlisted),
}

tokio::task_local! {
    /// The step that the current task runs, so that a durable call made inside its transaction can
    /// be refused at once instead of waiting for a database that waits for the step.
    static CURRENT: StepContext;
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

    /// A resource given to [`EngineBuilder::provide`](crate::EngineBuilder::provide).
    ///
    /// # Errors
    /// When nothing of this type was provided: no further try now, since only a deploy mends it.
    pub fn get<T: Send + Sync + 'static>(&self) -> StepResult<Arc<T>> {
        self.inner.resources.get::<T>().ok_or_else(|| {
            let wanted = type_name::<T>();
            StepError::stop(format!(
                "no resource of type {wanted}: give it to Engine::builder().provide(…)"
            ))
            .code("missing_resource")
        })
    }

    /// The execution's input.
    ///
    /// # Errors
    /// When it can not be read as `T`: no further try now.
    pub fn input<T: DeserializeOwned>(&self) -> StepResult<T> {
        decode(&self.inner.input, "the input of the execution")
    }

    /// The recorded output of an earlier step, by the function that is that step.
    ///
    /// # Errors
    /// When the function is no earlier step of this schema, or is used for two of them (ask with
    /// [`output`](Self::output) then), or its output can not be read: no further try now.
    pub fn output_of<F, Fut, In, Out>(&self, function: F) -> StepResult<Out>
    where
        F: Fn(StepContext, In) -> Fut + 'static,
        Fut: Future<Output = StepResult<Out>>,
        Out: DeserializeOwned,
    {
        let _only_its_type_counts = function;
        let wanted = type_name::<F>();
        let mut found = self.inner.outputs.by_function(TypeId::of::<F>());
        match (found.next(), found.next()) {
            (Some(output), None) => decode(output, wanted),
            (Some(_), Some(_)) => Err(StepError::stop(format!(
                "{wanted} is several steps of this schema: use output(name)"
            ))),
            (None, _) => Err(StepError::stop(format!(
                "{wanted} is no earlier step of this schema"
            ))),
        }
    }

    /// The recorded output of an earlier step, by its name.
    ///
    /// # Errors
    /// When there is no earlier step of this name, or its output can not be read: no further try
    /// now.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> StepResult<T> {
        match self.inner.outputs.by_name(step) {
            Some(output) => decode(output, step),
            None => Err(StepError::stop(format!(
                "`{step}` is no earlier step of this schema"
            ))),
        }
    }

    /// Hands a transaction of the engine's own store over: the engine commits it together with
    /// this step's checkpoint, or rolls it back. Exactly once for what was written in it.
    ///
    /// # Errors
    /// When the transaction is another step's or another store's.
    pub fn enlist(&self, transaction: impl IntoEnlisted) -> StepResult<()> {
        let enlisted = transaction.into_enlisted();
        if enlisted.instance != self.inner.instance {
            return Err(StepError::stop(
                "the transaction belongs to another store than the engine's",
            ));
        }
        let mut slot = self.slot();
        match *slot {
            TransactionSlot::Open => {
                *slot = TransactionSlot::Enlisted(enlisted);
                Ok(())
            }
            TransactionSlot::Empty | TransactionSlot::Enlisted(_) => {
                Err(StepError::stop("the transaction was not opened by this step"))
            }
        }
    }

    /// For stores: notes that this attempt opens a transaction of the store `instance`.
    ///
    /// # Errors
    /// When the engine runs on another store, or the attempt has a transaction already.
    pub fn open_transaction(&self, instance: Uuid) -> StepResult<OpenTransaction> {
        if instance != self.inner.instance {
            return Err(StepError::stop(
                "a step can only join transactions of the store that its engine runs on",
            ));
        }
        let mut slot = self.slot();
        if !matches!(*slot, TransactionSlot::Empty) {
            return Err(StepError::stop("this attempt has a transaction already"));
        }
        *slot = TransactionSlot::Open;
        Ok(OpenTransaction {
            context: Arc::downgrade(&self.inner),
        })
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
    /// When the topic is not usable, or the payload can not be stored: no further try now.
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

    /// Takes the messages that the attempt emitted, as JSON.
    pub(crate) fn take_messages(&self) -> Vec<NewMessage> {
        std::mem::take(&mut *locked(&self.inner.messages))
    }

    /// The desk of this attempt, if its body may make durable calls.
    pub(crate) fn desk(&self) -> Option<&Desk> {
        self.inner.desk.as_ref()
    }

    /// For stores: the transaction that the step before has left for this one, in an atomic schema.
    /// Taken before [`open_transaction`](Self::open_transaction).
    pub fn inherited(&self) -> Option<Enlisted> {
        let inherits = self.inner.inherits;
        let enlisted = inherits.then(|| self.take_enlisted()).flatten();
        if enlisted.is_some() {
            self.inner.has_inherited.store(true, Ordering::Release);
        }
        enlisted
    }

    /// Takes what the attempt enlisted.
    pub(crate) fn take_enlisted(&self) -> Option<Enlisted> {
        let mut slot = self.slot();
        match std::mem::take(&mut *slot) {
            TransactionSlot::Enlisted(enlisted) => Some(enlisted),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Runs `work` as the body of this step.
    pub(crate) async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).await
    }

    /// Refuses a durable call from a step that has a transaction.
    ///
    /// # Errors
    /// A sentence that says why.
    pub(crate) fn refuse_in_transaction() -> Result<(), String> {
        let open = CURRENT.try_with(Self::has_transaction);
        if open.unwrap_or(false) {
            return Err(IN_TRANSACTION.to_owned());
        }
        Ok(())
    }

    /// Whether the attempt has handed a transaction to the engine.
    pub(crate) fn has_enlisted(&self) -> bool {
        matches!(*self.slot(), TransactionSlot::Enlisted(_))
    }

    /// Whether the step has taken the transaction of the steps before it and kept it: what they wrote in
    /// it is lost.
    pub(crate) fn keeps_inherited(&self) -> bool {
        self.inner.has_inherited.load(Ordering::Acquire) && !self.has_enlisted()
    }

    fn has_transaction(&self) -> bool {
        !matches!(*self.slot(), TransactionSlot::Empty)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, TransactionSlot> {
        self.inner
            .transaction
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a durable call is refused.
const IN_TRANSACTION: &str =
    "this step has an open transaction: a durable call inside it could wait for itself";

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("execution", &self.execution_id())
            .field("step", &self.step_name())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

/// A store's transaction type, as it is handed to [`StepContext::enlist`].
pub trait IntoEnlisted {
    /// Makes it opaque.
    fn into_enlisted(self) -> Enlisted;
}

/// While this lives, the attempt has an open transaction, and durable calls from it are refused.
/// A store keeps it beside the transaction.
pub struct OpenTransaction {
    /// Weak, because an enlisted transaction lives in the context: held both ways, neither would
    /// end when a step is cancelled, and the transaction would stay open for ever.
    context: Weak<Inner>,
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        let Some(context) = self.context.upgrade() else {
            return;
        };
        let mut slot = context.transaction.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*slot, TransactionSlot::Open) {
            *slot = TransactionSlot::Empty;
        }
    }
}

impl fmt::Debug for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenTransaction")
    }
}

/// Recorded outputs of earlier steps, in order.
#[derive(Default, Clone)]
pub(crate) struct Outputs {
    steps: Vec<StepOutput>,
}

#[derive(Clone)]
struct StepOutput {
    name: String,
    formerly: Vec<String>,
    function: Option<TypeId>,
    output: Bytes,
}

impl Outputs {
    pub(crate) fn push(&mut self, step: &StepEntry, output: Bytes) {
        self.steps.push(StepOutput {
            name: step.name.clone(),
            formerly: step.formerly.clone(),
            function: step.function,
            output,
        });
    }

    pub(crate) fn last(&self) -> Option<&Bytes> {
        self.steps.last().map(|step| &step.output)
    }

    /// The output of the step at a position.
    pub(crate) fn at(&self, position: usize) -> Option<&Bytes> {
        self.steps.get(position).map(|step| &step.output)
    }

    fn by_function(&self, wanted: TypeId) -> impl Iterator<Item = &Bytes> {
        self.steps
            .iter()
            .filter(move |step| step.function == Some(wanted))
            .map(|step| &step.output)
    }

    fn by_name(&self, wanted: &str) -> Option<&Bytes> {
        self.steps
            .iter()
            .find(|step| step.name == wanted || step.formerly.iter().any(|name| name == wanted))
            .map(|step| &step.output)
    }
}

/// Resources by type.
#[derive(Default)]
pub(crate) struct Resources {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Resources {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, resource: T) {
        self.by_type.insert(TypeId::of::<T>(), Arc::new(resource));
    }

    fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let resource = Arc::clone(self.by_type.get(&TypeId::of::<T>())?);
        resource.downcast::<T>().ok()
    }
}

fn decode<T: DeserializeOwned>(bytes: &Bytes, what: &str) -> StepResult<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let wanted = type_name::<T>();
        StepError::stop(format!(
            "{what} can not be read as {wanted}: {}",
            json::describe(&error)
        ))
        .code("unreadable_value")
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::execution::Claim;

    pub(crate) fn context(instance: Uuid, outputs: Outputs) -> StepContext {
        let schema = crate::schema::Schema::new("s").step("second", double).build();
        StepContext::new(Inner {
            key: FullKey {
                schema: "s".into(),
                scope: String::new(),
                key: "k".into(),
            },
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
            outputs: Arc::new(outputs),
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
            cancelled: CancellationToken::new(),
            clock: Clock::new(),
            limits: Limits::default(),
            engine: Weak::new(),
            schema: Arc::clone(schema.core()),
        })
    }

    async fn double(_cx: StepContext, n: u32) -> StepResult<u32> {
        Ok(2 * n)
    }

    #[test]
    fn an_earlier_output_is_found_by_its_function() {
        let mut outputs = Outputs::default();
        fn type_of<F: 'static>(_: &F) -> TypeId {
            TypeId::of::<F>()
        }
        let step = |name: &str| {
            let mut step = StepEntry::new(name.into(), Arc::new(crate::step::FnStep::new(double)));
            step.function = Some(type_of(&double));
            step
        };
        outputs.push(&step("first"), Bytes::from_static(b"14"));
        let cx = context(Uuid::nil(), outputs.clone());
        assert_eq!(cx.output_of(double).expect("recorded"), 14);
        assert_eq!(cx.output::<u32>("first").expect("recorded"), 14);
        outputs.push(&step("again"), Bytes::from_static(b"15"));
        let cx = context(Uuid::nil(), outputs);
        assert!(cx.output_of(double).is_err(), "two steps are this function");
    }

    struct Fake(Uuid, OpenTransaction);

    impl IntoEnlisted for Fake {
        fn into_enlisted(self) -> Enlisted {
            Enlisted {
                instance: self.0,
                transaction: Box::new(self.1),
            }
        }
    }

    #[test]
    fn a_transaction_of_another_store_is_refused_when_it_is_opened() {
        let cx = context(Uuid::nil(), Outputs::default());
        assert!(cx.open_transaction(Uuid::max()).is_err());
    }

    #[tokio::test]
    async fn while_a_transaction_is_open_durable_calls_are_refused() {
        let cx = context(Uuid::nil(), Outputs::default());
        cx.scope(async {
            assert!(StepContext::refuse_in_transaction().is_ok());
            let open = cx.open_transaction(Uuid::nil()).expect("the first");
            assert!(StepContext::refuse_in_transaction().is_err());
            assert!(cx.open_transaction(Uuid::nil()).is_err(), "one at a time");
            drop(open);
            assert!(StepContext::refuse_in_transaction().is_ok());
            let open = cx.open_transaction(Uuid::nil()).expect("again");
            cx.enlist(Fake(Uuid::nil(), open)).expect("enlisted");
            assert!(StepContext::refuse_in_transaction().is_err());
            assert!(cx.take_enlisted().is_some());
            assert!(StepContext::refuse_in_transaction().is_ok());
        })
        .await;
    }

    #[test]
    fn an_enlisted_transaction_ends_with_the_context_of_a_cancelled_step() {
        let (transaction, ended) = std::sync::mpsc::channel::<()>();
        struct Watched {
            _open: OpenTransaction,
            _ended: std::sync::mpsc::Sender<()>,
        }
        impl IntoEnlisted for Watched {
            fn into_enlisted(self) -> Enlisted {
                Enlisted {
                    instance: Uuid::nil(),
                    transaction: Box::new(self),
                }
            }
        }
        let cx = context(Uuid::nil(), Outputs::default());
        let open = cx.open_transaction(Uuid::nil()).expect("the first");
        let watched = Watched {
            _open: open,
            _ended: transaction,
        };
        cx.enlist(watched).expect("enlisted");
        assert_eq!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty));
        drop(cx);
        assert_eq!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
    }

    #[test]
    fn the_downstream_key_depends_on_run_and_step_only() {
        let one = context(Uuid::nil(), Outputs::default());
        let two = context(Uuid::max(), Outputs::default());
        assert_eq!(one.idempotency_key(), two.idempotency_key());
        assert_eq!(one.idempotency_key().len(), 36);
    }
}
