//! Cancel: a wish that its owner sees, and that makes due what nobody owns; and who is called by whom.

use std::collections::BTreeSet;

use keystep::execution::{CancelWish, ExecutionId, Fence, ParkReason, RunId, Seen, State, WorkerId};
use keystep::store::{Begin, Fresh, How, Shapes, Store, Then, Tries, Verdict, Wanted};

use super::due::due_ids;
use super::signal::wait_for_signals;
use crate::Harness;
use crate::fixture::{
    HOUR, acquire_of, begin_of, ended, every_end, fail, one_in_each_state, park, payload, progress, record,
    restart, start, started, take, wait, win, write,
};

async fn wish<S: Store>(store: &S, fence: Fence, wish: CancelWish) -> Option<Seen> {
    let wished = store.wish_cancel(fence.execution, fence.run, wish).await;
    wished.expect("answered")
}

async fn cancels<S: Store>(store: &S, worker: WorkerId) -> Vec<(ExecutionId, RunId, CancelWish)> {
    store.cancels(worker).await.expect("answered")
}

pub async fn a_wish_to_cancel_is_shown_to_the_owner<S: Store>(harness: Harness<S>) {
    let owner = WorkerId::fresh();
    let mut expected = Vec::new();
    for (text, wanted) in [("a", CancelWish::Stop), ("b", CancelWish::Undo)] {
        let begin = Begin {
            owner,
            ..begin_of(text)
        };
        let fence = start(&*harness.here, &begin).await;
        let before = record(&*harness.here, fence.execution).await;
        let seen = wish(&*harness.there, fence, wanted).await;
        assert_eq!(seen, Some(before.seen()), "it goes on under the same claim");
        let after = record(&*harness.here, fence.execution).await;
        assert_eq!(after.cancel, Some(wanted));
        assert_eq!((after.state, after.wake_in), (State::Running, None));
        expected.push((fence.execution, fence.run, wanted));
    }
    let unharmed = Begin {
        owner,
        ..begin_of("nobody wants it cancelled")
    };
    start(&*harness.here, &unharmed).await;
    let stranger = started(&*harness.here, "somebody else's").await;
    wish(&*harness.here, stranger, CancelWish::Stop).await;
    let mut found = cancels(&*harness.here, owner).await;
    found.sort_by_key(|(id, ..)| *id);
    expected.sort_by_key(|(id, ..)| *id);
    assert_eq!(found, expected);
}

pub async fn a_second_wish_replaces_the_first<S: Store>(harness: Harness<S>) {
    let begin = begin_of("k");
    let fence = start(&*harness.here, &begin).await;
    for wanted in [CancelWish::Stop, CancelWish::Undo, CancelWish::Stop] {
        wish(&*harness.there, fence, wanted).await;
        let found = cancels(&*harness.here, begin.owner).await;
        assert_eq!(found, [(fence.execution, fence.run, wanted)]);
    }
}

pub async fn a_wish_makes_what_nobody_owns_due_at_once<S: Store>(harness: Harness<S>) {
    let thens = [
        Then::Release,
        wait(HOUR),
        wait_for_signals(Some(0)),
        park(ParkReason::Unreadable),
        park(ParkReason::InDoubt),
    ];
    for (number, then) in thens.into_iter().enumerate() {
        let fence = ended(&*harness.here, &format!("k{number}"), then.clone()).await;
        let seen = wish(&*harness.there, fence, CancelWish::Undo).await;
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(seen, Some(found.seen()), "{then:?}");
        assert_eq!(found.state, then.state(), "a wish changes no state");
        assert_eq!(found.cancel, Some(CancelWish::Undo));
        let due = due_ids(&*harness.here).await;
        assert!(due.contains(&fence.execution), "{then:?}");
        let strangers = Wanted {
            shapes: Shapes::Except(Vec::new()),
            limit: 100,
        };
        let strangers = harness.here.due(strangers).await.expect("answered");
        let shown = strangers.iter().any(|seen| seen.id == fence.execution);
        assert_eq!(shown, found.state != State::Parked, "{then:?}");
    }
}

pub async fn a_wish_for_a_run_that_is_finished_or_gone_is_none<S: Store>(harness: Harness<S>) {
    for (state, fence) in one_in_each_state(&*harness.here).await {
        let seen = wish(&*harness.there, fence, CancelWish::Stop).await;
        assert_eq!(seen.is_some(), !state.is_finished(), "{state:?}");
        let other_run = Fence {
            run: RunId::fresh(),
            ..fence
        };
        assert_eq!(wish(&*harness.there, other_run, CancelWish::Stop).await, None);
        if state.is_finished() {
            let found = record(&*harness.there, fence.execution).await;
            assert_eq!((found.state, found.cancel), (state, None));
        }
    }
    let nobody = Fence {
        execution: begin_of("nobody").id,
        ..started(&*harness.here, "somebody").await
    };
    assert_eq!(wish(&*harness.there, nobody, CancelWish::Stop).await, None);
}

pub async fn an_acquisition_keeps_the_wish<S: Store>(harness: Harness<S>) {
    let fence = ended(&*harness.here, "k", wait(HOUR)).await;
    wish(&*harness.here, fence, CancelWish::Undo).await;
    for how in [How::Resume { keep_tries: true }, How::TakeOver] {
        let seen = record(&*harness.there, fence.execution).await.seen();
        let acquire = acquire_of(seen, how);
        let (won, _) = win(&*harness.there, &acquire).await;
        assert_eq!(won.cancel, Some(CancelWish::Undo));
        let shown = cancels(&*harness.here, acquire.owner).await;
        assert_eq!(shown, [(fence.execution, fence.run, CancelWish::Undo)]);
    }
}

pub async fn a_wish_ends_with_its_run<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        wish(&*harness.there, fence, CancelWish::Stop).await;
        write(fence)
            .step(0, "first")
            .then(then.clone())
            .written(&*harness.here)
            .await;
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.cancel.is_none(), found.state.is_finished(), "{then:?}");
        let (won, _) = take(&*harness.there, fence.execution, restart()).await;
        assert_eq!(won.cancel, None, "another run: {then:?}");
    }
}

/// Parked, with what its owner knows of a wish to cancel it.
fn parked_in_spite_of(wish: Option<CancelWish>) -> Then {
    Then::Park {
        reason: ParkReason::InDoubt,
        failure: None,
        wish,
    }
}

/// A failure before which a wish to cancel the run comes.
fn yielding() -> Then {
    Then::Fail {
        failure: payload("no such card"),
        tries: Tries { seq: 1, count: 3 },
        retention: Some(HOUR),
        yields: true,
    }
}

pub async fn a_run_that_is_put_down_under_a_wish_is_due_at_once<S: Store>(harness: Harness<S>) {
    let thens = [
        wait(HOUR),
        wait_for_signals(Some(0)),
        Then::Release,
        parked_in_spite_of(None),
    ];
    for (number, then) in thens.into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        wish(&*harness.there, fence, CancelWish::Stop).await;
        write(fence).then(then.clone()).written(&*harness.here).await;
        let found = record(&*harness.there, fence.execution).await;
        let due = due_ids(&*harness.there).await;
        assert!(due.contains(&fence.execution), "{then:?}");
        assert_eq!(found.state, then.state());
        assert_eq!(found.cancel, Some(CancelWish::Stop));
    }
}

pub async fn what_is_put_down_under_the_wish_that_its_owner_knows_is_not_due_for_it<S: Store>(
    harness: Harness<S>,
) {
    let wishes = [None, Some(CancelWish::Stop), Some(CancelWish::Undo)];
    for (wanted, known) in wishes
        .into_iter()
        .flat_map(|one| wishes.map(|other| (one, other)))
    {
        let mut waits = wait(HOUR);
        if let Then::Wait { wish, .. } = &mut waits {
            *wish = known;
        }
        for then in [waits, parked_in_spite_of(known)] {
            let text = format!("wanted: {wanted:?}, its owner knows: {known:?}, {then:?}");
            let fence = started(&*harness.here, &text).await;
            if let Some(wanted) = wanted {
                wish(&*harness.there, fence, wanted).await;
            }
            write(fence).then(then).written(&*harness.here).await;
            let now = wanted.is_some() && wanted != known;
            let due = due_ids(&*harness.there).await;
            assert_eq!(due.contains(&fence.execution), now, "{text}");
            let found = record(&*harness.there, fence.execution).await;
            assert_eq!(found.cancel, wanted, "{text}");
        }
    }
}

pub async fn a_failure_that_yields_is_not_written_under_a_wish<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    wish(&*harness.there, fence, CancelWish::Undo).await;
    let before = record(&*harness.there, fence.execution).await;
    for fails in [
        write(fence).then(yielding()),
        write(fence).step(0, "first").then(yielding()),
    ] {
        for _send in 0..2 {
            assert_eq!(fails.send(&*harness.here).await, Verdict::Wished, "{fails:?}");
        }
    }
    let after = record(&*harness.there, fence.execution).await;
    assert_eq!(
        (after.state, after.claim, after.cancel),
        (State::Running, fence.claim, before.cancel)
    );
    let recorded = progress(&*harness.there, fence.execution, fence.run).await;
    assert_eq!(recorded.checkpoints, [], "nor is the step");
    // What the fence refuses, or was written before, has its own answer.
    let stranger = Fence {
        run: RunId::fresh(),
        ..fence
    };
    let refused = write(stranger).then(yielding());
    assert_eq!(refused.send(&*harness.here).await, Verdict::Fenced);
    let step = write(fence).step(0, "first");
    step.written(&*harness.here).await;
    let same_step = write(fence).step(0, "first").then(yielding());
    assert_eq!(
        same_step.send(&*harness.here).await,
        Verdict::Exists(step.write_id)
    );
    // Without a wish, or when it does not yield, it is written.
    let unwished = started(&*harness.here, "nobody wants it cancelled").await;
    for (fence, then) in [(fence, fail()), (unwished, yielding())] {
        let fails = write(fence).then(then);
        fails.written(&*harness.here).await;
        fails.written(&*harness.there).await;
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!((found.state, found.cancel), (State::Failed, None));
    }
}

pub async fn a_wish_and_an_end_at_once_are_never_slept_through<S: Store>(harness: Harness<S>) {
    for (round, then) in
        (0..20).flat_map(|round| [wait(HOUR), parked_in_spite_of(None), yielding()].map(|then| (round, then)))
    {
        let state = then.state();
        let fence = started(&*harness.here, &format!("{} {round}", state.as_str())).await;
        let ends = write(fence).then(then);
        let (verdict, wished) = tokio::join!(
            ends.send(&*harness.here),
            wish(&*harness.there, fence, CancelWish::Stop)
        );
        let found = record(&*harness.there, fence.execution).await;
        let due = due_ids(&*harness.there).await.contains(&fence.execution);
        match (verdict, wished) {
            (Verdict::Wished, Some(_)) => assert_eq!(found.state, State::Running, "round {round}"),
            (Verdict::Written, None) => assert_eq!(found.state, State::Failed, "round {round}"),
            (Verdict::Written, Some(_)) => assert!(due && !state.is_finished(), "{found:?}"),
            other => panic!("{other:?} of {state:?} in round {round}"),
        }
    }
}

pub async fn children_are_the_unfinished_executions_of_a_parent<S: Store>(harness: Harness<S>) {
    let parent = started(&*harness.here, "parent").await.execution;
    let mut expected = BTreeSet::new();
    for (number, then) in every_end().into_iter().enumerate() {
        let child = Begin {
            parent: Some(parent),
            ..begin_of(&format!("child {number}"))
        };
        let fence = start(&*harness.here, &child).await;
        assert_eq!(
            record(&*harness.there, fence.execution).await.parent,
            Some(parent)
        );
        write(fence)
            .step(0, "first")
            .then(then.clone())
            .written(&*harness.here)
            .await;
        if !then.state().is_finished() {
            expected.insert(fence.execution);
        }
    }
    let stranger = Begin {
        parent: Some(begin_of("another parent").id),
        ..begin_of("another child")
    };
    start(&*harness.here, &stranger).await;
    let found = harness.there.children(parent).await.expect("answered");
    for seen in &found {
        assert_eq!(*seen, record(&*harness.there, seen.id).await.seen());
    }
    let ids: BTreeSet<ExecutionId> = found.iter().map(|seen| seen.id).collect();
    assert_eq!((found.len(), ids), (expected.len(), expected));
}

pub async fn a_new_generation_has_the_parent_that_calls_it_now<S: Store>(harness: Harness<S>) {
    let (first, second) = (begin_of("first parent").id, begin_of("second parent").id);
    let child = Begin {
        parent: Some(first),
        ..begin_of("child")
    };
    let mut fence = start(&*harness.here, &child).await;
    for parent in [Some(second), None, Some(first)] {
        write(fence).then(fail()).written(&*harness.here).await;
        let How::Restart(fresh) = restart() else {
            unreachable!("that is what it makes")
        };
        let fresh = Fresh { parent, ..*fresh };
        let (won, granted) = take(&*harness.there, child.id, How::Restart(Box::new(fresh))).await;
        assert_eq!(won.parent, parent);
        for of in [first, second] {
            let found = harness.here.children(of).await.expect("answered");
            assert_eq!(found.len(), usize::from(parent == Some(of)));
        }
        fence = granted;
    }
}
