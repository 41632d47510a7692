//! Signals: sent to a run, kept in their order, and never slept through.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keystep::execution::{Fence, Payload, RunId, State, WaitReason, WriteId};
use keystep::store::{Inbox, NewSignal, Signalled, Store, Then, Tries};

use super::due::due_ids;
use crate::Harness;
use crate::fixture::{
    DAY, HOUR, all_at_once, assert_near, begin_of, ended, one_in_each_state, payload, record, restart,
    started, succeed, take, wait, write,
};

/// A signal to the run of this fence, which may come more than once.
pub(super) fn signal_of(fence: Fence, name: &str, value: &str) -> NewSignal {
    NewSignal {
        id: fence.execution,
        run: fence.run,
        name: name.into(),
        payload: payload(value),
        once: false,
        write_id: WriteId::fresh(),
    }
}

/// The same, for a name of which one is enough.
fn once(fence: Fence, name: &str, value: &str) -> NewSignal {
    NewSignal {
        once: true,
        ..signal_of(fence, name, value)
    }
}

pub(super) async fn send<S: Store>(store: &S, signal: NewSignal) -> Signalled {
    store.signal(signal).await.expect("answered")
}

async fn inbox<S: Store>(store: &S, fence: Fence) -> Inbox {
    store.inbox(fence.execution, fence.run).await.expect("answered")
}

/// Waits for signals without a wake-up, having seen so many.
pub(super) fn wait_for_signals(known: Option<i32>) -> Then {
    Then::Wait {
        delay: None,
        reason: WaitReason::Signal,
        failure: None,
        tries: Tries::default(),
        signals: known,
        wish: None,
    }
}

pub async fn signals_are_read_in_the_order_in_which_they_came<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let other = started(&*harness.here, "another").await;
    assert_eq!(inbox(&*harness.there, fence).await, Inbox::default());
    let mut expected = Vec::new();
    for number in 0..20 {
        let store = [&harness.here, &harness.there][number % 2];
        let name = ["paid", "☂ zurück", ""][number % 3];
        let mut sent = signal_of(fence, name, "");
        sent.payload = Payload(Bytes::from(vec![u8::try_from(number).expect("small"); number]));
        expected.push((sent.name.clone(), sent.payload.clone()));
        assert_eq!(send(&**store, sent).await, Signalled::Sent);
        let stray = signal_of(other, name, "of another");
        assert_eq!(send(&**store, stray).await, Signalled::Sent);
    }
    for store in [&harness.here, &harness.there] {
        let found = inbox(&**store, fence).await;
        assert_eq!(found.count, 20);
        assert_eq!(found.signals, expected);
    }
}

pub async fn a_signal_sent_again_is_sent_and_changes_nothing<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let many = signal_of(fence, "line", "1");
    let one = once(fence, "paid", "2");
    for sent in [&many, &one] {
        for store in [&harness.here, &harness.there, &harness.here] {
            assert_eq!(send(&**store, sent.clone()).await, Signalled::Sent);
        }
    }
    assert_eq!(inbox(&*harness.there, fence).await.count, 2);
    // It woke the run once; a late copy must not wake it again.
    write(fence)
        .then(wait_for_signals(Some(2)))
        .written(&*harness.here)
        .await;
    assert_eq!(send(&*harness.there, one.clone()).await, Signalled::Sent);
    assert_eq!(due_ids(&*harness.there).await, [], "nothing is new");
    let answers = all_at_once(12, |number| {
        let store = Arc::clone([&harness.here, &harness.there][number % 2]);
        let sent = many.clone();
        async move { send(&*store, sent).await }
    })
    .await;
    assert_eq!(answers, vec![Signalled::Sent; 12]);
    assert_eq!(inbox(&*harness.here, fence).await.count, 2);
}

pub async fn a_signal_at_the_same_moment_as_its_copy_is_kept_once<S: Store>(harness: Harness<S>) {
    for round in 0..5 {
        let fence = started(&*harness.here, &format!("k{round}")).await;
        let sent = signal_of(fence, "line", "1");
        let answers = all_at_once(12, |number| {
            let store = Arc::clone([&harness.here, &harness.there][number % 2]);
            let sent = sent.clone();
            async move { send(&*store, sent).await }
        })
        .await;
        assert_eq!(answers, vec![Signalled::Sent; 12], "it is one signal");
        assert_eq!(inbox(&*harness.there, fence).await.count, 1);
    }
}

pub async fn a_second_signal_is_refused_where_one_is_enough<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let first = once(fence, "paid", "first");
    assert_eq!(send(&*harness.here, first.clone()).await, Signalled::Sent);
    for store in [&harness.here, &harness.there] {
        let second = once(fence, "paid", "second");
        assert_eq!(send(&**store, second).await, Signalled::Refused);
        assert_eq!(send(&**store, first.clone()).await, Signalled::Sent, "a copy");
    }
    let other = once(fence, "Paid", "another name");
    assert_eq!(send(&*harness.there, other).await, Signalled::Sent);
    let queued = signal_of(fence, "paid", "who may come again");
    assert_eq!(send(&*harness.there, queued).await, Signalled::Sent);
    let texts: Vec<Payload> = inbox(&*harness.here, fence)
        .await
        .signals
        .into_iter()
        .map(|(_, payload)| payload)
        .collect();
    assert_eq!(
        texts,
        ["first", "another name", "who may come again"].map(payload)
    );
}

pub async fn of_many_signals_at_once_one_is_sent_where_one_is_enough<S: Store>(harness: Harness<S>) {
    for round in 0..5 {
        let fence = started(&*harness.here, &format!("k{round}")).await;
        let answers = all_at_once(12, |number| {
            let store = Arc::clone([&harness.here, &harness.there][number % 2]);
            let sent = once(fence, "paid", &format!("of {number}"));
            async move { send(&*store, sent).await }
        })
        .await;
        let sent = answers.iter().filter(|answer| **answer == Signalled::Sent);
        assert_eq!(sent.count(), 1, "{answers:?}");
        assert_eq!(inbox(&*harness.there, fence).await.count, 1);
    }
}

pub async fn signals_of_many_at_once_are_all_kept<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let answers = all_at_once(48, |number| {
        let store = Arc::clone([&harness.here, &harness.there][number % 2]);
        let sent = signal_of(fence, "line", &format!("{number:02}"));
        async move { send(&*store, sent).await }
    })
    .await;
    assert_eq!(answers, vec![Signalled::Sent; 48]);
    let found = inbox(&*harness.there, fence).await;
    assert_eq!(found.count, 48);
    let mut texts: Vec<Payload> = found.signals.into_iter().map(|(_, payload)| payload).collect();
    texts.sort_by_key(|payload| payload.0.clone());
    let expected: Vec<Payload> = (0..48).map(|number| payload(&format!("{number:02}"))).collect();
    assert_eq!(texts, expected);
}

pub async fn a_run_that_is_finished_or_gone_takes_no_signal<S: Store>(harness: Harness<S>) {
    for (state, fence) in one_in_each_state(&*harness.here).await {
        let expected = match state.is_finished() {
            true => Signalled::Gone,
            false => Signalled::Sent,
        };
        let sent = signal_of(fence, "paid", "1");
        assert_eq!(send(&*harness.there, sent).await, expected, "{state:?}");
        let other_run = Fence {
            run: RunId::fresh(),
            ..fence
        };
        let stray = signal_of(other_run, "paid", "1");
        assert_eq!(send(&*harness.there, stray).await, Signalled::Gone);
    }
    let nobody = Fence {
        execution: begin_of("nobody").id,
        ..started(&*harness.here, "somebody").await
    };
    let stray = signal_of(nobody, "paid", "1");
    assert_eq!(send(&*harness.there, stray).await, Signalled::Gone);
}

pub async fn a_signal_wakes_what_waits_for_one<S: Store>(harness: Harness<S>) {
    let waits = ended(&*harness.here, "waits", wait_for_signals(Some(0))).await;
    let retries = ended(&*harness.here, "retries", wait(HOUR)).await;
    let timed = Then::Wait {
        delay: Some(HOUR),
        reason: WaitReason::Signal,
        failure: None,
        tries: Tries::default(),
        signals: Some(0),
        wish: None,
    };
    let timed = ended(&*harness.here, "with a deadline", timed).await;
    assert_eq!(due_ids(&*harness.there).await, []);
    for fence in [waits, retries, timed] {
        let sent = signal_of(fence, "paid", "1");
        assert_eq!(send(&*harness.there, sent).await, Signalled::Sent);
    }
    for fence in [waits, timed] {
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.state, State::Waiting);
        assert_eq!(found.wake_in, Some(Duration::ZERO));
    }
    let due = due_ids(&*harness.there).await;
    assert!(due.contains(&waits.execution) && due.contains(&timed.execution));
    let found = record(&*harness.there, retries.execution).await;
    assert_near(found.wake_in, Some(HOUR), "it waits for something else");
}

pub async fn a_signal_before_the_wait_makes_it_due_at_once<S: Store>(harness: Harness<S>) {
    for (known, news) in [(Some(0), true), (Some(1), true), (Some(2), false), (None, false)] {
        let fence = started(&*harness.here, &format!("knows of {known:?}")).await;
        for value in ["1", "2"] {
            let sent = signal_of(fence, "paid", value);
            assert_eq!(send(&*harness.there, sent).await, Signalled::Sent);
        }
        write(fence)
            .step(0, "first")
            .then(wait_for_signals(known))
            .written(&*harness.here)
            .await;
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.wake_in, news.then_some(Duration::ZERO), "{known:?}");
    }
    let due = due_ids(&*harness.there).await;
    assert_eq!(due.len(), 2);
}

pub async fn a_signal_and_a_wait_at_once_are_never_slept_through<S: Store>(harness: Harness<S>) {
    for round in 0..20 {
        let fence = started(&*harness.here, &format!("k{round}")).await;
        all_at_once(2, |number| {
            let store = Arc::clone([&harness.here, &harness.there][number]);
            async move {
                match number {
                    0 => {
                        let wait = write(fence).then(wait_for_signals(Some(0)));
                        wait.written(&*store).await;
                    }
                    _ => {
                        let sent = send(&*store, signal_of(fence, "paid", "1")).await;
                        assert_eq!(sent, Signalled::Sent);
                    }
                }
            }
        })
        .await;
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.wake_in, Some(Duration::ZERO), "round {round}");
    }
}

pub async fn signals_last_as_long_as_their_run<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let sent = signal_of(fence, "paid", "1");
    assert_eq!(send(&*harness.here, sent.clone()).await, Signalled::Sent);
    write(fence)
        .step(0, "first")
        .then(succeed(0))
        .written(&*harness.here)
        .await;
    assert_eq!(inbox(&*harness.there, fence).await.count, 1, "finished");
    assert_eq!(
        send(&*harness.there, sent.clone()).await,
        Signalled::Sent,
        "a copy"
    );
    let (_, again) = take(&*harness.there, fence.execution, restart()).await;
    assert_eq!(inbox(&*harness.here, again).await, Inbox::default(), "a new run");
    assert_eq!(
        inbox(&*harness.here, fence).await,
        Inbox::default(),
        "the old one"
    );
    assert_eq!(send(&*harness.here, sent).await, Signalled::Gone);
    let last = signal_of(again, "paid", "2");
    assert_eq!(send(&*harness.here, last).await, Signalled::Sent);
    write(again)
        .step(0, "first")
        .then(succeed(0))
        .written(&*harness.here)
        .await;
    harness.clock.advance(2 * DAY);
    assert_eq!(harness.here.purge(10, None).await.expect("purged"), 1);
    assert_eq!(inbox(&*harness.there, again).await, Inbox::default(), "purged");
}
