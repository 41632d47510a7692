//! What does a test of a schema say? A [`Trial`]: the schema and an input, a world, what must hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::LocalBoxFuture;

use super::process::{Opens, Process};
use super::script::Script;
use crate::clock::Clock;
use crate::error::Failure;
use crate::memory::MemoryStore;
use crate::schema::Schema;

/// Runs a schema through everything that can go wrong, each in a world of its own.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use keystep::testing::{Process, Trial};
/// use keystep::{MemoryStore, Schema, StepContext, StepResult};
///
/// #[derive(Clone, Default)]
/// struct Orders(Arc<AtomicU32>);
///
/// async fn price(_cx: StepContext, sku: String) -> StepResult<u32> { Ok(sku.len() as u32) }
/// async fn order(cx: StepContext, cents: u32) -> StepResult<u32> {
///     cx.get::<Orders>()?.0.fetch_add(1, Ordering::SeqCst);
///     Ok(cents)
/// }
///
/// # #[tokio::main]
/// # async fn main() {
/// let schema = Schema::new("order.create").step("price", price).step("order", order).build();
/// let report = Trial::new(schema, "tea".to_owned())
///     .world(
///         // What all processes of a story share: a database, the outside.
///         async |clock| (MemoryStore::with_clock(clock), Orders::default()),
///         // What one process opens of it.
///         async |(database, orders)| Process::on(database.another_handle()).provide(orders.clone()),
///     )
///     .check(async |(_, orders), story| {
///         assert_eq!(story.outcome, Ok(3));
///         // No key dedupes this effect: it happens again when the step is cut off after it.
///         assert!(orders.0.load(Ordering::SeqCst) >= 1);
///     })
///     .run()
///     .await;
/// assert!(report.stories > 50);
/// # }
/// ```
#[must_use = "nothing happens before `.run().await`"]
pub struct Trial<In, Out, W = MemoryStore> {
    pub(super) schema: Schema<In, Out>,
    pub(super) input: In,
    pub(super) makes: Box<dyn Makes<W>>,
    pub(super) opens: Arc<dyn Opens<W>>,
    pub(super) checks: Vec<Box<dyn Checks<W, Out>>>,
    pub(super) replay: Option<Script>,
    pub(super) random: usize,
    pub(super) seed: Option<u64>,
    pub(super) at_once: usize,
}

/// How a story ended, for a check.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Story<Out> {
    /// What went wrong in it.
    pub script: Script,
    /// What every caller got.
    pub outcome: Result<Out, Failure>,
    /// Whether it failed and what was done was undone.
    pub undone: bool,
    /// How often the body of each step was begun, by step; that of an undo under the name of its
    /// checkpoint, such as `pay::@undone`.
    pub attempts: BTreeMap<String, u32>,
    /// The clock that the world was given.
    pub clock: Clock,
}

pub(super) trait Makes<W> {
    fn make(&self, clock: Clock) -> LocalBoxFuture<'_, W>;
}

impl<W, F: AsyncFn(Clock) -> W> Makes<W> for F {
    fn make(&self, clock: Clock) -> LocalBoxFuture<'_, W> {
        Box::pin(self(clock))
    }
}

pub(super) trait Checks<W, Out> {
    fn check<'a>(&'a self, world: &'a W, story: &'a Story<Out>) -> LocalBoxFuture<'a, ()>;
}

impl<W, Out, F: AsyncFn(&W, &Story<Out>)> Checks<W, Out> for F {
    fn check<'a>(&'a self, world: &'a W, story: &'a Story<Out>) -> LocalBoxFuture<'a, ()> {
        Box::pin(self(world, story))
    }
}

impl<In, Out> Trial<In, Out> {
    /// A trial of this schema, called with this input, on the memory store and without resources.
    pub fn new(schema: Schema<In, Out>, input: In) -> Self {
        Self {
            schema,
            input,
            makes: Box::new(async |clock| MemoryStore::with_clock(clock)),
            opens: Arc::new(async |store: &MemoryStore| Process::on(store.another_handle())),
            checks: Vec::new(),
            replay: None,
            random: 0,
            seed: None,
            at_once: 1,
        }
    }
}

impl<In, Out, W> Trial<In, Out, W> {
    /// Where the stories happen. `make` makes what the processes of one story share: a fresh
    /// database on the given clock, fakes of the outside that count. `open` is called in each
    /// process, two or more in a story: it opens a handle of the store and whatever else dies with
    /// the process.
    ///
    /// The clock moves by itself whenever somebody waits for it, so that no story lasts as long as
    /// its retries.
    ///
    /// # Panics
    /// When a [`check`](Self::check) was said before: it is about the world that this one replaces.
    #[track_caller]
    pub fn world<V>(
        self,
        make: impl AsyncFn(Clock) -> V + 'static,
        open: impl AsyncFn(&V) -> Process + Send + Sync + 'static,
    ) -> Trial<In, Out, V> {
        assert!(
            self.checks.is_empty(),
            "a check was said before the world that it is about: say `.world(…)` first, then `.check(…)`"
        );
        Trial {
            schema: self.schema,
            input: self.input,
            makes: Box::new(make),
            opens: Arc::new(open),
            checks: Vec::new(),
            replay: self.replay,
            random: self.random,
            seed: self.seed,
            at_once: self.at_once,
        }
    }

    /// What must hold after each story, when its processes have ended: panics when it does not. Say
    /// it after [`world`](Self::world). Of several, each is asked, in this order.
    pub fn check(mut self, check: impl AsyncFn(&W, &Story<Out>) + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Plays only this story, after the one without faults: the script that a failing run has
    /// printed. [`run`](Self::run) panics when not all of it happens.
    ///
    /// # Panics
    /// When the text is no [`Script`].
    #[track_caller]
    pub fn replay(mut self, script: &str) -> Self {
        match script.parse() {
            Ok(script) => self.replay = Some(script),
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// Plays so many random stories too, none by default, in which two things go wrong. Where the
    /// first of them leaves no room for the second, [`Report::incomplete`] counts the story.
    ///
    /// [`Report::incomplete`]: super::Report::incomplete
    pub fn random(mut self, stories: usize) -> Self {
        self.random = stories;
        self
    }

    /// Plays so many stories at the same time, one by default and at least. They share nothing but
    /// what the test lets them share; more are quicker where a world is a database.
    pub fn at_once(mut self, stories: usize) -> Self {
        self.at_once = stories.max(1);
        self
    }

    /// Draws the random stories from this seed, which a failing run has printed; by default each run
    /// draws others.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl<In, Out, W> fmt::Debug for Trial<In, Out, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial")
            .field("schema", &self.schema)
            .field("replay", &self.replay)
            .field("random", &self.random)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
