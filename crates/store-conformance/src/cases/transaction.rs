//! Transactions: a user's row and the checkpoint are both there, or neither is.
//!
//! These cases need to know how a step opens a transaction, so they are a list of their own:
//! [`transaction_suite!`](crate::transaction_suite).

use std::time::Duration;

use keystep::execution::State;
use keystep::store::{Commit, Confirm, Confirmed, Enlisted, How, Store, Verdict};

use super::outbox::outbox;
use crate::Harness;
use crate::fixture::{
    Write, all_at_once, payload, progress, record, started, step_name, succeed, take, write,
};

/// This write with a transaction enlisted.
fn with(sent: &Write, enlisted: Enlisted) -> Commit {
    Commit {
        enlisted: Some(enlisted),
        ..sent.commit()
    }
}

pub async fn a_written_checkpoint_commits_the_transaction<S: Store>(harness: Harness<S>) {
    let transactions = harness.transactions();
    for (text, then) in [
        ("goes on", keystep::store::Then::Continue),
        ("finishes", succeed(0)),
    ] {
        let fence = started(&*harness.here, text).await;
        let open = transactions.open(&harness.here, fence, text).await;
        assert_eq!(open.instance, harness.here.describe().instance);
        assert_eq!(transactions.count(&harness.there, text).await, 0);
        let sent = write(fence).step(0, "first").then(then.clone());
        let verdict = harness.here.commit(with(&sent, open)).await;
        assert_eq!(verdict.expect("a verdict"), Verdict::Written);
        assert_eq!(transactions.count(&harness.there, text).await, 1);
        let steps = progress(&*harness.there, fence.execution, fence.run).await;
        assert_eq!(steps.checkpoints[0].output, payload("first"));
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.state, then.state());
    }
}

pub async fn a_fenced_commit_rolls_the_transaction_back<S: Store>(harness: Harness<S>) {
    let transactions = harness.transactions();
    let old = started(&*harness.here, "k").await;
    // Taken over before the transaction opens: where one writer is all there is, an open
    // transaction would keep the takeover waiting.
    take(&*harness.there, old.execution, How::TakeOver).await;
    let open = transactions.open(&harness.here, old, "zombie").await;
    let sent = write(old).step(0, "first").then(succeed(0));
    let verdict = harness.here.commit(with(&sent, open)).await;
    assert_eq!(verdict.expect("a verdict"), Verdict::Fenced);
    assert_eq!(transactions.count(&harness.there, "zombie").await, 0);
    let steps = progress(&*harness.there, old.execution, old.run).await;
    assert_eq!(steps.checkpoints, []);
    let found = record(&*harness.there, old.execution).await;
    assert_eq!(found.state, State::Running);
}

pub async fn a_recorded_step_rolls_the_transaction_back<S: Store>(harness: Harness<S>) {
    let transactions = harness.transactions();
    let fence = started(&*harness.here, "k").await;
    let first = write(fence).step(0, "first");
    first.written(&*harness.here).await;
    let open = transactions.open(&harness.here, fence, "again").await;
    let sent = write(fence).step(0, "second").then(succeed(0));
    let verdict = harness.here.commit(with(&sent, open)).await;
    assert_eq!(verdict.expect("a verdict"), Verdict::Exists(first.write_id));
    assert_eq!(transactions.count(&harness.there, "again").await, 0);
    let found = record(&*harness.there, fence.execution).await;
    assert_eq!(found.state, State::Running, "nor does the state change");
    write(fence).step(1, "second").written(&*harness.here).await;
}

pub async fn a_dropped_transaction_leaves_nothing<S: Store>(harness: Harness<S>) {
    let transactions = harness.transactions();
    let fence = started(&*harness.here, "k").await;
    drop(transactions.open(&harness.here, fence, "dropped").await);
    // The next write goes through: nothing is still held by what was dropped.
    write(fence).step(0, "first").written(&*harness.here).await;
    assert_eq!(transactions.count(&harness.there, "dropped").await, 0);
}

pub async fn a_commit_with_a_transaction_is_confirmed<S: Store>(harness: Harness<S>) {
    let transactions = harness.transactions();
    let fence = started(&*harness.here, "k").await;
    let sent = write(fence).step(0, "first");
    let question = || Confirm {
        fence,
        step: step_name(0),
        write_id: sent.write_id,
    };
    let before = harness.there.confirm(question()).await;
    assert_eq!(before.expect("answered"), Confirmed::Absent);
    let open = transactions.open(&harness.here, fence, "k").await;
    let verdict = harness.here.commit(with(&sent, open)).await;
    assert_eq!(verdict.expect("a verdict"), Verdict::Written);
    for store in [&harness.here, &harness.there] {
        let after = store.confirm(question()).await;
        assert_eq!(after.expect("answered"), Confirmed::Written);
    }
}

pub async fn a_commit_that_is_dropped_happens_whole_or_not_at_all<S: Store>(harness: Harness<S>) {
    let transactions = harness.transactions();
    let mut seen = Vec::new();
    for round in 0..20_u64 {
        let mark = format!("round {round}");
        let fence = started(&*harness.here, &mark).await;
        let open = transactions.open(&harness.here, fence, &mark).await;
        let sent = write(fence).step(0, "first");
        let call = harness.here.commit(with(&sent, open));
        let limit = Duration::from_micros(150 * round);
        // Whatever the answer: what counts is what is there afterwards, and that both halves agree.
        let _answer_or_dropped = tokio::time::timeout(limit, call).await;
        // What is still on its way meets the row's lock, and then a claim that is gone.
        take(&*harness.there, fence.execution, How::TakeOver).await;
        let question = Confirm {
            fence,
            step: step_name(0),
            write_id: sent.write_id,
        };
        let expected = match harness.there.confirm(question).await.expect("answered") {
            Confirmed::Written => 1,
            Confirmed::Fenced => 0,
            Confirmed::Absent => panic!("the old owner owns it no more"),
        };
        seen.push((mark, fence, expected));
        // What was found stays so, also for the rounds before: nothing appears late.
        for (mark, fence, expected) in &seen {
            let rows = transactions.count(&harness.there, mark).await;
            let steps = progress(&*harness.there, fence.execution, fence.run).await;
            let found = (rows, steps.checkpoints.len());
            assert_eq!(found, (*expected, *expected as usize), "{mark}");
        }
    }
}

pub async fn messages_are_committed_with_the_transaction<S: Store>(harness: Harness<S>) {
    let transactions = harness.transactions();
    let old = started(&*harness.here, "k").await;
    let sent = write(old).step(0, "first").message("a").message("b");
    for again in [false, true] {
        let open = transactions.open(&harness.here, old, "k").await;
        let verdict = harness.here.commit(with(&sent, open)).await;
        assert_eq!(verdict.expect("a verdict"), Verdict::Written, "again: {again}");
        assert_eq!(transactions.count(&harness.there, "k").await, 1, "again: {again}");
        let found = outbox(&*harness.there).await;
        let ids: Vec<_> = found.iter().map(|message| message.id).collect();
        let expected: Vec<_> = sent.messages.iter().map(|message| message.id).collect();
        assert_eq!(ids, expected, "again: {again}");
    }
    let exists = write(old).step(0, "second").message("c");
    let open = transactions.open(&harness.here, old, "exists").await;
    let verdict = harness.here.commit(with(&exists, open)).await;
    assert_eq!(verdict.expect("a verdict"), Verdict::Exists(sent.write_id));
    take(&*harness.there, old.execution, How::TakeOver).await;
    let fenced = write(old).step(1, "second").message("d");
    let open = transactions.open(&harness.here, old, "fenced").await;
    let verdict = harness.here.commit(with(&fenced, open)).await;
    assert_eq!(verdict.expect("a verdict"), Verdict::Fenced);
    drop(transactions.open(&harness.here, old, "dropped").await);
    assert_eq!(outbox(&*harness.there).await.len(), 2, "no others");
}

pub async fn transactions_of_many_steps_at_once_all_commit<S: Store>(harness: Harness<S>) {
    let transactions = &std::sync::Arc::new(harness);
    let answers = all_at_once(8, |number| {
        let harness = std::sync::Arc::clone(transactions);
        async move {
            let fence = started(&*harness.here, &format!("k{number}")).await;
            let open = harness.transactions().open(&harness.here, fence, "many").await;
            let sent = write(fence).step(0, "first").then(succeed(0));
            harness.here.commit(with(&sent, open)).await.expect("a verdict")
        }
    })
    .await;
    assert_eq!(answers, vec![Verdict::Written; 8]);
    let count = transactions
        .transactions()
        .count(&transactions.there, "many")
        .await;
    assert_eq!(count, 8);
}
