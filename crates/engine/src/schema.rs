//! What does a user write? A schema: an ordered list of uniquely named, typed steps.
//!
//! The builder is a typed chain: a step's input is the output of the step before it, and the
//! compiler checks it. Bounds stand directly on `Fn`, so that rustc explains a mistake by itself.
//! Names are durable: they are stored with each checkpoint.

mod careful;
mod former;

use std::any::TypeId;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::context::StepContext;
use crate::error::StepResult;
use crate::execution::ShapeId;
use crate::key::check;
use crate::limits::{DEFAULT_RETENTION, NAME_BYTES, SHORTEST_RETENTION};
use crate::marks;
#[cfg(feature = "testing")]
use crate::marks::Mark;
use crate::plan::{Effect, Plan, PlanBody, PlanStep};
use crate::policy::SecondSignal;
use crate::retry::Retry;
use crate::step::{ErasedStep, FnStep, Step, StoredStep};
use crate::store::PlanRecord;
use crate::telemetry::Meters;

/// An ordered list of named steps that takes an `In` and gives an `Out`. Cheap to clone.
///
/// ```
/// use keystep::{Schema, StepContext, StepResult};
///
/// async fn reserve(_cx: StepContext, order: u32) -> StepResult<String> { Ok(format!("r-{order}")) }
/// async fn pay(_cx: StepContext, reserved: String) -> StepResult<u64> { Ok(reserved.len() as u64) }
///
/// let schema: Schema<u32, u64> = Schema::new("order.create")
///     .step("reserve", reserve)
///     .step("pay", pay)
///     .build();
/// assert_eq!(schema.name(), "order.create");
/// ```
pub struct Schema<In, Out> {
    core: Arc<SchemaCore>,
    /// Older forms that are registered with it.
    accepted: Vec<Arc<SchemaCore>>,
    types: PhantomData<fn(In) -> Out>,
}

impl Schema<(), ()> {
    /// Starts a schema. The name is durable and part of every key.
    ///
    /// # Panics
    /// When the name is empty, longer than 256 bytes or contains NUL.
    #[track_caller]
    #[expect(clippy::new_ret_no_self, reason = "a schema is made by its builder")]
    pub fn new(name: impl Into<String>) -> SchemaStart {
        let name = name.into();
        check_name("schema name", &name);
        SchemaStart {
            draft: Draft {
                name,
                steps: Vec::new(),
                options: SchemaOptions {
                    retention: Some(DEFAULT_RETENTION),
                    ..SchemaOptions::default()
                },
            },
        }
    }
}

impl<In, Out> Schema<In, Out> {
    /// The schema's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The hash of names, order and kinds of the steps.
    pub fn shape(&self) -> ShapeId {
        self.core.plan.shape
    }

    /// The plan as it is stored, for a golden file that guards the durable names.
    pub fn plan(&self) -> PlanRecord {
        self.core.plan.clone()
    }

    pub(crate) fn core(&self) -> &Arc<SchemaCore> {
        &self.core
    }

    /// The same schema, with something around the body of each step and of each undo, by the name under
    /// which it is recorded.
    #[cfg(feature = "testing")]
    pub(crate) fn with_bodies(
        &self,
        around: impl Fn(&str, Arc<dyn ErasedStep>) -> Arc<dyn ErasedStep>,
    ) -> Self {
        let steps = self.core.steps.iter().map(|step| StepEntry {
            body: around(&step.name, Arc::clone(&step.body)),
            undo: step.undo.as_ref().map(|undo| Undo {
                body: around(&Mark::Undone.of(&step.name), Arc::clone(&undo.body)),
                ..undo.clone()
            }),
            ..step.clone()
        });
        Self {
            core: Arc::new(SchemaCore {
                steps: steps.collect(),
                ..SchemaCore::clone(&self.core)
            }),
            accepted: self.accepted.clone(),
            types: PhantomData,
        }
    }
}

impl<In, Out> Clone for Schema<In, Out> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            accepted: self.accepted.clone(),
            types: PhantomData,
        }
    }
}

impl<In, Out> std::fmt::Debug for Schema<In, Out> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps: Vec<_> = self.core.steps.iter().map(|step| &step.name).collect();
        f.debug_struct("Schema")
            .field("name", &self.core.name)
            .field("steps", &steps)
            .finish()
    }
}

/// A schema without its types, as the engine holds it.
#[derive(Clone)]
pub(crate) struct SchemaCore {
    pub(crate) name: String,
    pub(crate) steps: Vec<StepEntry>,
    pub(crate) options: SchemaOptions,
    pub(crate) plan: PlanRecord,
    pub(crate) meters: Meters,
    /// Whether its steps have names that they had before: it takes no calls, and its plan is not saved.
    pub(crate) former: bool,
}

/// What holds for a whole schema and is no part of its plan.
#[derive(Clone, Default)]
pub(crate) struct SchemaOptions {
    pub(crate) retention: Option<Duration>,
    pub(crate) ignored: Vec<String>,
    /// The longest time from the begin of a run to its end.
    pub(crate) deadline: Option<Duration>,
    /// All steps in one transaction of the store.
    pub(crate) atomic: bool,
    /// The signals it takes.
    pub(crate) signals: HashMap<String, SecondSignal>,
}

/// One step as the engine holds it.
#[derive(Clone)]
pub(crate) struct StepEntry {
    pub(crate) name: Arc<str>,
    pub(crate) retry: Retry,
    pub(crate) body: Arc<dyn ErasedStep>,
    /// The function's type, for `output_of`; stored steps have none.
    pub(crate) function: Option<TypeId>,
    /// The stored step's fields.
    pub(crate) stored: Option<Box<RawValue>>,
    pub(crate) effect: Effect,
    /// Its checkpoint may ride with the next one.
    pub(crate) lazy: bool,
    /// The longest time of one attempt.
    pub(crate) timeout: Option<Duration>,
    /// Tells whether an attempt that was interrupted was done.
    pub(crate) verify: Option<Arc<dyn ErasedStep>>,
    /// Takes its output and takes back what it did.
    pub(crate) undo: Option<Undo>,
    /// Names that the step had before.
    pub(crate) formerly: Vec<String>,
}

/// How a step is undone.
#[derive(Clone)]
pub(crate) struct Undo {
    pub(crate) body: Arc<dyn ErasedStep>,
    pub(crate) retry: Retry,
}

struct Draft {
    name: String,
    steps: Vec<StepEntry>,
    options: SchemaOptions,
}

/// A schema without steps yet. What holds for the whole schema is said here.
pub struct SchemaStart {
    draft: Draft,
}

impl SchemaStart {
    /// How long a finished key is kept and answers with its outcome; seven days by default. After
    /// that the key may be used anew, and its data is deleted.
    ///
    /// # Panics
    /// When it is shorter than a minute.
    #[track_caller]
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        assert!(
            retention >= SHORTEST_RETENTION,
            "a retention of {retention:?} is shorter than {SHORTEST_RETENTION:?}"
        );
        self.draft.options.retention = Some(retention);
        self
    }

    /// Keeps finished keys for ever.
    #[must_use]
    pub fn keep_for_ever(mut self) -> Self {
        self.draft.options.retention = None;
        self
    }

    /// Leaves a member of the input out of the fingerprint: calls that differ only there are the
    /// same call. A JSON Pointer, such as `/sent_at`.
    #[must_use]
    pub fn ignore_in_fingerprint(mut self, pointer: impl Into<String>) -> Self {
        self.draft.options.ignored.push(pointer.into());
        self
    }

    /// The longest time from the begin of a run to its end, waits included. Then it fails for good, with
    /// the code `deadline_exceeded`, and is undone where its steps can be.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.draft.options.deadline = Some(deadline);
        self
    }

    /// Takes signals of this name, see [`StepContext::signal`] and
    /// [`Engine::signal`](crate::Engine::signal); `second` says what becomes of further ones.
    ///
    /// # Panics
    /// When the name is not usable.
    #[track_caller]
    #[must_use]
    pub fn signal(mut self, name: impl Into<String>, second: SecondSignal) -> Self {
        let name = name.into();
        check_name("signal name", &name);
        self.draft.options.signals.insert(name, second);
        self
    }

    /// Runs all steps and the finish in one transaction of the store: everything that they write in it
    /// is there together with the outcome, or not at all. The first step that opens a transaction with
    /// the store's `transaction(&cx)` and enlists it gives it to the next one, which gets it there. When
    /// an attempt fails or the process dies, all is rolled back, and the next try begins at the first
    /// step. On SQLite nobody else writes while it is open.
    #[must_use]
    pub fn atomic(mut self) -> Self {
        self.draft.options.atomic = true;
        self
    }

    /// Adds the first step. See [`SchemaBuilder::step`].
    ///
    /// # Panics
    /// When the name is not usable.
    #[track_caller]
    pub fn step<F, Fut, In, Out>(self, name: impl Into<String>, function: F) -> SchemaBuilder<In, In, Out>
    where
        F: Fn(StepContext, In) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<Out>> + Send + 'static,
        In: DeserializeOwned + Send + 'static,
        Out: Serialize + DeserializeOwned + Send + 'static,
    {
        let empty: SchemaBuilder<In, In, In> = SchemaBuilder::around(self.draft);
        empty.step(name, function)
    }

    /// Adds the first step as data. See [`SchemaBuilder::stored_step`].
    ///
    /// # Panics
    /// As [`SchemaBuilder::stored_step`].
    #[track_caller]
    pub fn stored_step<S>(
        self,
        name: impl Into<String>,
        step: S,
    ) -> SchemaBuilder<S::Input, S::Input, S::Output>
    where
        S: Step + StoredStep,
    {
        let empty: SchemaBuilder<S::Input, S::Input, S::Input> = SchemaBuilder::around(self.draft);
        empty.stored_step(name, step)
    }
}

/// A schema with steps. Carries both types of its last step.
pub struct SchemaBuilder<In, StepIn, StepOut> {
    draft: Draft,
    types: PhantomData<fn(In, StepIn) -> StepOut>,
}

impl<In, StepIn, StepOut> SchemaBuilder<In, StepIn, StepOut> {
    fn around(draft: Draft) -> Self {
        Self {
            draft,
            types: PhantomData,
        }
    }

    /// Adds a step that is code: `async fn(StepContext, StepOut) -> StepResult<Out>`, or a closure
    /// of that form.
    ///
    /// # Panics
    /// When the name is empty, too long, contains NUL, or names a step of this schema already.
    #[track_caller]
    pub fn step<F, Fut, Out>(
        mut self,
        name: impl Into<String>,
        function: F,
    ) -> SchemaBuilder<In, StepOut, Out>
    where
        F: Fn(StepContext, StepOut) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<Out>> + Send + 'static,
        StepOut: DeserializeOwned + Send + 'static,
        Out: Serialize + DeserializeOwned + Send + 'static,
    {
        let name = self.unused(name.into());
        let mut entry = StepEntry::new(name, Arc::new(FnStep::new(function)));
        entry.function = Some(TypeId::of::<F>());
        self.draft.steps.push(entry);
        SchemaBuilder::around(self.draft)
    }

    /// Adds a step that is data: its fields are stored with the plan.
    ///
    /// # Panics
    /// As [`step`](Self::step), and when the stored form does not read back: its tag is used twice
    /// or not registered, or it is not JSON.
    #[track_caller]
    pub fn stored_step<S>(mut self, name: impl Into<String>, step: S) -> SchemaBuilder<In, StepOut, S::Output>
    where
        S: Step<Input = StepOut> + StoredStep,
    {
        let name = self.unused(name.into());
        let stored = match stored_form(&step) {
            Ok(stored) => stored,
            Err(error) => {
                panic!("the stored step `{name}` does not read back from its stored form: {error}")
            }
        };
        let mut entry = StepEntry::new(name, Arc::new(step));
        entry.stored = Some(stored);
        self.draft.steps.push(entry);
        SchemaBuilder::around(self.draft)
    }

    /// Ends the schema.
    ///
    /// # Panics
    /// When options of its steps contradict each other: a step that is done at most once can not be
    /// lazy, a `verify` needs `at_most_once`, and in an atomic schema neither has a sense, nor an `undo`.
    /// And when there are more than 64 combinations of former names.
    #[track_caller]
    pub fn build(self) -> Schema<In, StepOut> {
        let Draft { name, steps, options } = self.draft;
        for step in &steps {
            if let Err(why) = careful::check(step, &options) {
                panic!("the step `{}` of the schema `{name}` {why}", step.name);
            }
        }
        if let Err(why) = former::check(&steps) {
            panic!("the schema `{name}`: {why}");
        }
        let plan = Plan {
            schema: name.clone(),
            steps: steps.iter().map(StepEntry::as_plan).collect(),
        };
        Schema {
            core: Arc::new(SchemaCore {
                plan: plan.record(),
                meters: Meters::of(&name, steps.iter().map(|step| &*step.name)),
                name,
                steps,
                options,
                former: false,
            }),
            accepted: Vec::new(),
            types: PhantomData,
        }
    }

    #[track_caller]
    fn unused(&self, name: String) -> String {
        check_name("step name", &name);
        let used = self.draft.steps.iter().any(|step| step.is_called(&name));
        assert!(
            !used,
            "the schema `{}` has a step `{name}` already",
            self.draft.name
        );
        name
    }
}

impl StepEntry {
    pub(crate) fn new(name: String, body: Arc<dyn ErasedStep>) -> Self {
        Self {
            name: name.into(),
            retry: Retry::default(),
            body,
            function: None,
            stored: None,
            effect: Effect::default(),
            lazy: false,
            timeout: None,
            verify: None,
            undo: None,
            formerly: Vec::new(),
        }
    }

    /// Whether this is or was the step's name.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        *self.name == *name || self.formerly.iter().any(|former| former == name)
    }

    fn as_plan(&self) -> PlanStep {
        PlanStep {
            name: self.name.to_string(),
            effect: self.effect,
            body: self
                .stored
                .as_ref()
                .map_or(PlanBody::Code, |stored| PlanBody::Stored(stored.clone())),
        }
    }
}

#[track_caller]
fn check_name(what: &str, name: &str) {
    if let Err(refusal) = marks::refuse(what, name).and_then(|()| check(what, name, NAME_BYTES)) {
        panic!("{refusal}");
    }
}

fn stored_form(step: &dyn StoredStep) -> Result<Box<RawValue>, serde_json::Error> {
    let stored = serde_json::value::to_raw_value(step)?;
    read_stored(&stored)?;
    Ok(stored)
}

/// Reads a stored step back, by its tag.
pub(crate) fn read_stored(stored: &RawValue) -> Result<Arc<dyn ErasedStep>, serde_json::Error> {
    let step: Box<dyn StoredStep> = serde_json::from_str(stored.get())?;
    let step: Arc<dyn StoredStep> = Arc::from(step);
    Ok(step)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    async fn one(_cx: StepContext, n: u32) -> StepResult<u32> {
        Ok(n)
    }

    #[derive(Serialize, Deserialize)]
    struct Mail {
        template: String,
    }

    impl Step for Mail {
        type Input = u32;
        type Output = String;

        async fn run(&self, _cx: StepContext, n: u32) -> StepResult<String> {
            Ok(format!("{}{n}", self.template))
        }
    }

    #[typetag::serde(name = "test.mail")]
    impl StoredStep for Mail {}

    fn panic_of(build: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = std::panic::catch_unwind(build).expect_err("a panic");
        match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(_) => "not a text".to_owned(),
        }
    }

    #[test]
    fn a_name_is_used_once() {
        let text = panic_of(|| {
            let _twice = Schema::new("s").step("a", one).step("a", one);
        });
        assert_eq!(text, "the schema `s` has a step `a` already");
    }

    #[test]
    fn names_have_limits() {
        let long = "n".repeat(257);
        let text = panic_of(move || {
            let _long = Schema::new(long);
        });
        assert_eq!(text, "the schema name has 257 bytes, the limit is 256");
    }

    #[test]
    fn a_name_that_a_mark_could_have_is_refused() {
        let text = panic_of(|| {
            let _part = Schema::new("s").step("a::b", one);
        });
        assert_eq!(text, "the step name `a::b` contains `::`");
    }

    #[test]
    fn a_stored_step_travels_with_the_plan_and_reads_back() {
        let mail = Mail { template: "t".into() };
        let schema: Schema<u32, String> = Schema::new("s").step("a", one).stored_step("b", mail).build();
        assert_eq!(
            schema.plan().body,
            r#"{"schema":"s","steps":[{"name":"a","body":"code"},{"name":"b","body":{"stored":{"type":"test.mail","template":"t"}}}]}"#
        );
    }

    #[test]
    fn a_closure_is_a_step_too() {
        let prefix = "p".to_owned();
        let schema: Schema<u32, String> = Schema::new("s")
            .step("a", move |_cx, n: u32| {
                let prefix = prefix.clone();
                async move { Ok(format!("{prefix}{n}")) }
            })
            .build();
        assert_eq!(schema.name(), "s");
    }
}
