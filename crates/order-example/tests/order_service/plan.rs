//! Are the durable names what they were?

use order_example::workflow::{ChargeMode, order_create};

/// Orders that wait in somebody's database were born with this plan. A step that is renamed, added,
/// moved or removed makes another schema: register the old one beside it. Changed parameters of a
/// stored step are fine: orders keep the ones they were born with.
#[test]
fn the_plan_of_order_create_is_what_it_was() {
    let golden = include_str!("../../order.create.plan.json");
    let golden: serde_json::Value = serde_json::from_str(golden).expect("JSON");
    let plan: serde_json::Value =
        serde_json::from_str(&order_create(ChargeMode::Idempotent).plan().body).expect("JSON");
    assert_eq!(plan, golden, "see the comment of this test");
}
