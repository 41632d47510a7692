//! How does an execution get from its first step to its outcome? The owner's loop: load, run the
//! next step, record it, go on.
//!
//! Exactly one task per acquired execution runs this loop. It never asks whether it still owns the
//! execution; each write tells.
//!
//! - `load`: what is recorded, decoded
//! - `record`: an output becomes a checkpoint
//! - `serve`: what a body asks for while it runs
//! - `doubt`: a step that must not run twice
//! - `undo`: back, step by step
//! - `ends`: every way in which an attempt or a run ends without an output
//!
//! What is rare is boxed where it is called: with thousands in flight the size of this future is most of
//! what each costs.

mod doubt;
mod ends;
mod load;
mod record;
mod serve;
mod undo;

use std::pin::pin;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tracing::Instrument;

pub(crate) use self::ends::park;
pub(crate) use self::load::check_readable;
use self::load::{Done, progress};
use crate::attempt::{Attempt, AttemptEnd};
use crate::context::{Inner as ContextInner, StepContext, TransactionSlot};
use crate::decide::may_go_on;
use crate::execution::{ExecutionRecord, FullKey, ParkReason};
use crate::inner::Inner;
use crate::lookout::on_the_lookout;
use crate::plan::Effect;
use crate::reacquire::reacquire;
use crate::runs::{LocalRun, RunEnd};
use crate::schema::{SchemaCore, StepEntry};
use crate::settlement::Settled;
use crate::step::{Attempted, ErasedStep};
use crate::store::Tries;
use crate::telemetry::AttemptOutcome;

/// An execution in the hands of its owner.
pub(crate) struct Owned {
    pub(crate) schema: Arc<SchemaCore>,
    /// The code of each step; of the plan that the run was born with.
    pub(crate) steps: Vec<Arc<dyn ErasedStep>>,
    pub(crate) key: Arc<FullKey>,
    pub(crate) generation: i64,
    pub(crate) lost: i32,
    pub(crate) tries: Tries,
    pub(crate) taken_over: bool,
    /// When the run began, by the engine's clock; before that clock, if need be.
    pub(crate) born: Born,
    /// Known for a run that was begun here; otherwise it is loaded.
    pub(crate) input: Option<Bytes>,
    /// What an operator has decided, not recorded yet.
    pub(crate) settled: Option<Box<Settled>>,
    /// Whether its owner acts on a wish to cancel it, or goes on whatever is wished.
    pub(crate) heeds_wishes: bool,
}

/// How old a run was at a moment of the engine's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Born {
    pub(crate) age: Duration,
    pub(crate) at: Duration,
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
#[expect(
    clippy::manual_async_fn,
    reason = "an async function holds its arguments twice, and this is what an execution in flight costs"
)]
pub(crate) fn drive(
    inner: Arc<Inner>,
    run: Arc<LocalRun>,
    mut owned: Owned,
) -> impl Future<Output = RunEnd> + Send {
    async move {
        loop {
            // Acquiring anew changes the fence, so it is no part of what is watched.
            let advanced = {
                let work = pin!(advance(&inner, &run, &mut owned));
                on_the_lookout(&inner, &run, work).await
            };
            match advanced {
                Stop::End(end) => return end,
                Stop::Restarted => match reacquire(&inner, &run).await {
                    Some(record) => owned.reset(&record),
                    None => return RunEnd::Lost,
                },
            }
        }
    }
}

/// Loads what is recorded, and does what is left.
async fn advance(inner: &Arc<Inner>, run: &LocalRun, owned: &mut Owned) -> Stop {
    // Not matched where it is used: it would be held twice.
    let mut done = match progress(inner, run, owned).await {
        Ok(done) => done,
        Err(stop) => return stop,
    };
    Driver { inner, run, owned }.all_steps(&mut done).await
}

impl Owned {
    /// After a restart of the database server only what is stored counts.
    fn reset(&mut self, record: &ExecutionRecord) {
        self.input = None;
        self.taken_over = false;
        self.heeds_wishes = false;
        self.lost = record.lost;
        self.tries = Tries {
            seq: record.tries_seq,
            count: record.tries,
        };
    }
}

struct Driver<'a> {
    inner: &'a Arc<Inner>,
    run: &'a LocalRun,
    owned: &'a mut Owned,
}

impl Driver<'_> {
    async fn all_steps(&mut self, done: &mut Done) -> Stop {
        if let Some(parked) = self.lost_too_often(done).await {
            return parked;
        }
        if let Some(settled) = self.owned.settled.take()
            && let Err(stop) = Box::pin(self.settle(*settled, done)).await
        {
            return stop;
        }
        if let Some(why) = done.undoing.take() {
            return Box::pin(self.undo_all(why, done)).await;
        }
        while done.recorded() < self.owned.schema.steps.len() {
            if let Err(stop) = self.one_step(done.recorded(), done).await {
                return stop;
            }
        }
        match done.outputs.last() {
            Some(output) => RunEnd::Succeeded(output).into(),
            None => RunEnd::Lost.into(),
        }
    }

    /// Parks a run that takes each of its owners along. One that is to be cancelled ends without doing
    /// anything before something is recorded, unless somebody has to be asked what it has done.
    async fn lost_too_often(&mut self, done: &Done) -> Option<Stop> {
        let limit = self.inner.limits.lost_owners;
        let lost = count(self.owned.lost);
        if !self.owned.taken_over || may_go_on(lost, count(done.lost_at_checkpoint), limit) {
            return None;
        }
        let acts = done.undoing.is_some() || self.is_in_doubt(done);
        let wish = self.run.cancel_wish();
        if wish.is_some() && !acts {
            return None;
        }
        let message = format!("the owner was lost {limit} times without a new checkpoint");
        Some(park(self.inner, self.run, ParkReason::LostTooOften, message, wish).await)
    }

    /// Runs a step until it is recorded, or until the run ends. In an atomic schema an attempt that
    /// failed leads back to the first step.
    async fn one_step(&mut self, position: usize, done: &mut Done) -> Result<(), Stop> {
        let schema = Arc::clone(&self.owned.schema);
        let entry = &schema.steps[position];
        self.run.enter(&entry.name, self.inner.now());
        // An atomic schema is tried as a whole.
        let seq = if schema.options.atomic { 0 } else { position };
        self.count_tries_of(i32::try_from(seq).unwrap_or(i32::MAX));
        loop {
            let careful = entry.effect == Effect::AtMostOnce;
            if careful && Box::pin(self.is_settled(position, done)).await? {
                return Ok(());
            }
            self.may_start(done).await?;
            if careful {
                Box::pin(self.announce(position, done)).await?;
            }
            let number = self.attempt_number(done);
            let cx = self.context(entry, number, done);
            let ended = self.attempt(position, number, &cx, done).await;
            if !matches!(ended, AttemptEnd::Attempted(Attempted::Done(_))) {
                // Before anything is written: where there is one writer, it is the transaction's.
                drop(cx.take_enlisted());
            }
            let error = match ended {
                AttemptEnd::Attempted(Attempted::Done(output)) => {
                    match self.record(position, number, output, &cx, done).await? {
                        None => {
                            schema.meters.attempted(position, AttemptOutcome::Recorded);
                            let time = self.inner.now().duration_since(self.run.since());
                            schema.meters.took(position, time.unwrap_or_default());
                            return Ok(());
                        }
                        Some(error) => error,
                    }
                }
                AttemptEnd::Attempted(Attempted::Failed(error)) => error,
                other => return Err(Box::pin(self.left(position, other, done)).await),
            };
            drop(cx.take_enlisted());
            schema.meters.attempted(position, AttemptOutcome::Failed);
            if careful
                && !error.is_of_known_effect()
                && Box::pin(self.is_verified(position, &error, done)).await?
            {
                return Ok(());
            }
            Box::pin(self.failed(position, number, &error, done)).await?;
            if schema.options.atomic {
                done.roll_back();
                return Ok(());
            }
        }
    }

    async fn attempt(&self, position: usize, number: u32, cx: &StepContext, done: &Done) -> AttemptEnd {
        let entry = &self.owned.schema.steps[position];
        let span = tracing::info_span!(
            "step",
            execution = %self.run.id, schema = %self.owned.schema.name, step = %entry.name, attempt = number,
            generation = self.owned.generation, epoch = self.run.fence().claim.epoch
        );
        let left = self.time_left();
        let attempt = Attempt {
            inner: self.inner,
            run: self.run,
            body: Arc::clone(&self.owned.steps[position]),
            input: done.newest(),
            timeout: entry
                .timeout
                .map_or(left, |own| Some(left.map_or(own, |left| own.min(left)))),
            ends_when_cancelled: true,
        };
        let desk = self.desk(position, number, done);
        attempt
            .run(cx, |ask| Box::pin(desk.clone().serve(ask)))
            .instrument(span)
            .await
    }

    /// Waits until this worker is known to live, and sees whether the run may go on at all. Beats may
    /// never come back when the process stops.
    async fn may_start(&mut self, done: &mut Done) -> Result<(), Stop> {
        if let Some(over) = self.over() {
            return Err(Box::pin(self.end_over(over, done)).await);
        }
        let stopped = tokio::select! {
            biased;
            () = self.run.lost.cancelled() => return Err(RunEnd::Lost.into()),
            () = self.inner.stopped.cancelled() => true,
            () = self.inner.liveness.fresh() => false,
        };
        if stopped {
            drop(done.take_transaction());
            return Err(Box::pin(self.release(done)).await);
        }
        Ok(())
    }

    /// How much of the schema's deadline is left; `None` without one.
    fn time_left(&self) -> Option<Duration> {
        let Born { age, at } = self.owned.born;
        let deadline = self.owned.schema.options.deadline?;
        let age = age + self.inner.clock.elapsed().saturating_sub(at);
        Some(deadline.saturating_sub(age))
    }

    fn count_tries_of(&mut self, seq: i32) {
        if self.owned.tries.seq != seq {
            self.owned.tries = Tries { seq, count: 0 };
        }
    }

    /// From 1; each lost owner counts as an attempt.
    fn attempt_number(&self, done: &Done) -> u32 {
        1 + count(self.owned.tries.count) + count(self.owned.lost - done.lost_at_output)
    }

    fn context(&self, entry: &StepEntry, attempt: u32, done: &Done) -> StepContext {
        let atomic = self.owned.schema.options.atomic;
        let inherited = done.take_transaction();
        StepContext::new(ContextInner {
            attempt,
            begins_once: entry.effect == Effect::AtMostOnce,
            transaction: Mutex::new(inherited.map_or(TransactionSlot::Empty, TransactionSlot::Enlisted)),
            inherits: atomic,
            desk: (!atomic).then(Default::default),
            ..self.context_parts(done, Arc::clone(&entry.name), Arc::clone(&entry.name))
        })
    }

    /// What is the same in each context of the run.
    fn context_parts(&self, done: &Done, step: Arc<str>, recorded_as: Arc<str>) -> ContextInner {
        ContextInner {
            key: Arc::clone(&self.owned.key),
            step,
            attempt: 0,
            generation: self.owned.generation,
            fence: self.run.fence(),
            worker: self.run.worker,
            input: done.input.clone(),
            outputs: done.outputs.so_far(),
            resources: Arc::clone(&self.inner.resources),
            instance: self.inner.info.instance,
            transaction: Mutex::default(),
            inherits: false,
            has_inherited: false.into(),
            recorded_as,
            begins_once: false,
            recorded: Arc::clone(&done.marks),
            read_at: done.read_at,
            desk: None,
            names: Mutex::default(),
            messages: Mutex::default(),
            parts_under_way: AtomicU32::new(0),
            cancelled: self.run.cancelled.clone(),
            clock: self.inner.clock.clone(),
            limits: self.inner.limits,
            engine: Arc::downgrade(self.inner),
            schema: Arc::clone(&self.owned.schema),
        }
    }
}

fn count(stored: i32) -> u32 {
    u32::try_from(stored).unwrap_or(0)
}
