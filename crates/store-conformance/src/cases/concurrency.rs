//! Load: many callers at once, through two handles, and everybody gets the right answer.

use std::sync::Arc;

use keystep::store::{Begun, How, Store, Verdict};

use crate::Harness;
use crate::fixture::{
    all_at_once, begin_of, payload, progress, record, started, step_name, succeed, take, write,
};

pub async fn many_executions_at_once_all_finish<S: Store>(harness: Harness<S>) {
    started(&*harness.here, "another key, so that the plan is there").await;
    let outputs = all_at_once(64, |number| {
        let store = Arc::clone([&harness.here, &harness.there][number % 2]);
        async move {
            let wanted = begin_of(&format!("k{number}"));
            let begun = store.begin(wanted.clone()).await.expect("answered");
            let Begun::Started(fence) = begun else {
                panic!("the key is new")
            };
            for seq in 0..4 {
                write(fence)
                    .step(seq, &format!("{number}/{seq}"))
                    .written(&*store)
                    .await;
            }
            let last = write(fence).step(4, &format!("{number}/4")).then(succeed(4));
            last.written(&*store).await;
            (number, fence)
        }
    })
    .await;
    for (number, fence) in outputs {
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.output, Some(payload(&format!("{number}/4"))));
        let steps = progress(&*harness.here, fence.execution, fence.run).await;
        for (seq, step) in (0..5).zip(&steps.checkpoints) {
            assert_eq!(*step.step, *step_name(seq));
            assert_eq!(step.output, payload(&format!("{number}/{seq}")));
        }
        assert_eq!(steps.checkpoints.len(), 5);
    }
}

pub async fn commits_of_many_owners_get_each_their_own_verdict<S: Store>(harness: Harness<S>) {
    // One of three is the owner, one was taken over, one sends a step that is there already.
    let mut fences = Vec::new();
    for number in 0..48 {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let mut other = None;
        if number % 3 == 1 {
            take(&*harness.there, fence.execution, How::TakeOver).await;
        }
        if number % 3 == 2 {
            let first = write(fence).step(0, "first");
            first.written(&*harness.here).await;
            other = Some(first.write_id);
        }
        fences.push((fence, other));
    }
    let answers = all_at_once(48, |number| {
        let store = Arc::clone(&harness.here);
        let sent = write(fences[number].0).step(0, "now").then(succeed(0));
        async move { (number, sent.send(&*store).await) }
    })
    .await;
    for (number, verdict) in answers {
        let expected = match (number % 3, fences[number].1) {
            (0, _) => Verdict::Written,
            (1, _) => Verdict::Fenced,
            (_, other) => Verdict::Exists(other.expect("recorded before")),
        };
        assert_eq!(verdict, expected, "of {number}");
    }
}

pub async fn a_dropped_call_leaves_the_store_usable<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    for seq in 0..200 {
        let sent = write(fence).step(seq, "x");
        {
            // Polled a few times and dropped in the middle, at another place each time.
            let call = harness.here.commit(sent.commit());
            let mut call = std::pin::pin!(call);
            for _poll in 0..seq % 5 {
                if futures::poll!(call.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // It may have happened or not; sent again it has.
        sent.written(&*harness.here).await;
    }
    let steps = progress(&*harness.there, fence.execution, fence.run).await;
    assert_eq!(steps.checkpoints.len(), 200);
}

pub async fn answers_do_not_depend_on_who_asks_them_together<S: Store>(harness: Harness<S>) {
    // Begins, commits, reads and beats of different executions, all in flight at one moment.
    let mut fences = Vec::new();
    for number in 0..16 {
        fences.push(started(&*harness.here, &format!("old {number}")).await);
    }
    let answers = all_at_once(64, |number| {
        let store = Arc::clone([&harness.here, &harness.there][number / 32]);
        let fence = fences[number % 16];
        async move {
            match number % 4 {
                0 => matches!(
                    store.begin(begin_of(&format!("new {number}"))).await,
                    Ok(Begun::Started(_))
                ),
                1 => {
                    let seq = i32::try_from(number).expect("small");
                    write(fence).step(seq, "x").send(&*store).await == Verdict::Written
                }
                2 => record(&*store, fence.execution).await.run == fence.run,
                _ => {
                    let found = progress(&*store, fence.execution, fence.run).await;
                    !found.input.is_empty()
                }
            }
        }
    })
    .await;
    assert_eq!(answers, vec![true; 64]);
}
