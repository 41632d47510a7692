//! Does what is lazy cost no commit of its own, and is nothing built on what may be done anew?

use std::time::Duration;

use keystep::{Retry, RunError, Schema, State, StepContext, StepError, WaitReason};

use super::town::{HOUR, KEY, Town, book, note, recorded, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

/// A lazy step that gives another number each time.
async fn draw(cx: StepContext, n: u64) -> keystep::StepResult<u64> {
    note(&cx, "draw")?;
    let drawn = cx.get::<super::town::Notes>()?.count("draw");
    Ok(n + 100 * u64::try_from(drawn)?)
}

pub async fn a_lazy_output_rides_with_the_next_checkpoint_and_is_there_for_later_steps<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = Schema::new("test.lazy")
        .step("draw", draw)
        .lazy()
        .step("again", |cx: StepContext, n: u64| async move {
            note(&cx, "again")?;
            Ok(n + 1)
        })
        .lazy()
        .step("keep", |cx: StepContext, n: u64| async move {
            note(&cx, "keep")?;
            Ok(n + 1)
        })
        .step("use", |cx: StepContext, n: u64| async move {
            note(&cx, "use")?;
            if cx.attempt() == 1 {
                return Err(StepError::retry_after("later", HOUR));
            }
            Ok((cx.output_of(draw)?, cx.output::<u64>("again")?, n))
        })
        .build();
    let process = town.process(&schema).await;
    let told = process.run(&schema, KEY, 1).await;
    assert!(
        matches!(
            told,
            Err(RunError::Waiting {
                reason: WaitReason::Retry,
                ..
            })
        ),
        "{told:?}"
    );
    assert_eq!(town.stored(&schema).await, ["keep"], "in one row");
    let seen = process.read(&schema).await;
    assert_eq!(recorded(&seen), ["draw", "again", "keep"]);
    assert_eq!(process.run(&schema, KEY, 1).await, Ok((101, 102, 103)));
    town.notes.are(&["draw", "again", "keep", "use", "use"]);
}

pub async fn what_rode_is_lost_with_its_owner_and_done_again<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let behind = gate.clone();
    let schema = Schema::new("test.lazy")
        .step("draw", draw)
        .lazy()
        .step("keep", move |cx: StepContext, n: u64| {
            let gate = behind.clone();
            async move {
                note(&cx, format!("keep {n}"))?;
                gate.pass().await;
                Ok(n)
            }
        })
        .build();
    let here = town.process(&schema).await;
    drop(soon(here.run(&schema, KEY, 1).submit()).await.expect("it begins"));
    soon(gate.arrived(1)).await;
    assert_eq!(town.stored(&schema).await, [""; 0]);
    town.kill(&here).await;
    let there = town.process(&schema).await;
    soon(gate.arrived(2)).await;
    gate.open();
    there.until_is(&schema, State::Succeeded).await;
    assert_eq!(
        there.run(&schema, KEY, 1).await,
        Ok(201),
        "of the second draw, as the kept step had it"
    );
    town.notes.are(&["draw", "keep 101", "draw", "keep 201"]);
}

/// The part was made of the lazy output, so both are recorded or neither.
pub async fn a_lazy_output_rides_with_a_part_that_was_made_of_it<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let behind = gate.clone();
    let schema = Schema::new("test.lazy")
        .step("draw", draw)
        .lazy()
        .step("keep", move |cx: StepContext, n: u64| {
            let gate = behind.clone();
            async move {
                let part = cx.step("double", || async { Ok(2 * n) }).await?;
                cx.heartbeat(&n).await?;
                gate.pass().await;
                Ok((n, part))
            }
        })
        .build();
    let here = town.process(&schema).await;
    drop(soon(here.run(&schema, KEY, 1).submit()).await.expect("it begins"));
    soon(gate.arrived(1)).await;
    town.kill(&here).await;
    let there = town.process(&schema).await;
    soon(gate.arrived(2)).await;
    gate.open();
    there.until_is(&schema, State::Succeeded).await;
    assert_eq!(there.run(&schema, KEY, 1).await, Ok((101, 202)));
    town.notes.are(&["draw"]);
}

/// What an attempt was begun with is what its verify is asked with.
pub async fn a_lazy_output_rides_with_the_begin_of_a_step_that_is_done_at_most_once<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let behind = gate.clone();
    let schema = Schema::new("test.lazy")
        .step("draw", draw)
        .lazy()
        .step("pay", move |cx: StepContext, n: u64| {
            let gate = behind.clone();
            async move {
                note(&cx, format!("pay {n}"))?;
                gate.pass().await;
                Ok(n)
            }
        })
        .at_most_once()
        .verify(|cx: StepContext, n: u64| async move {
            note(&cx, format!("paid {n}?"))?;
            Ok(keystep::Verified::Done(n))
        })
        .build();
    let here = town.process(&schema).await;
    drop(soon(here.run(&schema, KEY, 1).submit()).await.expect("it begins"));
    soon(gate.arrived(1)).await;
    town.kill(&here).await;
    let there = town.process(&schema).await;
    there.until_is(&schema, State::Succeeded).await;
    assert_eq!(there.run(&schema, KEY, 1).await, Ok(101));
    town.notes.are(&["draw", "pay 101", "paid 101?"]);
}

pub async fn a_lazy_step_that_is_the_last_one_is_recorded<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = Schema::new("test.lazy").step("draw", draw).lazy().build();
    let process = town.process(&schema).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(101));
    let there = town.process(&schema).await;
    assert_eq!(there.run(&schema, KEY, 1).await, Ok(101));
    assert_eq!(town.stored(&schema).await, ["draw"]);
    town.notes.are(&["draw"]);
}

/// Its transaction is committed now, so it is recorded now.
pub async fn a_lazy_step_with_a_transaction_is_recorded_with_it<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    if !town.has_transactions() {
        return;
    }
    let schema = Schema::new("test.lazy")
        .step("draw", draw)
        .lazy()
        .step("book", |cx: StepContext, n: u64| async move {
            book::<G>(&cx, "lazy").await?;
            Ok(n)
        })
        .lazy()
        .step("fail", |_cx: StepContext, _n: u64| async move {
            Err::<u64, _>(StepError::retry_after("later", HOUR))
        })
        .retry(Retry::attempts(2).first_delay(Duration::from_millis(1)))
        .build();
    let process = town.process(&schema).await;
    let told = process.run(&schema, KEY, 1).await;
    assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
    assert_eq!(town.stored(&schema).await, ["book"]);
    assert_eq!(town.booked("lazy").await, 1);
}
