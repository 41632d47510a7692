//! What is recorded of a run? Read, decoded, and compared with the plan.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::ends::park;
use super::undo::Why;
use super::{Owned, Stop};
use crate::asks::Recorded;
#[cfg(feature = "planted")]
use crate::bugs;
use crate::codec::{Place, Slot};
use crate::context::Outputs;
use crate::execution::{CancelWish, ParkReason};
use crate::inner::Inner;
use crate::marks::Mark;
use crate::persist::{Pause, Persisted, Write, persist};
use crate::refusal::Asked;
use crate::runs::{LocalRun, RunEnd, locked};
use crate::schema::StepEntry;
use crate::store::{Enlisted, NewMessage, Progress, StoreError, Then};

/// What the run has done so far, decoded.
pub(super) struct Done {
    pub(super) input: Bytes,
    pub(super) outputs: Arc<Outputs>,
    /// How many steps have an output.
    pub(super) recorded: usize,
    /// How many owners were lost before the last output.
    pub(super) lost_at_output: i32,
    /// How many owners were lost before anything else was recorded that brings the run on.
    pub(super) lost_at_checkpoint: i32,
    /// What else is recorded.
    pub(super) marks: Arc<Recorded>,
    /// The database's time when this was read, and the engine's at that moment.
    pub(super) read_at: (SystemTime, Duration),
    /// Why the run is being undone.
    pub(super) undoing: Option<Why>,
    /// Messages that go with the next checkpoint.
    pub(super) messages: Vec<NewMessage>,
    /// The transaction of an atomic schema, from step to step.
    pub(super) transaction: Mutex<Option<Enlisted>>,
}

impl Done {
    fn new(inner: &Inner, input: Bytes, now: SystemTime) -> Self {
        Self {
            input,
            outputs: Arc::default(),
            recorded: 0,
            lost_at_output: 0,
            lost_at_checkpoint: 0,
            marks: Arc::default(),
            read_at: (now, inner.clock.elapsed()),
            undoing: None,
            messages: Vec::new(),
            transaction: Mutex::default(),
        }
    }

    pub(super) fn push(&mut self, entry: &StepEntry, output: Bytes) {
        Arc::make_mut(&mut self.outputs).push(entry, output);
        self.recorded += 1;
    }

    pub(super) fn take_transaction(&self) -> Option<Enlisted> {
        locked(&self.transaction).take()
    }

    /// Forgets what was done and is not recorded: the transaction of an atomic schema is gone.
    pub(super) fn roll_back(&mut self) {
        self.outputs = Arc::default();
        self.recorded = 0;
        self.marks.arrived();
        self.messages.clear();
        self.take_transaction();
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
    match decode(inner, run, owned, loaded) {
        Ok(done) => Ok(done),
        Err(why) => Err(Box::pin(unreadable(inner, run, owned, why)).await),
    }
}

/// What can not be read is parked; or cancelled, if that is what somebody wants.
async fn unreadable(inner: &Inner, run: &LocalRun, owned: &Owned, why: String) -> Stop {
    if run.cancel_wish() != Some(CancelWish::Stop) {
        return park(inner, run, ParkReason::Unreadable, why).await;
    }
    let then = Then::Cancel {
        retention: owned.schema.options.retention,
    };
    match persist(inner, run, Write::only(then)).await {
        Persisted::Written => RunEnd::Cancelled.into(),
        Persisted::Restarted => Stop::Restarted,
        _ => RunEnd::Lost.into(),
    }
}

fn decode(inner: &Inner, run: &LocalRun, owned: &Owned, loaded: Progress) -> Result<Done, String> {
    let place = |slot| Place {
        run: run.fence().run,
        slot,
    };
    let input = inner
        .codecs
        .decode(&loaded.input, &place(Slot::Input))
        .map_err(|why| format!("the input can not be read: {why}"))?;
    let mut done = Done::new(inner, input, loaded.now);
    let mut outputs = HashMap::new();
    for checkpoint in &loaded.checkpoints {
        let name = &checkpoint.step;
        let value = inner
            .codecs
            .decode_all(&checkpoint.output, &place(Slot::Output(name)))
            .map_err(|why| format!("what is recorded as `{name}` can not be read: {why}"))?;
        outputs.extend(value.riders);
        let brings_on = match Mark::read(name) {
            None => return Err(format!("`{name}` is recorded, which this version does not know")),
            Some((_, None)) => {
                outputs.insert(name.clone(), value.json);
                done.lost_at_output = done.lost_at_output.max(checkpoint.lost);
                true
            }
            Some((_, Some(Mark::Undoing))) => {
                done.undoing = Some(Why::read(&value.json)?);
                true
            }
            Some((_, Some(mark))) => {
                done.marks.insert(name.clone(), value.json, checkpoint.at);
                !matches!(mark, Mark::Started(_) | Mark::Progress)
            }
        };
        if brings_on {
            done.lost_at_checkpoint = done.lost_at_checkpoint.max(checkpoint.lost);
        }
    }
    for entry in &owned.schema.steps {
        let Some(output) = outputs.remove(&entry.name) else {
            break;
        };
        done.push(entry, output);
    }
    match outputs.keys().next() {
        Some(name) => Err(format!(
            "`{name}` is recorded, which the plan does not have there"
        )),
        None => Ok(done),
    }
}
