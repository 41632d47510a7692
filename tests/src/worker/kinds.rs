//! Which schema has a step of every kind? A lazy one, one with parts, one that is done at most once, one
//! that writes and sends messages in its transaction, one that waits; what was done is undone when the
//! last one fails for good.

use std::time::Duration;

use keystep::{Retry, Schema, SecondSignal, StepContext, StepError, StepResult, Verified};

use super::steps::{Entered, Site, plain, work};
use crate::protocol::{Event, Trail};

pub(crate) const NAME: &str = "kinds";
/// What the last step may wait for.
pub(crate) const SIGNAL: &str = "go";

/// Where messages go.
const TOPIC: &str = "kinds";
const LINES: u32 = 3;
const NAP: Duration = Duration::from_millis(1);

pub(crate) fn schema() -> Schema<Trail, Trail> {
    let retry = Retry::attempts(3).first_delay(Duration::from_millis(10));
    Schema::new(NAME)
        .signal(SIGNAL, SecondSignal::Queued)
        .step("look", plain)
        .retry(retry)
        .lazy()
        .step("lines", lines)
        .retry(retry)
        .undo(undo)
        .undo_retry(retry)
        .step("pay", pay)
        .retry(retry)
        .at_most_once()
        .verify(was_paid)
        .undo(undo)
        .undo_retry(retry)
        .step("book", book)
        .retry(retry)
        .undo(undo)
        .undo_retry(retry)
        .step("last", last)
        .retry(retry)
        .build()
}

/// Does a part for each line. Each has gates as a step has: `lines::line/1/entered`, `lines::line/1`.
async fn lines(cx: StepContext, mut trail: Trail) -> StepResult<Trail> {
    let site = cx.get::<Site>()?;
    let attempt = Entered::now(&cx, site.voice);
    let done = each_line(&cx, &site, &attempt, &trail).await;
    trail.nonces.push(attempt.end(done)?);
    Ok(trail)
}

async fn each_line(cx: &StepContext, site: &Site, attempt: &Entered, trail: &Trail) -> StepResult<()> {
    site.note(attempt).await?;
    for line in 1..=LINES {
        let name = format!("line/{line}");
        let recorded_as = format!("{}::{name}", cx.step_name());
        let _nonce: String = cx.step(name, || part(cx, site, &recorded_as, trail)).await?;
    }
    site.pass(attempt, cx.step_name()).await;
    Ok(())
}

/// Charges at the partner outside. One more gate, with the answer in hand: `pay/charged`.
async fn pay(cx: StepContext, mut trail: Trail) -> StepResult<Trail> {
    let site = cx.get::<Site>()?;
    let attempt = Entered::now(&cx, site.voice);
    let done = match work(&cx, &site, &attempt, &trail, cx.step_name()).await {
        Ok(()) => charge(&site, &attempt).await,
        Err(error) => Err(error),
    };
    trail.nonces.push(attempt.end(done)?);
    Ok(trail)
}

async fn charge(site: &Site, attempt: &Entered) -> StepResult<()> {
    if let Some(partner) = &site.notebook
        && !partner.charge(&attempt.attempt).await?
    {
        return Err(StepError::not_done("the partner knows a later owner"));
    }
    site.pass(attempt, "pay/charged").await;
    Ok(())
}

/// Asks the partner. It has a gate before: `pay/asked`.
async fn was_paid(cx: StepContext, mut trail: Trail) -> StepResult<Verified<Trail>> {
    let site = cx.get::<Site>()?;
    let asks = Entered::of(&cx, site.voice, "pay/asked");
    site.pass(&asks, "pay/asked").await;
    let charged = match &site.notebook {
        Some(partner) => partner.ask(&asks.attempt).await,
        None => Ok(None),
    };
    let (done, charged) = match charged {
        Ok(charged) => (Ok(()), charged),
        Err(error) => (Err(error.into()), None),
    };
    asks.end(done)?;
    Ok(match charged {
        Some(nonce) => {
            trail.nonces.push(nonce);
            Verified::Done(trail)
        }
        None => Verified::NotDone,
    })
}

/// Writes its row, and sends two messages with it. The gates are those of any step that books.
async fn book(cx: StepContext, mut trail: Trail) -> StepResult<Trail> {
    let site = cx.get::<Site>()?;
    let attempt = Entered::now(&cx, site.voice);
    let done = match work(&cx, &site, &attempt, &trail, cx.step_name()).await {
        Ok(()) => site.store.book(&cx, &site, &attempt, &trail).await,
        Err(error) => Err(error),
    };
    let nonce = attempt.end(done)?;
    for _message in 0..2 {
        cx.emit(TOPIC, &nonce)?;
    }
    trail.nonces.push(nonce);
    Ok(trail)
}

/// Waits, and sends a message. It says when it sees that somebody wants it cancelled, and ends then.
async fn last(cx: StepContext, mut trail: Trail) -> StepResult<Trail> {
    let site = cx.get::<Site>()?;
    let attempt = Entered::now(&cx, site.voice);
    let done = tokio::select! {
        biased;
        done = waits_and_works(&cx, &site, &attempt, &trail) => done,
        () = cx.cancelled() => {
            site.voice.say(&Event::CancelSeen(attempt.attempt.clone()));
            Err(StepError::retry("somebody wants it cancelled"))
        }
    };
    let nonce = attempt.end(done)?;
    cx.emit(TOPIC, &nonce)?;
    trail.nonces.push(nonce);
    Ok(trail)
}

async fn waits_and_works(cx: &StepContext, site: &Site, attempt: &Entered, trail: &Trail) -> StepResult<()> {
    cx.sleep("nap", NAP).await?;
    if let Some(millis) = trail.signal_ms {
        let _came: Option<u64> = cx.signal(SIGNAL, Some(Duration::from_millis(millis))).await?;
    }
    work(cx, site, attempt, trail, cx.step_name()).await
}

/// Undoes what a step did. It has the gates `STEP/undo/entered` and `STEP/undo`.
async fn undo(cx: StepContext, trail: Trail) -> StepResult<()> {
    let site = cx.get::<Site>()?;
    let name = format!("{}/undo", cx.step_name());
    part(&cx, &site, &name, &trail).await.map(drop)
}

/// An attempt at something that is done for a step, under a name of its own.
async fn part(cx: &StepContext, site: &Site, name: &str, trail: &Trail) -> StepResult<String> {
    let attempt = Entered::of(cx, site.voice, name);
    let done = work(cx, site, &attempt, trail, name).await;
    attempt.end(done)
}
