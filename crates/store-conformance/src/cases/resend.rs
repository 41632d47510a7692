//! Resend: the same write after a lost answer is recognised, and changes nothing.

use std::sync::Arc;

use keystep::store::{How, Store, Then, Verdict};

use crate::Harness;
use crate::fixture::{
    HOUR, all_at_once, assert_unchanged, every_end, payload, progress, record, started, succeed, take, wait,
    write,
};

pub async fn a_write_sent_again_is_written_and_changes_nothing<S: Store>(harness: Harness<S>) {
    let mut thens = every_end();
    thens.push(Then::Continue);
    for (number, then) in thens.into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let sent = write(fence).step(0, "first").then(then.clone());
        sent.written(&*harness.here).await;
        let before = record(&*harness.here, fence.execution).await;
        let steps = progress(&*harness.here, fence.execution, fence.run).await;
        for store in [&harness.here, &harness.there, &harness.here] {
            let verdict = sent.send(&**store).await;
            assert_eq!(verdict, Verdict::Written, "the first send was: {then:?}");
        }
        let after = record(&*harness.there, fence.execution).await;
        assert_unchanged(&before, &after, "sent again");
        let now = progress(&*harness.there, fence.execution, fence.run).await;
        assert_eq!(
            steps.checkpoints, now.checkpoints,
            "recorded once, under the first time"
        );
    }
}

pub async fn a_write_without_a_checkpoint_sent_again_is_written<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        write(fence).step(0, "first").written(&*harness.here).await;
        let sent = write(fence).then(then.clone());
        sent.written(&*harness.here).await;
        let before = record(&*harness.here, fence.execution).await;
        for store in [&harness.here, &harness.there] {
            assert_eq!(sent.send(&**store).await, Verdict::Written, "{then:?}");
        }
        let after = record(&*harness.there, fence.execution).await;
        assert_unchanged(&before, &after, "sent again");
    }
}

pub async fn an_earlier_write_sent_again_is_written_while_the_owner_goes_on<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let early = write(fence).step(0, "first");
    early.written(&*harness.here).await;
    write(fence).step(1, "second").written(&*harness.here).await;
    assert_eq!(early.send(&*harness.there).await, Verdict::Written);
    let steps = progress(&*harness.here, fence.execution, fence.run).await;
    assert_eq!(steps.checkpoints.len(), 2);
    assert_eq!(steps.checkpoints[0].output, payload("first"));
}

pub async fn an_earlier_write_sent_again_after_the_end_is_written<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let early = write(fence).step(0, "first");
        early.written(&*harness.here).await;
        write(fence).then(then.clone()).written(&*harness.here).await;
        let before = record(&*harness.here, fence.execution).await;
        for store in [&harness.here, &harness.there] {
            assert_eq!(early.send(&**store).await, Verdict::Written, "{then:?}");
        }
        let after = record(&*harness.there, fence.execution).await;
        assert_unchanged(&before, &after, "a late copy of an early write");
    }
}

pub async fn a_write_sent_again_at_the_same_moment_is_recorded_once<S: Store>(harness: Harness<S>) {
    for (round, then) in [Then::Continue, succeed(0), wait(HOUR), Then::Release]
        .into_iter()
        .enumerate()
    {
        let fence = started(&*harness.here, &format!("k{round}")).await;
        let sent = write(fence).step(0, "first").then(then);
        let answers = all_at_once(16, |number| {
            let store = Arc::clone([&harness.here, &harness.there][number % 2]);
            let sent = sent.clone();
            async move { sent.send(&*store).await }
        })
        .await;
        assert_eq!(answers, vec![Verdict::Written; 16], "it is one write");
        let steps = progress(&*harness.there, fence.execution, fence.run).await;
        assert_eq!(steps.checkpoints.len(), 1);
    }
}

pub async fn a_write_sent_again_after_the_next_acquisition_changes_nothing<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let sent = write(fence).step(0, "first").then(then.clone());
        sent.written(&*harness.here).await;
        let (won, _) = take(&*harness.there, fence.execution, How::Resume { keep_tries: true }).await;
        // Both answers are true: the write happened, and its owner owns nothing any more.
        let verdict = sent.send(&*harness.here).await;
        assert!(
            matches!(verdict, Verdict::Written | Verdict::Fenced),
            "{then:?}: {verdict:?}"
        );
        let now = record(&*harness.here, fence.execution).await;
        assert_unchanged(&won, &now, "the next owner keeps it");
        let steps = progress(&*harness.there, fence.execution, fence.run).await;
        assert_eq!(steps.checkpoints.len(), 1);
    }
}

pub async fn another_write_after_the_end_is_no_resend<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let sent = write(fence).step(0, "first").then(then.clone());
        sent.written(&*harness.here).await;
        let other = write(fence).step(0, "first").then(then.clone());
        assert_eq!(
            other.send(&*harness.here).await,
            Verdict::Fenced,
            "only the write id makes it the same write: {then:?}"
        );
    }
}
