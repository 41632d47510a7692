//! Are the durable names what they were?

use keystep::Schema;
use order_example::workflow::{Policy, order_change, order_create, order_request, payment_process};
use serde_json::{Value, json};

fn plan_of<In, Out>(schema: &Schema<In, Out>) -> Value {
    serde_json::from_str(&schema.plan().body).expect("JSON")
}

/// Orders that wait in somebody's database were born with this plan. A step that is renamed, added,
/// moved or removed makes another schema: register the old one beside it. Changed parameters of a
/// stored step are fine: orders keep the ones they were born with.
#[test]
fn the_plan_of_order_create_is_what_it_was() {
    let golden = include_str!("../../order.create.plan.json");
    let golden: Value = serde_json::from_str(golden).expect("JSON");
    let plan = plan_of(&order_create(Policy::default()));
    assert_eq!(plan, golden, "see the comment of this test");
}

/// The same holds for the others, which are so short that a file for each would say no more.
#[test]
fn the_plans_of_the_other_schemas_are_what_they_were() {
    let plan = |schema: &str, steps: &[&str]| {
        let steps = steps.iter().map(|name| json!({"name": name, "body": "code"}));
        json!({"schema": schema, "steps": steps.collect::<Vec<_>>()})
    };
    let policy = Policy::default();
    assert_eq!(plan_of(&order_request(policy)), plan("order.request", &["order"]));
    assert_eq!(
        plan_of(&order_change(policy)),
        plan("order.change", &["change_order"])
    );
    assert_eq!(
        plan_of(&payment_process(policy)),
        plan("payment.process", &["charge", "record_payment"])
    );
}
