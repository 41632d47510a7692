//! Confirm: what became of a write whose answer was lost.

use keystep::execution::Fence;
use keystep::store::{Confirm, Confirmed, How, Store};

use crate::Harness;
use crate::fixture::Write;
use crate::fixture::{
    assert_unchanged, begin_of, every_end, progress, record, started, step_name, succeed, take, write,
};

fn question(sent: &Write) -> Confirm {
    let checkpoint = sent.checkpoint.as_ref().expect("the write records a step");
    Confirm {
        fence: sent.fence,
        step: checkpoint.step.clone(),
        write_id: sent.write_id,
    }
}

async fn ask<S: Store>(store: &S, question: Confirm) -> Confirmed {
    store.confirm(question).await.expect("answered")
}

pub async fn a_write_that_happened_is_confirmed<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let sent = write(fence).step(0, "first");
    sent.written(&*harness.here).await;
    for store in [&harness.here, &harness.there] {
        assert_eq!(ask(&**store, question(&sent)).await, Confirmed::Written);
    }
}

pub async fn a_write_that_ended_the_ownership_is_confirmed<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let sent = write(fence).step(0, "first").then(then.clone());
        sent.written(&*harness.here).await;
        let answer = ask(&*harness.there, question(&sent)).await;
        assert_eq!(answer, Confirmed::Written, "{then:?}");
    }
}

pub async fn a_write_that_happened_before_a_takeover_is_confirmed<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let sent = write(fence).step(0, "first");
    sent.written(&*harness.here).await;
    take(&*harness.there, fence.execution, How::TakeOver).await;
    let answer = ask(&*harness.here, question(&sent)).await;
    assert_eq!(answer, Confirmed::Written, "the run keeps its results");
}

pub async fn a_write_that_did_not_happen_is_absent<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let before = record(&*harness.here, fence.execution).await;
    let unsent = write(fence).step(0, "first");
    for store in [&harness.here, &harness.there] {
        assert_eq!(ask(&**store, question(&unsent)).await, Confirmed::Absent);
    }
    let after = record(&*harness.here, fence.execution).await;
    assert_unchanged(&before, &after, "asking changes nothing");
    // What is there under another write is somebody else's.
    write(fence).step(0, "by another").written(&*harness.here).await;
    assert_eq!(ask(&*harness.here, question(&unsent)).await, Confirmed::Absent);
    let steps = progress(&*harness.here, fence.execution, fence.run).await;
    assert_eq!(steps.checkpoints.len(), 1);
}

pub async fn a_write_of_another_step_is_not_confirmed<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let sent = write(fence).step(0, "first");
    sent.written(&*harness.here).await;
    let other = Confirm {
        step: step_name(1),
        ..question(&sent)
    };
    assert_eq!(ask(&*harness.here, other).await, Confirmed::Absent);
}

pub async fn a_write_of_a_lost_owner_that_did_not_happen_is_fenced<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let unsent = write(fence).step(0, "first");
    take(&*harness.there, fence.execution, How::TakeOver).await;
    for store in [&harness.here, &harness.there] {
        assert_eq!(ask(&**store, question(&unsent)).await, Confirmed::Fenced);
    }
}

pub async fn a_write_after_the_end_that_did_not_happen_is_fenced<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        write(fence)
            .step(0, "first")
            .then(then)
            .written(&*harness.here)
            .await;
        let unsent = write(fence).step(1, "second");
        let answer = ask(&*harness.there, question(&unsent)).await;
        assert_eq!(answer, Confirmed::Fenced);
    }
}

pub async fn a_write_of_an_execution_that_is_not_there_is_fenced<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let nowhere = Fence {
        execution: begin_of("never begun").id,
        ..fence
    };
    let unsent = write(nowhere).step(0, "first").then(succeed(0));
    let answer = ask(&*harness.here, question(&unsent)).await;
    assert_eq!(answer, Confirmed::Fenced);
}
