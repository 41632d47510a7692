//! What if a signal or a wish to cancel meets the owner that puts its execution down? The execution is due
//! at once, in whatever order they come.

use keystep::execution::{CancelWish, Fence, State, WaitReason};
use keystep::store::{Commit, Signalled, Store, Then, Tries, Verdict};

use super::acts::{Told, row, signal_to};
use super::stage::{Stage, orders, orders_of_equals};
use crate::common::*;

/// Puts an execution down whose owner knows of no signal, without a wake-up.
fn put_down(fence: Fence, reason: WaitReason, signals: Option<i32>) -> Commit {
    let then = Then::Wait {
        delay: None,
        reason,
        failure: None,
        tries: Tries::default(),
        signals,
        wish: None,
    };
    Commit {
        checkpoint: None,
        ..record(fence, "none", 0, then)
    }
}

const WRITTEN: Told = Told::Verdict(Verdict::Written);
const SENT: Told = Told::Signalled(Signalled::Sent);

#[tokio::test]
async fn in_every_order_a_signal_that_meets_the_put_down_makes_the_run_due() {
    let mut stage = Stage::new().await;
    let (owner, sender) = (stage.player("owner").await, stage.player("sender").await);
    for order in orders(&[3, 3]) {
        let fence = started(&owner.store, &format!("{order:?}")).await;
        let wait = put_down(fence, WaitReason::Signal, Some(0));
        let cast = vec![
            (&owner, owner.commits(wait)),
            (&sender, sender.signals(signal_to(&fence, false))),
        ];
        assert_eq!(stage.play(&order, cast).await, [WRITTEN, SENT], "in {order:?}");
        let now = row(&owner.store, &fence).await;
        assert_eq!(now.state, State::Waiting);
        assert!(
            now.wake_in.is_some_and(|left| left.is_zero()),
            "it sleeps on after {order:?}"
        );
        let inbox = owner.store.inbox(fence.execution, fence.run).await;
        assert_eq!(inbox.expect("an answer").count, 1, "in {order:?}");
    }
}

#[tokio::test]
async fn in_every_order_a_wish_to_cancel_that_meets_the_put_down_makes_the_run_due() {
    let mut stage = Stage::new().await;
    let (owner, caller) = (stage.player("owner").await, stage.player("caller").await);
    for order in orders(&[3, 3]) {
        let fence = started(&owner.store, &format!("{order:?}")).await;
        let wait = put_down(fence, WaitReason::Timer, None);
        let cast = vec![(&owner, owner.commits(wait)), (&caller, caller.cancels(fence))];
        let told = stage.play(&order, cast).await;
        assert_eq!(told[0], WRITTEN, "in {order:?}");
        assert!(matches!(told[1], Told::Wished(Some(_))), "{told:?} in {order:?}");
        let now = row(&owner.store, &fence).await;
        assert_eq!((now.state, now.cancel), (State::Waiting, Some(CancelWish::Undo)));
        assert!(
            now.wake_in.is_some_and(|left| left.is_zero()),
            "it sleeps on after {order:?}"
        );
    }
}

#[tokio::test]
async fn in_every_order_a_wish_to_cancel_that_meets_the_finish_leaves_no_wish() {
    let mut stage = Stage::new().await;
    let (owner, caller) = (stage.player("owner").await, stage.player("caller").await);
    for order in orders(&[4, 3]) {
        let fence = started(&owner.store, &format!("{order:?}")).await;
        let finish = record(fence, "one", 0, succeed("one"));
        let cast = vec![(&owner, owner.commits(finish)), (&caller, caller.cancels(fence))];
        let told = stage.play(&order, cast).await;
        assert_eq!(told[0], WRITTEN, "in {order:?}");
        // Noted while it ran, or too late.
        assert!(
            matches!(told[1], Told::Wished(None | Some(State::Running))),
            "{told:?} in {order:?}"
        );
        let now = row(&owner.store, &fence).await;
        assert_eq!(
            (now.state, now.cancel, now.wake_in),
            (State::Succeeded, None, None),
            "in {order:?}"
        );
    }
}

#[tokio::test]
async fn in_every_order_a_signal_that_meets_the_finish_is_kept_or_comes_too_late() {
    let mut stage = Stage::new().await;
    let (owner, sender) = (stage.player("owner").await, stage.player("sender").await);
    for order in orders(&[4, 3]) {
        let fence = started(&owner.store, &format!("{order:?}")).await;
        let finish = record(fence, "one", 0, succeed("one"));
        let cast = vec![
            (&owner, owner.commits(finish)),
            (&sender, sender.signals(signal_to(&fence, false))),
        ];
        let told = stage.play(&order, cast).await;
        assert_eq!(told[0], WRITTEN, "in {order:?}");
        let inbox = owner.store.inbox(fence.execution, fence.run).await;
        let kept = inbox.expect("an answer").count;
        match told[1] {
            SENT => assert_eq!(kept, 1, "in {order:?}"),
            Told::Signalled(Signalled::Gone) => assert_eq!(kept, 0, "in {order:?}"),
            ref other => panic!("{other:?} in {order:?}"),
        }
        let now = row(&owner.store, &fence).await;
        assert_eq!((now.state, now.wake_in), (State::Succeeded, None), "in {order:?}");
    }
}

#[tokio::test]
async fn in_every_order_two_signals_are_both_kept_and_one_that_may_be_sent_once_is_kept_once() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    for once in [false, true] {
        for order in orders_of_equals(2, 3) {
            let fence = started(&one.store, &format!("{once} {order:?}")).await;
            let cast = vec![
                (&one, one.signals(signal_to(&fence, once))),
                (&two, two.signals(signal_to(&fence, once))),
            ];
            let told = stage.play(&order, cast).await;
            let sent = told.iter().filter(|told| **told == SENT).count();
            assert_eq!(sent, if once { 1 } else { 2 }, "{told:?} in {order:?}");
            let inbox = one.store.inbox(fence.execution, fence.run).await;
            assert_eq!(
                inbox.expect("an answer").signals.len(),
                sent,
                "once {once}, in {order:?}"
            );
        }
    }
}

#[tokio::test]
async fn in_every_order_a_signal_that_is_sent_twice_is_kept_once() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.player("one").await, stage.player("two").await);
    for order in orders_of_equals(2, 3) {
        let fence = started(&one.store, &format!("{order:?}")).await;
        let signal = signal_to(&fence, true);
        let cast = vec![(&one, one.signals(signal.clone())), (&two, two.signals(signal))];
        assert_eq!(stage.play(&order, cast).await, [SENT, SENT], "in {order:?}");
        let inbox = one.store.inbox(fence.execution, fence.run).await;
        assert_eq!(inbox.expect("an answer").count, 1, "in {order:?}");
    }
}
