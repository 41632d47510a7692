//! Does what `plan_check` says before a deploy equal what happens after it? A step is renamed, moved,
//! inserted, removed, given another type; with and without a word about the older form.

use std::time::Duration;

use keystep::{
    AnySchema, ParkReason, PlanReport, RunError, Schema, State, StepContext, StepError, StepResult,
};
use serde::{Deserialize, Serialize};

use super::town::{HOUR, KEY, Process, Town, note, recorded, soon};
use crate::under_faults::Ground;

/// What the report says of the story's one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Compatible,
    Pinned,
    UnknownShape,
    Unreadable,
    OfOthers,
}

fn kind_of(report: &PlanReport) -> Said {
    let kinds = [
        (&report.compatible, Said::Compatible),
        (&report.pinned, Said::Pinned),
        (&report.unknown_shape, Said::UnknownShape),
        (&report.unreadable, Said::Unreadable),
        (&report.of_others, Said::OfOthers),
    ];
    let mut said = kinds.iter().filter(|(affected, _)| affected.count > 0);
    let (affected, kind) = said.next().expect("one execution");
    assert_eq!((affected.count, affected.keys.len()), (1, 1));
    assert_eq!(affected.keys[0].key, KEY);
    assert!(said.next().is_none(), "each execution is counted once");
    *kind
}

async fn first(cx: StepContext, n: u64) -> StepResult<u64> {
    note(&cx, "first")?;
    Ok(n + 1)
}

async fn second(cx: StepContext, n: u64) -> StepResult<u64> {
    note(&cx, "second")?;
    if cx.attempt() == 1 {
        return Err(StepError::retry_after("later", HOUR));
    }
    Ok(10 * n)
}

async fn third(cx: StepContext, n: u64) -> StepResult<u64> {
    note(&cx, "third")?;
    Ok(n + cx.output_of(first)?)
}

fn before() -> Schema<u64, u64> {
    Schema::new("test.evolution")
        .step("first", first)
        .step("second", second)
        .step("third", third)
        .build()
}

/// Begins with the old code, and stops in its second step.
async fn begun<G: Ground>(town: &Town<G>) -> Process {
    let old = town.process(&before()).await;
    let told = old.run(&before(), KEY, 1).await;
    assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
    old
}

/// Deploys a schema in place of the old one; what was said of it, and what a call gets.
async fn deploy<G: Ground>(
    town: &Town<G>,
    schema: &Schema<u64, u64>,
) -> (Said, Process, Result<u64, RunError>) {
    let old = begun(town).await;
    let report = old.plan_check(&[schema]).await.expect("an answer");
    assert_eq!(
        report.is_safe(),
        matches!(kind_of(&report), Said::Compatible | Said::Pinned)
    );
    old.shutdown().await;
    let new = town.process(schema).await;
    let again = new.plan_check(&[schema]).await.expect("an answer");
    assert_eq!(again, report, "whoever asks");
    let told = decided(&new, schema).await;
    (kind_of(&report), new, told)
}

/// What a call gets. A process that has begun just now does not know yet who else lives, and takes what it
/// can not run for somebody else's.
async fn decided(process: &Process, schema: &Schema<u64, u64>) -> Result<u64, RunError> {
    let told = async {
        loop {
            match process.run(schema, KEY, 1).await {
                Err(RunError::Waiting { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                told => return told,
            }
        }
    };
    soon(told).await
}

#[track_caller]
fn assert_parked(told: &Result<u64, RunError>, wanted: ParkReason) {
    assert!(
        matches!(told, Err(RunError::Parked { reason, .. }) if *reason == wanted),
        "{told:?}"
    );
}

/// What the three steps make of 1.
const OUTPUT: u64 = 22;

pub async fn what_keeps_its_shape_goes_on_with_the_new_code<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let after = Schema::new("test.evolution")
        .step("first", first)
        .step("second", |_cx: StepContext, n: u64| async move { Ok(100 * n) })
        .step("third", third)
        .build();
    let (said, _process, told) = deploy(&town, &after).await;
    assert_eq!((said, told), (Said::Compatible, Ok(202)));
}

pub async fn a_renamed_step_parks_unless_its_former_name_is_said<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let renamed = Schema::new("test.evolution")
        .step("prepare", first)
        .step("act", second)
        .step("third", third)
        .build();
    let (said, process, told) = deploy(&town, &renamed).await;
    assert_eq!(said, Said::UnknownShape);
    assert_parked(&told, ParkReason::UnknownShape);
    process.shutdown().await;
    let aliased = Schema::new("test.evolution")
        .step("prepare", first)
        .formerly("first")
        .step("act", second)
        .formerly("second")
        .step("third", third)
        .build();
    let process = town.process(&aliased).await;
    assert_eq!(process.run(&aliased, KEY, 1).await, Ok(OUTPUT));
    let done = process.read(&aliased).await;
    assert_eq!(
        recorded(&done),
        ["first", "second", "third"],
        "under the names that it was born with"
    );
    assert!(
        process.run(&aliased, "new", 1).await.is_err(),
        "it waits for its second try"
    );
    let new = process
        .find(&aliased, "new")
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(recorded(&new), ["prepare"]);
}

pub async fn a_former_name_pins_what_was_born_under_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let aliased = Schema::new("test.evolution")
        .step("prepare", first)
        .formerly("first")
        .step("second", second)
        .step("finish", |cx: StepContext, n: u64| async move {
            note(&cx, cx.step_name())?;
            let (by_new, by_old): (u64, u64) = (cx.output("prepare")?, cx.output("first")?);
            assert_eq!(by_new, by_old, "under each name");
            third(cx, n).await
        })
        .formerly("third")
        .build();
    let (said, process, told) = deploy(&town, &aliased).await;
    assert_eq!((said, told), (Said::Pinned, Ok(OUTPUT)));
    town.notes.are(&["first", "second", "second", "third", "third"]);
    let told = process.run(&before(), "new", 1).await;
    assert!(matches!(told, Err(RunError::Invalid(_))), "{told:?}");
}

pub async fn moved_inserted_and_removed_steps_park_what_is_under_way<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let moved = Schema::new("test.evolution")
        .step("second", second)
        .step("first", first)
        .step("third", third)
        .build();
    let (said, process, told) = deploy(&town, &moved).await;
    assert_eq!(said, Said::UnknownShape);
    assert_parked(&told, ParkReason::UnknownShape);
    let inserted = Schema::new("test.evolution")
        .step("first", first)
        .step("check", first)
        .step("second", second)
        .step("third", third)
        .build();
    let removed = Schema::new("test.evolution")
        .step("first", first)
        .step("third", third)
        .build();
    let changed: [&Schema<u64, u64>; 2] = [&inserted, &removed];
    for schema in changed {
        let report = process.plan_check(&[schema]).await.expect("an answer");
        assert_eq!(kind_of(&report), Said::UnknownShape);
        let other = town.process(schema).await;
        assert_parked(&decided(&other, schema).await, ParkReason::UnknownShape);
        other.shutdown().await;
    }
    process.shutdown().await;
    let back = town.process(&before()).await;
    let done = back.until_is(&before(), State::Succeeded).await;
    assert_eq!(
        recorded(&done),
        ["first", "second", "third"],
        "rolled back, it goes on"
    );
}

pub async fn an_accepted_older_schema_ends_what_was_born_with_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let inserted = Schema::new("test.evolution")
        .step("first", first)
        .step("check", |cx: StepContext, n: u64| async move {
            note(&cx, "check")?;
            Ok(n)
        })
        .step("third", third)
        .build()
        .accepts(before());
    let (said, process, told) = deploy(&town, &inserted).await;
    assert_eq!((said, told), (Said::Pinned, Ok(OUTPUT)));
    assert_eq!(town.notes.count("check"), 0);
    assert_eq!(process.run(&inserted, "new", 1).await, Ok(4));
    assert_eq!(town.notes.count("check"), 1);
}

#[derive(Debug, Serialize, Deserialize)]
struct Amount {
    cents: u64,
}

pub async fn a_step_whose_input_has_another_type_is_found_before_the_deploy<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let retyped: Schema<u64, u64> = Schema::new("test.evolution")
        .step("first", |_cx: StepContext, n: u64| async move {
            Ok(Amount { cents: n })
        })
        .step("second", |_cx: StepContext, amount: Amount| async move {
            Ok(amount.cents)
        })
        .step("third", |_cx: StepContext, n: u64| async move { Ok(n) })
        .build();
    let (said, _process, told) = deploy(&town, &retyped).await;
    assert_eq!(said, Said::Unreadable);
    assert_parked(&told, ParkReason::Unreadable);
}

/// Another type that reads the same value is none to JSON.
pub async fn a_step_whose_input_reads_the_recorded_value_goes_on<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let retyped: Schema<u64, u64> = Schema::new("test.evolution")
        .step("first", |_cx: StepContext, n: u64| async move { Ok(Some(n)) })
        .step("second", |_cx: StepContext, n: Option<u64>| async move {
            Ok(n.unwrap_or(0))
        })
        .step("third", |_cx: StepContext, n: u64| async move { Ok(n) })
        .build();
    let (said, _process, told) = deploy(&town, &retyped).await;
    assert_eq!((said, told), (Said::Compatible, Ok(2)));
}

/// The report names at most a hundred keys of each kind, counts all, and leaves out what is finished.
pub async fn a_report_counts_all_and_names_some<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let (schema, other) = (before(), Schema::new("test.other").step("first", first).build());
    let process = town
        .process_with(|builder| builder.schema(schema.clone()).schema(other.clone()))
        .await;
    let calls = (0..120).map(|n| process.run(&schema, n.to_string(), 1).into_future());
    for told in futures::future::join_all(calls).await {
        assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
    }
    assert_eq!(process.run(&other, KEY, 1).await, Ok(2));
    let stranger = town.process_with(|builder| builder).await;
    let all: [&dyn AnySchema; 2] = [&schema, &other];
    let report = stranger.plan_check(&all).await.expect("an answer");
    assert_eq!(
        (report.compatible.count, report.compatible.keys.len()),
        (120, 100)
    );
    let report = stranger.plan_check(&[&other]).await.expect("an answer");
    assert_eq!((report.of_others.count, report.is_safe()), (120, true));
}
