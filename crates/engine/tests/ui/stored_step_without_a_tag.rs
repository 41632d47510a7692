use keystep::{Schema, Step, StepContext, StepResult};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendReceipt {
    template: String,
}

impl Step for SendReceipt {
    type Input = u32;
    type Output = u32;

    async fn run(&self, _cx: StepContext, order: u32) -> StepResult<u32> {
        Ok(order)
    }
}

fn main() {
    let step = SendReceipt { template: String::new() };
    let _schema = Schema::new("order.create").stored_step("send_receipt", step).build();
}
