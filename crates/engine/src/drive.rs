//! How does an execution get from its first step to its outcome? The owner's loop: load, run the
//! next step, record it, go on.
//!
//! Exactly one task per acquired execution runs this loop. It never asks whether it still owns the
//! execution; each write tells.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tracing::Instrument;

use crate::attempt::{AttemptEnd, attempt};
#[cfg(feature = "planted")]
use crate::bugs;
use crate::codec::{Place, Slot};
use crate::context::{Inner as ContextInner, Outputs, StepContext};
use crate::decide::{AfterAttempt, after_attempt, may_go_on};
use crate::error::{Failure, FailureKind, Meaning, StepError, cut};
use crate::execution::{CheckpointRecord, ExecutionRecord, FullKey, ParkReason, Payload, WriteId};
use crate::inner::Inner;
use crate::lookout::on_the_lookout;
use crate::persist::{Pause, Persisted, note, persist};
use crate::random;
use crate::reacquire::reacquire;
use crate::refusal::Asked;
use crate::runs::{LocalRun, RunEnd};
use crate::schema::SchemaCore;
use crate::step::{Attempted, ErasedStep};
use crate::store::{Commit, NewCheckpoint, StoreError, Then, Tries};
use crate::telemetry;

/// An execution in the hands of its owner.
pub(crate) struct Owned {
    pub(crate) schema: Arc<SchemaCore>,
    /// The code of each step; of the plan that the run was born with.
    pub(crate) steps: Vec<Arc<dyn ErasedStep>>,
    pub(crate) key: FullKey,
    pub(crate) generation: i64,
    pub(crate) lost: i32,
    pub(crate) tries: Tries,
    pub(crate) taken_over: bool,
    /// Known for a run that was begun here; otherwise it is loaded.
    pub(crate) input: Option<Bytes>,
}

/// What the run has done so far, decoded.
struct Done {
    input: Bytes,
    outputs: Arc<Outputs>,
    recorded: usize,
    lost_at_checkpoint: i32,
}

/// Why the loop stops.
pub(crate) enum Stop {
    End(RunEnd),
    /// The database server was restarted: acquire anew and load again.
    Restarted,
}

impl From<RunEnd> for Stop {
    fn from(end: RunEnd) -> Self {
        Self::End(end)
    }
}

/// Runs an owned execution to its end, or until the ownership ends.
pub(crate) async fn drive(inner: &Inner, run: &LocalRun, mut owned: Owned) -> RunEnd {
    loop {
        // Acquiring anew changes the fence, so it is no part of what is watched.
        let advanced = {
            let work = pin!(advance(inner, run, &mut owned));
            on_the_lookout(inner, run, work).await
        };
        match advanced {
            Stop::End(end) => return end,
            Stop::Restarted => match Box::pin(reacquire(inner, run)).await {
                Some(record) => owned.reset(&record),
                None => return RunEnd::Lost,
            },
        }
    }
}

/// Loads what is recorded, and does what is left.
async fn advance(inner: &Inner, run: &LocalRun, owned: &mut Owned) -> Stop {
    match progress(inner, run, owned).await {
        Ok(done) => Driver { inner, run, owned }.all_steps(done).await,
        Err(stop) => stop,
    }
}

impl Owned {
    /// After a restart of the database server only what is stored counts.
    fn reset(&mut self, record: &ExecutionRecord) {
        self.input = None;
        self.taken_over = false;
        self.lost = record.lost;
        self.tries = Tries {
            seq: record.tries_seq,
            count: record.tries,
        };
    }
}

/// Loads what is recorded, or takes what is known of a run that begins here.
async fn progress(inner: &Inner, run: &LocalRun, owned: &mut Owned) -> Result<Done, Stop> {
    if let Some(input) = owned.input.take() {
        return Ok(Done {
            input,
            outputs: Arc::default(),
            recorded: 0,
            lost_at_checkpoint: 0,
        });
    }
    let mut pause = Pause::default();
    let mut asked = Asked::new(inner, run.id);
    let loaded = loop {
        #[cfg(feature = "planted")]
        if let Some(early) = bugs::loaded_too_early(run.fence().run) {
            break early;
        }
        match inner.store.load(run.id, run.fence().run).await {
            Ok(Some(loaded)) => break loaded,
            Ok(None) => return Err(RunEnd::Lost.into()),
            Err(error @ (StoreError::Unreadable(_) | StoreError::Rejected(_))) => {
                return Err(park(inner, run, ParkReason::Unreadable, error.to_string()).await);
            }
            Err(error) => asked.failed(&error),
        }
        if !pause.wait(inner, run).await {
            return Err(RunEnd::Lost.into());
        }
    };
    match decode(inner, run, owned, loaded.input, &loaded.checkpoints) {
        Ok(done) => Ok(done),
        Err(why) => Err(park(inner, run, ParkReason::Unreadable, why).await),
    }
}

fn decode(
    inner: &Inner,
    run: &LocalRun,
    owned: &Owned,
    input: Payload,
    checkpoints: &[CheckpointRecord],
) -> Result<Done, String> {
    let place = |slot| Place {
        run: run.fence().run,
        slot,
    };
    let input = inner
        .codecs
        .decode(&input, &place(Slot::Input))
        .map_err(|why| format!("the input can not be read: {why}"))?;
    let mut outputs = Outputs::default();
    for (entry, checkpoint) in owned.schema.steps.iter().zip(checkpoints) {
        if entry.name != checkpoint.step {
            return Err(format!(
                "`{}` is recorded where the plan has `{}`",
                checkpoint.step, entry.name
            ));
        }
        let output = inner
            .codecs
            .decode(&checkpoint.output, &place(Slot::Output(&entry.name)))
            .map_err(|why| format!("the output of `{}` can not be read: {why}", entry.name))?;
        outputs.push(entry.name.clone(), entry.function, output);
    }
    if checkpoints.len() > owned.schema.steps.len() {
        return Err("more steps are recorded than the plan has".to_owned());
    }
    Ok(Done {
        input,
        outputs: Arc::new(outputs),
        recorded: checkpoints.len(),
        lost_at_checkpoint: checkpoints.last().map_or(0, |last| last.lost),
    })
}

/// Parks the execution: visible, and waiting for a person or a deploy. Boxed, as all that is done
/// seldom, so that a run that goes well does not hold the room for it.
pub(crate) fn park<'a>(
    inner: &'a Inner,
    run: &'a LocalRun,
    reason: ParkReason,
    message: String,
) -> BoxFuture<'a, Stop> {
    Box::pin(park_now(inner, run, reason, message))
}

async fn park_now(inner: &Inner, run: &LocalRun, reason: ParkReason, message: String) -> Stop {
    tracing::warn!(execution = %run.id, reason = reason.as_str(), "parked");
    let (step, _since) = run.at();
    let failure = Failure {
        step: step.unwrap_or_default(),
        attempt: 0,
        kind: FailureKind::Temporary,
        code: Some(reason.as_str().to_owned()),
        message: cut(message, inner.limits.message_bytes),
    };
    let then = Then::Park {
        reason,
        failure: inner.encode_failure(run.fence().run, &failure),
    };
    match persist(inner, run, None, then, None).await {
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

struct Driver<'a> {
    inner: &'a Inner,
    run: &'a LocalRun,
    owned: &'a mut Owned,
}

impl Driver<'_> {
    async fn all_steps(&mut self, mut done: Done) -> Stop {
        let limit = self.inner.limits.lost_owners;
        if self.owned.taken_over && !may_go_on(count(self.owned.lost), count(done.lost_at_checkpoint), limit)
        {
            let message = format!("the owner was lost {limit} times without a new checkpoint");
            return park(self.inner, self.run, ParkReason::LostTooOften, message).await;
        }
        for position in done.recorded..self.owned.schema.steps.len() {
            if let Err(stop) = self.one_step(position, &mut done).await {
                return stop;
            }
        }
        match done.outputs.last() {
            Some(output) => RunEnd::Succeeded(output.clone()).into(),
            None => RunEnd::Lost.into(),
        }
    }

    /// Runs a step until it is recorded, or until the run ends.
    async fn one_step(&mut self, position: usize, done: &mut Done) -> Result<(), Stop> {
        let name = self.owned.schema.steps[position].name.clone();
        self.run.enter(&name, self.inner.now());
        let seq = i32::try_from(position).unwrap_or(i32::MAX);
        if self.owned.tries.seq != seq {
            self.owned.tries = Tries { seq, count: 0 };
        }
        loop {
            self.may_start().await?;
            let number = 1 + count(self.owned.tries.count) + count(self.owned.lost - done.lost_at_checkpoint);
            let cx = self.context(&name, number, done);
            let input = done.outputs.last().unwrap_or(&done.input).clone();
            let span = tracing::info_span!(
                "step",
                execution = %self.run.id, schema = %self.owned.schema.name, step = %name, attempt = number,
                generation = self.owned.generation, epoch = self.run.fence().claim.epoch
            );
            let body = Arc::clone(&self.owned.steps[position]);
            let ended = attempt(self.inner, self.run, body, cx.clone(), input)
                .instrument(span)
                .await;
            if !matches!(ended, AttemptEnd::Attempted(Attempted::Done(_))) {
                // Before anything is written: where there is one writer, it is the transaction's.
                drop(cx.take_enlisted());
            }
            let error = match ended {
                AttemptEnd::Lost => return Err(RunEnd::Lost.into()),
                AttemptEnd::Stopped => return Err(self.release().await),
                AttemptEnd::Attempted(Attempted::Done(output)) => {
                    match self.record(position, number, output, &cx, done).await? {
                        None => {
                            telemetry::attempted(&self.owned.schema.name, &name, "recorded");
                            return Ok(());
                        }
                        Some(error) => error,
                    }
                }
                AttemptEnd::Attempted(Attempted::Unreadable(why)) => {
                    let what = if position == 0 {
                        "the input"
                    } else {
                        "the output of the step before"
                    };
                    let message = format!("{what} can not be read by the step `{name}`: {why}");
                    return Err(park(self.inner, self.run, ParkReason::Unreadable, message).await);
                }
                AttemptEnd::Attempted(Attempted::Failed(error)) => error,
            };
            drop(cx.take_enlisted());
            telemetry::attempted(&self.owned.schema.name, &name, "failed");
            Box::pin(self.failed(position, number, &error)).await?;
        }
    }

    /// Waits until this worker is known to live. Beats may never come back when the process stops.
    async fn may_start(&self) -> Result<(), Stop> {
        tokio::select! {
            biased;
            () = self.run.lost.cancelled() => Err(RunEnd::Lost.into()),
            () = self.inner.stopped.cancelled() => Err(self.release().await),
            () = self.inner.liveness.fresh() => Ok(()),
        }
    }

    fn context(&self, step: &str, attempt: u32, done: &Done) -> StepContext {
        StepContext::new(ContextInner {
            key: self.owned.key.clone(),
            step: step.to_owned(),
            attempt,
            generation: self.owned.generation,
            fence: self.run.fence(),
            worker: self.run.worker,
            input: done.input.clone(),
            outputs: Arc::clone(&done.outputs),
            resources: Arc::clone(&self.inner.resources),
            instance: self.inner.info.instance,
            transaction: Mutex::default(),
        })
    }

    /// Records an output, merged with the finish when it is the last. An error means that the
    /// attempt has failed after all.
    async fn record(
        &mut self,
        position: usize,
        attempt: u32,
        output: Bytes,
        cx: &StepContext,
        done: &mut Done,
    ) -> Result<Option<StepError>, Stop> {
        let schema = Arc::clone(&self.owned.schema);
        let entry = &schema.steps[position];
        let limit = self.inner.limits.payload_bytes;
        if output.len() > limit {
            let size = output.len();
            let error = StepError::stop(format!("the output has {size} bytes, the limit is {limit}"));
            return Ok(Some(error.code("output_too_large")));
        }
        let place = Place {
            run: self.run.fence().run,
            slot: Slot::Output(&entry.name),
        };
        let encoded = match self.inner.codecs.encode(output.clone(), &place) {
            Ok(encoded) => encoded,
            Err(why) => {
                return Ok(Some(StepError::stop(format!(
                    "the codec refused the output: {why}"
                ))));
            }
        };
        let checkpoint = NewCheckpoint {
            step: entry.name.clone(),
            seq: i32::try_from(position).unwrap_or(i32::MAX),
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            lost: self.owned.lost,
            output: encoded,
        };
        let last = position + 1 == schema.steps.len();
        let then = if last {
            Then::Succeed {
                output_step: entry.name.clone(),
                retention: schema.retention,
            }
        } else {
            Then::Continue
        };
        let asked = self.inner.clock.elapsed();
        match persist(self.inner, self.run, Some(checkpoint), then, cx.take_enlisted()).await {
            Persisted::Written => {
                if last {
                    let LocalRun { id, key, hash, .. } = self.run;
                    let time = (asked, schema.retention);
                    self.inner.outcomes.keep(*id, key, *hash, &output, time);
                }
                Arc::make_mut(&mut done.outputs).push(entry.name.clone(), entry.function, output);
                done.recorded += 1;
                done.lost_at_checkpoint = self.owned.lost;
                Ok(None)
            }
            Persisted::Fenced => Err(self.fenced()),
            Persisted::Stopped => Err(self.release().await),
            Persisted::Restarted => Err(Stop::Restarted),
            Persisted::Rejected(why) => Ok(Some(StepError::stop(format!(
                "the store refused the output: {why}"
            )))),
            Persisted::RolledBack(why) => Ok(Some(StepError::retry(format!(
                "the step's transaction was rolled back: {why}"
            )))),
        }
    }

    /// An attempt failed: wait and go on, or end the run. Returns only to try again.
    async fn failed(&mut self, position: usize, attempt: u32, error: &StepError) -> Result<(), Stop> {
        let schema = Arc::clone(&self.owned.schema);
        let entry = &schema.steps[position];
        self.owned.tries.count += 1;
        let tries = count(self.owned.tries.count);
        let after = after_attempt(error.meaning(), tries, &entry.retry, random::fraction());
        let kind = match (after, error.meaning()) {
            (AfterAttempt::Fail(kind), _) => kind,
            (_, Meaning::Terminal) => FailureKind::Terminal,
            _ => FailureKind::Temporary,
        };
        let failure = Failure {
            step: entry.name.clone(),
            attempt,
            kind,
            code: error.code_text().map(str::to_owned),
            message: error.message(self.inner.limits.message_bytes),
        };
        tracing::info!(
            execution = %self.run.id, step = %entry.name, attempt, code = error.code_text(), after = ?after,
            "attempt failed"
        );
        match after {
            AfterAttempt::TryAgain(delay) => self.hold(delay).await,
            AfterAttempt::Wait(delay) => Err(self.put_down(delay, failure).await),
            AfterAttempt::Fail(_) => Err(self.fail(failure).await),
        }
    }

    /// Waits as the owner.
    async fn hold(&self, delay: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = self.inner.clock.sleep(delay) => Ok(()),
            () = self.run.lost.cancelled() => Err(RunEnd::Lost.into()),
            () = self.inner.stopped.cancelled() => Err(self.release().await),
        }
    }

    async fn put_down(&self, delay: Duration, failure: Failure) -> Stop {
        let then = Then::Wait {
            delay,
            failure: self.encoded(&failure),
            tries: self.owned.tries,
        };
        let stop = self
            .end(
                then,
                RunEnd::Waiting {
                    failure: Some(failure),
                    due_in: delay,
                },
            )
            .await;
        self.inner.wake_after(delay);
        stop
    }

    async fn fail(&self, failure: Failure) -> Stop {
        let then = Then::Fail {
            failure: self.encoded(&failure),
            tries: self.owned.tries,
            retention: self.owned.schema.retention,
        };
        self.end(then, RunEnd::Failed(failure)).await
    }

    /// Hands the key back; nothing is used up.
    async fn release(&self) -> Stop {
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
            };
            match self.inner.store.commit(commit).await {
                Ok(_verdict) => break,
                Err(error) => note(&error),
            }
            pause.pass().await;
        }
        RunEnd::Released.into()
    }

    async fn end(&self, then: Then, end: RunEnd) -> Stop {
        match persist(self.inner, self.run, None, then, None).await {
            Persisted::Written => end.into(),
            Persisted::Fenced => self.fenced(),
            Persisted::Stopped => self.release().await,
            Persisted::Restarted => Stop::Restarted,
            Persisted::Rejected(why) | Persisted::RolledBack(why) => {
                park(self.inner, self.run, ParkReason::Unreadable, why).await
            }
        }
    }

    fn fenced(&self) -> Stop {
        tracing::warn!(execution = %self.run.id, epoch = self.run.fence().claim.epoch, "fenced: somebody else owns it now");
        telemetry::fenced(&self.owned.schema.name);
        RunEnd::Lost.into()
    }

    /// A failure as stored. One that the codec refuses is stored without its text.
    fn encoded(&self, failure: &Failure) -> Payload {
        let run = self.run.fence().run;
        self.inner
            .encode_failure(run, failure)
            .unwrap_or_else(|| Inner::bare_failure(failure))
    }
}

/// How often a process that is leaving tries to hand one execution back.
const RELEASE_SENDS: u32 = 4;

fn count(stored: i32) -> u32 {
    u32::try_from(stored).unwrap_or(0)
}
