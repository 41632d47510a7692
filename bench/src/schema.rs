//! What is run? Five steps, each of which answers with about 100 bytes and does nothing else.

use keystep::{Schema, StepContext, StepResult};
use serde::{Deserialize, Serialize};

/// Steps of one execution.
pub(crate) const STEPS: usize = 5;

/// About 100 bytes of JSON: what a step of an order might have to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) order: u64,
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

async fn step(_cx: StepContext, part: Part) -> StepResult<Part> {
    Ok(part.next())
}

/// The schema of `order5`.
pub(crate) fn order5() -> Schema<Part, Part> {
    Schema::new("bench.order5")
        .step("reserve_stock", step)
        .step("authorize_payment", step)
        .step("create_order", step)
        .step("capture_payment", step)
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
