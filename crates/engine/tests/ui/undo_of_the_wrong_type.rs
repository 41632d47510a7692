use keystep::{Schema, StepContext, StepResult};

async fn reserve(_cx: StepContext, order: u32) -> StepResult<String> {
    Ok(order.to_string())
}

async fn release(_cx: StepContext, _order: u32) -> StepResult<()> {
    Ok(())
}

fn main() {
    let _schema = Schema::new("order.create").step("reserve", reserve).undo(release).build();
}
