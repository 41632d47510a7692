use keystep::{Schema, StepResult};

async fn reserve(order: u32) -> StepResult<u32> {
    Ok(order)
}

fn main() {
    let _schema = Schema::new("order.create").step("reserve", reserve).build();
}
