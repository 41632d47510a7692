//! Was a step given what its predecessor made, in this run, of the plan that the run was born with?
//! Each step looks at the marks of all steps before it, and adds its own.

use std::sync::Arc;

use keystep::{StepContext, StepError, StepResult};

use crate::protocol::{Mark, Trail};
use crate::releases::{gate, names};
use crate::worker::steps::{Entered, Site, work};

/// Who makes the marks of a step.
#[derive(Debug, Default)]
pub(crate) struct Maker {
    /// The shape that the step was compiled into; a stored step is in none.
    pub(crate) shape: String,
    /// The shape under former names of the steps, if they have any.
    pub(crate) former: Option<String>,
    /// The step before it; known to a stored step only.
    pub(crate) after: String,
    /// Which code it is.
    pub(crate) code: String,
    /// Leaves out what differs from run to run, so that outputs compare byte for byte.
    pub(crate) anonymous: bool,
}

/// What a failure says when a step was given what is not its own.
const FOREIGN: &str = "foreign_result";

impl Maker {
    /// A step: notes its attempt, stops at its gate, checks what it was given, adds its mark.
    pub(crate) async fn run(self: Arc<Self>, cx: StepContext, mut trail: Trail) -> StepResult<Trail> {
        let site = cx.get::<Site>()?;
        let attempt = Entered::now(&cx, site.voice);
        let gate = gate(&cx.key().schema, cx.step_name());
        let done = work(&cx, &site, &attempt, &trail, &gate).await;
        let done = done.and_then(|()| self.check(&cx, &trail));
        let nonce = attempt.end(done)?;
        let shape = trail
            .made_by
            .first()
            .map_or(&self.shape, |first| &first.plan)
            .clone();
        let run = cx.run_id().to_string();
        trail.made_by.push(Mark {
            step: cx.step_name().to_owned(),
            code: self.code.clone(),
            plan: shape,
            run: if self.anonymous { String::new() } else { run },
        });
        if !self.anonymous {
            trail.nonces.push(nonce);
        }
        Ok(trail)
    }

    fn check(&self, cx: &StepContext, trail: &Trail) -> StepResult<()> {
        let foreign = |what: &str| {
            let error = StepError::terminal(format!("`{}` {what}: {:?}", cx.step_name(), trail.made_by));
            Err(error.code(FOREIGN))
        };
        let marks = &trail.made_by;
        let born = marks.first().map_or(&self.shape, |first| &first.plan);
        if !self.shape.is_empty() && *born != self.shape && self.former.as_ref() != Some(born) {
            return foreign("was compiled into another shape");
        }
        if self.shape.is_empty() && marks.last().is_none_or(|last| last.step != self.after) {
            return foreign("was stored behind another step");
        }
        let expected = names(born);
        let before = marks.iter().map(|mark| mark.step.as_str());
        if !before
            .chain([cx.step_name()])
            .eq(expected.into_iter().take(marks.len() + 1))
        {
            return foreign("is not the next step of its plan");
        }
        let run = cx.run_id().to_string();
        if !self.anonymous && marks.iter().any(|mark| mark.run != run) {
            return foreign("was given the result of another run");
        }
        Ok(())
    }
}
