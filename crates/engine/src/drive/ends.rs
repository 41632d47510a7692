//! How does an attempt or a run end without an output? A failure that is tried again, waited for or
//! final; a wait; a cancel; a hand-over; parked for a person.

use std::sync::Arc;
use std::time::Duration;

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

/// Parks the execution: visible, and waiting for a person or a deploy.
pub(crate) async fn park(inner: &Inner, run: &LocalRun, reason: ParkReason, message: String) -> Stop {
    let (step, _since) = run.at();
    let failure = Failure {
        step: step.unwrap_or_default(),
        attempt: 0,
        kind: FailureKind::Temporary,
        code: Some(reason.as_str().to_owned()),
        message: cut(message, inner.limits.message_bytes),
    };
    park_as(inner, run, reason, failure).await
}

/// Parks the execution with this failure.
pub(super) async fn park_as(inner: &Inner, run: &LocalRun, reason: ParkReason, failure: Failure) -> Stop {
    tracing::warn!(execution = %run.id, reason = reason.as_str(), "parked");
    let then = Then::Park {
        reason,
        failure: inner.encode_failure(run.fence().run, &failure),
    };
    match persist(inner, run, Write::only(then)).await {
        Persisted::Written => Stop::End(RunEnd::Parked {
            reason,
            failure: Some(failure),
        }),
        Persisted::Restarted => Stop::Restarted,
        Persisted::Fenced | Persisted::Stopped | Persisted::Rejected(_) | Persisted::RolledBack(_) => {
            Stop::End(RunEnd::Lost)
        }
    }
}

impl Driver<'_> {
    /// What the end of an attempt means that is neither an output nor a failure of it.
    pub(super) async fn left(&mut self, position: usize, end: AttemptEnd, done: &Done) -> Stop {
        match end {
            AttemptEnd::Stopped => self.release().await,
            AttemptEnd::Cancelled => self.cancelled_inside(position, done).await,
            AttemptEnd::Wait(wait) => self.wait(position, wait).await,
            AttemptEnd::Stop(stop) => stop,
            AttemptEnd::Attempted(Attempted::Unreadable(why)) => {
                let what = if position == 0 {
                    "the input"
                } else {
                    "the output of the step before"
                };
                let name = &self.owned.schema.steps[position].name;
                let message = format!("{what} can not be read by the step `{name}`: {why}");
                park(self.inner, self.run, ParkReason::Unreadable, message).await
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
        done: &Done,
    ) -> Result<(), Stop> {
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
                if entry.effect == Effect::AtMostOnce {
                    done.note_not_done(&entry.name, self.inner.now());
                }
                self.hold(delay).await
            }
            AfterAttempt::Wait(delay) => {
                let delay = self.time_left().map_or(delay, |left| delay.min(left));
                let mark = self.not_done_mark(position, done);
                Err(self.put_down(delay, failure, mark).await)
            }
            AfterAttempt::Fail(FailureKind::Terminal) => {
                Err(self.fail_for_good(position, attempt, error, done).await)
            }
            AfterAttempt::Fail(_) => {
                let mark = self.not_done_mark(position, done);
                Err(self.fail(failure, mark).await)
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
        done: &Done,
    ) -> Stop {
        let name = self
            .owned
            .schema
            .steps
            .get(position)
            .map_or("", |step| step.name.as_str());
        let failure = self.failure(name, attempt, error, FailureKind::Terminal);
        let undoes = self.owned.schema.steps[..done.recorded]
            .iter()
            .any(|step| step.undo.is_some());
        if undoes {
            Box::pin(self.begin_undo(Why::Failed(failure), done)).await
        } else {
            self.fail(failure, None).await
        }
    }

    /// What the codec or the store can not hold has no other way to end.
    pub(super) async fn give_up(&self, position: usize, error: &StepError) -> Stop {
        let name = self.owned.schema.steps[position].name.clone();
        let failure = self.failure(&name, 0, error, FailureKind::Exhausted);
        self.fail(failure, None).await
    }

    /// Somebody wants the run cancelled, and no step is under way.
    pub(super) async fn cancel(&mut self, done: &Done) -> Stop {
        cancel_children(self.inner, self.run).await;
        if self.run.cancel_wish() == Some(CancelWish::Undo) {
            return Box::pin(self.begin_undo(Why::Cancelled, done)).await;
        }
        let then = Then::Cancel {
            retention: self.owned.schema.options.retention,
        };
        self.end(Write::only(then), RunEnd::Cancelled).await
    }

    /// The body was dropped. Nobody knows what it did: where that matters, it has to be known first.
    async fn cancelled_inside(&mut self, position: usize, done: &Done) -> Stop {
        if self.owned.schema.steps[position].effect == Effect::AtMostOnce {
            let message = "it was cancelled while it ran".to_owned();
            return park(self.inner, self.run, ParkReason::InDoubt, message).await;
        }
        self.cancel(done).await
    }

    /// Waits as the owner.
    pub(super) async fn hold(&self, delay: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = self.inner.clock.sleep(delay) => Ok(()),
            () = self.run.lost.cancelled() => Err(RunEnd::Lost.into()),
            () = self.run.cancelled.cancelled() => Ok(()),
            () = self.inner.stopped.cancelled() => Err(self.release().await),
        }
    }

    /// Puts the execution down until the next try.
    pub(super) async fn put_down(
        &self,
        delay: Duration,
        failure: Failure,
        checkpoint: Option<NewCheckpoint>,
    ) -> Stop {
        let then = Then::Wait {
            delay: Some(delay),
            reason: WaitReason::Retry,
            failure: Some(self.encoded(&failure)),
            tries: self.owned.tries,
            signals: None,
        };
        let end = RunEnd::Waiting {
            failure: Some(failure),
            due_in: Some(delay),
            reason: WaitReason::Retry,
        };
        self.end(
            Write {
                checkpoint,
                ..Write::only(then)
            },
            end,
        )
        .await
    }

    /// Puts the execution down because its step waits for something.
    async fn wait(&mut self, position: usize, wait: Wait) -> Stop {
        let Wait {
            mark,
            delay,
            reason,
            signals,
            called,
        } = wait;
        let checkpoint = match mark
            .map(|(name, value)| self.marked(position, name, value))
            .transpose()
        {
            Ok(checkpoint) => checkpoint,
            Err(error) => return self.give_up(position, &error).await,
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

    pub(super) async fn fail(&self, failure: Failure, checkpoint: Option<NewCheckpoint>) -> Stop {
        let then = Then::Fail {
            failure: self.encoded(&failure),
            tries: self.owned.tries,
            retention: self.owned.schema.options.retention,
        };
        self.end(
            Write {
                checkpoint,
                ..Write::only(then)
            },
            RunEnd::Failed(failure),
        )
        .await
    }

    /// Hands the key back; nothing is used up.
    pub(super) async fn release(&self) -> Stop {
        // A few sends only: the process is leaving, and the sweep of another finds the rest.
        let write_id = WriteId::fresh();
        let mut pause = Pause::default();
        for _send in 0..RELEASE_SENDS {
            let commit = Commit {
                fence: self.run.fence(),
                write_id,
                worker: self.run.worker,
                checkpoint: None,
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
    pub(super) async fn end(&self, write: Write, end: RunEnd) -> Stop {
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
            other => self.not_written(other).await,
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
        let entry = &self.owned.schema.steps[position];
        if entry.effect != Effect::AtMostOnce {
            return None;
        }
        let number = done.last_started(&entry.name)?;
        let name = Mark::NotDone(number).of(&entry.name);
        self.marked(position, name, "null".into()).ok()
    }
}

fn kind_of(after: AfterAttempt, error: &StepError) -> FailureKind {
    match (after, error.meaning()) {
        (AfterAttempt::Fail(kind), _) => kind,
        (_, Meaning::Terminal) => FailureKind::Terminal,
        _ => FailureKind::Temporary,
    }
}

/// How often a process that is leaving tries to hand one execution back.
const RELEASE_SENDS: u32 = 4;
