//! Does what sleeps or waits for its next try hold nothing, and go on exactly when the database's clock
//! says so?

use std::time::Duration;

use futures::future::join_all;
use keystep::clock::time_of;
use keystep::{FailureKind, Retry, RunError, Schema, State, StepContext, StepError, WaitReason};

use super::town::{HOUR, KEY, Town, note, soon};
use crate::under_faults::Ground;

const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

/// Rests in the middle of its only step.
fn resting(rest: Duration) -> Schema<u64, u64> {
    Schema::new("test.waits")
        .step("rest", move |cx: StepContext, n: u64| async move {
            note(&cx, "run")?;
            let part = cx.clone();
            cx.step("before", || async move { note(&part, "before") }).await?;
            cx.sleep("night", rest).await?;
            note(&cx, "after")?;
            Ok(n + 1)
        })
        .build()
}

#[track_caller]
fn assert_waits<Out>(told: Result<Out, RunError>, wanted: WaitReason) -> Option<Duration> {
    match told {
        Err(RunError::Waiting { reason, due_in, .. }) if reason == wanted => due_in,
        Err(error) => panic!("told {error:?}"),
        Ok(_output) => panic!("it did not wait"),
    }
}

pub async fn a_sleep_of_thirty_days_ends_when_the_clock_says_so_and_what_came_before_is_not_done_again<
    G: Ground,
>(
    ground: G,
) {
    let town = Town::on(ground).await;
    let schema = resting(30 * DAY);
    let process = town.process(&schema).await;
    let due_in = assert_waits(process.run(&schema, KEY, 1).await, WaitReason::Timer);
    assert!(due_in.is_some_and(|due_in| due_in > 29 * DAY && due_in <= 30 * DAY));
    let asleep = process.read(&schema).await;
    assert_eq!(
        (asleep.state, asleep.waits_for),
        (State::Waiting, Some(WaitReason::Timer))
    );
    assert_eq!(asleep.owner, None);
    town.clock.advance(30 * DAY - HOUR);
    let due_in = assert_waits(process.run(&schema, KEY, 1).await, WaitReason::Timer);
    assert!(
        due_in.is_some_and(|due_in| due_in <= HOUR),
        "it counts from the first run"
    );
    town.clock.advance(HOUR);
    process.until_is(&schema, State::Succeeded).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(2));
    town.notes.are(&["run", "before", "run", "after"]);
}

pub async fn calls_do_not_shorten_a_sleep<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = resting(HOUR);
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    assert_waits(here.run(&schema, KEY, 1).await, WaitReason::Timer);
    for process in [&here, &there] {
        let calls = (0..5).map(|_| process.run(&schema, KEY, 1).into_future());
        for told in join_all(calls).await {
            assert_waits(told, WaitReason::Timer);
        }
    }
    town.notes.are(&["run", "before"]);
}

/// Nobody is asked to wait for what is short: the owner waits, and keeps what it has in memory.
pub async fn a_short_sleep_is_waited_for_by_the_owner<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = resting(2 * SECOND);
    let process = town.process(&schema).await;
    let called = soon(process.run(&schema, KEY, 1).submit())
        .await
        .expect("it begins");
    let asleep = process
        .until(&schema, |execution| {
            let parts = execution.parts.iter();
            parts
                .map(|part| &part.name)
                .any(|name| name == "rest::@sleep/night")
        })
        .await;
    assert_eq!(asleep.state, State::Running);
    town.clock.advance(2 * SECOND);
    assert_eq!(soon(called.wait()).await, Ok(2));
    town.notes.are(&["run", "before", "after"]);
}

pub async fn a_sleep_until_a_time_ends_in_another_process_when_its_own_is_dead<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let until = time_of(town.clock.wall_micros()) + 2 * HOUR;
    let schema = Schema::new("test.waits")
        .step("rest", move |cx: StepContext, n: u64| async move {
            cx.sleep_until("noon", until).await?;
            note(&cx, "after")?;
            Ok(n + 1)
        })
        .build();
    let here = town.process(&schema).await;
    assert_waits(here.run(&schema, KEY, 1).await, WaitReason::Timer);
    town.kill(&here).await;
    let there = town.process(&schema).await;
    town.clock.advance(HOUR);
    assert_waits(there.run(&schema, KEY, 1).await, WaitReason::Timer);
    town.notes.are::<&str>(&[]);
    town.clock.advance(HOUR + SECOND);
    there.until_is(&schema, State::Succeeded).await;
    town.notes.are(&["after"]);
}

/// Its time is recorded, so a later try of the step finds it over.
pub async fn a_sleep_that_is_over_is_not_slept_again<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = Schema::new("test.waits")
        .step("rest", |cx: StepContext, n: u64| async move {
            cx.sleep("night", HOUR).await?;
            note(&cx, "after")?;
            if cx.attempt() == 1 {
                return Err(StepError::retry("once"));
            }
            Ok(n + 1)
        })
        .retry(Retry::attempts(2).first_delay(Duration::from_millis(1)))
        .build();
    let process = town.process(&schema).await;
    assert_waits(process.run(&schema, KEY, 1).await, WaitReason::Timer);
    town.clock.advance(HOUR);
    process.until_is(&schema, State::Succeeded).await;
    town.notes.are(&["after", "after"]);
}

/// Delays of one hour, two and four, each drawn from the upper half of its range.
pub async fn the_retry_schedule_is_stored_and_kept_to_the_second<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = Schema::new("test.waits")
        .step("try", |cx: StepContext, _n: u64| async move {
            note(&cx, format!("try {}", cx.attempt()))?;
            Err::<u64, _>(StepError::retry("not yet"))
        })
        .retry(Retry::attempts(4).first_delay(HOUR).max_delay(DAY))
        .build();
    let process = town.process(&schema).await;
    let mut due_in = assert_waits(process.run(&schema, KEY, 1).await, WaitReason::Retry);
    for (tries, longest) in [(1, HOUR), (2, 2 * HOUR), (3, 4 * HOUR)] {
        let delay = due_in.expect("a time");
        assert!(
            delay > longest / 2 - SECOND && delay <= longest,
            "{delay:?} after {tries}"
        );
        town.clock.advance(delay - 20 * SECOND);
        let early = process.read(&schema).await;
        assert_eq!(early.state, State::Waiting);
        assert!(
            early
                .due_in
                .is_some_and(|due_in| due_in <= 20 * SECOND && due_in > Duration::ZERO)
        );
        assert_eq!(town.notes.all().len(), tries, "not before its time");
        town.clock.advance(20 * SECOND);
        let next = process
            .until(&schema, |execution| {
                execution.epoch > early.epoch && execution.state != State::Running
            })
            .await;
        due_in = next.due_in;
    }
    let failed = process.read(&schema).await;
    assert_eq!(failed.state, State::Failed);
    let failure = failed.failure.expect("a failure");
    assert_eq!((failure.kind, failure.attempt), (FailureKind::Exhausted, 4));
    town.notes.are(&["try 1", "try 2", "try 3", "try 4"]);
}

/// How many sleep at once.
const SLEEPERS: u64 = 10_000;
/// How many are called at once.
const AT_ONCE: u64 = 500;

/// Tasks are counted by the runtime, which is the story's own.
pub async fn ten_thousand_sleepers_hold_no_task_and_all_end<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.waits")
        .step("rest", |cx: StepContext, n: u64| async move {
            cx.sleep("night", HOUR).await?;
            Ok(n + 1)
        })
        .build();
    let process = town.process(&schema).await;
    assert_waits(process.run(&schema, KEY, 0).await, WaitReason::Timer);
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    for first in (0..SLEEPERS).step_by(usize::try_from(AT_ONCE).unwrap_or(1)) {
        let calls = (first..first + AT_ONCE).map(|n| process.run(&schema, format!("{n}"), n).into_future());
        for told in join_all(calls).await {
            assert_waits(told, WaitReason::Timer);
        }
    }
    let settled = async {
        while tasks.num_alive_tasks() > before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(settled).await;
    town.clock.advance(HOUR);
    let all_end = async {
        for n in 0..SLEEPERS {
            while process
                .find(&schema, format!("{n}"))
                .await
                .expect("an answer")
                .expect("it is there")
                .state
                != State::Succeeded
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    soon(all_end).await;
}
