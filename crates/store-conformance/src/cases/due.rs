//! Due: what may be taken up now, by the database's clock.

use keystep::execution::{ExecutionId, ParkReason, ShapeId};
use keystep::store::{Begin, Shapes, Store, Then, Wanted};

use crate::Harness;
use crate::fixture::{
    HOUR, MINUTE, begin_of, ended, fail, numbered_plan, numbered_shape, park, record, shape, start, started,
    succeed, wait, write,
};

async fn due<S: Store>(store: &S, shapes: Shapes, limit: u32) -> Vec<ExecutionId> {
    let found = store.due(Wanted { shapes, limit }).await.expect("answered");
    found.into_iter().map(|seen| seen.id).collect()
}

/// What is due of the shape that most cases use.
pub(super) async fn due_ids<S: Store>(store: &S) -> Vec<ExecutionId> {
    due(store, Shapes::Only(vec![shape()]), 100).await
}

pub async fn a_wait_is_due_when_its_delay_has_passed<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", wait(HOUR)).await;
    assert_eq!(due_ids(&*harness.there).await, []);
    harness.clock.advance(HOUR - MINUTE);
    assert_eq!(due_ids(&*harness.there).await, [], "a minute early");
    harness.clock.advance(2 * MINUTE);
    assert_eq!(due_ids(&*harness.there).await, [fence.execution]);
}

pub async fn what_is_due_is_shown_as_it_is<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", Then::Release).await;
    let wanted = Wanted {
        shapes: Shapes::Except(Vec::new()),
        limit: 10,
    };
    for _look in 0..2 {
        let found = harness.there.due(wanted.clone()).await.expect("answered");
        let now = record(&*harness.there, fence.execution).await;
        assert_eq!(found, [now.seen()], "looking does not acquire");
    }
}

pub async fn only_ready_and_waiting_executions_are_due<S: Store>(harness: Harness<S>) {
    started(&*harness.here, "running").await;
    ended(&*harness.here, "succeeded", succeed(0)).await;
    ended(&*harness.here, "failed", fail()).await;
    ended(&*harness.here, "unreadable", park(ParkReason::Unreadable)).await;
    ended(&*harness.here, "lost", park(ParkReason::LostTooOften)).await;
    let ready = ended(&*harness.here, "ready", Then::Release).await;
    let waits = ended(&*harness.here, "waits", wait(HOUR)).await;
    harness.clock.advance(2 * HOUR);
    let expected = [ready.execution, waits.execution];
    assert_eq!(due_ids(&*harness.there).await, expected);
    let others = due(&*harness.there, Shapes::Except(Vec::new()), 100).await;
    assert_eq!(others, expected);
}

pub async fn the_longest_due_comes_first_and_at_most_so_many<S: Store>(harness: Harness<S>) {
    let mut expected = Vec::new();
    for hours in [5, 2, 4, 1, 3] {
        let fence = ended(&*harness.here, &format!("{hours} hours"), wait(hours * HOUR)).await;
        expected.push((hours, fence.execution));
    }
    expected.sort_unstable();
    let expected: Vec<ExecutionId> = expected.into_iter().map(|(_, id)| id).collect();
    harness.clock.advance(6 * HOUR);
    let later = ended(&*harness.here, "released now", Then::Release).await;
    let all = due_ids(&*harness.there).await;
    assert_eq!(all[..5], expected);
    assert_eq!(all[5..], [later.execution]);
    for limit in 0..5 {
        let first = due(&*harness.there, Shapes::Only(vec![shape()]), limit).await;
        assert_eq!(first, expected[..limit as usize]);
    }
}

/// One execution of each of the shapes 1 to 3, ended so.
async fn one_of_each_shape<S: Store>(store: &S, then: Then) -> Vec<(ShapeId, ExecutionId)> {
    let mut all = Vec::new();
    for number in 1..=3 {
        let plan = numbered_plan(number);
        let wanted = Begin {
            plan: plan.id,
            shape: plan.shape,
            ..begin_of(&format!("shape {number}"))
        };
        let fence = start(store, &wanted).await;
        write(fence).then(then.clone()).written(store).await;
        all.push((plan.shape, fence.execution));
    }
    all
}

pub async fn only_the_wanted_shapes_are_due<S: Store>(harness: Harness<S>) {
    let all = one_of_each_shape(&*harness.here, Then::Release).await;
    let choices = [
        vec![],
        vec![numbered_shape(2)],
        vec![numbered_shape(3), numbered_shape(1)],
        vec![numbered_shape(9)],
    ];
    for choice in choices {
        let (inside, outside): (Vec<_>, Vec<_>) =
            all.iter().copied().partition(|(shape, _)| choice.contains(shape));
        let only = due(&*harness.there, Shapes::Only(choice.clone()), 100).await;
        let except = due(&*harness.there, Shapes::Except(choice), 100).await;
        assert_eq!(only, inside.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
        assert_eq!(except, outside.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    }
}

pub async fn an_unknown_shape_is_due_only_for_who_knows_it<S: Store>(harness: Harness<S>) {
    let all = one_of_each_shape(&*harness.here, park(ParkReason::UnknownShape)).await;
    let known = due(&*harness.there, Shapes::Only(vec![numbered_shape(2)]), 100).await;
    assert_eq!(known, [all[1].1], "a deploy that brings the shape takes it up");
    let except = due(&*harness.there, Shapes::Except(vec![numbered_shape(2)]), 100).await;
    assert_eq!(except, [], "who looks for strangers does not park them twice");
}
