//! Plans: stored once, read by everybody.

use keystep::execution::PlanId;
use keystep::store::{PlanRecord, Store};
use uuid::Uuid;

use crate::Harness;
use crate::fixture::{all_at_once, numbered_plan};

pub async fn a_saved_plan_reads_back_exactly<S: Store>(harness: Harness<S>) {
    let plan = PlanRecord {
        schema: "größe 'quoted' \"twice\" 注文 ".into(),
        body: r#"[{"name":"a b","body":{"stored":{"text":"\u0000 \n ☂ 𝄞"}}},{ "n":1.50 }] "#.into(),
        ..numbered_plan(1)
    };
    harness.here.save_plan(plan.clone()).await.expect("saved");
    for store in [&harness.here, &harness.there] {
        let read = store.load_plan(plan.id).await.expect("read");
        assert_eq!(read, Some(plan.clone()), "byte for byte");
    }
}

pub async fn saving_a_plan_again_changes_nothing<S: Store>(harness: Harness<S>) {
    let plan = numbered_plan(1);
    harness.here.save_plan(plan.clone()).await.expect("saved");
    let other = PlanRecord {
        id: plan.id,
        ..numbered_plan(2)
    };
    for again in [plan.clone(), other] {
        harness.there.save_plan(again).await.expect("no conflict");
        let read = harness.here.load_plan(plan.id).await.expect("read");
        assert_eq!(read, Some(plan.clone()), "what was stored first");
    }
}

pub async fn a_plan_that_was_never_saved_is_none<S: Store>(harness: Harness<S>) {
    let id = PlanId(Uuid::new_v4());
    assert_eq!(harness.here.load_plan(id).await.expect("read"), None);
}

pub async fn a_plan_saved_by_many_at_once_is_saved_once<S: Store>(harness: Harness<S>) {
    let answers = all_at_once(32, |number| {
        let store = [&harness.here, &harness.there][number % 2].clone();
        async move { store.save_plan(numbered_plan(1)).await }
    })
    .await;
    for answer in answers {
        answer.expect("nobody is in the way of another");
    }
    let read = harness.here.load_plan(numbered_plan(1).id).await;
    assert_eq!(read.expect("read"), Some(numbered_plan(1)));
}
