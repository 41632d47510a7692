use keystep::{Schema, StepContext, StepResult, Verified};

async fn pay(_cx: StepContext, amount: u64) -> StepResult<String> {
    Ok(amount.to_string())
}

async fn find(_cx: StepContext, amount: u64) -> StepResult<Verified<u64>> {
    Ok(Verified::Done(amount))
}

fn main() {
    let _schema = Schema::new("order.create").step("pay", pay).at_most_once().verify(find).build();
}
