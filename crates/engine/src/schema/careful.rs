//! What may be said of a step? How it is retried, how often it may be done, how long it may take, how it
//! is undone, and what it was called before.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{SchemaBuilder, SchemaOptions, StepEntry, Undo, check_name};
use crate::context::StepContext;
use crate::error::StepResult;
use crate::plan::Effect;
use crate::retry::Retry;
use crate::step::FnStep;
use crate::verified::Verified;

/// Options of the last step.
impl<In, StepIn, StepOut> SchemaBuilder<In, StepIn, StepOut> {
    /// How the last step is retried.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        self.change(|step| step.retry = retry)
    }

    /// The longest time that one attempt of the last step may take. Its body is dropped then, and tried
    /// again, bounded by its [`Retry`]. The failure has the code `timed_out`.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|step| step.timeout = Some(timeout))
    }

    /// The last step never runs again once it has begun, unless it is known that it did nothing. That it
    /// begins is recorded before, which costs one more commit.
    ///
    /// What an attempt did is known when it gives an output, a [terminal](crate::StepError::terminal)
    /// error, or [`StepError::not_done`](crate::StepError::not_done). After any other error, a panic, a
    /// time-out or the loss of its process nobody knows: [`verify`](Self::verify) is asked, and without
    /// one the execution is parked as `in_doubt`, until [`Engine::settle`](crate::Engine::settle).
    #[must_use]
    pub fn at_most_once(self) -> Self {
        self.change(|step| step.effect = Effect::AtMostOnce)
    }

    /// Tells whether an attempt of the last step was done whose answer was lost: a function of the
    /// step's own input, asked with the same [`idempotency_key`](StepContext::idempotency_key) as the
    /// step. An error of it is tried again as often as the step.
    #[must_use]
    pub fn verify<F, Fut>(self, function: F) -> Self
    where
        F: Fn(StepContext, StepIn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<Verified<StepOut>>> + Send + 'static,
        StepIn: DeserializeOwned + Send + 'static,
        StepOut: Serialize + DeserializeOwned + Send + 'static,
    {
        self.change(|step| step.verify = Some(Arc::new(FnStep::new(function))))
    }

    /// Takes back what the last step did, when a later step fails for good or the execution is cancelled
    /// so: a function of the step's output. Steps are undone in reverse, each at least once, with the
    /// retries of [`Retry::default`]; see [`undo_retry`](Self::undo_retry).
    #[must_use]
    pub fn undo<F, Fut>(self, function: F) -> Self
    where
        F: Fn(StepContext, StepOut) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<()>> + Send + 'static,
        StepOut: DeserializeOwned + Send + 'static,
    {
        self.change(|step| {
            step.undo = Some(Undo {
                body: Arc::new(FnStep::new(function)),
                retry: Retry::default(),
            });
        })
    }

    /// How the undo of the last step is retried. When its tries are used up the execution is parked as
    /// `undo_failed`.
    ///
    /// # Panics
    /// When the last step has no undo.
    #[track_caller]
    #[must_use]
    pub fn undo_retry(mut self, retry: Retry) -> Self {
        let undo = self.draft.steps.last_mut().and_then(|step| step.undo.as_mut());
        assert!(
            undo.is_some(),
            "undo_retry stands before the undo that it is about"
        );
        if let Some(undo) = undo {
            undo.retry = retry;
        }
        self
    }

    /// The checkpoint of the last step rides with the next one, also with that of a part, and costs no
    /// commit of its own: for a step that is cheap to repeat. Until then it may run again although it had
    /// given an output: after a crash, or when the execution was put down.
    #[must_use]
    pub fn lazy(self) -> Self {
        self.change(|step| step.lazy = true)
    }

    /// The last step had this name before. Executions that were begun under it go on, and find its
    /// output: renaming a step changes no other thing.
    ///
    /// # Panics
    /// When the name is not usable, or names a step of this schema.
    #[track_caller]
    #[must_use]
    pub fn formerly(self, name: impl Into<String>) -> Self {
        let name = name.into();
        check_name("step name", &name);
        let used = self.draft.steps.iter().any(|step| step.is_called(&name));
        let schema = &self.draft.name;
        assert!(!used, "the schema `{schema}` has a step `{name}` already");
        self.change(|step| step.formerly.push(name))
    }

    fn change(mut self, change: impl FnOnce(&mut StepEntry)) -> Self {
        if let Some(last) = self.draft.steps.last_mut() {
            change(last);
        }
        self
    }
}

/// Whether the options of a step go together.
pub(super) fn check(step: &StepEntry, schema: &SchemaOptions) -> Result<(), &'static str> {
    let careful = step.effect == Effect::AtMostOnce;
    if careful && step.lazy {
        return Err("is done at most once, so it can not be lazy");
    }
    if step.verify.is_some() && !careful {
        return Err("has a verify, which only a step that is done at most once needs");
    }
    if schema.atomic && careful {
        return Err(
            "is done at most once, which has no sense in an atomic schema: it is rolled back and run again",
        );
    }
    if schema.atomic && step.undo.is_some() {
        return Err("has an undo, which has no sense in an atomic schema: it is rolled back");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    async fn one(_cx: StepContext, n: u32) -> StepResult<u32> {
        Ok(n)
    }

    async fn nothing(_cx: StepContext, _n: u32) -> StepResult<()> {
        Ok(())
    }

    async fn look(_cx: StepContext, _n: u32) -> StepResult<Verified<u32>> {
        Ok(Verified::Unknown)
    }

    #[test]
    #[should_panic(expected = "the step `a` of the schema `s` is done at most once, so it can not be lazy")]
    fn what_is_done_at_most_once_is_not_lazy() {
        let _schema = Schema::new("s").step("a", one).at_most_once().lazy().build();
    }

    #[test]
    #[should_panic(expected = "has a verify, which only a step that is done at most once needs")]
    fn a_verify_needs_at_most_once() {
        let _schema = Schema::new("s").step("a", one).verify(look).build();
    }

    #[test]
    #[should_panic(expected = "has no sense in an atomic schema: it is rolled back")]
    fn what_is_rolled_back_is_not_undone() {
        let _schema = Schema::new("s").atomic().step("a", one).undo(nothing).build();
    }

    #[test]
    #[should_panic(expected = "the schema `s` has a step `a` already")]
    fn a_former_name_is_used_once_too() {
        let _schema = Schema::new("s")
            .step("a", one)
            .step("b", one)
            .formerly("a")
            .build();
    }

    #[test]
    fn undo_retries_and_options_do_not_change_the_plan() {
        let plain = Schema::new("s").step("a", one).build();
        let rich = Schema::new("s")
            .step("a", one)
            .undo(nothing)
            .undo_retry(Retry::none())
            .timeout(Duration::from_secs(1))
            .lazy()
            .formerly("z")
            .build();
        assert_eq!(plain.plan(), rich.plan());
    }
}
