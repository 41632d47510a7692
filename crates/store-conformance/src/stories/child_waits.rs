//! What does an execution do while one that it has called waits? It waits too, put down, and goes on as soon
//! as the other one is over.

use std::time::Duration;

use keystep::{
    ParkReason, RunError, Schema, SecondSignal, Settlement, SignalSent, State, StepContext, StepError,
    WaitReason,
};

use super::calls::{CHILD, both, parent, state_of_child};
use super::town::{HOUR, KEY, Process, Town, note, soon};
use crate::faulty::Call;
use crate::under_faults::Ground;

#[track_caller]
fn assert_waits_for_child(told: Result<u64, RunError>) {
    assert!(
        matches!(
            told,
            Err(RunError::Waiting {
                reason: WaitReason::Child,
                ..
            })
        ),
        "{told:?}"
    );
}

pub async fn a_parent_is_put_down_while_its_child_sleeps_and_goes_on_after_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child: Schema<u64, u64> = Schema::new("test.child")
        .step("work", |cx: StepContext, n: u64| async move {
            cx.sleep("night", HOUR).await?;
            note(&cx, "work")?;
            Ok(10 * n)
        })
        .build();
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_waits_for_child(process.run(&parent, KEY, 1).await);
    assert_eq!(state_of_child(&process, &child).await, State::Waiting);
    assert_waits_for_child(process.run(&parent, KEY, 1).await);
    town.clock.advance(HOUR);
    process.until_is(&parent, State::Succeeded).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(11));
    assert_eq!(town.notes.count("work"), 1);
}

/// Nobody knows when its signal comes.
fn child_with_signal() -> Schema<u64, u64> {
    Schema::new("test.child")
        .signal("go", SecondSignal::Refused)
        .step("work", |cx: StepContext, n: u64| async move {
            let more: Option<u64> = cx.signal("go", None).await?;
            Ok(10 * n + more.unwrap_or(0))
        })
        .build()
}

/// Sends the signal, and waits until the child is over.
async fn signal_child(process: &Process, child: &Schema<u64, u64>) {
    let sent = process.signal(child, CHILD, "go", &5_u64).await;
    assert_eq!(sent, Ok(SignalSent::Stored));
    let done = async {
        while state_of_child(process, child).await != State::Succeeded {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(done).await;
}

pub async fn a_parent_goes_on_as_soon_as_its_child_is_over<G: Ground>(ground: G) {
    let (town, child) = (Town::on(ground).await, child_with_signal());
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_waits_for_child(process.run(&parent, KEY, 1).await);
    signal_child(&process, &child).await;
    process.until_is(&parent, State::Succeeded).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(16));
}

pub async fn a_child_that_is_over_before_its_parent_is_put_down_is_not_missed<G: Ground>(ground: G) {
    let (town, child) = (Town::on(ground).await, child_with_signal());
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    // The child's wait is the first commit, that of its parent the second one.
    let gate = process.holds_commit(2);
    drop(
        soon(process.run(&parent, KEY, 1).submit())
            .await
            .expect("it begins"),
    );
    soon(gate.arrived(1)).await;
    signal_child(&process, &child).await;
    gate.open();
    process.until_is(&parent, State::Succeeded).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(16));
}

pub async fn a_parent_of_a_parked_child_waits_until_somebody_has_settled_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let child: Schema<u64, u64> = Schema::new("test.child")
        .step("pay", |cx: StepContext, _n: u64| async move {
            note(&cx, "pay")?;
            Err::<u64, _>(StepError::retry("no answer"))
        })
        .at_most_once()
        .build();
    let parent = parent(&child);
    let process = town.process_with(both(&parent, &child)).await;
    assert_waits_for_child(process.run(&parent, KEY, 1).await);
    let parked = process
        .find(&child, CHILD)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(parked.parked, Some(ParkReason::InDoubt));
    let settled = process
        .settle(parked.id, Settlement::Done(7.into()), "seen at the bank")
        .await;
    assert_eq!(settled, Ok(()));
    process.until_is(&parent, State::Succeeded).await;
    assert_eq!(process.run(&parent, KEY, 1).await, Ok(8));
    assert_eq!(town.notes.count("pay"), 1);
}

pub async fn a_parent_goes_on_as_soon_as_an_execution_is_over_that_somebody_else_has_begun<G: Ground>(
    ground: G,
) {
    let (town, child) = (Town::on(ground).await, child_with_signal());
    let parent = parent(&child);
    let there = town.process(&child).await;
    let told = there.run(&child, CHILD, 1).await;
    assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
    let here = town.process_with(both(&parent, &child)).await;
    assert_waits_for_child(here.run(&parent, KEY, 1).await);
    // The first look says that it is not over, the next ones are for its end.
    let looks = || {
        here.faults
            .calls()
            .iter()
            .filter(|call| **call == Call::Find)
            .count()
    };
    let before = looks();
    soon(async {
        while looks() < before + 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    signal_child(&there, &child).await;
    // Its own wake-up comes after a minute.
    let goes_on = here.until_is(&parent, State::Succeeded);
    let goes_on = tokio::time::timeout(Duration::from_secs(30), goes_on).await;
    assert!(goes_on.is_ok(), "nobody has told it");
    assert_eq!(here.run(&parent, KEY, 1).await, Ok(16));
}
