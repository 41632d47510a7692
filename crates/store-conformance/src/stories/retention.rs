//! What is left of a key whose time is over, and who gets whose outcome when it is used anew?

use std::time::Duration;

use keystep::store::{Store, StoreError};
use keystep::{
    AfterFailure, OnDuplicate, OnExpired, RunError, Schema, State, StepContext, StepError, StepResult,
    WorkerOptions,
};

use super::town::{HOUR, KEY, Process, Town, id_in, note, quick, soon};
use crate::faulty::{Call, Fault, Gate};
use crate::under_faults::Ground;

/// Kept for an hour. Its output is another one each time.
fn numbered(gate: Option<&Gate>) -> Schema<u64, usize> {
    let gate = gate.cloned();
    Schema::new("test.retention")
        .retention(HOUR)
        .step("number", move |cx: StepContext, _n: u64| {
            let gate = gate.clone();
            async move {
                note(&cx, format!("generation {}", cx.generation()))?;
                let number = cx.get::<super::town::Notes>()?.all().len();
                if let Some(gate) = gate {
                    gate.pass().await;
                }
                StepResult::Ok(number)
            }
        })
        .build()
}

/// A process that deletes at once what is over, and remembers it for so long.
async fn purging<G: Ground>(
    town: &Town<G>,
    schema: &Schema<u64, usize>,
    remember: Option<Duration>,
) -> Process {
    let options = WorkerOptions {
        purge: Duration::from_millis(20),
        remember,
        ..quick()
    };
    town.process_with(|builder| builder.schema(schema.clone()).worker(options))
        .await
}

/// Waits until the payloads of the key are deleted.
async fn purged<G: Ground>(town: &Town<G>, schema: &Schema<u64, usize>) {
    let purged = async {
        loop {
            let found = town.store.find(vec![id_in(schema)]).await.expect("an answer");
            if found.first().is_none_or(|record| record.purged) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(purged).await;
}

pub async fn a_key_whose_time_is_over_is_used_anew_before_and_after_its_purge<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, numbered(None));
    let process = town.process(&schema).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(1));
    town.clock.advance(HOUR - Duration::from_secs(60));
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(1), "its time is not over");
    town.clock.advance(Duration::from_secs(60));
    assert_eq!(
        process.run(&schema, KEY, 2).await,
        Ok(2),
        "with another input too"
    );
    town.clock.advance(HOUR);
    let purging = purging(&town, &schema, Some(HOUR)).await;
    purged(&town, &schema).await;
    assert_eq!(process.run(&schema, KEY, 3).await, Ok(3));
    assert_eq!(purging.run(&schema, KEY, 3).await, Ok(3));
    town.notes.are(&["generation 1", "generation 2", "generation 3"]);
}

pub async fn payloads_go_with_the_purge_and_generation_state_and_fingerprint_stay_for_a_while<G: Ground>(
    ground: G,
) {
    let (town, schema) = (Town::on(ground).await, numbered(None));
    let process = purging(&town, &schema, Some(10 * HOUR)).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(1));
    let before = town
        .store
        .find(vec![id_in(&schema)])
        .await
        .expect("an answer")
        .remove(0);
    town.clock.advance(HOUR);
    purged(&town, &schema).await;
    let left = town
        .store
        .find(vec![id_in(&schema)])
        .await
        .expect("an answer")
        .remove(0);
    assert_eq!(left.generation, 1);
    assert_eq!(
        (left.state, left.input_hash),
        (State::Succeeded, before.input_hash)
    );
    assert_eq!((left.output, left.failure), (None, None));
    let recorded = town.store.load(left.id, left.run).await.expect("an answer");
    assert!(recorded.is_none_or(|progress| progress.input.is_empty() && progress.checkpoints.is_empty()));
    town.clock.advance(10 * HOUR);
    let forgotten = async {
        while !town
            .store
            .find(vec![id_in(&schema)])
            .await
            .expect("an answer")
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(forgotten).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(2));
    town.notes.are(&["generation 1", "generation 1"]);
}

/// As long as the key is remembered; also while this process could replay it from memory.
pub async fn a_caller_who_asks_for_it_is_told_that_its_key_has_expired<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, numbered(None));
    let process = purging(&town, &schema, Some(10 * HOUR)).await;
    let careful = || {
        process
            .run(&schema, KEY, 1)
            .on_expired(OnExpired::Refuse)
            .into_future()
    };
    assert_eq!(careful().await, Ok(1), "a new key is new");
    assert_eq!(careful().await, Ok(1));
    town.clock.advance(HOUR);
    let expired = Err(RunError::Expired {
        generation: 1,
        state: State::Succeeded,
    });
    assert_eq!(careful().await, expired);
    purged(&town, &schema).await;
    assert_eq!(careful().await, expired);
    assert_eq!(
        process.run(&schema, KEY, 1).await,
        Ok(2),
        "who does not ask begins anew"
    );
    assert_eq!(careful().await, Ok(2));
    town.notes.are(&["generation 1", "generation 2"]);
}

/// Its look was under way while everything happened.
pub async fn a_waiter_of_the_first_generation_never_gets_the_outcome_of_the_second<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema = numbered(Some(&gate));
    let (here, there) = (purging(&town, &schema, None).await, town.process(&schema).await);
    let first = soon(here.run(&schema, KEY, 1).submit()).await.expect("it begins");
    soon(gate.arrived(1)).await;
    let looks = Gate::closed();
    there
        .faults
        .script(&[Call::Find], 1, Fault::HoldBefore(looks.clone()));
    let waiter = there.run(&schema, KEY, 1).on_duplicate(OnDuplicate::Attach);
    let waiter = soon(waiter.submit()).await.expect("it attaches");
    let waiting = tokio::spawn(waiter.wait());
    soon(looks.arrived(1)).await;
    gate.open();
    assert_eq!(soon(first.wait()).await, Ok(1));
    town.clock.advance(HOUR);
    purged(&town, &schema).await;
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(2));
    looks.open();
    let told = soon(waiting).await.expect("no panic");
    assert!(matches!(told, Err(RunError::Unavailable(_))), "{told:?}");
    assert_eq!(
        there.run(&schema, KEY, 1).await,
        Ok(2),
        "who calls again means the second one"
    );
    assert_eq!(town.notes.all().len(), 2, "nobody ran it for the waiter");
}

pub async fn a_waiter_of_a_run_that_failed_never_gets_the_outcome_of_the_restart<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let behind = gate.clone();
    let schema: Schema<u64, i64> = Schema::new("test.retention")
        .step("try", move |cx: StepContext, _n: u64| {
            let gate = behind.clone();
            async move {
                note(&cx, format!("generation {}", cx.generation()))?;
                gate.pass().await;
                if cx.generation() == 1 {
                    return Err(StepError::terminal("for good"));
                }
                Ok(cx.generation())
            }
        })
        .build();
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    let first = soon(here.run(&schema, KEY, 1).submit()).await.expect("it begins");
    soon(gate.arrived(1)).await;
    let looks = Gate::closed();
    there
        .faults
        .script(&[Call::Find], 1, Fault::HoldBefore(looks.clone()));
    let waiter = there.run(&schema, KEY, 1).on_duplicate(OnDuplicate::Attach);
    let waiter = soon(waiter.submit()).await.expect("it attaches");
    let waiting = tokio::spawn(waiter.wait());
    soon(looks.arrived(1)).await;
    gate.open();
    let failed = soon(first.wait()).await;
    assert!(matches!(failed, Err(RunError::Failed(_))), "{failed:?}");
    let anew = here.run(&schema, KEY, 1).after_failure(AfterFailure::Restart);
    assert_eq!(soon(anew.into_future()).await, Ok(2));
    looks.open();
    let told = soon(waiting).await.expect("no panic");
    assert!(matches!(told, Err(RunError::Unavailable(_))), "{told:?}");
    town.notes.are(&["generation 1", "generation 2"]);
}

/// A purge that fails is made again.
pub async fn a_purge_that_fails_once_is_made_again<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, numbered(None));
    let process = purging(&town, &schema, None).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(1));
    let refused = Fault::Refuse(StoreError::Unavailable("by script".to_owned()));
    process.faults.script(&[Call::Purge], 1, refused);
    process.faults.script(&[Call::Purge], 2, Fault::LoseAnswer);
    town.clock.advance(HOUR);
    purged(&town, &schema).await;
}
