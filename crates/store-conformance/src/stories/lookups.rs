//! What does a lookup do that a call would, and what does it leave alone?

use std::time::Duration;

use keystep::{
    AfterFailure, Handle, InputHash, OnDuplicate, OnExpired, Retry, RunError, Schema, State, StepContext,
    StepError, Verdict,
};

use super::town::{HOUR, KEY, Process, Town, note, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

/// The fingerprint under which the stories call.
const MINE: InputHash = InputHash([1; 32]);
const OTHER: InputHash = InputHash([2; 32]);

/// Ten times its input, behind a gate if there is one. Kept for an hour.
fn tenfold(gate: Option<&Gate>) -> Schema<u64, u64> {
    let gate = gate.cloned();
    Schema::new("test.lookup")
        .retention(HOUR)
        .step("work", move |cx: StepContext, n: u64| {
            let gate = gate.clone();
            async move {
                note(&cx, "work")?;
                if let Some(gate) = gate {
                    gate.pass().await;
                }
                Ok(10 * n)
            }
        })
        .build()
}

/// Fails the first time it runs in this generation.
fn failing(meaning: fn(&'static str) -> StepError) -> Schema<u64, u64> {
    Schema::new("test.lookup")
        .step("first", |cx: StepContext, n: u64| async move {
            note(&cx, "first")?;
            Ok(n)
        })
        .step("second", move |cx: StepContext, n: u64| async move {
            note(&cx, "second")?;
            if cx.get::<super::town::Notes>()?.count("second") == 1 {
                return Err(meaning("down"));
            }
            Ok(10 * n)
        })
        .retry(Retry::none())
        .build()
}

async fn found(process: &Process, schema: &Schema<u64, u64>) -> Handle<u64> {
    let found = soon(process.lookup(schema, KEY).fingerprint(MINE)).await;
    found.expect("an answer").expect("a key that is known")
}

pub async fn a_lookup_of_a_key_that_was_never_used_begins_nothing<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = tenfold(None);
    let process = town.process(&schema).await;
    for _time in 0..2 {
        let found = soon(process.lookup(&schema, KEY).fingerprint(MINE)).await;
        assert!(found.expect("an answer").is_none());
    }
    assert_eq!(process.find(&schema, KEY).await, Ok(None));
}

pub async fn a_lookup_joins_the_run_of_any_process_and_then_replays_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let gate = Gate::closed();
    let schema = tenfold(Some(&gate));
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    let running = soon(here.run(&schema, KEY, 4).fingerprint(MINE).submit()).await;
    soon(gate.arrived(1)).await;
    let (one, other) = (found(&here, &schema).await, found(&there, &schema).await);
    assert_eq!(
        (one.verdict(), other.verdict()),
        (Verdict::Attached, Verdict::Attached)
    );
    gate.open();
    for waits in [running.expect("it begins"), one, other] {
        assert_eq!(soon(waits.wait()).await, Ok(40));
    }
    for process in [&here, &there] {
        let replay = found(process, &schema).await;
        assert_eq!(replay.verdict(), Verdict::Finished);
        assert_eq!(soon(replay.wait()).await, Ok(40));
    }
    town.notes.are(&["work"]);
}

pub async fn a_lookup_keeps_the_policies_for_duplicates<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let gate = Gate::closed();
    let schema = tenfold(Some(&gate));
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    drop(
        soon(here.run(&schema, KEY, 4).fingerprint(MINE).submit())
            .await
            .expect("it begins"),
    );
    soon(gate.arrived(1)).await;
    for process in [&here, &there] {
        let lookup = process.lookup(&schema, KEY).fingerprint(MINE);
        let refused = soon(lookup.on_duplicate(OnDuplicate::Reject)).await;
        assert!(matches!(refused, Err(RunError::InProgress { .. })), "{refused:?}");
        let lookup = process.lookup(&schema, KEY).fingerprint(MINE);
        let short = lookup.on_duplicate(OnDuplicate::Wait(Duration::from_millis(20)));
        let waits = soon(short).await.expect("an answer").expect("it runs");
        let late = soon(waits.wait()).await;
        assert!(matches!(late, Err(RunError::InProgress { .. })), "{late:?}");
    }
    gate.open();
    here.until_is(&schema, State::Succeeded).await;
}

pub async fn a_lookup_under_another_fingerprint_is_refused_while_it_runs_and_after_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let gate = Gate::closed();
    let schema = tenfold(Some(&gate));
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    drop(
        soon(here.run(&schema, KEY, 4).fingerprint(MINE).submit())
            .await
            .expect("it begins"),
    );
    soon(gate.arrived(1)).await;
    let mismatch = RunError::InputMismatch {
        expected: MINE,
        got: OTHER,
    };
    for process in [&here, &there] {
        let refused = soon(process.lookup(&schema, KEY).fingerprint(OTHER)).await;
        assert_eq!(refused.expect_err("refused"), mismatch);
    }
    gate.open();
    here.until_is(&schema, State::Succeeded).await;
    for process in [&here, &there] {
        let refused = soon(process.lookup(&schema, KEY).fingerprint(OTHER)).await;
        assert_eq!(refused.expect_err("refused"), mismatch);
        let whatever = soon(process.lookup(&schema, KEY)).await.expect("an answer");
        assert_eq!(soon(whatever.expect("it is known").wait()).await, Ok(40));
    }
}

pub async fn a_lookup_resumes_what_failed_unless_it_is_to_begin_anew<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = failing(StepError::retry);
    let process = town.process(&schema).await;
    let failed = soon(process.run(&schema, KEY, 4).fingerprint(MINE)).await;
    assert!(matches!(failed, Err(RunError::Failed(_))), "{failed:?}");
    let lookup = process.lookup(&schema, KEY).fingerprint(MINE);
    let anew = soon(lookup.after_failure(AfterFailure::Restart)).await;
    assert!(
        anew.expect("an answer").is_none(),
        "the caller begins it, with an input"
    );
    let resumed = found(&process, &schema).await;
    assert_eq!(resumed.verdict(), Verdict::Resumed);
    assert_eq!(soon(resumed.wait()).await, Ok(40));
    town.notes.are(&["first", "second", "second"]);
}

pub async fn a_lookup_replays_a_final_failure<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = failing(StepError::terminal);
    let process = town.process(&schema).await;
    let failed = soon(process.run(&schema, KEY, 4).fingerprint(MINE)).await;
    let replayed = found(&process, &schema).await;
    assert_eq!(replayed.verdict(), Verdict::Finished);
    assert_eq!(soon(replayed.wait()).await, failed);
    town.notes.are(&["first", "second"]);
}

pub async fn a_lookup_finds_a_key_free_whose_time_is_over<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = tenfold(None);
    let process = town.process(&schema).await;
    assert_eq!(soon(process.run(&schema, KEY, 4).fingerprint(MINE)).await, Ok(40));
    town.clock.advance(HOUR);
    for hash in [MINE, OTHER] {
        let free = soon(process.lookup(&schema, KEY).fingerprint(hash)).await;
        assert!(free.expect("an answer").is_none());
    }
    let lookup = process.lookup(&schema, KEY).fingerprint(MINE);
    let refused = soon(lookup.on_expired(OnExpired::Refuse)).await;
    assert!(matches!(refused, Err(RunError::Expired { .. })), "{refused:?}");
}

pub async fn a_caller_that_joined_by_a_lookup_gets_the_outcome_although_the_owner_dies<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let gate = Gate::closed();
    let schema = tenfold(Some(&gate));
    let here = town.process(&schema).await;
    let there = town.process(&schema).await;
    drop(
        soon(here.run(&schema, KEY, 4).fingerprint(MINE).submit())
            .await
            .expect("it begins"),
    );
    soon(gate.arrived(1)).await;
    let waits = found(&there, &schema).await;
    town.kill(&here).await;
    soon(gate.arrived(2)).await;
    gate.open();
    assert_eq!(soon(waits.wait()).await, Ok(40));
}
