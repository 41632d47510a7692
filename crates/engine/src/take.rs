//! How does this process come to own an existing execution? One compare-and-set of its row as it
//! was seen, then a task that drives it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admission::NewKey;
#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::callers::wake_caller;
use crate::cancel::{Caller, cancel_unread};
use crate::clock;
use crate::drive::{Born, Owned, Stop, drive, park};
use crate::execution::{CancelWish, ExecutionId, ExecutionRecord, Fence, ParkReason, Seen, WorkerId};
use crate::inner::Inner;
use crate::json;
use crate::limits::DEFAULT_RETENTION;
use crate::persist::{Resend, Write, note, persist};
use crate::plan::{Plan, PlanBody};
use crate::random;
use crate::runs::{LocalRun, RunEnd};
use crate::schema::{SchemaCore, read_stored};
use crate::settlement::Settled;
use crate::step::ErasedStep;
use crate::store::{Acquire, Acquired, How, StoreError, Then, Tries};
use crate::telemetry;

/// What came of a wish to own an execution.
pub(crate) enum Taken {
    Won(Arc<LocalRun>),
    /// The row changed since it was seen.
    Lost,
}

/// Acquires an execution as it was seen, for a caller, and drives it in a task of the engine's.
///
/// An outcome that stays unknown is left to the audit of owned rows, which finds what was acquired.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn take(
    inner: &Arc<Inner>,
    seen: Seen,
    how: How,
    settled: Option<Settled>,
    caller: Option<Caller>,
) -> Result<Taken, StoreError> {
    let _known = inner.registry.taking(seen.id);
    let Some(mut won) = acquire(inner, seen, how, &inner.stopped).await? else {
        return Ok(Taken::Lost);
    };
    if let Some(caller) = caller.filter(|caller| won.record.parent == Some(caller.id())) {
        won.record.cancel = won.record.cancel.or(caller.wish(inner).await);
    }
    Ok(Taken::Won(adopt(inner, won, settled)))
}

/// Acquires what a sweep has found, in a task of the engine's, so that an answer which is long on its
/// way holds up nothing else. The task tells whether it was won. `None`: there is nothing to do.
pub(crate) fn take_up(inner: &Arc<Inner>, seen: Seen, how: How) -> Option<JoinHandle<bool>> {
    if inner.closing.is_cancelled() {
        return None;
    }
    let known = inner.registry.try_taking(&seen)?;
    let inner_of_task = Arc::clone(inner);
    Some(inner.spawn(async move {
        let (inner, _known) = (inner_of_task, known);
        match acquire(&inner, seen, how, &inner.closing).await {
            Ok(Some(won)) if inner.closing.is_cancelled() => {
                hand_back(&inner, &won.run()).await;
                false
            }
            Ok(Some(won)) => {
                adopt(&inner, won, None);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }))
}

/// An execution that was just acquired.
struct Won {
    record: Box<ExecutionRecord>,
    fence: Fence,
    worker: WorkerId,
    taken_over: bool,
}

impl Won {
    fn run(&self) -> Arc<LocalRun> {
        LocalRun::new(
            self.fence,
            Arc::new(self.record.key.clone()),
            self.worker,
            self.record.input_hash,
            self.record.acquired_at,
        )
    }
}

/// Acquires an execution as it was seen; `None` when it changed since. Sends it again until there is
/// an answer, or until it has no sense any more.
async fn acquire(
    inner: &Inner,
    seen: Seen,
    how: How,
    over: &CancellationToken,
) -> Result<Option<Won>, StoreError> {
    let (word, taken_over) = match &how {
        How::Resume { .. } => ("resumed", false),
        How::TakeOver => ("taken_over", true),
        How::Restart(_) => ("restarted", false),
    };
    let worker = inner.liveness.worker();
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
                if !resend.after(&error, over).await {
                    return Err(error);
                }
            }
        }
    };
    let Acquired::Won { record, fence } = acquired else {
        return Ok(None);
    };
    telemetry::acquired(&record.key.schema, word);
    tracing::info!(
        execution = %record.id, schema = %record.key.schema, generation = record.generation,
        epoch = fence.claim.epoch, how = word, "acquired"
    );
    Ok(Some(Won {
        record,
        fence,
        worker,
        taken_over,
    }))
}

/// Drives an execution that was just acquired.
fn adopt(inner: &Arc<Inner>, won: Won, settled: Option<Settled>) -> Arc<LocalRun> {
    let run = won.run();
    enter(inner, &run);
    let wish = won.record.cancel;
    #[cfg(feature = "planted")]
    let wish = wish.filter(|_wish| !won.taken_over || !bugs::is_planted(Bug::WishLostByTakeover));
    if let Some(wish) = wish {
        run.cancel(wish);
    }
    let Won {
        record, taken_over, ..
    } = won;
    let parent = record.parent;
    let work = {
        let inner = Arc::clone(inner);
        let run = Arc::clone(&run);
        async move {
            match code_of(&inner, &record).await {
                Ok((schema, steps)) => {
                    let owned = Owned {
                        schema,
                        steps,
                        key: Arc::clone(&run.key),
                        generation: record.generation,
                        lost: record.lost,
                        tries: Tries {
                            seq: record.tries_seq,
                            count: record.tries,
                        },
                        taken_over,
                        born: Born {
                            age: record.age,
                            at: inner.clock.elapsed(),
                        },
                        input: None,
                        settled: settled.map(Box::new),
                        heeds_wishes: false,
                    };
                    drive(inner, run, owned).await
                }
                Err(NoCode::Park(..)) if record.cancel == Some(CancelWish::Stop) => {
                    cancel_unread(&inner, &run, Some(DEFAULT_RETENTION)).await
                }
                Err(stop) => put_back(&inner, &run, stop, record.cancel).await,
            }
        }
    };
    // The engine owns the task: no caller that goes away can end it.
    inner.spawn(told(inner, &run, parent, work));
    run
}

/// Makes an execution known that was begun here, and gives the work of driving it, for a task of the
/// engine's.
pub(crate) fn begin_run(
    inner: &Arc<Inner>,
    schema: &Arc<SchemaCore>,
    fence: Fence,
    worker: WorkerId,
    new: NewKey,
) -> (Arc<LocalRun>, BoxFuture<'static, ()>) {
    let NewKey {
        key,
        input,
        hash,
        parent,
        ..
    } = new;
    let since = clock::time_of(inner.clock.wall_micros());
    let run = LocalRun::new(fence, Arc::clone(&key), worker, hash, since);
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
        born: Born {
            age: Duration::ZERO,
            at: inner.clock.elapsed(),
        },
        input: Some(input),
        settled: None,
        heeds_wishes: false,
    };
    let work = drive(Arc::clone(inner), Arc::clone(&run), owned);
    let work = told(inner, &run, parent, work);
    (run, work)
}

/// Makes a run known to this process. One of a worker that was declared dead while the store
/// answered is lost already: somebody else may run it.
fn enter(inner: &Inner, run: &Arc<LocalRun>) {
    inner.registry.insert(run);
    if inner.liveness.worker() != run.worker {
        run.lost.cancel();
    }
}

/// Work whose end is told to whoever waits for it. It is large, so it stays in one place: each async
/// block that it is given to would have room for it twice.
fn told<Work>(
    inner: &Arc<Inner>,
    run: &Arc<LocalRun>,
    parent: Option<ExecutionId>,
    work: Work,
) -> BoxFuture<'static, ()>
where
    Work: Future<Output = RunEnd> + Send + 'static,
{
    // A build with planted bugs has room for them too.
    #[cfg(not(feature = "planted"))]
    const {
        assert!(size_of::<Work>() <= WORK_BYTES, "the work of a run has grown")
    }
    let mut leave = Leave {
        inner: Arc::clone(inner),
        run: Arc::clone(run),
        parent,
        end: RunEnd::Lost,
    };
    Box::pin(work.map(move |end| {
        leave.end = end;
        drop(leave);
    }))
}

/// What the work of a run may take: with thousands in flight it is most of the memory that each costs.
#[cfg(not(feature = "planted"))]
const WORK_BYTES: usize = 2304;

/// Tells how a run ended, also when its task panicked (in user code: a codec, the text of an error)
/// or went away with its runtime. Then it is a lost one: the audit of owned rows finds it.
struct Leave {
    inner: Arc<Inner>,
    run: Arc<LocalRun>,
    /// The execution whose step has called it.
    parent: Option<ExecutionId>,
    end: RunEnd,
}

impl Drop for Leave {
    fn drop(&mut self) {
        telemetry::ended(&self.run.key.schema, word_of(&self.end));
        self.inner.registry.remove(&self.run);
        let is_outcome = self.end.is_outcome();
        self.run.finish(std::mem::replace(&mut self.end, RunEnd::Lost));
        self.inner.follower.look_again(self.run.id);
        if is_outcome {
            let callers = self.inner.awaited.callers_of(self.run.id);
            for caller in self.parent.into_iter().chain(callers) {
                wake_caller(&self.inner, caller);
            }
        }
    }
}

/// Ends an opening also when the task that asks panics, or never runs.
pub(crate) struct CloseOpening {
    pub(crate) inner: Arc<Inner>,
    pub(crate) id: ExecutionId,
}

impl Drop for CloseOpening {
    fn drop(&mut self) {
        self.inner.registry.opened(self.id);
    }
}

fn word_of(end: &RunEnd) -> &'static str {
    match end {
        RunEnd::Succeeded(_) => "succeeded",
        RunEnd::Failed(_) => "failed",
        RunEnd::Undone(_) => "undone",
        RunEnd::Cancelled => "cancelled",
        RunEnd::Waiting { .. } => "waiting",
        RunEnd::Parked { .. } => "parked",
        RunEnd::Lost => "lost",
        RunEnd::Released => "released",
    }
}

/// Why the code of a plan can not be had.
pub(crate) enum NoCode {
    Park(ParkReason, String),
    Unavailable(StoreError),
}

type Steps = Vec<Arc<dyn ErasedStep>>;

/// Finds the registered code for the plan that a run was born with.
async fn code_of(inner: &Inner, record: &ExecutionRecord) -> Result<(Arc<SchemaCore>, Steps), NoCode> {
    let schema = inner.schemas.get(&record.shape).ok_or_else(|| {
        let why = "this process has not registered the shape of its plan";
        NoCode::Park(ParkReason::UnknownShape, why.to_owned())
    })?;
    Ok((Arc::clone(schema), steps_of(inner, schema, record).await?))
}

/// The steps of a schema for a run of its shape. Stored steps keep the parameters of the plan that the run
/// was born with.
pub(crate) async fn steps_of(
    inner: &Inner,
    schema: &SchemaCore,
    record: &ExecutionRecord,
) -> Result<Steps, NoCode> {
    let registered = || schema.steps.iter().map(|step| Arc::clone(&step.body));
    if record.plan == schema.plan.id {
        return Ok(registered().collect());
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
    steps.collect()
}

/// Puts an execution down whose code can not be had. This wish to cancel it does not help.
async fn put_back(inner: &Inner, run: &LocalRun, stop: NoCode, wish: Option<CancelWish>) -> RunEnd {
    match stop {
        NoCode::Park(reason, why) => match park(inner, run, reason, why, wish).await {
            Stop::End(end) => end,
            // Nothing is known here that could be lost: the audit of owned rows takes it up.
            Stop::Restarted => RunEnd::Lost,
        },
        NoCode::Unavailable(error) => {
            note(&error);
            hand_back(inner, run).await;
            RunEnd::Lost
        }
    }
}

/// Lets go of an execution, so that it is due at once for everybody.
async fn hand_back(inner: &Inner, run: &LocalRun) {
    let _told_by_the_row = persist(inner, run, Write::only(Then::Release)).await;
}
