use keystep::{Schema, StepContext, StepResult};

struct Reserved {
    _order: u32,
}

async fn reserve(_cx: StepContext, order: u32) -> StepResult<Reserved> {
    Ok(Reserved { _order: order })
}

fn main() {
    let _schema = Schema::new("order.create").step("reserve", reserve).build();
}
