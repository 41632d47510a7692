use std::rc::Rc;

use keystep::{Schema, StepContext, StepResult};

async fn reserve(_cx: StepContext, order: u32) -> StepResult<u32> {
    let counted = Rc::new(order);
    std::future::ready(()).await;
    Ok(*counted)
}

fn main() {
    let _schema = Schema::new("order.create").step("reserve", reserve).build();
}
