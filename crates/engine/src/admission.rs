//! Who runs this key? What happens between a call and the task that drives its execution.
//!
//! A caller looks in this process first, then asks the store. Everything that writes runs in tasks
//! of the engine's, so a caller may be dropped at any await. What is read may be old by the time it
//! is acted upon; acting is a compare-and-set, and a caller that lost looks again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::call::OnDuplicate;
use crate::codec::{Place, Slot};
use crate::decide::{AfterFailure, Existing, Meeting, ShapeKnown, meet};
use crate::engine::Inner;
use crate::execution::{ExecutionId, ExecutionRecord, FullKey, InputHash, ParkReason, RunId, Seen, State};
use crate::follow::Follower;
use crate::handle::Verdict;
use crate::persist::{Pause, note};
use crate::random;
use crate::run_error::RunError;
use crate::runs::{LocalRun, Look, Opened, RunEnd};
use crate::schema::SchemaCore;
use crate::store::{Begin, Begun, Fresh, How, StoreError};
use crate::take::{Taken, begin_run, take};
use crate::telemetry;
use crate::worker::sweep::park_unknown;

/// A call that has been checked.
pub(crate) struct Request {
    pub(crate) inner: Arc<Inner>,
    pub(crate) schema: Arc<SchemaCore>,
    pub(crate) id: ExecutionId,
    pub(crate) key: FullKey,
    pub(crate) input: Bytes,
    pub(crate) hash: InputHash,
    pub(crate) on_duplicate: OnDuplicate,
    pub(crate) after_failure: Option<AfterFailure>,
}

/// Who works on a call.
pub(crate) enum Admitted {
    /// Nobody: it was finished before.
    Finished(RunEnd),
    /// This process.
    Here(Arc<LocalRun>, Verdict),
    /// Another process: this run, under this epoch or a later one.
    There(RunId, i64),
}

impl Admitted {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Finished(_) => Verdict::Finished,
            Self::Here(_, verdict) => *verdict,
            Self::There(..) => Verdict::Attached,
        }
    }
}

/// What a call knows of its key when it looks again.
#[derive(Clone, Copy, Default)]
struct Known {
    /// An end under this epoch or a later one came after the call: it is the answer, and no failure
    /// of an earlier run that the caller's policy is about.
    epoch: Option<i64>,
    /// The call was admitted before, so it is no duplicate.
    admitted: bool,
}

/// Finds out, or decides, who works on a call.
pub(crate) async fn admit(request: &Request) -> Result<Admitted, RunError> {
    let admitted = find_worker(request, Known::default()).await?;
    let verdict = match admitted.verdict() {
        Verdict::Started => "started",
        Verdict::Resumed => "resumed",
        Verdict::Attached => "attached",
        Verdict::Finished => "finished",
    };
    telemetry::met(&request.schema.name, verdict);
    Ok(admitted)
}

async fn find_worker(request: &Request, mut known: Known) -> Result<Admitted, RunError> {
    let inner = &request.inner;
    let mut pause = Pause::default();
    loop {
        if inner.closing.is_cancelled() {
            return Err(shutting_down());
        }
        let (opened, asked) = open(request).await;
        match opened {
            Opened::Started(run) => {
                let verdict = if asked {
                    Verdict::Started
                } else {
                    Verdict::Attached
                };
                return here(request, run, verdict, known).await;
            }
            Opened::Exists(record) => {
                if let Some(admitted) = meet_existing(request, &record, known).await? {
                    return Ok(admitted);
                }
                // Somebody else acquired it: how that ends is news for this caller too, so that
                // many who race to resume do not use up one try each.
                known.epoch.get_or_insert(record.claim.epoch + 1);
            }
            Opened::Failed(error) => return Err(unavailable(&error)),
        }
        // A moment for whoever changed the row.
        pause.pass().await;
    }
}

/// Looks the key up in this process, or asks the store; true when this caller asked.
async fn open(request: &Request) -> (Opened, bool) {
    let (mut opening, asked) = match request.inner.registry.look(request.id) {
        Look::Running(run) => return (Opened::Started(run), false),
        Look::Opening(opening) => (opening, false),
        Look::Ask(publish) => {
            let opening = publish.subscribe();
            ask(request, publish);
            (opening, true)
        }
    };
    let opened = opening.wait_for(Option::is_some).await;
    let lost = || {
        Opened::Failed(StoreError::Unknown(
            "the ask for this key ended without an answer".to_owned(),
        ))
    };
    (
        opened.ok().and_then(|opened| opened.clone()).unwrap_or_else(lost),
        asked,
    )
}

/// Asks the store for the key, in a task of the engine's.
fn ask(request: &Request, publish: watch::Sender<Option<Opened>>) {
    let inner = Arc::clone(&request.inner);
    let schema = Arc::clone(&request.schema);
    let (id, key, input, hash) = (
        request.id,
        request.key.clone(),
        request.input.clone(),
        request.hash,
    );
    let closer = CloseOpening {
        inner: Arc::clone(&inner),
        id,
    };
    request.inner.spawn(async move {
        let opened = begin(&inner, &schema, id, key, input, hash).await;
        drop(closer);
        publish.send_replace(Some(opened));
    });
}

/// Ends an opening also when the task that asks panics, or never runs.
struct CloseOpening {
    inner: Arc<Inner>,
    id: ExecutionId,
}

impl Drop for CloseOpening {
    fn drop(&mut self) {
        self.inner.registry.opened(self.id);
    }
}

/// How long a begin is sent again while its outcome is unknown: well below the shortest retention,
/// so that it can not bring back a key that was purged meanwhile.
const BEGIN_LIMIT: Duration = Duration::from_secs(20);

async fn begin(
    inner: &Arc<Inner>,
    schema: &Arc<SchemaCore>,
    id: ExecutionId,
    key: FullKey,
    input: Bytes,
    hash: InputHash,
) -> Opened {
    let run = RunId::fresh();
    let place = Place {
        run,
        slot: Slot::Input,
    };
    let encoded = match inner.codecs.encode(input.clone(), &place) {
        Ok(encoded) => encoded,
        Err(why) => {
            return Opened::Failed(StoreError::Rejected(format!(
                "the codec refused the input: {why}"
            )));
        }
    };
    let worker = inner.liveness.worker();
    let begin = Begin {
        id,
        key: key.clone(),
        run,
        token: random::unpredictable(),
        owner: worker,
        plan: schema.plan.id,
        shape: schema.plan.shape,
        input: encoded,
        input_hash: hash,
    };
    let started = crate::clock::monotonic();
    let mut pause = Pause::default();
    loop {
        match inner.store.begin(begin.clone()).await {
            Ok(Begun::Started(fence)) => {
                return Opened::Started(begin_run(inner, schema, key, fence, worker, hash, input));
            }
            Ok(Begun::Exists(record)) => return Opened::Exists(Arc::from(record)),
            Err(error @ StoreError::Unknown(_)) if started.elapsed() < BEGIN_LIMIT => note(&error),
            Err(error) => {
                note(&error);
                return Opened::Failed(error);
            }
        }
        pause.pass().await;
    }
}

/// Applies the caller's policies to what its key has already. `None`: look again.
async fn meet_existing(
    request: &Request,
    record: &ExecutionRecord,
    known: Known,
) -> Result<Option<Admitted>, RunError> {
    let inner = &request.inner;
    let is_news = known.epoch.is_some_and(|epoch| record.claim.epoch >= epoch);
    if is_news && record.input_hash == request.hash {
        if let Some(end) = end_of(inner, record)? {
            return Ok(Some(Admitted::Finished(end)));
        }
    }
    let existing = Existing {
        state: record.state,
        expired: record.is_expired(),
        same_input: record.input_hash == request.hash,
        failure: record
            .failure
            .as_ref()
            .and_then(|failure| inner.decode_failure(record.run, failure))
            .map(|failure| failure.kind),
        parked: record.parked,
        shape: shape_known(inner, record),
    };
    match meet(existing, request.after_failure) {
        Meeting::Mismatch => Err(RunError::InputMismatch {
            expected: record.input_hash,
            got: request.hash,
        }),
        Meeting::Replay => outcome(inner, record).map(|end| Some(Admitted::Finished(end))),
        Meeting::Resume { keep_tries } => {
            acquire(
                request,
                record,
                How::Resume { keep_tries },
                Verdict::Resumed,
                known,
            )
            .await
        }
        Meeting::Restart => {
            let fresh = fresh(request)?;
            acquire(
                request,
                record,
                How::Restart(Box::new(fresh)),
                Verdict::Started,
                known,
            )
            .await
        }
        Meeting::Busy if request.on_duplicate == OnDuplicate::Reject && !known.admitted => {
            Err(in_progress(inner, request.id, Some(record)).await)
        }
        Meeting::Busy => Ok(Some(Admitted::There(record.run, record.claim.epoch))),
        Meeting::Parked(reason) => Err(RunError::Parked {
            execution: record.id,
            reason,
            failure: record
                .failure
                .as_ref()
                .and_then(|failure| inner.decode_failure(record.run, failure)),
        }),
        Meeting::Park(reason) => {
            let (inner_of_task, seen) = (Arc::clone(inner), record.seen());
            let parking = inner.spawn(async move { park_unknown(&inner_of_task, seen).await });
            if !finished(parking).await? {
                return Ok(None);
            }
            Err(RunError::Parked {
                execution: record.id,
                reason,
                failure: None,
            })
        }
    }
}

fn shape_known(inner: &Inner, record: &ExecutionRecord) -> ShapeKnown {
    if inner.schemas.contains_key(&record.shape) {
        ShapeKnown::Here
    } else if inner.liveness.elsewhere(record.shape) {
        ShapeKnown::Elsewhere
    } else {
        ShapeKnown::Nowhere
    }
}

fn fresh(request: &Request) -> Result<Fresh, RunError> {
    let run = RunId::fresh();
    let place = Place {
        run,
        slot: Slot::Input,
    };
    let input = request
        .inner
        .codecs
        .encode(request.input.clone(), &place)
        .map_err(|why| RunError::Invalid(format!("the codec refused the input: {why}")))?;
    Ok(Fresh {
        run,
        plan: request.schema.plan.id,
        shape: request.schema.plan.shape,
        input,
        input_hash: request.hash,
    })
}

/// Takes an execution over for this caller.
async fn acquire(
    request: &Request,
    record: &ExecutionRecord,
    how: How,
    verdict: Verdict,
    known: Known,
) -> Result<Option<Admitted>, RunError> {
    match take_in_task(&request.inner, record.seen(), how).await? {
        Taken::Won(run) => here(request, run, verdict, known).await.map(Some),
        Taken::Lost => Ok(None),
    }
}

/// Takes an execution over in a task of the engine's.
pub(crate) async fn take_in_task(inner: &Arc<Inner>, seen: Seen, how: How) -> Result<Taken, RunError> {
    let inner_of_task = Arc::clone(inner);
    finished(inner.spawn(async move { take(&inner_of_task, seen, how).await })).await
}

/// Waits for a task of the engine's that talks to the store; it goes on when the caller is dropped.
async fn finished<T>(task: JoinHandle<Result<T, StoreError>>) -> Result<T, RunError> {
    match task.await {
        Ok(done) => done.map_err(|error| unavailable(&error)),
        Err(_ended) => Err(shutting_down()),
    }
}

pub(crate) fn shutting_down() -> RunError {
    RunError::Unavailable("this process is shutting down".to_owned())
}

/// A run of this process, for this caller.
async fn here(
    request: &Request,
    run: Arc<LocalRun>,
    verdict: Verdict,
    known: Known,
) -> Result<Admitted, RunError> {
    if run.hash != request.hash {
        return Err(RunError::InputMismatch {
            expected: run.hash,
            got: request.hash,
        });
    }
    let duplicate = verdict == Verdict::Attached && !known.admitted;
    if duplicate && request.on_duplicate == OnDuplicate::Reject {
        return Err(in_progress(&request.inner, request.id, None).await);
    }
    Ok(Admitted::Here(run, verdict))
}

/// Waits for the outcome of an admitted call.
pub(crate) async fn settle(request: &Request, admitted: Admitted) -> Result<Bytes, RunError> {
    let limit = match (admitted.verdict(), request.on_duplicate) {
        (Verdict::Attached, OnDuplicate::Wait(limit)) => Some(limit),
        _ => None,
    };
    let Some(limit) = limit else {
        return wait(request, admitted).await;
    };
    match tokio::time::timeout(limit, wait(request, admitted)).await {
        Ok(settled) => settled,
        Err(_late) => Err(in_progress(&request.inner, request.id, None).await),
    }
}

async fn wait(request: &Request, mut admitted: Admitted) -> Result<Bytes, RunError> {
    let mut pause = Pause::default();
    loop {
        let (end, epoch) = match admitted {
            Admitted::Finished(end) => (end, None),
            Admitted::Here(run, _) => (run.ended().await, Some(run.fence().claim.epoch)),
            Admitted::There(run, epoch) => (followed(request, run, epoch).await?, Some(epoch)),
        };
        match end {
            RunEnd::Succeeded(output) => return Ok(output),
            RunEnd::Failed(failure) => return Err(RunError::Failed(failure)),
            RunEnd::Waiting { failure, due_in } => {
                return Err(RunError::Waiting {
                    execution: request.id,
                    failure,
                    due_in,
                });
            }
            RunEnd::Parked { reason, failure } => {
                return Err(RunError::Parked {
                    execution: request.id,
                    reason,
                    failure,
                });
            }
            RunEnd::Released => return Err(shutting_down()),
            // Somebody else runs it: whoever it is, this caller still wants the outcome.
            RunEnd::Lost => {
                // It may stay as it is for long: due, and nobody who can run it has room.
                pause.pass().await;
                let known = Known {
                    epoch,
                    admitted: true,
                };
                admitted = find_worker(request, known).await?;
            }
        }
    }
}

/// Waits for an execution of another process, and reads its outcome.
async fn followed(request: &Request, run: RunId, epoch: i64) -> Result<RunEnd, RunError> {
    let inner = &request.inner;
    let Some(record) = Follower::follow(inner, request.id).await else {
        return Ok(RunEnd::Lost);
    };
    // A look that was under way when this caller came may show what was before.
    if record.run != run || record.claim.epoch < epoch {
        return Ok(RunEnd::Lost);
    }
    Ok(end_of(inner, &record)?.unwrap_or(RunEnd::Lost))
}

/// How an execution that nobody runs ended or was put down; `None` when it may go on at any moment.
fn end_of(inner: &Inner, record: &ExecutionRecord) -> Result<Option<RunEnd>, RunError> {
    let failure = || {
        let failure = record.failure.as_ref();
        failure.and_then(|failure| inner.decode_failure(record.run, failure))
    };
    Ok(match record.state {
        State::Succeeded | State::Failed => Some(outcome(inner, record)?),
        State::Waiting => {
            let due_in = record.wake_in.filter(|due_in| !due_in.is_zero());
            due_in.map(|due_in| RunEnd::Waiting {
                failure: failure(),
                due_in,
            })
        }
        // Somebody who knows the shape may take it up; if nobody does, looking again says so.
        State::Parked if record.parked == Some(ParkReason::UnknownShape) => None,
        State::Parked => Some(RunEnd::Parked {
            reason: record.parked.unwrap_or(ParkReason::Unreadable),
            failure: failure(),
        }),
        State::Ready | State::Running => None,
    })
}

/// The recorded outcome of a finished execution.
fn outcome(inner: &Inner, record: &ExecutionRecord) -> Result<RunEnd, RunError> {
    let unreadable = |why: String| RunError::Unreadable(why);
    if record.state == State::Succeeded {
        let output = record
            .output
            .as_ref()
            .ok_or_else(|| unreadable("its output is missing".to_owned()))?;
        // The place of an output is the last step of the plan that the run was born with; a schema
        // of the same shape has the same names.
        let schema = inner.schemas.get(&record.shape);
        let step = schema
            .and_then(|schema| schema.steps.last())
            .map_or("", |step| step.name.as_str());
        let place = Place {
            run: record.run,
            slot: Slot::Output(step),
        };
        return inner
            .codecs
            .decode(output, &place)
            .map(RunEnd::Succeeded)
            .map_err(unreadable);
    }
    let failure = record
        .failure
        .as_ref()
        .and_then(|failure| inner.decode_failure(record.run, failure));
    failure
        .map(RunEnd::Failed)
        .ok_or_else(|| unreadable("its failure can not be decoded".to_owned()))
}

/// Says who is at it and since when, as well as can be known.
async fn in_progress(inner: &Inner, id: ExecutionId, record: Option<&ExecutionRecord>) -> RunError {
    // An owner that has just taken it up does not know its step before it has loaded what is
    // recorded; the store does.
    let here = inner.registry.running(id).map(|run| run.at());
    if let Some((step @ Some(_), since)) = here {
        return RunError::InProgress {
            execution: id,
            step,
            since,
        };
    }
    let found = match record {
        Some(record) => Some(record.clone()),
        None => inner
            .store
            .find(vec![id])
            .await
            .ok()
            .and_then(|found| found.into_iter().next()),
    };
    let (step, since) = match &found {
        Some(record) => current_step(inner, record).await,
        None => (None, inner.now()),
    };
    RunError::InProgress {
        execution: id,
        step,
        since,
    }
}

/// The first step that is not recorded, and when the one before it was.
async fn current_step(inner: &Inner, record: &ExecutionRecord) -> (Option<String>, SystemTime) {
    let checkpoints = match inner.store.load(record.id, record.run).await {
        Ok(Some(progress)) => progress.checkpoints,
        Ok(None) | Err(_) => Vec::new(),
    };
    let schema = inner.schemas.get(&record.shape);
    let step = schema
        .and_then(|schema| schema.steps.get(checkpoints.len()))
        .map(|step| step.name.clone());
    let since = checkpoints
        .last()
        .map_or(record.acquired_at, |last| last.at.max(record.acquired_at));
    (step, since)
}

/// A store error as a caller sees it.
pub(crate) fn unavailable(error: &StoreError) -> RunError {
    match error {
        StoreError::Rejected(why) => RunError::Invalid(why.clone()),
        StoreError::Unreadable(why) => RunError::Unreadable(why.clone()),
        other => RunError::Unavailable(other.to_string()),
    }
}
