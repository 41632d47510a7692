//! What is recorded of a run? Read, decoded, and compared with the plan.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::ends::park;
use super::undo::Why;
use super::{Owned, Stop};
use crate::asks::Recorded;
#[cfg(feature = "planted")]
use crate::bugs;
use crate::cancel::cancel_unread;
use crate::codec::{Place, Slot};
use crate::context::Outputs;
use crate::execution::{CancelWish, ParkReason, RunId};
use crate::inner::Inner;
use crate::marks::Mark;
use crate::persist::Pause;
use crate::refusal::Asked;
use crate::runs::{LocalRun, RunEnd, locked};
use crate::schema::SchemaCore;
use crate::step::ErasedStep;
use crate::store::{Enlisted, NewMessage, Progress, StoreError};

/// What the run has done so far, decoded.
pub(super) struct Done {
    pub(super) input: Bytes,
    pub(super) outputs: Outputs,
    /// How many owners were lost before the last output, or the last undo.
    pub(super) lost_at_output: i32,
    /// How many owners were lost before anything else was recorded that brings the run on.
    pub(super) lost_at_checkpoint: i32,
    /// What else is recorded.
    pub(super) marks: Arc<Recorded>,
    /// The database's time when this was read, and the engine's at that moment.
    pub(super) read_at: (SystemTime, Duration),
    /// Why the run is being undone.
    pub(super) undoing: Option<Why>,
    /// Outputs that are not recorded yet: they ride with the next checkpoint.
    pub(super) riding: Arc<Riding>,
    /// Messages that go with the next checkpoint.
    pub(super) messages: Vec<NewMessage>,
    /// The transaction of an atomic schema, from step to step.
    pub(super) transaction: Mutex<Option<Enlisted>>,
}

impl Done {
    fn new(inner: &Inner, input: Bytes, now: SystemTime) -> Self {
        Self {
            input,
            outputs: Outputs::default(),
            lost_at_output: 0,
            lost_at_checkpoint: 0,
            marks: Arc::default(),
            read_at: (now, inner.clock.elapsed()),
            undoing: None,
            riding: Arc::default(),
            messages: Vec::new(),
            transaction: Mutex::default(),
        }
    }

    /// Notes that a body has done its work, and that it is recorded.
    pub(super) fn came_on(&mut self, lost: i32) {
        self.lost_at_output = lost;
        self.lost_at_checkpoint = lost;
    }

    /// How many steps have an output.
    pub(super) fn recorded(&self) -> usize {
        self.outputs.count()
    }

    /// What the next step takes.
    pub(super) fn newest(&self) -> Bytes {
        self.outputs.last().unwrap_or_else(|| self.input.clone())
    }

    pub(super) fn take_transaction(&self) -> Option<Enlisted> {
        locked(&self.transaction).take()
    }

    /// Forgets what was done and is not recorded: the transaction of an atomic schema is gone.
    pub(super) fn roll_back(&mut self) {
        self.outputs = Outputs::default();
        self.riding.clear();
        self.messages.clear();
        self.take_transaction();
    }
}

/// Outputs on their way: whatever is recorded next takes them along, be it an output, a part or a mark.
/// Two that are under way at once take both the same ones.
#[derive(Default)]
pub(super) struct Riding(Mutex<Vec<(String, Bytes)>>);

impl Riding {
    pub(super) fn push(&self, step: String, output: Bytes) {
        locked(&self.0).push((step, output));
    }

    pub(super) fn all(&self) -> Vec<(String, Bytes)> {
        locked(&self.0).clone()
    }

    pub(super) fn clear(&self) {
        locked(&self.0).clear();
    }

    pub(super) fn bytes(&self) -> usize {
        locked(&self.0).iter().map(|(_, output)| output.len()).sum()
    }
}

/// Loads what is recorded, or takes what is known of a run that begins here.
pub(super) async fn progress(inner: &Inner, run: &LocalRun, owned: &mut Owned) -> Result<Done, Stop> {
    if let Some(input) = owned.input.take() {
        return Ok(Done::new(inner, input, inner.now()));
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
                return Err(Box::pin(unreadable(inner, run, owned, error.to_string())).await);
            }
            Err(error) => asked.failed(&error),
        }
        if !pause.wait(inner, run).await {
            return Err(RunEnd::Lost.into());
        }
    };
    match decode(inner, run.fence().run, &owned.schema, loaded) {
        Ok(done) => Ok(done),
        Err(why) => Err(Box::pin(unreadable(inner, run, owned, why)).await),
    }
}

/// The end of a run whose records can not be read.
async fn unreadable(inner: &Inner, run: &LocalRun, owned: &Owned, why: String) -> Stop {
    let wish = run.cancel_wish();
    if wish == Some(CancelWish::Stop) {
        let retention = owned.schema.options.retention;
        return cancel_unread(inner, run, retention).await.into();
    }
    park(inner, run, ParkReason::Unreadable, why, wish).await
}

/// Whether an owner with this code can read what is recorded, and the next step its input. Otherwise why
/// not.
pub(crate) fn check_readable(
    inner: &Inner,
    run: RunId,
    schema: &SchemaCore,
    steps: &[Arc<dyn ErasedStep>],
    loaded: Progress,
) -> Result<(), String> {
    let done = decode(inner, run, schema, loaded)?;
    match steps.get(done.recorded()) {
        Some(next) if done.undoing.is_none() => next.reads(&done.newest()),
        _ => Ok(()),
    }
}

fn decode(inner: &Inner, run: RunId, schema: &SchemaCore, loaded: Progress) -> Result<Done, String> {
    let place = |slot| Place { run, slot };
    let input = inner
        .codecs
        .decode(&loaded.input, &place(Slot::Input))
        .map_err(|why| format!("the input can not be read: {why}"))?;
    let mut done = Done::new(inner, input, loaded.now);
    let mut outputs = BTreeMap::new();
    for checkpoint in &loaded.checkpoints {
        let name = &checkpoint.step;
        let value = inner
            .codecs
            .decode_all(&checkpoint.output, &place(Slot::Output(name)))
            .map_err(|why| format!("what is recorded as `{name}` can not be read: {why}"))?;
        let Some((_step, mark)) = Mark::read(name) else {
            return Err(format!("`{name}` is recorded, which this version does not know"));
        };
        // That an attempt begins is no progress, nor that it did nothing, nor what it says of itself: a step
        // that kills each owner begins again and again.
        if !matches!(mark, Some(Mark::Started(_) | Mark::NotDone(_) | Mark::Progress)) {
            done.lost_at_checkpoint = done.lost_at_checkpoint.max(checkpoint.lost);
        }
        outputs.extend(value.riders);
        if matches!(mark, None | Some(Mark::Undoing | Mark::Undone)) {
            done.lost_at_output = done.lost_at_output.max(checkpoint.lost);
        }
        match mark {
            None => drop(outputs.insert(name.clone(), value.json)),
            Some(Mark::Undoing) => done.undoing = Some(Why::read(&value.json)?),
            Some(_mark) => done.marks.insert(name.clone(), value.json, checkpoint.at),
        }
    }
    while let Some(entry) = schema.steps.get(done.recorded())
        && let Some(output) = outputs.remove(&*entry.name)
    {
        done.outputs.push(output);
    }
    match (outputs.keys().next(), schema.steps.get(done.recorded())) {
        (None, _) => Ok(done),
        (Some(name), Some(next)) => Err(format!("`{name}` is recorded where the plan has `{}`", next.name)),
        (Some(_), None) => Err("more steps are recorded than the plan has".to_owned()),
    }
}
