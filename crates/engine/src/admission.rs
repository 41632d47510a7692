//! Who runs this key? What happens between a call and the task that drives its execution.
//!
//! A caller looks in this process first, then asks the store. Everything that writes runs in tasks
//! of the engine's, so a caller may be dropped at any await. What is read may be old by the time it
//! is acted upon; acting is a compare-and-set, and a caller that lost looks again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cancel::Caller;
use crate::codec::{Place, Slot};
use crate::decide::{Existing, Meeting, ShapeKnown, meet};
use crate::execution::{ExecutionId, ExecutionRecord, FullKey, InputHash, RunId, Seen, State, WaitReason};
use crate::inner::Inner;
use crate::limits::SHORTEST_RETENTION;
use crate::outcome::{end_of, in_progress, outcome, shutting_down, unavailable};
use crate::persist::{Pause, Resend};
use crate::policy::{AfterFailure, OnDuplicate, OnExpired, Verdict};
use crate::random;
use crate::run_error::RunError;
use crate::runs::{LocalRun, Look, Opened, Opening, RunEnd};
use crate::schema::SchemaCore;
use crate::settlement::Settled;
use crate::store::{Begin, Begun, Fresh, How, StoreError};
use crate::take::{CloseOpening, Taken, begin_run, take};
use crate::worker::sweep::park_unknown;

/// A call that has been checked.
pub(crate) struct Request {
    pub(crate) inner: Arc<Inner>,
    pub(crate) schema: Arc<SchemaCore>,
    pub(crate) id: ExecutionId,
    pub(crate) key: Arc<FullKey>,
    pub(crate) aim: Aim,
    pub(crate) on_duplicate: OnDuplicate,
    pub(crate) after_failure: Option<AfterFailure>,
    pub(crate) on_expired: OnExpired,
    /// The execution whose step makes this call.
    pub(crate) parent: Option<ExecutionId>,
}

/// What a call wants of its key.
pub(crate) enum Aim {
    /// Its outcome: a free key begins with this input.
    Run { input: Bytes, hash: InputHash },
    /// What it has already, under this fingerprint if one is given: a free key stays free.
    Join(Option<InputHash>),
}

impl Aim {
    /// The fingerprint that is compared, if any is.
    fn hash(&self) -> Option<InputHash> {
        match self {
            Self::Run { hash, .. } => Some(*hash),
            Self::Join(hash) => *hash,
        }
    }

    /// Whether a run with this fingerprint is meant.
    fn fits(&self, run: InputHash) -> bool {
        self.hash().is_none_or(|hash| hash == run)
    }
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
pub(crate) struct Known {
    /// The run that it waited for, and since when by the engine's clock: no other run's outcome is its
    /// answer.
    pub(crate) run: Option<(RunId, Duration)>,
    /// An end under this epoch or a later one came after the call: it is the answer, and no failure
    /// of an earlier run that the caller's policy is about.
    pub(crate) epoch: Option<i64>,
    /// The call was admitted before, so it is no duplicate.
    pub(crate) admitted: bool,
}

impl Known {
    /// Of a call that was admitted, and has waited since then for this run under this epoch.
    pub(crate) fn waited_for(run: RunId, epoch: i64, since: Duration) -> Self {
        Self {
            run: Some((run, since)),
            epoch: Some(epoch),
            admitted: true,
        }
    }
}

/// Finds out, or decides, who works on a call.
pub(crate) async fn admit(request: &Request) -> Result<Admitted, RunError> {
    join(request).await?.ok_or_else(run_is_gone)
}

/// The same for a call that may only join what its key has; `None` when the key is free.
pub(crate) async fn join(request: &Request) -> Result<Option<Admitted>, RunError> {
    let admitted = seek(request, Known::default()).await?;
    if let Some(admitted) = &admitted {
        request.schema.meters.admitted(admitted.verdict());
    }
    Ok(admitted)
}

/// Finds out who works on a call that was admitted before.
pub(crate) async fn find_worker(request: &Request, known: Known) -> Result<Admitted, RunError> {
    seek(request, known).await?.ok_or_else(run_is_gone)
}

async fn seek(request: &Request, known: Known) -> Result<Option<Admitted>, RunError> {
    if request.inner.closing.is_cancelled() {
        return Err(shutting_down());
    }
    if known.run.is_none()
        && let Some(end) = remembered(request)?
    {
        // Nothing here waits: whoever replays in a loop must still let others run.
        tokio::task::consume_budget().await;
        return Ok(Some(Admitted::Finished(end)));
    }
    // Boxed, so that a caller who waits for an outcome does not hold the room for this too.
    Box::pin(ask_until_known(request, known)).await
}

/// Asks the store until it is known who works on a call.
async fn ask_until_known(request: &Request, mut known: Known) -> Result<Option<Admitted>, RunError> {
    let mut pause = Pause::default();
    let mut overheard = false;
    // Another call's failure says nothing about now, and what was refused was not this call's input.
    let mut may_ask = |error: &StoreError| {
        !std::mem::replace(&mut overheard, true) || matches!(error, StoreError::Rejected(_))
    };
    loop {
        if request.inner.closing.is_cancelled() {
            return Err(shutting_down());
        }
        if let Some((run, since)) = known.run
            && !is_there(request, run, since).await?
        {
            known.run = None;
            known.epoch = None;
        }
        let (opened, asked) = open(request).await;
        match opened {
            Opened::Started(run) => {
                same_run(known, run.fence().run)?;
                let verdict = match asked {
                    true => Verdict::Started,
                    false => Verdict::Attached,
                };
                return here(request, run, verdict, known).await.map(Some);
            }
            Opened::Exists(record, asked) => {
                match meet_existing(request, &record, asked, known).await? {
                    Met::Admitted(admitted) => return Ok(Some(admitted)),
                    Met::Free => return Ok(None),
                    Met::Changed => {}
                }
                // Somebody else acquired it: how that ends is news for this caller too, so that
                // many who race to resume do not use up one try each.
                known.epoch.get_or_insert(record.claim.epoch + 1);
            }
            Opened::Free => return Ok(None),
            Opened::Failed(error) if !asked && may_ask(&error) => continue,
            Opened::Failed(error) => return Err(unavailable(&error)),
        }
        // A moment for whoever changed the row.
        pause.pass().await;
    }
}

/// The outcome of the key, if this process remembers it.
fn remembered(request: &Request) -> Result<Option<RunEnd>, RunError> {
    let inner = &request.inner;
    let Some(success) = inner.outcomes.of(request.id, &inner.clock) else {
        return Ok(None);
    };
    same_key(request, &success.key)?;
    same_input(request, success.hash)?;
    Ok(Some(RunEnd::Succeeded(success.output.clone())))
}

/// Whether the run that a call waited for is still its key's; asked before the key is, which would begin
/// it anew. That is right for one that a failover has lost: what had ended would be there for longer than
/// this call has waited.
async fn is_there(request: &Request, run: RunId, since: Duration) -> Result<bool, RunError> {
    let inner = &request.inner;
    let found = match inner.store.find(vec![request.id]).await {
        Ok(found) => found,
        // A row that can not be read is there, so nothing begins.
        Err(StoreError::Unreadable(_)) => return Ok(true),
        Err(error) => return Err(unavailable(&error)),
    };
    let waited = inner.clock.elapsed().saturating_sub(since);
    match found.first() {
        Some(record) if record.run == run && !record.purged => Ok(true),
        None if waited < SHORTEST_RETENTION => Ok(false),
        _ => Err(run_is_gone()),
    }
}

fn same_run(known: Known, run: RunId) -> Result<(), RunError> {
    if known.run.is_none_or(|(waited_for, _since)| waited_for == run) {
        return Ok(());
    }
    Err(run_is_gone())
}

fn run_is_gone() -> RunError {
    RunError::Unavailable("the run that this call waited for is over, and so is what it left".to_owned())
}

/// Looks the key up in this process, or asks the store; true when this caller asked.
async fn open(request: &Request) -> (Opened, bool) {
    let registry = &request.inner.registry;
    let looked = match &request.aim {
        Aim::Run { .. } => Some(registry.look(request.id)),
        Aim::Join(_) => registry.peek(request.id),
    };
    match looked {
        None => (read(request).await, true),
        Some(Look::Running(run)) => (Opened::Started(run), false),
        Some(Look::Opening(opening)) => (heard(opening).await, false),
        Some(Look::Ask(publish)) => {
            let opening = publish.subscribe();
            ask(request, publish);
            (heard(opening).await, true)
        }
    }
}

/// What the one who asks the store has heard.
async fn heard(mut opening: Opening) -> Opened {
    let opened = opening.wait_for(Option::is_some).await;
    let lost = || {
        Opened::Failed(StoreError::Unknown(
            "the ask for this key ended without an answer".to_owned(),
        ))
    };
    opened.ok().and_then(|opened| opened.clone()).unwrap_or_else(lost)
}

/// What the store has of the key; begins nothing.
async fn read(request: &Request) -> Opened {
    let inner = &request.inner;
    let asked = inner.clock.elapsed();
    let mut resend = Resend::new();
    loop {
        match inner.store.find(vec![request.id]).await {
            Ok(found) => {
                let record = found.into_iter().next();
                return record.map_or(Opened::Free, |record| Opened::Exists(Arc::new(record), asked));
            }
            Err(error) => {
                if !resend.after(&error, &inner.stopped).await {
                    return Opened::Failed(error);
                }
            }
        }
    }
}

/// Asks the store for the key, in a task of the engine's, which then drives what it began.
fn ask(request: &Request, publish: watch::Sender<Option<Opened>>) {
    let Aim::Run { input, hash } = &request.aim else {
        // Dropping the sender tells whoever listens.
        return;
    };
    let inner = Arc::clone(&request.inner);
    let schema = Arc::clone(&request.schema);
    let new = NewKey {
        id: request.id,
        key: Arc::clone(&request.key),
        input: input.clone(),
        hash: *hash,
        parent: request.parent,
    };
    let caller = Caller::of(&inner, request.parent);
    let closer = CloseOpening {
        inner: Arc::clone(&inner),
        id: new.id,
    };
    // Boxed, and gone before the work begins, which may take much longer.
    let asked = Box::pin(async move {
        let (opened, work) = begin(&inner, &schema, new).await;
        drop(closer);
        if let (Some(caller), Opened::Started(run)) = (caller, &opened)
            && let Some(wish) = caller.wish(&inner).await
        {
            run.cancel(wish);
        }
        publish.send_replace(Some(opened));
        work
    });
    request.inner.spawn(async move {
        let work = asked.await;
        if let Some(work) = work {
            work.await;
        }
    });
}

/// What a key begins with.
pub(crate) struct NewKey {
    pub(crate) id: ExecutionId,
    pub(crate) key: Arc<FullKey>,
    pub(crate) input: Bytes,
    pub(crate) hash: InputHash,
    pub(crate) parent: Option<ExecutionId>,
}

async fn begin(
    inner: &Arc<Inner>,
    schema: &Arc<SchemaCore>,
    new: NewKey,
) -> (Opened, Option<BoxFuture<'static, ()>>) {
    let run = RunId::fresh();
    let place = Place {
        run,
        slot: Slot::Input,
    };
    let encoded = match inner.codecs.encode(new.input.clone(), &place) {
        Ok(encoded) => encoded,
        Err(why) => {
            let why = format!("the codec refused the input: {why}");
            return (Opened::Failed(StoreError::Rejected(why)), None);
        }
    };
    let worker = inner.liveness.worker();
    let begin = Begin {
        id: new.id,
        key: Arc::clone(&new.key),
        run,
        token: random::unpredictable(),
        owner: worker,
        plan: schema.plan.id,
        shape: schema.plan.shape,
        input: encoded,
        input_hash: new.hash,
        parent: new.parent,
    };
    let asked = inner.clock.elapsed();
    let mut resend = Resend::new();
    loop {
        match inner.store.begin(begin.clone()).await {
            Ok(Begun::Started(fence)) => {
                let (run, work) = begin_run(inner, schema, fence, worker, new);
                return (Opened::Started(run), Some(work));
            }
            Ok(Begun::Exists(record)) => return (Opened::Exists(Arc::from(record), asked), None),
            Err(error) => {
                if !Box::pin(resend.after(&error, &inner.stopped)).await {
                    return (Opened::Failed(error), None);
                }
            }
        }
    }
}

/// Whether it waits for something that a call can not hurry: not for the next try of a step, and not any
/// more when that has come.
fn sleeps(record: &ExecutionRecord) -> bool {
    let hurries = matches!(record.waits_for, None | Some(WaitReason::Retry));
    record.state == State::Waiting && !hurries && !record.wake_in.is_some_and(|due_in| due_in.is_zero())
}

/// What came of a call that met what its key has already.
enum Met {
    Admitted(Admitted),
    /// The key is to be used anew, which this call may not do.
    Free,
    /// It changed meanwhile: look again.
    Changed,
}

/// Applies the caller's policies to what its key has already.
async fn meet_existing(
    request: &Request,
    record: &ExecutionRecord,
    asked: Duration,
    known: Known,
) -> Result<Met, RunError> {
    let inner = &request.inner;
    same_key(request, &record.key)?;
    same_run(known, record.run)?;
    let is_news = known.epoch.is_some_and(|epoch| record.claim.epoch >= epoch);
    if is_news
        && request.aim.fits(record.input_hash)
        && let Some(end) = end_of(inner, record).await?
    {
        return Ok(Met::Admitted(Admitted::Finished(end)));
    }
    let existing = Existing {
        state: record.state,
        expired: record.is_expired(),
        same_input: request.aim.fits(record.input_hash),
        failure: record
            .failure
            .as_ref()
            .and_then(|failure| inner.decode_failure(record.run, failure))
            .map(|failure| failure.kind),
        parked: record.parked,
        sleeps: sleeps(record),
        shape: shape_known(inner, record),
    };
    match meet(existing, request.after_failure, request.on_expired) {
        Meeting::Mismatch => Err(mismatch(request, record.input_hash)),
        Meeting::Expired => Err(RunError::Expired {
            generation: record.generation,
            state: record.state,
        }),
        Meeting::Asleep => Ok(match end_of(inner, record).await? {
            Some(end) => Met::Admitted(Admitted::Finished(end)),
            None => Met::Changed,
        }),
        Meeting::Replay => {
            let end = outcome(inner, record).await?;
            if let RunEnd::Succeeded(output) = &end {
                let time = (asked, record.expires_in);
                inner
                    .outcomes
                    .keep(record.id, &request.key, record.input_hash, output, time);
            }
            Ok(Met::Admitted(Admitted::Finished(end)))
        }
        Meeting::Resume { keep_tries } => {
            let how = How::Resume { keep_tries };
            acquire(request, record, how, Verdict::Resumed, known).await
        }
        Meeting::Restart => match &request.aim {
            Aim::Run { input, hash } => {
                let how = How::Restart(Box::new(fresh(request, input, *hash)?));
                acquire(request, record, how, Verdict::Started, known).await
            }
            Aim::Join(_) => Ok(Met::Free),
        },
        Meeting::Busy if request.on_duplicate == OnDuplicate::Reject && !known.admitted => {
            Err(in_progress(inner, request.id, Some(record)).await)
        }
        Meeting::Busy => Ok(Met::Admitted(Admitted::There(record.run, record.claim.epoch))),
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
                return Ok(Met::Changed);
            }
            Err(RunError::Parked {
                execution: record.id,
                reason,
                failure: None,
            })
        }
    }
}

/// The id is a hash. No two keys with one id are known, but if there are, neither may answer for the
/// other.
fn same_key(request: &Request, key: &FullKey) -> Result<(), RunError> {
    if *request.key == *key {
        return Ok(());
    }
    let text = "another key has the same id as this one: use another key";
    Err(RunError::Invalid(text.to_owned()))
}

/// The same key with another input is refused.
fn same_input(request: &Request, hash: InputHash) -> Result<(), RunError> {
    if request.aim.fits(hash) {
        return Ok(());
    }
    Err(mismatch(request, hash))
}

fn mismatch(request: &Request, expected: InputHash) -> RunError {
    let got = request.aim.hash().unwrap_or(expected);
    RunError::InputMismatch { expected, got }
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

fn fresh(request: &Request, input: &Bytes, input_hash: InputHash) -> Result<Fresh, RunError> {
    let run = RunId::fresh();
    let place = Place {
        run,
        slot: Slot::Input,
    };
    let input = request
        .inner
        .codecs
        .encode(input.clone(), &place)
        .map_err(|why| RunError::Invalid(format!("the codec refused the input: {why}")))?;
    Ok(Fresh {
        run,
        plan: request.schema.plan.id,
        shape: request.schema.plan.shape,
        input,
        input_hash,
        parent: request.parent,
    })
}

/// Takes an execution over for this caller.
async fn acquire(
    request: &Request,
    record: &ExecutionRecord,
    how: How,
    verdict: Verdict,
    known: Known,
) -> Result<Met, RunError> {
    let caller = Caller::of(&request.inner, request.parent);
    match take_in_task(&request.inner, record.seen(), how, None, caller).await? {
        Taken::Won(run) => here(request, run, verdict, known).await.map(Met::Admitted),
        Taken::Lost => Ok(Met::Changed),
    }
}

/// Takes an execution over in a task of the engine's.
pub(crate) async fn take_in_task(
    inner: &Arc<Inner>,
    seen: Seen,
    how: How,
    settled: Option<Settled>,
    caller: Option<Caller>,
) -> Result<Taken, RunError> {
    let inner_of_task = Arc::clone(inner);
    let taking = inner.spawn(async move { take(&inner_of_task, seen, how, settled, caller).await });
    finished(taking).await
}

/// Waits for a task of the engine's that talks to the store; it goes on when the caller is dropped.
async fn finished<T>(task: JoinHandle<Result<T, StoreError>>) -> Result<T, RunError> {
    match task.await {
        Ok(done) => done.map_err(|error| unavailable(&error)),
        Err(_ended) => Err(shutting_down()),
    }
}

/// A run of this process, for this caller.
async fn here(
    request: &Request,
    run: Arc<LocalRun>,
    verdict: Verdict,
    known: Known,
) -> Result<Admitted, RunError> {
    same_key(request, &run.key)?;
    same_input(request, run.hash)?;
    let duplicate = verdict == Verdict::Attached && !known.admitted;
    if duplicate && request.on_duplicate == OnDuplicate::Reject {
        return Err(in_progress(&request.inner, request.id, None).await);
    }
    Ok(Admitted::Here(run, verdict))
}
