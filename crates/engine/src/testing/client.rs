//! How does a caller behave in a story? As a good client does: it calls with the same key until there
//! is an outcome, at another process when its own has died.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::process::Running;
use super::watch::Notes;
use crate::clock::Clock;
use crate::error::{Failure, FailureKind};
use crate::execution::{ParkReason, State};
use crate::policy::{AfterFailure, OnDuplicate};
use crate::run_error::RunError;
use crate::runs::locked;
use crate::schema::Schema;

/// The key of every story; each has a world of its own.
pub(super) const KEY: &str = "trial";

/// What all callers got in the end.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Output(Value),
    Failed(Failure),
    /// It failed, and what was done is undone.
    Undone(Failure),
}

/// How a story ends: in this state, with a failure of this kind if with one.
pub(super) type Ending = (State, Option<FailureKind>);

impl Outcome {
    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Output(_) => (State::Succeeded, None),
            Self::Failed(failure) => (State::Failed, Some(failure.kind)),
            Self::Undone(failure) => (State::Undone, Some(failure.kind)),
        }
    }

    pub(super) fn result(self) -> Result<Value, Failure> {
        match self {
            Self::Output(output) => Ok(output),
            Self::Failed(failure) | Self::Undone(failure) => Err(failure),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(output) => output.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
            Self::Undone(failure) => write!(f, "undone: {failure}"),
        }
    }
}

/// The process that calls go to when there is no better one.
pub(super) type Front = Arc<Mutex<Arc<Running>>>;

/// A caller.
pub(super) struct Client<In, Out> {
    pub(super) schema: Schema<In, Out>,
    pub(super) input: In,
    pub(super) front: Front,
    /// Where it calls at the moment: the place of a process in the story.
    pub(super) at: Arc<AtomicUsize>,
    pub(super) clock: Clock,
    pub(super) notes: Notes,
    /// Whether used-up tries are no outcome yet, because without faults they are not used up.
    pub(super) resumes: bool,
    /// Whether somebody mends what could not be stored or read, because the script made it so: what
    /// is parked is resumed by hand, and what was refused is called again.
    pub(super) mends: bool,
}

/// How often a caller takes a failure for a reason to call again, or has somebody resume what is parked.
const RESUMES: u32 = 5;
/// Between two calls. What is waited for is an outcome; this only keeps the loop from being hot.
const PAUSE: Duration = Duration::from_millis(3);

impl<In, Out> Client<In, Out>
where
    In: Serialize + DeserializeOwned + Clone + Send + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
{
    /// Calls until there is an outcome. `None` when it was told what no caller should hear: that is
    /// noted.
    pub(super) async fn ask(self, home: Arc<Running>) -> Option<Outcome> {
        let notes = self.notes.clone();
        let told = self.call(home).await;
        told.map_err(|broken| notes.read().broke(broken)).ok()
    }

    async fn call(self, home: Arc<Running>) -> Result<Outcome, String> {
        let mut process = home;
        let mut resumed = 0;
        loop {
            self.at.store(process.place, Ordering::SeqCst);
            let call = process
                .engine
                .run(&self.schema, KEY, self.input.clone())
                .on_duplicate(OnDuplicate::Attach);
            let call = match (self.resumes, resumed) {
                (true, ..RESUMES) => call,
                _ => call.after_failure(AfterFailure::Replay),
            };
            match process.spawn(call.into_future()).await {
                // It died and answered nothing.
                Err(_died) => {}
                Ok(Ok(output)) => {
                    let output = serde_json::to_value(output);
                    return output
                        .map(Outcome::Output)
                        .map_err(|error| format!("the output is no JSON: {error}"));
                }
                Ok(Err(RunError::Failed(failure))) => {
                    let used_up = failure.kind == FailureKind::Exhausted;
                    if !(self.resumes && used_up && resumed < RESUMES) {
                        return Ok(Outcome::Failed(failure));
                    }
                    resumed += 1;
                }
                Ok(Err(RunError::Undone(failure))) => return Ok(Outcome::Undone(failure)),
                Ok(Err(RunError::Waiting { due_in, .. })) => {
                    // It may be old news, and what was finished is kept for a while only.
                    if !self.notes.read().finished {
                        self.clock.advance(due_in.unwrap_or_default());
                    }
                }
                Ok(Err(RunError::Unavailable(_))) => {}
                // Also in doubt: what its verify found can be refused as well.
                Ok(Err(RunError::Parked { execution, .. })) if self.mends && resumed < RESUMES => {
                    resumed += 1;
                    let engine = process.engine.clone();
                    let _another_was_first =
                        process.spawn(async move { engine.resume(execution).await }).await;
                }
                Ok(Err(RunError::Invalid(_) | RunError::Unreadable(_))) if self.mends => {}
                Ok(Err(RunError::Parked {
                    reason,
                    failure: Some(failure),
                    ..
                })) => {
                    let who = match reason {
                        ParkReason::InDoubt => " (a trial has no operator: its verify must tell)",
                        _ => "",
                    };
                    return Err(format!("it was parked ({}){who}: {failure}", reason.as_str()));
                }
                Ok(Err(error)) => return Err(format!("a caller was told: {error}")),
            }
            tokio::time::sleep(PAUSE).await;
            process = Arc::clone(&locked(&self.front));
        }
    }
}
