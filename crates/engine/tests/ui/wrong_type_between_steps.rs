use keystep::{Schema, StepContext, StepResult};

async fn reserve(_cx: StepContext, order: u32) -> StepResult<String> {
    Ok(order.to_string())
}

async fn pay(_cx: StepContext, amount: u64) -> StepResult<u64> {
    Ok(amount)
}

fn main() {
    let _schema = Schema::new("order.create").step("reserve", reserve).step("pay", pay).build();
}
