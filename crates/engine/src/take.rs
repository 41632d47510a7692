//! How does this process come to own an existing execution? One compare-and-set of its row as it
//! was seen, then a task that drives it.

use std::sync::Arc;

use bytes::Bytes;

#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::clock;
use crate::drive::{Owned, Stop, drive, park};
use crate::execution::{ExecutionRecord, Fence, InputHash, ParkReason, Seen, WorkerId};
use crate::inner::Inner;
use crate::json;
use crate::persist::{Resend, note, persist};
use crate::plan::{Plan, PlanBody};
use crate::random;
use crate::runs::{LocalRun, RunEnd};
use crate::schema::{SchemaCore, read_stored};
use crate::step::ErasedStep;
use crate::store::{Acquire, Acquired, How, StoreError, Then, Tries};
use crate::telemetry;

/// What came of a wish to own an execution.
pub(crate) enum Taken {
    Won(Arc<LocalRun>),
    /// The row changed since it was seen.
    Lost,
}

/// Acquires an execution as it was seen, and drives it in a task of the engine's.
///
/// An outcome that stays unknown is left to the audit of owned rows, which finds what was acquired.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn take(inner: &Arc<Inner>, seen: Seen, how: How) -> Result<Taken, StoreError> {
    let (word, taken_over) = match &how {
        How::Resume { .. } => ("resumed", false),
        How::TakeOver => ("taken_over", true),
        How::Restart(_) => ("restarted", false),
    };
    let worker = inner.liveness.worker();
    let _known = inner.registry.taking(seen.id);
    let acquire = Acquire {
        seen,
        owner: worker,
        token: random::unpredictable(),
        how,
    };
    #[cfg(feature = "planted")]
    if bugs::is_planted(Bug::TakeoverAndLoadInOne) {
        bugs::load_too_early(&*inner.store, &acquire.seen).await;
    }
    let mut resend = Resend::new();
    let acquired = loop {
        match inner.store.acquire(acquire.clone()).await {
            Ok(acquired) => break acquired,
            Err(error) => {
                if !resend.after(inner, &error).await {
                    return Err(error);
                }
            }
        }
    };
    let Acquired::Won { record, fence } = acquired else {
        return Ok(Taken::Lost);
    };
    telemetry::acquired(&record.key.schema, word);
    tracing::info!(
        execution = %record.id, schema = %record.key.schema, generation = record.generation,
        epoch = fence.claim.epoch, how = word, "acquired"
    );
    Ok(Taken::Won(adopt(inner, &record, fence, worker, taken_over)))
}

/// Drives an execution that was just acquired.
fn adopt(
    inner: &Arc<Inner>,
    record: &ExecutionRecord,
    fence: Fence,
    worker: WorkerId,
    taken_over: bool,
) -> Arc<LocalRun> {
    let run = LocalRun::new(
        fence,
        record.key.clone(),
        worker,
        record.input_hash,
        record.acquired_at,
    );
    enter(inner, &run);
    let work = {
        let inner = Arc::clone(inner);
        let run = Arc::clone(&run);
        let record = record.clone();
        async move {
            match code_of(&inner, &record).await {
                Ok((schema, steps)) => {
                    let owned = Owned {
                        schema,
                        steps,
                        key: record.key.clone(),
                        generation: record.generation,
                        lost: record.lost,
                        tries: Tries {
                            seq: record.tries_seq,
                            count: record.tries,
                        },
                        taken_over,
                        input: None,
                    };
                    drive(&inner, &run, owned).await
                }
                Err(stop) => put_back(&inner, &run, stop).await,
            }
        }
    };
    spawn(inner, &run, &record.key.schema, work);
    run
}

/// Drives an execution that was begun here.
pub(crate) fn begin_run(
    inner: &Arc<Inner>,
    schema: &Arc<SchemaCore>,
    key: crate::execution::FullKey,
    fence: Fence,
    worker: WorkerId,
    hash: InputHash,
    input: Bytes,
) -> Arc<LocalRun> {
    let since = clock::time_of(inner.clock.wall_micros());
    let run = LocalRun::new(fence, key.clone(), worker, hash, since);
    if let Some(first) = schema.steps.first() {
        run.enter(&first.name, since);
    }
    enter(inner, &run);
    telemetry::acquired(&schema.name, "started");
    let owned = Owned {
        schema: Arc::clone(schema),
        steps: schema.steps.iter().map(|step| Arc::clone(&step.body)).collect(),
        key,
        generation: 1,
        lost: 0,
        tries: Tries::default(),
        taken_over: false,
        input: Some(input),
    };
    let work = {
        let inner = Arc::clone(inner);
        let run = Arc::clone(&run);
        async move { drive(&inner, &run, owned).await }
    };
    spawn(inner, &run, &schema.name, work);
    run
}

/// Makes a run known to this process. One of a worker that was declared dead while the store
/// answered is lost already: somebody else may run it.
fn enter(inner: &Inner, run: &Arc<LocalRun>) {
    inner.registry.insert(run);
    if inner.liveness.worker() != run.worker {
        run.lost.cancel();
    }
}

/// The engine owns the task: no caller that goes away can end it.
fn spawn(
    inner: &Arc<Inner>,
    run: &Arc<LocalRun>,
    schema: &str,
    work: impl Future<Output = RunEnd> + Send + 'static,
) {
    let leave = Leave {
        inner: Arc::clone(inner),
        run: Arc::clone(run),
        schema: schema.to_owned(),
        end: RunEnd::Lost,
    };
    inner.spawn(async move {
        let mut leave = leave;
        leave.end = work.await;
        drop(leave);
    });
}

/// Tells how a run ended, also when its task panicked (in user code: a codec, the text of an error)
/// or went away with its runtime. Then it is a lost one: the audit of owned rows finds it.
struct Leave {
    inner: Arc<Inner>,
    run: Arc<LocalRun>,
    schema: String,
    end: RunEnd,
}

impl Drop for Leave {
    fn drop(&mut self) {
        telemetry::ended(&self.schema, word_of(&self.end));
        self.inner.registry.remove(&self.run);
        self.run.finish(self.end.clone());
        self.inner.follower.look_again(self.run.id);
    }
}

fn word_of(end: &RunEnd) -> &'static str {
    match end {
        RunEnd::Succeeded(_) => "succeeded",
        RunEnd::Failed(_) => "failed",
        RunEnd::Waiting { .. } => "waiting",
        RunEnd::Parked { .. } => "parked",
        RunEnd::Lost => "lost",
        RunEnd::Released => "released",
    }
}

/// Why the code of a plan can not be had.
enum NoCode {
    Park(ParkReason, String),
    Unavailable(StoreError),
}

type Code = (Arc<SchemaCore>, Vec<Arc<dyn ErasedStep>>);

/// Finds the registered code for the plan that a run was born with. Stored steps keep the
/// parameters of that plan.
async fn code_of(inner: &Inner, record: &ExecutionRecord) -> Result<Code, NoCode> {
    let schema = inner.schemas.get(&record.shape).ok_or_else(|| {
        let why = "this process has not registered the shape of its plan";
        NoCode::Park(ParkReason::UnknownShape, why.to_owned())
    })?;
    let registered = || schema.steps.iter().map(|step| Arc::clone(&step.body));
    if record.plan == schema.plan.id {
        return Ok((Arc::clone(schema), registered().collect()));
    }
    let stored = match inner.store.load_plan(record.plan).await {
        Ok(Some(stored)) => stored,
        Ok(None) => {
            let why = "its plan is missing".to_owned();
            return Err(NoCode::Park(ParkReason::Unreadable, why));
        }
        Err(error) => return Err(NoCode::Unavailable(error)),
    };
    let unreadable = |error| {
        let why = format!("its plan can not be read: {}", json::describe(&error));
        NoCode::Park(ParkReason::Unreadable, why)
    };
    let plan = Plan::read(&stored.body).map_err(unreadable)?;
    let steps = plan
        .steps
        .iter()
        .zip(registered())
        .map(|(step, code)| match &step.body {
            PlanBody::Code => Ok(code),
            PlanBody::Stored(body) => read_stored(body).map_err(unreadable),
        });
    Ok((Arc::clone(schema), steps.collect::<Result<_, _>>()?))
}

/// Puts an execution down whose code can not be had.
async fn put_back(inner: &Inner, run: &LocalRun, stop: NoCode) -> RunEnd {
    match stop {
        NoCode::Park(reason, why) => match park(inner, run, reason, why).await {
            Stop::End(end) => end,
            // Nothing is known here that could be lost: the audit of owned rows takes it up.
            Stop::Restarted => RunEnd::Lost,
        },
        NoCode::Unavailable(error) => {
            note(&error);
            let _told_by_the_row = persist(inner, run, None, Then::Release, None).await;
            RunEnd::Lost
        }
    }
}
