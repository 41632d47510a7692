//! The outbox: messages that are there exactly with their write, in order, until they are delivered.

use std::collections::HashSet;
use std::sync::Arc;

use keystep::execution::{ExecutionId, Fence, WorkerId};
use keystep::store::{How, Message, Register, Store, Then, Verdict};
use uuid::Uuid;

use crate::Harness;
use crate::fixture::{DAY, Write, all_at_once, ended, fail, numbered_shape, started, succeed, take, write};

pub(super) async fn outbox<S: Store>(store: &S) -> Vec<Message> {
    but(store, Vec::new(), 1000).await
}

async fn but<S: Store>(store: &S, but: Vec<ExecutionId>, limit: u32) -> Vec<Message> {
    store.outbox(but, limit).await.expect("answered")
}

/// What a write puts into the outbox.
fn messages_of(sent: &Write) -> Vec<Message> {
    let messages = sent.messages.iter().map(|message| Message {
        id: message.id,
        execution: sent.fence.execution,
        run: sent.fence.run,
        topic: message.topic.clone(),
        payload: message.payload.clone(),
    });
    messages.collect()
}

pub async fn messages_come_in_the_order_in_which_they_were_written<S: Store>(harness: Harness<S>) {
    let fences = [
        started(&*harness.here, "a").await,
        started(&*harness.here, "b").await,
    ];
    assert_eq!(outbox(&*harness.there).await, []);
    let mut expected = Vec::new();
    for seq in 0..6 {
        let fence = fences[seq % 2];
        let mut sent = write(fence).step(i32::try_from(seq).expect("small"), "x");
        for number in 0..=seq {
            sent = sent.message(&format!("{seq}/{number}"));
        }
        let store = [&harness.here, &harness.there][seq / 2 % 2];
        sent.written(&**store).await;
        expected.extend(messages_of(&sent));
    }
    for store in [&harness.here, &harness.there] {
        assert_eq!(outbox(&**store).await, expected);
    }
}

pub async fn a_message_is_there_exactly_with_its_write<S: Store>(harness: Harness<S>) {
    let old = started(&*harness.here, "k").await;
    let first = write(old).step(0, "first").message("first");
    first.written(&*harness.here).await;
    let (_, fence) = take(&*harness.there, old.execution, How::TakeOver).await;
    let fenced = write(old).step(1, "late").then(succeed(1)).message("fenced");
    assert_eq!(fenced.send(&*harness.here).await, Verdict::Fenced);
    let exists = write(fence).step(0, "again").then(succeed(0)).message("exists");
    assert_eq!(exists.send(&*harness.here).await, Verdict::Exists(first.write_id));
    let sent = outbox(&*harness.there).await;
    assert_eq!(sent, messages_of(&first), "nothing of what was refused");
    let last = write(fence).step(1, "last").then(succeed(1)).message("last");
    last.written(&*harness.here).await;
    let late = write(fence).step(2, "late").message("after the end");
    assert_eq!(late.send(&*harness.here).await, Verdict::Fenced);
    let expected = [messages_of(&first), messages_of(&last)].concat();
    assert_eq!(outbox(&*harness.there).await, expected);
}

pub async fn messages_come_with_every_end<S: Store>(harness: Harness<S>) {
    let mut expected = Vec::new();
    for (number, then) in crate::fixture::every_end().into_iter().enumerate() {
        for with_a_step in [true, false] {
            let fence = started(&*harness.here, &format!("k{number} {with_a_step}")).await;
            let mut sent = write(fence).message("one").message("two");
            match with_a_step {
                true => sent = sent.step(0, "first"),
                false => write(fence).step(0, "first").written(&*harness.here).await,
            }
            let sent = sent.then(then.clone());
            sent.written(&*harness.here).await;
            expected.extend(messages_of(&sent));
        }
    }
    assert_eq!(outbox(&*harness.there).await, expected);
}

pub async fn a_write_sent_again_adds_no_messages<S: Store>(harness: Harness<S>) {
    let mut expected = Vec::new();
    for (number, then) in [Then::Continue, succeed(0), fail()].into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let sent = write(fence).step(0, "first").then(then).message("once");
        for store in [&harness.here, &harness.there, &harness.here] {
            assert_eq!(sent.send(&**store).await, Verdict::Written);
        }
        expected.extend(messages_of(&sent));
    }
    assert_eq!(outbox(&*harness.there).await, expected);
    // Nor does a copy when the message has left the outbox meanwhile.
    let fence = started(&*harness.here, "delivered").await;
    let sent = write(fence).step(0, "first").message("once");
    sent.written(&*harness.here).await;
    delivered(&*harness.there, &messages_of(&sent)).await;
    assert_eq!(sent.send(&*harness.here).await, Verdict::Written);
    assert_eq!(outbox(&*harness.there).await, expected);
}

pub async fn a_write_with_messages_sent_at_the_same_moment_is_one<S: Store>(harness: Harness<S>) {
    for round in 0..5 {
        let fence = started(&*harness.here, &format!("k{round}")).await;
        let same = write(fence).step(0, "first").message("same");
        let answers = all_at_once(16, |number| {
            let store = Arc::clone([&harness.here, &harness.there][number % 2]);
            // Half of them are copies of one write, the others try the same step.
            let sent = match number % 4 < 2 {
                true => same.clone(),
                false => write(fence).step(0, "first").message("another"),
            };
            async move { (sent.send(&*store).await, sent) }
        })
        .await;
        let winner = answers
            .iter()
            .find(|(verdict, _)| *verdict == Verdict::Written)
            .map(|(_, sent)| sent.clone())
            .expect("one of them is written");
        for (verdict, sent) in &answers {
            let expected = match sent.write_id == winner.write_id {
                true => Verdict::Written,
                false => Verdict::Exists(winner.write_id),
            };
            assert_eq!(*verdict, expected);
        }
        let expected = messages_of(&winner);
        assert_eq!(outbox(&*harness.there).await, expected);
        delivered(&*harness.here, &expected).await;
    }
}

pub async fn messages_of_many_at_once_keep_the_order_of_their_execution<S: Store>(harness: Harness<S>) {
    let answers = all_at_once(12, |number| {
        let store = Arc::clone([&harness.here, &harness.there][number % 2]);
        async move {
            let fence = started(&*store, &format!("k{number}")).await;
            let mut sent = Vec::new();
            for seq in 0..4 {
                let one = write(fence).step(seq, "x").message("1").message("2");
                one.written(&*store).await;
                sent.extend(messages_of(&one));
            }
            (fence, sent)
        }
    })
    .await;
    let found = outbox(&*harness.there).await;
    assert_eq!(found.len(), 12 * 8);
    for (fence, sent) in answers {
        let own: Vec<_> = found
            .iter()
            .filter(|message| message.execution == fence.execution)
            .cloned()
            .collect();
        assert_eq!(own, sent);
    }
}

/// Three executions with two messages each, in turns.
async fn three_with_two<S: Store>(store: &S) -> (Vec<Fence>, Vec<Message>) {
    let mut fences = Vec::new();
    for text in ["a", "b", "c"] {
        fences.push(started(store, text).await);
    }
    let mut all = Vec::new();
    for seq in 0..2 {
        for fence in &fences {
            let sent = write(*fence).step(seq, "x").message("m");
            sent.written(store).await;
            all.extend(messages_of(&sent));
        }
    }
    (fences, all)
}

pub async fn the_oldest_messages_come_first_without_those_left_out<S: Store>(harness: Harness<S>) {
    let (fences, all) = three_with_two(&*harness.here).await;
    for limit in 0..8 {
        let expected = &all[..all.len().min(limit as usize)];
        assert_eq!(but(&*harness.there, Vec::new(), limit).await, expected);
    }
    for left_out in [vec![0], vec![1, 2], vec![0, 1, 2]] {
        let ids: Vec<ExecutionId> = left_out.iter().map(|at| fences[*at].execution).collect();
        let expected: Vec<Message> = all
            .iter()
            .filter(|message| !ids.contains(&message.execution))
            .cloned()
            .collect();
        assert_eq!(but(&*harness.there, ids.clone(), 100).await, expected);
        let first = &expected[..expected.len().min(1)];
        assert_eq!(
            but(&*harness.there, ids, 1).await,
            first,
            "the limit counts what is wanted"
        );
    }
}

async fn delivered<S: Store>(store: &S, messages: &[Message]) {
    let ids = messages.iter().map(|message| message.id).collect();
    store.delivered(ids).await.expect("deleted");
}

pub async fn delivered_messages_are_gone<S: Store>(harness: Harness<S>) {
    let (_, all) = three_with_two(&*harness.here).await;
    delivered(&*harness.there, &[]).await;
    harness
        .there
        .delivered(vec![Uuid::new_v4()])
        .await
        .expect("a message that is not there");
    assert_eq!(outbox(&*harness.here).await, all);
    let gone = [all[1].clone(), all[4].clone()];
    for _time in 0..2 {
        delivered(&*harness.there, &gone).await;
        let left: Vec<Message> = all.iter().filter(|one| !gone.contains(one)).cloned().collect();
        assert_eq!(outbox(&*harness.here).await, left);
    }
    delivered(&*harness.here, &all).await;
    assert_eq!(outbox(&*harness.there).await, []);
}

pub async fn a_message_outlives_its_execution<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let sent = write(fence).step(0, "first").then(succeed(0)).message("m");
    sent.written(&*harness.here).await;
    harness.clock.advance(2 * DAY);
    assert_eq!(harness.there.purge(10, None).await.expect("purged"), 1);
    assert_eq!(outbox(&*harness.here).await, messages_of(&sent));
    // A new generation of the key writes behind it.
    let again = ended(&*harness.here, "k", Then::Continue).await;
    let second = write(again).step(1, "second").message("n");
    second.written(&*harness.here).await;
    let expected = [messages_of(&sent), messages_of(&second)].concat();
    assert_eq!(outbox(&*harness.there).await, expected);
}

async fn registered<S: Store>(store: &S) -> WorkerId {
    let worker = WorkerId::fresh();
    let register = Register {
        worker,
        name: "a worker".into(),
        shapes: vec![numbered_shape(1)],
    };
    store.register(register).await.expect("registered");
    worker
}

async fn leads<S: Store>(store: &S, worker: WorkerId) -> bool {
    store.lead(worker).await.expect("answered")
}

pub async fn one_worker_leads_until_it_is_dead<S: Store>(harness: Harness<S>) {
    let stranger = WorkerId::fresh();
    assert!(
        !leads(&*harness.here, stranger).await,
        "who is not live never leads"
    );
    let first = registered(&*harness.here).await;
    let second = registered(&*harness.there).await;
    assert!(leads(&*harness.here, first).await);
    for _again in 0..2 {
        assert!(!leads(&*harness.there, second).await, "the first one does");
        assert!(leads(&*harness.here, first).await);
    }
    harness.here.retire(first).await.expect("retired");
    assert!(!leads(&*harness.here, first).await);
    assert!(leads(&*harness.there, second).await);
    let third = registered(&*harness.here).await;
    assert!(!leads(&*harness.here, third).await);
    let others = harness.here.observe(third).await.expect("observed").others;
    let beat = others.iter().find(|other| other.worker == second);
    let beat = beat.expect("it is live").beat;
    assert!(harness.here.bury(second, beat).await.expect("buried"));
    assert!(!leads(&*harness.there, second).await, "declared dead");
    assert!(leads(&*harness.here, third).await);
}

pub async fn who_steps_down_leaves_the_outbox_to_others<S: Store>(harness: Harness<S>) {
    let first = registered(&*harness.here).await;
    let second = registered(&*harness.there).await;
    assert!(leads(&*harness.here, first).await);
    harness.there.step_down(second).await.expect("answered");
    assert!(!leads(&*harness.there, second).await, "it did not lead");
    for _again in 0..2 {
        harness.here.step_down(first).await.expect("answered");
    }
    assert!(leads(&*harness.there, second).await);
    assert!(!leads(&*harness.here, first).await);
    harness.there.step_down(second).await.expect("answered");
    assert!(
        leads(&*harness.here, first).await,
        "who stepped down may lead again"
    );
}

pub async fn of_many_that_want_to_lead_one_does<S: Store>(harness: Harness<S>) {
    for _round in 0..5 {
        let mut workers = Vec::new();
        for _worker in 0..6 {
            workers.push(registered(&*harness.here).await);
        }
        let answers = all_at_once(12, |number| {
            let store = Arc::clone([&harness.here, &harness.there][number % 2]);
            let worker = workers[number % 6];
            async move { (worker, leads(&*store, worker).await) }
        })
        .await;
        let leaders: HashSet<WorkerId> = answers
            .iter()
            .filter_map(|(worker, leads)| leads.then_some(*worker))
            .collect();
        assert_eq!(leaders.len(), 1, "{answers:?}");
        for worker in workers {
            harness.here.retire(worker).await.expect("retired");
        }
    }
}
