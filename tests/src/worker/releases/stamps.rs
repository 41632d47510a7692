//! Which steps travel with the plan? Two types, told apart by their tags.

use std::sync::Arc;

use keystep::{Step, StepContext, StepResult, StoredStep};
use serde::{Deserialize, Serialize};

use super::marked::Maker;
use crate::protocol::Trail;

/// A stored step. Its ink is the code of its marks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// The step before it.
    after: String,
    ink: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    anonymous: bool,
}

impl Stamp {
    pub(crate) fn new(after: String, ink: &str) -> Self {
        Self {
            after,
            ink: ink.to_owned(),
            anonymous: false,
        }
    }

    /// Without what differs from run to run.
    pub(crate) fn anonymous(self) -> Self {
        Self {
            anonymous: true,
            ..self
        }
    }
}

impl Step for Stamp {
    type Input = Trail;
    type Output = Trail;

    async fn run(&self, cx: StepContext, trail: Trail) -> StepResult<Trail> {
        let maker = Maker {
            shape: String::new(),
            after: self.after.clone(),
            code: self.ink.clone(),
            anonymous: self.anonymous,
            former: None,
        };
        Arc::new(maker).run(cx, trail).await
    }
}

#[typetag::serde(name = "deploy.stamp")]
impl StoredStep for Stamp {}

/// The same under another tag.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seal(pub(crate) Stamp);

impl Step for Seal {
    type Input = Trail;
    type Output = Trail;

    async fn run(&self, cx: StepContext, trail: Trail) -> StepResult<Trail> {
        self.0.run(cx, trail).await
    }
}

#[typetag::serde(name = "deploy.seal")]
impl StoredStep for Seal {}
