//! What is run? Five steps, each of which answers with about 100 bytes and does nothing else.

use keystep::{Schema, StepContext, StepResult};
use serde::{Deserialize, Serialize};

/// Steps of one execution.
pub(crate) const STEPS: usize = 5;

/// About 100 bytes of JSON: what a step of an order might have to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) order: u64,
    /// How many steps have been done.
    pub(crate) step: u32,
    pub(crate) reference: String,
    pub(crate) status: String,
    pub(crate) cents: u64,
}

impl Part {
    /// The input of the execution number `order`.
    pub(crate) fn first(order: u64) -> Self {
        Self {
            order,
            step: 0,
            reference: "b7f2c9d4-0a51-4c3e-9d68-1f0e2a7c5b43".to_owned(),
            status: "accepted".to_owned(),
            cents: 12_990,
        }
    }

    /// What the next step answers.
    pub(crate) fn next(self) -> Self {
        Self {
            step: self.step + 1,
            ..self
        }
    }
}

/// The schema of `order5`.
pub(crate) fn order5() -> Schema<Part, Part> {
    five(|_cx, part| async move { Ok(part.next()) })
}

/// The same steps with another body, which is told by its part which step it is.
pub(crate) fn five<F, Fut>(step: F) -> Schema<Part, Part>
where
    F: Fn(StepContext, Part) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StepResult<Part>> + Send + 'static,
{
    Schema::new("bench.order5")
        .step("reserve_stock", step.clone())
        .step("authorize_payment", step.clone())
        .step("create_order", step.clone())
        .step("capture_payment", step.clone())
        .step("send_receipt", step)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_about_a_hundred_bytes() {
        let bytes = serde_json::to_vec(&Part::first(123_456)).expect("JSON").len();
        assert!((90..=130).contains(&bytes), "{bytes}");
    }
}
