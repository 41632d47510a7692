//! What is stored of a schema? Its plan: names, order, kinds and stored parameters, as JSON.
//!
//! Each execution points to the plan it was born with. A plan is stored once per content hash; its
//! *shape* (names, order, kinds) decides which registered code may run it, so that an execution
//! only ever runs inside a chain of steps that a compiler has seen whole. Pure.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::execution::{PlanId, ShapeId};
use crate::store::PlanRecord;

/// A schema as data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The schema's name.
    pub schema: String,
    /// The steps, in order.
    pub steps: Vec<PlanStep>,
}

/// A step as data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanStep {
    /// The step's name: durable, unique in its schema.
    pub name: String,
    /// What it is.
    pub body: PlanBody,
    /// How often it may be done.
    #[serde(default, skip_serializing_if = "Effect::is_default")]
    pub effect: Effect,
}

/// How often what a step does may happen. The words are stored: they are a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Again after a crash, with the same downstream key.
    #[default]
    AtLeastOnce,
    /// Never again when it has begun, unless it is known that nothing was done.
    AtMostOnce,
}

impl Effect {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a step is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanBody {
    /// Code, found by the shape of the plan.
    Code,
    /// A stored step. Kept raw and read only when it runs, so that one unknown tag can not make
    /// the whole plan unreadable.
    Stored(Box<RawValue>),
}

impl Plan {
    /// The plan as it is stored.
    pub fn record(&self) -> PlanRecord {
        let body = serde_json::to_string(self).unwrap_or_default();
        PlanRecord {
            id: PlanId(hash(&[body.as_bytes()])),
            shape: self.shape(),
            schema: self.schema.clone(),
            body,
        }
    }

    /// The hash of schema name, step names, order and kinds.
    pub fn shape(&self) -> ShapeId {
        let mut parts = vec![self.schema.as_bytes()];
        let kinds: Vec<String> = self.steps.iter().map(PlanStep::kind).collect();
        for (step, kind) in self.steps.iter().zip(&kinds) {
            parts.push(step.name.as_bytes());
            parts.push(kind.as_bytes());
        }
        ShapeId(hash(&parts))
    }

    /// Reads a stored plan.
    ///
    /// # Errors
    /// When the text is no plan of this version.
    pub fn read(body: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(body)
    }
}

impl PlanStep {
    fn kind(&self) -> String {
        match self.effect {
            Effect::AtLeastOnce => self.body.kind(),
            Effect::AtMostOnce => format!("{}:at_most_once", self.body.kind()),
        }
    }
}

impl PlanBody {
    /// `code`, or `stored:` and the tag.
    fn kind(&self) -> String {
        #[derive(Deserialize)]
        struct Tagged {
            r#type: String,
        }
        match self {
            Self::Code => "code".to_owned(),
            Self::Stored(body) => {
                let tag = serde_json::from_str::<Tagged>(body.get()).map(|tagged| tagged.r#type);
                format!("stored:{}", tag.unwrap_or_default())
            }
        }
    }
}

fn hash(parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut first = [0_u8; 16];
    first.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(first).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(steps: &[(&str, Option<&str>)]) -> Plan {
        let steps = steps.iter().map(|(name, stored)| PlanStep {
            name: (*name).to_owned(),
            body: stored.map_or(PlanBody::Code, |body| {
                PlanBody::Stored(RawValue::from_string(body.to_owned()).expect("JSON"))
            }),
            effect: Effect::default(),
        });
        Plan {
            schema: "order.create".into(),
            steps: steps.collect(),
        }
    }

    #[test]
    fn parameters_change_the_plan_but_not_its_shape() {
        let a = plan(&[("a", None), ("b", Some(r#"{"type":"mail","template":"x"}"#))]).record();
        let b = plan(&[("a", None), ("b", Some(r#"{"type":"mail","template":"y"}"#))]).record();
        assert_ne!(a.id, b.id);
        assert_eq!(a.shape, b.shape);
    }

    #[test]
    fn name_order_and_kind_change_the_shape() {
        let base = plan(&[("a", None), ("b", None)]).shape();
        for other in [
            plan(&[("b", None), ("a", None)]),
            plan(&[("a", None), ("c", None)]),
            plan(&[("a", None)]),
            plan(&[("a", None), ("b", Some(r#"{"type":"mail"}"#))]),
        ] {
            assert_ne!(base, other.shape(), "{other:?}");
        }
    }

    #[test]
    fn how_often_a_step_may_be_done_is_part_of_the_shape() {
        let base = plan(&[("a", None), ("b", None)]);
        let mut careful = base.clone();
        careful.steps[1].effect = Effect::AtMostOnce;
        assert_ne!(base.shape(), careful.shape());
        let body = careful.record().body;
        assert!(
            body.ends_with(r#"{"name":"b","body":"code","effect":"at_most_once"}]}"#),
            "{body}"
        );
        assert_eq!(Plan::read(&body).expect("a plan").shape(), careful.shape());
    }

    #[test]
    fn a_stored_plan_reads_back_and_its_bytes_are_a_promise() {
        let plan = plan(&[("a", None), ("b", Some(r#"{"type":"mail","n":1}"#))]);
        let record = plan.record();
        assert_eq!(
            record.body,
            r#"{"schema":"order.create","steps":[{"name":"a","body":"code"},{"name":"b","body":{"stored":{"type":"mail","n":1}}}]}"#
        );
        assert_eq!(Plan::read(&record.body).expect("a plan").record(), record);
    }
}
