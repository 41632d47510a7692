//! Was it done? A step that must not run twice: what is recorded before it begins, and who is asked when
//! its answer was lost. Never a guess.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::ends::park_as;
use super::load::Done;
use super::undo::undo_settlements;
use super::{Driver, Stop};
use crate::attempt::{Attempt, AttemptEnd};
#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::context::{Inner as ContextInner, StepContext, TransactionSlot};
use crate::decide::AfterAttempt;
use crate::error::{FailureKind, StepError};
use crate::execution::ParkReason;
use crate::marks::Mark;
use crate::settlement::{Settled, Settlement};
use crate::step::Attempted;
use crate::verified::Verified;

/// What is known of the last attempt that was announced.
enum Known {
    /// Nothing is in doubt: the step may begin.
    NotDone,
    Done(Bytes),
    /// It is not to be done any more.
    Failed(String),
    InDoubt,
}

impl Done {
    /// The last attempt of a step that was announced.
    pub(super) fn last_started(&self, step: &str) -> Option<u32> {
        let started = (1..).take_while(|number| self.marks.has(&Mark::Started(*number).of(step)));
        started.last()
    }

    fn known_of(&self, step: &str) -> Known {
        let Some(number) = self.last_started(step) else {
            return Known::NotDone;
        };
        if self.marks.has(&Mark::NotDone(number).of(step)) {
            return Known::NotDone;
        }
        let settled = self.marks.get(&Mark::Settled(number).of(step));
        let settled = settled.and_then(|(json, _at)| serde_json::from_slice::<Settled>(&json).ok());
        match settled.map(|settled| settled.settlement) {
            Some(Settlement::NotDone) => Known::NotDone,
            Some(Settlement::Done(output)) => Known::Done(output.to_string().into()),
            Some(Settlement::Failed(message)) => Known::Failed(message),
            #[cfg(feature = "planted")]
            _ if bugs::is_planted(Bug::BegunIsNotDone) => Known::NotDone,
            _ => Known::InDoubt,
        }
    }
}

impl Driver<'_> {
    /// Whether nobody knows what the last attempt of the next step did.
    pub(super) fn is_in_doubt(&self, done: &Done) -> bool {
        let next = self.owned.schema.steps.get(done.recorded());
        next.is_some_and(|next| matches!(done.known_of(&next.name), Known::InDoubt))
    }

    /// Finds out what became of an attempt that was announced and has no output. True when the step is
    /// recorded now; false when it may begin.
    pub(super) async fn is_settled(&mut self, position: usize, done: &mut Done) -> Result<bool, Stop> {
        let schema = Arc::clone(&self.owned.schema);
        let name = &schema.steps[position].name;
        match done.known_of(name) {
            Known::NotDone => Ok(false),
            Known::Done(output) => self.record_found(position, output, done).await,
            Known::Failed(message) => {
                let error = StepError::terminal(message).code("settled");
                Err(self.fail_for_good(position, 0, &error, done).await)
            }
            Known::InDoubt => {
                let error = StepError::retry("its owner was lost while it ran, or its answer was");
                self.is_verified(position, &error, done).await
            }
        }
    }

    /// Asks the step's verify what its last attempt did. True when it was done and is recorded now; false
    /// when it was not done. Ends the run, parked as in doubt, when nobody knows.
    pub(super) async fn is_verified(
        &mut self,
        position: usize,
        error: &StepError,
        done: &mut Done,
    ) -> Result<bool, Stop> {
        let schema = Arc::clone(&self.owned.schema);
        let entry = &schema.steps[position];
        let number = done.last_started(&entry.name).unwrap_or(1);
        let Some(verify) = &entry.verify else {
            return Err(self.in_doubt(position, number, error).await);
        };
        loop {
            let cx = self.bare_context(&entry.name, &entry.name, number, done);
            let attempt = Attempt {
                inner: self.inner,
                run: self.run,
                body: Arc::clone(verify),
                input: done.newest(),
                timeout: entry.timeout,
                ends_when_cancelled: false,
            };
            let ended = attempt.run(&cx, |_ask| Box::pin(std::future::pending())).await;
            let failed = match ended {
                AttemptEnd::Attempted(Attempted::Done(found)) => match read(&found) {
                    Ok(Verified::Done(output)) => return self.record_found(position, output, done).await,
                    Ok(Verified::NotDone) => {
                        self.note_not_done(position, done).await?;
                        return Ok(false);
                    }
                    Ok(Verified::Unknown) => return Err(self.in_doubt(position, number, error).await),
                    Err(why) => StepError::stop(why),
                },
                AttemptEnd::Attempted(Attempted::Failed(failed)) => failed,
                other => return Err(self.left(position, other, done).await),
            };
            match self.after(&failed, &entry.retry) {
                AfterAttempt::TryAgain(delay) => self.hold_on(delay, done).await?,
                AfterAttempt::Wait(delay) => {
                    let failure = self.failure(&entry.name, number, &failed, FailureKind::Temporary);
                    return Err(self
                        .put_down(delay, failure, None, self.run.cancel_wish(), done)
                        .await);
                }
                AfterAttempt::Fail(_) => return Err(self.in_doubt(position, number, &failed).await),
            }
        }
    }

    /// Records that the last attempt of a step which is done at most once did nothing.
    pub(super) async fn note_not_done(&self, position: usize, done: &Done) -> Result<(), Stop> {
        match self.not_done_name(position, done) {
            Some(name) => self.mark(position, name, NULL, done).await,
            None => Ok(()),
        }
    }

    /// Records that the step begins.
    pub(super) async fn announce(&mut self, position: usize, done: &Done) -> Result<(), Stop> {
        let name = self.owned.schema.steps[position].name.clone();
        let number = 1 + done.last_started(&name).unwrap_or(0);
        #[cfg(feature = "planted")]
        if bugs::is_planted(Bug::BeginsUnannounced) {
            return Ok(());
        }
        self.mark(position, Mark::Started(number).of(&name), NULL, done)
            .await
    }

    /// Records what an operator has decided, and why, before it is acted upon.
    pub(super) async fn settle(&mut self, settled: Settled, done: &mut Done) -> Result<(), Stop> {
        let position = match &done.undoing {
            Some(_) => self.next_to_undo(done).unwrap_or(0),
            None => done.recorded(),
        };
        let Some(entry) = self.owned.schema.steps.get(position) else {
            return Ok(());
        };
        let mark = if settled.settlement.is_of_undo() {
            Mark::UndoSettled(1 + undo_settlements(&entry.name, done))
        } else {
            Mark::Settled(done.last_started(&entry.name).unwrap_or(1))
        };
        let name = mark.of(&entry.name);
        match serde_json::to_vec(&settled) {
            #[cfg(feature = "planted")]
            Ok(json) if bugs::is_planted(Bug::SettledBeforeStored) => {
                done.marks.insert(name, json.into(), self.inner.now());
                Ok(())
            }
            Ok(json) => self.mark(position, name, json.into(), done).await,
            Err(error) => {
                let message = crate::json::describe(&error);
                Err(self.park(ParkReason::Unreadable, message).await)
            }
        }
    }

    async fn record_found(&mut self, position: usize, output: Bytes, done: &mut Done) -> Result<bool, Stop> {
        let name = self.owned.schema.steps[position].name.clone();
        let number = done.last_started(&name).unwrap_or(1);
        let cx = self.bare_context(&name, &name, number, done);
        match self.record(position, number, output, &cx, done).await? {
            None => Ok(true),
            Some(error) => Err(self.in_doubt(position, number, &error).await),
        }
    }

    async fn in_doubt(&mut self, position: usize, attempt: u32, error: &StepError) -> Stop {
        let name = self.owned.schema.steps[position].name.clone();
        let failure = self.failure(&name, attempt, error, FailureKind::Temporary);
        let wish = self.run.cancel_wish();
        park_as(self.inner, self.run, ParkReason::InDoubt, failure, wish).await
    }

    /// The context of a body that may make no durable calls.
    pub(super) fn bare_context(
        &self,
        step: &str,
        recorded_as: &str,
        attempt: u32,
        done: &Done,
    ) -> StepContext {
        StepContext::new(ContextInner {
            attempt,
            transaction: Mutex::new(TransactionSlot::Empty),
            inherits: false,
            has_inherited: false.into(),
            desk: None,
            ..self.context_parts(done, step.into(), recorded_as.into())
        })
    }
}

fn read(found: &Bytes) -> Result<Verified<Bytes>, String> {
    let raw: Verified<Box<serde_json::value::RawValue>> =
        serde_json::from_slice(found).map_err(|error| crate::json::describe(&error))?;
    Ok(match raw {
        Verified::Done(output) => Verified::Done(output.get().to_owned().into()),
        Verified::NotDone => Verified::NotDone,
        Verified::Unknown => Verified::Unknown,
    })
}

/// The value of a mark that says all by its name.
pub(super) const NULL: Bytes = Bytes::from_static(b"null");
