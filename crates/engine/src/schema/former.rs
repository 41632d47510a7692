//! How do executions go on that were born with an older form of a schema? Under the names that its steps
//! had then, or with an older schema that is kept beside the new one.

use std::sync::Arc;

use super::{Schema, SchemaCore, StepEntry};
use crate::plan::Plan;
use crate::telemetry::Meters;

/// How many schemas the former names of one may make. Each is a shape that its workers look for.
const MOST_FORMER: usize = 64;

impl<In, Out> Schema<In, Out> {
    /// Keeps an older form of this schema beside it: where this one is registered, that one is too, and
    /// executions that were born with it end in it. For a change of steps that is more than a new name,
    /// for which [`formerly`](crate::SchemaBuilder::formerly) is enough.
    ///
    /// # Panics
    /// When the older one has another name: its keys are other keys, so it is another schema.
    #[track_caller]
    #[must_use]
    pub fn accepts<OldIn, OldOut>(mut self, older: Schema<OldIn, OldOut>) -> Self {
        let (name, other) = (self.name(), older.name());
        assert!(
            name == other,
            "the schema `{name}` can not accept executions of `{other}`"
        );
        self.accepted.push(older.core);
        self.accepted.extend(older.accepted);
        self
    }

    /// What is registered together with it, the oldest last.
    pub(crate) fn accepted(&self) -> &[Arc<SchemaCore>] {
        &self.accepted
    }
}

impl SchemaCore {
    /// This schema with its steps under names that they had before, once for each combination but the
    /// present one. Serves only executions that were born so.
    pub(crate) fn under_former_names(&self) -> Vec<Arc<Self>> {
        let mut all = vec![self.steps.clone()];
        for (position, step) in self.steps.iter().enumerate() {
            let renamed = all.iter().flat_map(|steps| {
                step.formerly.iter().map(|former| {
                    let mut steps = steps.clone();
                    steps[position] = step.under(former);
                    steps
                })
            });
            let renamed: Vec<_> = renamed.collect();
            all.extend(renamed);
        }
        let former = all.into_iter().skip(1);
        former.map(|steps| Arc::new(self.with_steps(steps))).collect()
    }

    fn with_steps(&self, steps: Vec<StepEntry>) -> Self {
        let plan = Plan {
            schema: self.name.clone(),
            steps: steps.iter().map(StepEntry::as_plan).collect(),
        };
        Self {
            name: self.name.clone(),
            meters: Meters::of(&self.name, steps.iter().map(|step| &*step.name)),
            steps,
            options: self.options.clone(),
            plan: plan.record(),
            former: true,
        }
    }
}

impl StepEntry {
    /// The same step under a name that it had before.
    fn under(&self, former: &str) -> Self {
        let others = self.formerly.iter().filter(|name| *name != former);
        Self {
            name: former.into(),
            formerly: others.cloned().chain([self.name.to_string()]).collect(),
            ..self.clone()
        }
    }
}

/// Whether the former names of these steps make few enough schemas.
pub(super) fn check(steps: &[StepEntry]) -> Result<(), String> {
    let names = steps.iter().map(|step| 1 + step.formerly.len());
    let schemas = names.fold(1_usize, usize::saturating_mul);
    if schemas > MOST_FORMER {
        return Err(format!(
            "the former names of its steps make {schemas} combinations, the limit is {MOST_FORMER}: keep an \
             older schema with `accepts` instead"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::StepContext;
    use crate::error::StepResult;

    async fn one(_cx: StepContext, n: u32) -> StepResult<u32> {
        Ok(n)
    }

    #[test]
    fn each_combination_of_former_names_has_the_shape_that_it_had_then() {
        let schema = Schema::new("s")
            .step("a", one)
            .formerly("a1")
            .formerly("a2")
            .step("b", one)
            .step("c", one)
            .formerly("c1")
            .build();
        let former = schema.core().under_former_names();
        let shape = |a: &str, c: &str| Schema::new("s").step(a, one).step("b", one).step(c, one).build();
        let mut then: Vec<_> = [("a1", "c"), ("a2", "c"), ("a", "c1"), ("a1", "c1"), ("a2", "c1")]
            .map(|(a, c)| shape(a, c).plan().id.0)
            .into();
        let mut made: Vec<_> = former.iter().map(|core| core.plan.id.0).collect();
        then.sort_unstable();
        made.sort_unstable();
        assert_eq!(made, then);
        let every_name = former.iter().all(|core| core.steps[0].is_called("a"));
        assert!(every_name, "its output is found under each name");
    }

    #[test]
    #[should_panic(expected = "the former names of its steps make 128 combinations, the limit is 64")]
    fn former_names_are_few() {
        let mut schema = Schema::new("s").step("0", one).formerly("former 0");
        for n in 1..7 {
            schema = schema.step(format!("{n}"), one).formerly(format!("former {n}"));
        }
        let _schema = schema.build();
    }

    #[test]
    #[should_panic(expected = "the schema `s` can not accept executions of `t`")]
    fn executions_of_another_schema_are_not_accepted() {
        let other = Schema::new("t").step("a", one).build();
        let _schema = Schema::new("s").step("a", one).build().accepts(other);
    }
}
