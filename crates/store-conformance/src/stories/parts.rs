//! Is each part of a step done once, in a loop and beside others, however often the step runs again?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keystep::{EngineBuilder, FailureKind, Retry, RunError, Schema, State, StepContext, StepError};
use tokio::sync::Semaphore;

use super::town::{KEY, Process, Town, book, note, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

fn soon_again(attempts: u32) -> Retry {
    Retry::attempts(attempts).first_delay(Duration::from_millis(1))
}

#[track_caller]
fn assert_fails<Out>(told: Result<Out, RunError>, code: &str) {
    match told {
        Err(RunError::Failed(failure)) if failure.code.as_deref() == Some(code) => {
            assert_eq!(failure.kind, FailureKind::Exhausted, "no further try now");
            assert_eq!(failure.attempt, 1);
        }
        Err(error) => panic!("told {error:?}"),
        Ok(_output) => panic!("it did not fail"),
    }
}

const LINES: u64 = 100;
const KILLS: usize = 20;
/// How many lines each process finishes before it is killed in the next one.
const LINES_EACH: usize = 4;

/// A line passes when its process has a permit for it.
fn looping() -> Schema<u64, u64> {
    Schema::new("test.parts")
        .step("lines", |cx: StepContext, lines: u64| async move {
            let permits = cx.get::<Arc<Semaphore>>()?;
            let mut sum = 0;
            for line in 0..lines {
                let part = || async {
                    note(&cx, format!("line {line}"))?;
                    permits.acquire().await?.forget();
                    Ok(line)
                };
                sum += cx.step(format!("line/{line}"), part).await?;
            }
            Ok(sum)
        })
        .build()
}

/// A process that may finish so many lines.
async fn process_for<G: Ground>(town: &Town<G>, schema: &Schema<u64, u64>, lines: usize) -> Process {
    let permits = Arc::new(Semaphore::new(lines));
    let with = |builder: EngineBuilder| builder.schema(schema.clone()).provide(permits);
    town.process_with(with).await
}

pub async fn a_loop_over_a_hundred_lines_whose_owner_dies_twenty_times_records_each_line_once<G: Ground>(
    ground: G,
) {
    let (town, schema) = (Town::on(ground).await, looping());
    let mut process = process_for(&town, &schema, LINES_EACH).await;
    drop(
        soon(process.run(&schema, KEY, LINES).submit())
            .await
            .expect("it begins"),
    );
    for kill in 1..=KILLS {
        let inside_the_next = async {
            while town.notes.all().len() < kill * (LINES_EACH + 1) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon(inside_the_next).await;
        town.kill(&process).await;
        let lines = if kill < KILLS { LINES_EACH } else { 100 };
        process = process_for(&town, &schema, lines).await;
    }
    process.until_is(&schema, State::Succeeded).await;
    assert_eq!(process.run(&schema, KEY, LINES).await, Ok((0..LINES).sum()));
    let mut names: Vec<String> = (0..LINES).map(|line| format!("lines::line/{line}")).collect();
    names.push("lines".to_owned());
    names.sort_unstable();
    assert_eq!(town.stored(&schema).await, names);
    for line in 0..LINES {
        let at_most = if line % 4 == 0 { 2 } else { 1 };
        let runs = town.notes.count(&format!("line {line}"));
        assert!((1..=at_most).contains(&runs), "line {line} ran {runs} times");
    }
    assert_eq!(
        town.notes.all().len(),
        100 + KILLS,
        "only what was under way ran again"
    );
}

/// Parts with a name each, for `cx.all`.
fn parts<Part>(count: u64, part: impl Fn(u64) -> Part) -> Vec<(String, Part)> {
    (0..count).map(|n| (format!("part/{n}"), part(n))).collect()
}

pub async fn a_parallel_part_that_fails_runs_again_alone<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = Schema::new("test.parts")
        .step("parts", |cx: StepContext, count: u64| async move {
            let part = async |n| {
                note(&cx, format!("part {n}"))?;
                if n == 2 && cx.attempt() == 1 {
                    return Err(StepError::retry("once"));
                }
                Ok(n)
            };
            cx.all(parts(count, part), 10).await
        })
        .retry(soon_again(2))
        .build();
    let process = town.process(&schema).await;
    let outputs = process.run(&schema, KEY, 6).await;
    assert_eq!(outputs, Ok((0..6).collect()), "in order, whichever was first");
    for n in 0..6 {
        let runs = town.notes.count(&format!("part {n}"));
        assert_eq!(runs, if n == 2 { 2 } else { 1 }, "part {n}");
    }
}

/// Those under way end and are recorded; no further one is begun.
pub async fn after_a_part_has_failed_no_further_one_begins<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let behind = gate.clone();
    let schema = Schema::new("test.parts")
        .step("parts", move |cx: StepContext, count: u64| {
            let gate = behind.clone();
            async move {
                let part = async |n| {
                    note(&cx, format!("part {n}"))?;
                    if n == 0 {
                        return Err(StepError::terminal("for good"));
                    }
                    gate.pass().await;
                    Ok(n)
                };
                cx.all(parts(count, part), 2).await
            }
        })
        .build();
    let process = town.process(&schema).await;
    let called = soon(process.run(&schema, KEY, 6).submit())
        .await
        .expect("it begins");
    soon(gate.arrived(1)).await;
    gate.open();
    let told = soon(called.wait()).await;
    assert!(
        matches!(&told, Err(RunError::Failed(failure)) if failure.kind == FailureKind::Terminal),
        "{told:?}"
    );
    town.notes.are(&["part 0", "part 1"]);
    assert_eq!(town.stored(&schema).await, ["parts::part/1"]);
}

pub async fn parts_are_done_beside_each_other_up_to_the_limit<G: Ground>(ground: G) {
    const LIMIT: usize = 3;
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let most = Arc::new(AtomicUsize::new(0));
    let (behind, highest) = (gate.clone(), Arc::clone(&most));
    let schema = Schema::new("test.parts")
        .step("parts", move |cx: StepContext, count: u64| {
            let (gate, highest) = (behind.clone(), Arc::clone(&highest));
            async move {
                let under_way = AtomicUsize::new(0);
                let part = async |n| {
                    let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    highest.fetch_max(now, Ordering::SeqCst);
                    gate.pass().await;
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    Ok(n)
                };
                cx.all(parts(count, part), LIMIT).await
            }
        })
        .build();
    let process = town.process(&schema).await;
    let called = soon(process.run(&schema, KEY, 10).submit())
        .await
        .expect("it begins");
    soon(gate.arrived(3)).await;
    gate.open();
    assert_eq!(soon(called.wait()).await, Ok((0..10).collect()));
    assert_eq!(most.load(Ordering::SeqCst), LIMIT);
}

pub async fn a_name_that_is_used_twice_in_one_run_is_an_error_at_once<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = Schema::new("test.parts")
        .step("twice", |cx: StepContext, n: u64| async move {
            for _time in 0..2 {
                cx.step("same", || async { note(&cx, "part") }).await?;
            }
            Ok(n)
        })
        .build();
    let process = town.process(&schema).await;
    assert_fails(process.run(&schema, KEY, 1).await, "name_used_twice");
    town.notes.are(&["part"]);
}

pub async fn two_steps_may_use_the_same_name_each_for_a_part_of_its_own<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let doubled = |cx: StepContext, n: u64| async move { cx.step("double", || async { Ok(2 * n) }).await };
    let schema = Schema::new("test.parts")
        .step("first", doubled)
        .step("second", doubled)
        .build();
    let process = town.process(&schema).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(4), "doubled twice");
    let names = ["first", "first::double", "second", "second::double"];
    assert_eq!(town.stored(&schema).await, names);
}

pub async fn a_part_that_fails_is_tried_as_often_as_its_step<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = Schema::new("test.parts")
        .step("try", |cx: StepContext, n: u64| async move {
            cx.step("first", || async { note(&cx, "first") }).await?;
            cx.step("second", || async {
                note(&cx, format!("second {}", cx.attempt()))?;
                Err::<u64, _>(StepError::retry("down"))
            })
            .await?;
            Ok(n)
        })
        .retry(soon_again(3))
        .build();
    let process = town.process(&schema).await;
    let told = process.run(&schema, KEY, 1).await;
    assert!(
        matches!(&told, Err(RunError::Failed(failure))
            if failure.kind == FailureKind::Exhausted && failure.attempt == 3 && failure.step == "try"),
        "{told:?}"
    );
    town.notes.are(&["first", "second 1", "second 2", "second 3"]);
    let resumed = process.run(&schema, KEY, 1).await;
    assert!(resumed.is_err());
    assert_eq!(
        town.notes.count("first"),
        1,
        "what is recorded outlives the failure"
    );
}

pub async fn a_durable_call_inside_a_transaction_is_refused_and_all_is_rolled_back<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    if !town.has_transactions() {
        return;
    }
    let schema = Schema::new("test.parts")
        .step("book", |cx: StepContext, n: u64| async move {
            book::<G>(&cx, "inside").await?;
            cx.step("part", || async { note(&cx, "part") }).await?;
            Ok(n)
        })
        .build();
    let process = town.process(&schema).await;
    assert_fails(process.run(&schema, KEY, 1).await, "durable_call_in_transaction");
    town.notes.are::<&str>(&[]);
    assert_eq!(town.booked("inside").await, 0);
}

/// Each attempt notes what the last one put down.
pub async fn progress_is_read_by_the_next_attempt_and_by_the_next_owner<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let behind = gate.clone();
    let schema = Schema::new("test.parts")
        .step("long", move |cx: StepContext, n: u64| {
            let gate = behind.clone();
            async move {
                let before: Option<u64> = cx.progress()?;
                note(&cx, format!("after {before:?}"))?;
                let come = before.unwrap_or(0);
                cx.heartbeat(&(come + 1)).await?;
                cx.heartbeat(&(come + 10)).await?;
                assert_eq!(cx.progress::<u64>()?, Some(come + 10));
                if come == 0 {
                    return Err(StepError::retry("once"));
                }
                gate.pass().await;
                Ok(n + come)
            }
        })
        .retry(soon_again(2))
        .build();
    let here = town.process(&schema).await;
    drop(soon(here.run(&schema, KEY, 1).submit()).await.expect("it begins"));
    soon(gate.arrived(1)).await;
    assert_eq!(
        town.stored(&schema).await,
        ["long::@progress"],
        "only the latest is kept"
    );
    town.kill(&here).await;
    let there = town.process(&schema).await;
    soon(gate.arrived(2)).await;
    gate.open();
    there.until_is(&schema, State::Succeeded).await;
    assert_eq!(there.run(&schema, KEY, 1).await, Ok(21));
    town.notes
        .are(&["after None", "after Some(10)", "after Some(20)"]);
}
