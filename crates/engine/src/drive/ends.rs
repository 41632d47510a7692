//! How does an attempt or a run end without an output? A failure that is tried again, waited for or
//! final; a wait; a cancel; a hand-over; parked for a person.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::doubt::NULL;
use super::load::Done;
use super::undo::Why;
use super::{Driver, Stop, count};
use crate::asks::Wait;
use crate::attempt::AttemptEnd;
use crate::callers::look_after_called;
use crate::cancel::cancel_children;
use crate::decide::{AfterAttempt, after_attempt};
use crate::error::{Failure, FailureKind, Meaning, StepError, cut};
use crate::execution::{CancelWish, ParkReason, Payload, WaitReason, WriteId};
use crate::inner::Inner;
use crate::marks::Mark;
use crate::persist::{Pause, Persisted, Write, note, persist};
use crate::plan::Effect;
use crate::random;
use crate::retry::Retry;
use crate::runs::{LocalRun, RunEnd};
use crate::step::Attempted;
use crate::store::{Commit, NewCheckpoint, Then};
use crate::telemetry;

/// Parks the execution: visible, and waiting for a person or a deploy, in spite of this wish to cancel it;
/// under any other it is due at once. Boxed, as all that is done seldom, so that a run that goes well does
/// not hold the room for it.
pub(crate) fn park<'a>(
    inner: &'a Inner,
    run: &'a LocalRun,
    reason: ParkReason,
    message: String,
    wish: Option<CancelWish>,
) -> BoxFuture<'a, Stop> {
    let (step, _since) = run.at();
    let failure = Failure {
        step: step.unwrap_or_default(),
        attempt: 0,
        kind: FailureKind::Temporary,
        code: Some(reason.as_str().to_owned()),
        message: cut(message, inner.limits.message_bytes),
    };
    Box::pin(park_as(inner, run, reason, failure, wish))
}

/// Parks the execution with this failure.
pub(super) async fn park_as(
    inner: &Inner,
    run: &LocalRun,
    reason: ParkReason,
    failure: Failure,
    wish: Option<CancelWish>,
) -> Stop {
    tracing::warn!(execution = %run.id, reason = reason.as_str(), "parked");
    let then = Then::Park {
        reason,
        failure: inner.encode_failure(run.fence().run, &failure),
        wish,
    };
    match persist(inner, run, Write::only(then)).await {
        Persisted::Written => {
            // A wish may have come while it was put down.
            inner.sweep.notify_one();
            Stop::End(RunEnd::Parked {
                reason,
                failure: Some(Box::new(failure)),
            })
        }
        Persisted::Restarted => Stop::Restarted,
        Persisted::Fenced
        | Persisted::Stopped
        | Persisted::Rejected(_)
        | Persisted::RolledBack(_)
        | Persisted::Wished => Stop::End(RunEnd::Lost),
    }
}

impl Driver<'_> {
    /// Parks the run in spite of the wish on which it acts, if any.
    pub(super) async fn park(&self, reason: ParkReason, message: String) -> Stop {
        let wish = self.run.cancel_wish().filter(|_wish| self.owned.heeds_wishes);
        park(self.inner, self.run, reason, message, wish).await
    }

    /// What the end of an attempt means that is neither an output nor a failure of it.
    pub(super) async fn left(&mut self, position: usize, end: AttemptEnd, done: &mut Done) -> Stop {
        match end {
            AttemptEnd::Stopped => self.release(done).await,
            AttemptEnd::Wait(wait) => self.wait(position, wait, done).await,
            AttemptEnd::Stop(stop) => stop,
            AttemptEnd::Attempted(Attempted::Unreadable(why)) => {
                let what = if position == 0 {
                    "the input"
                } else {
                    "the output of the step before"
                };
                let name = &self.owned.schema.steps[position].name;
                let message = format!("{what} can not be read by the step `{name}`: {why}");
                self.park(ParkReason::Unreadable, message).await
            }
            AttemptEnd::Lost | AttemptEnd::Attempted(_) => RunEnd::Lost.into(),
        }
    }

    /// An attempt failed: wait and go on, or end the run. Returns only to try again.
    pub(super) async fn failed(
        &mut self,
        position: usize,
        attempt: u32,
        error: &StepError,
        done: &mut Done,
    ) -> Result<(), Stop> {
        if !error.is_terminal()
            && let Some(over) = self.over()
        {
            self.note_not_done(position, done).await?;
            return Err(self.end_over(over, done).await);
        }
        let schema = Arc::clone(&self.owned.schema);
        let entry = &schema.steps[position];
        let after = self.after(error, &entry.retry);
        let failure = self.failure(&entry.name, attempt, error, kind_of(after, error));
        tracing::info!(
            execution = %self.run.id, step = %entry.name, attempt, code = error.code_text(), after = ?after,
            "attempt failed"
        );
        match after {
            AfterAttempt::TryAgain(delay) => {
                self.note_not_done(position, done).await?;
                self.hold(delay, done).await
            }
            AfterAttempt::Wait(delay) => {
                let delay = self.time_left().map_or(delay, |left| delay.min(left));
                let mark = self.not_done_mark(position, done);
                Err(self.put_down(delay, failure, mark, None, done).await)
            }
            AfterAttempt::Fail(FailureKind::Terminal) => {
                Err(self.fail_for_good(position, attempt, error, done).await)
            }
            AfterAttempt::Fail(_) => {
                let mark = self.not_done_mark(position, done);
                Err(self.fail(failure, mark, done).await)
            }
        }
    }

    /// Whether the run ends before another attempt, and how.
    pub(super) fn over(&self) -> Option<Over> {
        if self.run.cancel_wish().is_some() {
            return Some(Over::Cancelled);
        }
        let left = self.time_left();
        left.is_some_and(|left| left.is_zero()).then_some(Over::Late)
    }

    pub(super) async fn end_over(&mut self, over: Over, done: &mut Done) -> Stop {
        // Before anything is written: where there is one writer, it is the transaction's.
        drop(done.take_transaction());
        match over {
            Over::Cancelled => Box::pin(self.cancel(done)).await,
            Over::Late => {
                let error =
                    StepError::terminal("the deadline of the execution is over").code("deadline_exceeded");
                Box::pin(self.fail_for_good(done.recorded(), 0, &error, done)).await
            }
        }
    }

    /// Counts a failed attempt, and decides what comes after it.
    pub(super) fn after(&mut self, error: &StepError, retry: &Retry) -> AfterAttempt {
        self.owned.tries.count += 1;
        let tries = count(self.owned.tries.count);
        after_attempt(error.meaning(), tries, retry, random::fraction())
    }

    pub(super) fn failure(&self, step: &str, attempt: u32, error: &StepError, kind: FailureKind) -> Failure {
        Failure {
            step: step.to_owned(),
            attempt,
            kind,
            code: error.code_text().map(str::to_owned),
            message: error.message(self.inner.limits.message_bytes),
        }
    }

    /// The run fails, and no later call resumes it: what can be undone is undone first.
    pub(super) async fn fail_for_good(
        &mut self,
        position: usize,
        attempt: u32,
        error: &StepError,
        done: &mut Done,
    ) -> Stop {
        let name = self
            .owned
            .schema
            .steps
            .get(position)
            .map_or("", |step| &*step.name);
        let failure = self.failure(name, attempt, error, FailureKind::Terminal);
        if self.next_to_undo(done).is_some() {
            return Box::pin(self.begin_undo(Why::Failed(failure), done)).await;
        }
        let known = error.is_of_known_effect().then_some(position);
        let mark = known.and_then(|position| self.not_done_mark(position, done));
        self.fail(failure, mark, done).await
    }

    /// What the codec or the store can not hold has no other way to end.
    pub(super) async fn give_up(&self, position: usize, error: &StepError, done: &Done) -> Stop {
        let name = self.owned.schema.steps[position].name.clone();
        let failure = self.failure(&name, 0, error, FailureKind::Exhausted);
        self.fail(failure, None, done).await
    }

    /// Somebody wants the run cancelled, and no step is under way.
    pub(super) async fn cancel(&mut self, done: &mut Done) -> Stop {
        self.owned.heeds_wishes = true;
        cancel_children(self.inner, self.run).await;
        let undoes = self.run.cancel_wish() == Some(CancelWish::Undo);
        if undoes && self.next_to_undo(done).is_some() {
            return Box::pin(self.begin_undo(Why::Cancelled, done)).await;
        }
        let then = Then::Cancel {
            retention: self.owned.schema.options.retention,
        };
        self.end(Write::only(then), RunEnd::Cancelled, done).await
    }

    /// Waits as the owner, until it is to be cancelled at the longest.
    async fn hold(&self, delay: Duration, done: &Done) -> Result<(), Stop> {
        tokio::select! {
            held = self.hold_on(delay, done) => held,
            () = self.run.cancelled.cancelled() => Ok(()),
        }
    }

    /// Waits as the owner, whoever wants it cancelled.
    pub(super) async fn hold_on(&self, delay: Duration, done: &Done) -> Result<(), Stop> {
        tokio::select! {
            () = self.inner.clock.sleep(delay) => Ok(()),
            () = self.run.lost.cancelled() => Err(RunEnd::Lost.into()),
            () = self.inner.stopped.cancelled() => Err(self.release(done).await),
        }
    }

    /// Puts the execution down until the next try. It acts on this wish to cancel it already, if any.
    pub(super) async fn put_down(
        &self,
        delay: Duration,
        failure: Failure,
        checkpoint: Option<NewCheckpoint>,
        wish: Option<CancelWish>,
        done: &Done,
    ) -> Stop {
        let then = Then::Wait {
            delay: Some(delay),
            reason: WaitReason::Retry,
            failure: Some(self.encoded(&failure)),
            tries: self.owned.tries,
            signals: None,
            wish,
        };
        let end = RunEnd::Waiting {
            failure: Some(Box::new(failure)),
            due_in: Some(delay),
            reason: WaitReason::Retry,
        };
        self.end(
            Write {
                checkpoint,
                ..Write::only(then)
            },
            end,
            done,
        )
        .await
    }

    /// Puts the execution down because its step waits for something.
    async fn wait(&mut self, position: usize, wait: Wait, done: &Done) -> Stop {
        let Wait {
            mark,
            delay,
            reason,
            signals,
            called,
        } = wait;
        let checkpoint = match mark
            .map(|(name, value)| self.marked(position, name, value, done))
            .transpose()
        {
            Ok(checkpoint) => checkpoint,
            Err(error) => return self.give_up(position, &error, done).await,
        };
        let delay = match (delay, self.time_left()) {
            (Some(delay), Some(left)) => Some(delay.min(left)),
            (delay, left) => delay.or(left),
        };
        let then = Then::Wait {
            delay,
            reason,
            failure: None,
            tries: self.owned.tries,
            signals,
            wish: None,
        };
        let end = RunEnd::Waiting {
            failure: None,
            due_in: delay,
            reason,
        };
        let stop = self
            .end(
                Write {
                    checkpoint,
                    ..Write::only(then)
                },
                end,
                done,
            )
            .await;
        if let Some(called) = called {
            look_after_called(self.inner, self.run.id, called);
        }
        if signals.is_some() {
            // A signal may have come while it was put down.
            self.inner.sweep.notify_one();
        }
        stop
    }

    pub(super) async fn fail(
        &self,
        failure: Failure,
        checkpoint: Option<NewCheckpoint>,
        done: &Done,
    ) -> Stop {
        let then = Then::Fail {
            failure: self.encoded(&failure),
            tries: self.owned.tries,
            retention: self.owned.schema.options.retention,
            yields: failure.kind == FailureKind::Exhausted && !self.owned.heeds_wishes,
        };
        self.end(
            Write {
                checkpoint,
                ..Write::only(then)
            },
            RunEnd::Failed(Box::new(failure)),
            done,
        )
        .await
    }

    /// Hands a run back from which somebody would go on, because another one wants it cancelled: whoever
    /// takes it up knows of that, and all who wait for it look again.
    async fn yields(&self, checkpoint: Option<NewCheckpoint>, done: &Done) -> Stop {
        let write = Write {
            checkpoint,
            ..Write::only(Then::Release)
        };
        match persist(self.inner, self.run, write).await {
            Persisted::Written => {
                self.inner.sweep.notify_one();
                RunEnd::Lost.into()
            }
            other => self.not_written(other, done).await,
        }
    }

    /// Hands the key back; nothing is used up.
    pub(super) async fn release(&self, done: &Done) -> Stop {
        let checkpoint = self.alighted(done);
        // A few sends only: the process is leaving, and the sweep of another finds the rest.
        let write_id = WriteId::fresh();
        let mut pause = Pause::default();
        for _send in 0..RELEASE_SENDS {
            let commit = Commit {
                fence: self.run.fence(),
                write_id,
                worker: self.run.worker,
                checkpoint: checkpoint.clone(),
                then: Then::Release,
                enlisted: None,
                messages: Vec::new(),
            };
            match self.inner.store.commit(commit).await {
                Ok(_verdict) => break,
                Err(error) => note(&error),
            }
            pause.pass().await;
        }
        RunEnd::Released.into()
    }

    /// Writes what ends the ownership.
    pub(super) async fn end(&self, mut write: Write, end: RunEnd, done: &Done) -> Stop {
        write.checkpoint = write.checkpoint.or_else(|| self.alighted(done));
        let checkpoint = write.checkpoint.clone();
        match persist(self.inner, self.run, write).await {
            Persisted::Written => {
                if let RunEnd::Waiting {
                    due_in: Some(due_in), ..
                } = end
                {
                    self.inner.wake_after(due_in);
                }
                end.into()
            }
            Persisted::Wished => Box::pin(self.yields(checkpoint, done)).await,
            other => self.not_written(other, done).await,
        }
    }

    pub(super) fn fenced(&self) -> Stop {
        tracing::warn!(execution = %self.run.id, epoch = self.run.fence().claim.epoch, "fenced: somebody else owns it now");
        telemetry::fenced(&self.owned.schema.name);
        RunEnd::Lost.into()
    }

    /// A failure as stored. One that the codec refuses is stored without its text.
    pub(super) fn encoded(&self, failure: &Failure) -> Payload {
        let run = self.run.fence().run;
        self.inner
            .encode_failure(run, failure)
            .unwrap_or_else(|| Inner::bare_failure(failure))
    }

    /// That the last attempt of a step which is done at most once did nothing.
    fn not_done_mark(&self, position: usize, done: &Done) -> Option<NewCheckpoint> {
        let name = self.not_done_name(position, done)?;
        self.marked(position, name, NULL, done).ok()
    }

    /// Under which name that is recorded, if it is not known already.
    pub(super) fn not_done_name(&self, position: usize, done: &Done) -> Option<String> {
        let entry = self.owned.schema.steps.get(position)?;
        let careful = entry.effect == Effect::AtMostOnce;
        let number = careful.then(|| done.last_started(&entry.name))??;
        let name = Mark::NotDone(number).of(&entry.name);
        (!done.marks.has(&name)).then_some(name)
    }
}

fn kind_of(after: AfterAttempt, error: &StepError) -> FailureKind {
    match (after, error.meaning()) {
        (AfterAttempt::Fail(kind), _) => kind,
        (_, Meaning::Terminal) => FailureKind::Terminal,
        _ => FailureKind::Temporary,
    }
}

/// Why a run ends although no attempt of a step says so.
pub(super) enum Over {
    Cancelled,
    /// The deadline of the execution.
    Late,
}

/// How often a process that is leaving tries to hand one execution back.
const RELEASE_SENDS: u32 = 4;
