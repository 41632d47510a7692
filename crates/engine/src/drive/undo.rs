//! How is a run undone? Back over the steps that are recorded, the last one first; each undo is recorded
//! under the same fence, and the last one together with the end.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::Instrument;

use super::ends::park_as;
use super::load::Done;
use super::{Driver, Stop};
use crate::attempt::{Attempt, AttemptEnd};
#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::decide::AfterAttempt;
use crate::error::{Failure, FailureKind, StepError};
use crate::execution::ParkReason;
use crate::marks::Mark;
use crate::persist::Write;
use crate::runs::RunEnd;
use crate::schema::Undo;
use crate::settlement::{Settled, Settlement};
use crate::step::Attempted;
use crate::store::Then;
use crate::telemetry::AttemptOutcome;

/// Why a run is undone. Stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    Failed(Failure),
    Cancelled,
}

impl Why {
    pub(super) fn read(json: &Bytes) -> Result<Self, String> {
        let read = serde_json::from_slice(json);
        read.map_err(|error| {
            format!(
                "why it is undone can not be read: {}",
                crate::json::describe(&error)
            )
        })
    }
}

/// How often an operator has decided about the undo of a step.
pub(super) fn undo_settlements(step: &str, done: &Done) -> u32 {
    let recorded = (1..).take_while(|number| done.marks.has(&Mark::UndoSettled(*number).of(step)));
    recorded.last().unwrap_or(0)
}

impl Driver<'_> {
    /// Puts down why, and begins.
    pub(super) async fn begin_undo(&mut self, why: Why, done: &mut Done) -> Stop {
        let json = serde_json::to_vec(&why).unwrap_or_default();
        if let Err(stop) = self
            .mark(done.recorded(), Mark::Undoing.of(""), json.into(), done)
            .await
        {
            return stop;
        }
        done.came_on(self.owned.lost);
        self.undo_all(why, done).await
    }

    /// Undoes what is left, and ends the run.
    pub(super) async fn undo_all(&mut self, why: Why, done: &mut Done) -> Stop {
        tracing::info!(execution = %self.run.id, "undoing");
        // It goes on whatever is wished.
        self.owned.heeds_wishes = true;
        while let Some(position) = self.next_to_undo(done) {
            if let Err(stop) = self.undo_one(position, &why, done).await {
                return stop;
            }
        }
        let (then, end) = self.undone(&why);
        self.end(Write::only(then), end, done).await
    }

    /// The last recorded step that has an undo and is not undone.
    pub(super) fn next_to_undo(&self, done: &Done) -> Option<usize> {
        let steps = &self.owned.schema.steps;
        let is_left = |position: &usize| {
            let step = &steps[*position];
            step.undo.is_some() && !done.marks.has(&Mark::Undone.of(&step.name))
        };
        #[cfg(feature = "planted")]
        if bugs::is_planted(Bug::UndoneFirstToLast) {
            return (0..done.recorded()).find(is_left);
        }
        (0..done.recorded()).rev().find(is_left)
    }

    fn undone(&self, why: &Why) -> (Then, RunEnd) {
        let retention = self.owned.schema.options.retention;
        match why {
            Why::Failed(failure) => (
                Then::Undone {
                    failure: self.encoded(failure),
                    retention,
                },
                RunEnd::Undone(Box::new(failure.clone())),
            ),
            Why::Cancelled => (Then::Cancel { retention }, RunEnd::Cancelled),
        }
    }

    async fn undo_one(&mut self, position: usize, why: &Why, done: &mut Done) -> Result<(), Stop> {
        let schema = Arc::clone(&self.owned.schema);
        let entry = &schema.steps[position];
        let (Some(undo), Some(output)) = (&entry.undo, done.outputs.at(position)) else {
            return Ok(());
        };
        self.run.enter(&entry.name, self.inner.now());
        self.count_tries_of(i32::try_from(schema.steps.len() + position).unwrap_or(i32::MAX));
        if let Some(by_hand) = settled_by_hand(&entry.name, done) {
            return self.undone_one(position, why, by_hand, done).await;
        }
        loop {
            self.may_undo(done).await?;
            let number = self.attempt_number(done);
            let error = match self.undo_attempt(position, undo, &output, number, done).await {
                AttemptEnd::Attempted(Attempted::Done(_nothing)) => {
                    schema.meters.attempted(position, AttemptOutcome::Undone);
                    return self
                        .undone_one(position, why, Bytes::from_static(b"null"), done)
                        .await;
                }
                AttemptEnd::Attempted(Attempted::Failed(error)) => error,
                AttemptEnd::Attempted(Attempted::Unreadable(why)) => {
                    StepError::stop(format!("its output can not be read: {why}"))
                }
                other => return Err(self.left(position, other, done).await),
            };
            schema.meters.attempted(position, AttemptOutcome::UndoFailed);
            self.undo_failed(&entry.name, undo, number, &error, done).await?;
        }
    }

    async fn undo_attempt(
        &self,
        position: usize,
        undo: &Undo,
        output: &Bytes,
        number: u32,
        done: &Done,
    ) -> AttemptEnd {
        let entry = &self.owned.schema.steps[position];
        let cx = self.bare_context(&entry.name, &format!("{}::@undo", entry.name), number, done);
        let attempt = Attempt {
            inner: self.inner,
            run: self.run,
            body: Arc::clone(&undo.body),
            input: output.clone(),
            timeout: entry.timeout,
            ends_when_cancelled: false,
        };
        let span = tracing::info_span!(
            "undo",
            execution = %self.run.id, schema = %self.owned.schema.name, step = %entry.name, attempt = number,
            generation = self.owned.generation, epoch = self.run.fence().claim.epoch
        );
        let ended = attempt.run(&cx, |_ask| Box::pin(std::future::pending()));
        let ended = ended.instrument(span).await;
        drop(cx.take_enlisted());
        ended
    }

    /// Records that a step is undone, with the end of the run when it was the last.
    async fn undone_one(
        &mut self,
        position: usize,
        why: &Why,
        value: Bytes,
        done: &mut Done,
    ) -> Result<(), Stop> {
        let name = Mark::Undone.of(&self.owned.schema.steps[position].name);
        done.marks.insert(name.clone(), value.clone(), self.inner.now());
        if self.next_to_undo(done).is_some() {
            #[cfg(feature = "planted")]
            if bugs::is_planted(Bug::UndoNotRecorded) {
                return Ok(());
            }
            self.mark(position, name, value, done).await?;
            done.came_on(self.owned.lost);
            return Ok(());
        }
        let checkpoint = match self.marked(position, name, value, done) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Err(self.give_up(position, &error, done).await),
        };
        let (then, end) = self.undone(why);
        Err(self.end(Write::of(checkpoint, then), end, done).await)
    }

    /// An undo failed: wait and go on, put it down, or leave it to a person. Returns only to try again.
    async fn undo_failed(
        &mut self,
        step: &str,
        undo: &Undo,
        attempt: u32,
        error: &StepError,
        done: &Done,
    ) -> Result<(), Stop> {
        let failure = self.failure(step, attempt, error, FailureKind::Temporary);
        match self.after(error, &undo.retry) {
            AfterAttempt::TryAgain(delay) => self.hold_on(delay, done).await,
            AfterAttempt::Wait(delay) => {
                let wish = self.run.cancel_wish();
                Err(self.put_down(delay, failure, None, wish, done).await)
            }
            AfterAttempt::Fail(_) => {
                let wish = self.run.cancel_wish();
                Err(park_as(self.inner, self.run, ParkReason::UndoFailed, failure, wish).await)
            }
        }
    }

    /// Waits until this worker is known to live. An undo goes on whoever wants what.
    async fn may_undo(&self, done: &Done) -> Result<(), Stop> {
        tokio::select! {
            biased;
            () = self.run.lost.cancelled() => Err(RunEnd::Lost.into()),
            () = self.inner.stopped.cancelled() => Err(self.release(done).await),
            () = self.inner.liveness.fresh() => Ok(()),
        }
    }
}

/// What an operator decided last about an undo, when that ends it.
fn settled_by_hand(step: &str, done: &Done) -> Option<Bytes> {
    let last = undo_settlements(step, done);
    let (json, _at) = done.marks.get(&Mark::UndoSettled(last).of(step))?;
    let settled: Settled = serde_json::from_slice(&json).ok()?;
    matches!(settled.settlement, Settlement::UndoDone | Settlement::UndoSkipped).then_some(json)
}
