//! What will a deploy do to the executions that are under way? Asked of the database before it, for the
//! schemas that are about to be registered; answered by the same rules that an owner goes by.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::drive::check_readable;
use crate::engine::Engine;
use crate::execution::{ExecutionRecord, FullKey, ShapeId, State};
use crate::limits::LIST_ROWS;
use crate::outcome::unavailable;
use crate::run_error::RunError;
use crate::schema::{Schema, SchemaCore};
use crate::store::ListQuery;
use crate::take::{NoCode, steps_of};

/// How many keys a report names of each kind.
const NAMED: usize = 100;

/// What becomes of the executions that are not finished, see [`Engine::plan_check`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PlanReport {
    /// They have the shape of a schema, and go on with it.
    pub compatible: Affected,
    /// They have an older shape, and end in it: it is [accepted](Schema::accepts), or its steps have new
    /// [names](crate::SchemaBuilder::formerly).
    pub pinned: Affected,
    /// No schema has their shape: they would be parked as `unknown_shape`, unless another process serves
    /// it.
    pub unknown_shape: Affected,
    /// What is recorded can not be read by the code that has their shape: they would be parked as
    /// `unreadable`.
    pub unreadable: Affected,
    /// They are of none of these schemas, by name.
    pub of_others: Affected,
}

/// Some executions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Affected {
    /// How many there are.
    pub count: usize,
    /// The keys of the first 100 of them.
    pub keys: Vec<FullKey>,
}

impl PlanReport {
    /// Whether none would be parked. Those of other schemas are left out.
    pub fn is_safe(&self) -> bool {
        self.unknown_shape.count == 0 && self.unreadable.count == 0
    }
}

impl Affected {
    fn add(&mut self, key: FullKey) {
        self.count += 1;
        if self.keys.len() < NAMED {
            self.keys.push(key);
        }
    }
}

/// A schema of whatever types, for lists of them.
pub trait AnySchema: sealed::Sealed {}

impl<In, Out> AnySchema for Schema<In, Out> {}

mod sealed {
    use std::sync::Arc;

    use crate::schema::{Schema, SchemaCore};

    /// What is registered with a schema.
    pub struct Registered {
        pub(crate) own: Arc<SchemaCore>,
        pub(crate) accepted: Vec<Arc<SchemaCore>>,
    }

    /// Nobody else has schemas.
    pub trait Sealed {
        #[doc(hidden)]
        fn registered(&self) -> Registered;
    }

    impl<In, Out> Sealed for Schema<In, Out> {
        fn registered(&self) -> Registered {
            Registered {
                own: Arc::clone(self.core()),
                accepted: self.accepted().to_vec(),
            }
        }
    }
}

impl Engine {
    /// Tells what would become of the executions that are not finished, if these schemas were deployed.
    /// This engine need not have registered them; its codecs have to be those of the deploy. Nothing is
    /// written, and what happens while it looks may be missing.
    ///
    /// It reads what is recorded of each execution, so that a step whose input has another type is found
    /// too, where the recorded value does not fit it. A value that fits, and means something else, nobody
    /// can tell.
    ///
    /// ```
    /// use keystep::{Engine, MemoryStore, Schema, StepContext, StepResult};
    ///
    /// async fn pay(_cx: StepContext, order: u32) -> StepResult<u32> { Ok(order) }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let next = Schema::new("order.create").step("pay", pay).formerly("charge").build();
    /// let engine = Engine::builder(MemoryStore::new()).build().await?;
    /// let report = engine.plan_check(&[&next]).await?;
    /// assert!(report.is_safe(), "{report:#?}");
    /// # engine.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RunError::Unavailable`] when the store does not answer.
    pub async fn plan_check(&self, schemas: &[&dyn AnySchema]) -> Result<PlanReport, RunError> {
        let deploy = Deploy::of(schemas);
        let mut report = PlanReport::default();
        let mut after = None;
        loop {
            let query = ListQuery {
                states: vec![State::Ready, State::Running, State::Waiting, State::Parked],
                after,
                limit: LIST_ROWS,
                ..ListQuery::default()
            };
            let records = self.inner.store.list(query).await;
            let records = records.map_err(|error| unavailable(&error))?;
            let is_last = records.len() < LIST_ROWS as usize;
            after = records.last().map(|record| record.id);
            for record in records {
                let fit = self.fit(&deploy, &record).await?;
                report.of(fit).add(record.key);
            }
            if is_last {
                return Ok(report);
            }
        }
    }

    async fn fit(&self, deploy: &Deploy, record: &ExecutionRecord) -> Result<Fit, RunError> {
        if !deploy.names.contains(&record.key.schema) {
            return Ok(Fit::OfOthers);
        }
        let Some((schema, fit)) = deploy.by_shape.get(&record.shape) else {
            return Ok(Fit::UnknownShape);
        };
        let steps = match steps_of(&self.inner, schema, record).await {
            Ok(steps) => steps,
            Err(NoCode::Park(..)) => return Ok(Fit::Unreadable),
            Err(NoCode::Unavailable(error)) => return Err(unavailable(&error)),
        };
        let loaded = self.inner.store.load(record.id, record.run).await;
        let readable = match loaded.map_err(|error| unavailable(&error))? {
            Some(loaded) => check_readable(&self.inner, record.run, schema, &steps, loaded).is_ok(),
            // It is another run by now.
            None => true,
        };
        Ok(if readable { *fit } else { Fit::Unreadable })
    }
}

/// What would be registered.
struct Deploy {
    names: HashSet<String>,
    by_shape: HashMap<ShapeId, (Arc<SchemaCore>, Fit)>,
}

#[derive(Clone, Copy)]
enum Fit {
    Compatible,
    Pinned,
    UnknownShape,
    Unreadable,
    OfOthers,
}

impl Deploy {
    fn of(schemas: &[&dyn AnySchema]) -> Self {
        let (mut own, mut older) = (Vec::new(), Vec::new());
        for schema in schemas {
            let registered = schema.registered();
            own.push(registered.own);
            older.extend(registered.accepted);
        }
        let former = own
            .iter()
            .chain(&older)
            .flat_map(|core| core.under_former_names());
        let pinned: Vec<_> = older.iter().cloned().chain(former).collect();
        let mut by_shape = HashMap::new();
        let fits = own.iter().cloned().map(|core| (core, Fit::Compatible));
        for (core, fit) in fits.chain(pinned.into_iter().map(|core| (core, Fit::Pinned))) {
            by_shape.entry(core.plan.shape).or_insert((core, fit));
        }
        Self {
            names: own.iter().map(|core| core.name.clone()).collect(),
            by_shape,
        }
    }
}

impl PlanReport {
    fn of(&mut self, fit: Fit) -> &mut Affected {
        match fit {
            Fit::Compatible => &mut self.compatible,
            Fit::Pinned => &mut self.pinned,
            Fit::UnknownShape => &mut self.unknown_shape,
            Fit::Unreadable => &mut self.unreadable,
            Fit::OfOthers => &mut self.of_others,
        }
    }
}
