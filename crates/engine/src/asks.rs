//! What may a step ask of its owner while it runs? To record a part, to be put down until something
//! comes, to look for signals.
//!
//! A body never talks to the store: it may be dropped at any await, and a write that is half sent then
//! would be nobody's. It leaves what it wants on its desk, and the task that drives the execution, which
//! polls the body too, does it.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::error::{StepError, StepResult};
use crate::execution::{ExecutionId, WaitReason};
use crate::runs::locked;

/// Something that a body wants done.
pub(crate) enum Ask {
    /// To record something of the step under this name.
    Record(String, Bytes, oneshot::Sender<StepResult<()>>),
    /// To put down how far it has come.
    Progress(Bytes, oneshot::Sender<StepResult<()>>),
    /// To see the signals that were sent.
    Inbox(oneshot::Sender<StepResult<Signals>>),
    /// To be put down. Never answered: the body is dropped.
    Wait(Wait),
}

/// The signals that were sent to a run: how many in all, and those of one name as JSON.
pub(crate) struct Signals {
    pub(crate) count: i32,
    pub(crate) sent: Vec<(String, Bytes)>,
}

/// Until when an execution is put down.
pub(crate) struct Wait {
    /// What is recorded with it.
    pub(crate) mark: Option<(String, Bytes)>,
    pub(crate) delay: Option<Duration>,
    pub(crate) reason: WaitReason,
    /// How many signals are known, when it waits for one.
    pub(crate) signals: Option<i32>,
    /// The execution that it waits for, when it has called one.
    pub(crate) called: Option<ExecutionId>,
}

impl Wait {
    /// What several waits beside each other come to: until the first of them is over. With it comes what
    /// the others want recorded. `None` for none.
    pub(crate) fn first_of(mut waits: Vec<Self>) -> Option<(Self, Vec<(String, Bytes)>)> {
        let delay = waits.iter().filter_map(|wait| wait.delay).min();
        let at = waits.iter().position(|wait| wait.signals.is_some());
        let earliest = || waits.iter().position(|wait| wait.delay == delay);
        let at = at.or_else(earliest)?;
        let chosen = waits.swap_remove(at);
        let marks = waits.into_iter().filter_map(|wait| wait.mark).collect();
        Some((Self { delay, ..chosen }, marks))
    }
}

/// Where a body leaves what it wants.
#[derive(Default)]
pub(crate) struct Desk {
    asks: Mutex<Vec<Ask>>,
    asked: Notify,
    closed: AtomicBool,
    over: Notify,
}

impl Desk {
    /// Takes what was left, when there is something.
    pub(crate) async fn taken(&self) -> Vec<Ask> {
        loop {
            let asks = std::mem::take(&mut *locked(&self.asks));
            if !asks.is_empty() {
                return asks;
            }
            self.asked.notified().await;
        }
    }

    /// The attempt is over. What a task of its own still asks for is refused.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        locked(&self.asks).clear();
        self.over.notify_waiters();
    }

    fn leave(&self, ask: Ask) {
        locked(&self.asks).push(ask);
        self.asked.notify_one();
    }

    /// Leaves an ask and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<StepResult<T>>) -> Ask,
    ) -> StepResult<T> {
        let (reply, answer) = oneshot::channel();
        self.leave(ask(reply));
        let answered = async {
            match answer.await {
                Ok(answer) => answer,
                // The owner ends the attempt, and this body with it.
                Err(_gone) => pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answered => answer,
            ended = self.ended() => Err(ended),
        }
    }

    /// Leaves the wish to be put down. Answered only to a task that outlives its attempt.
    pub(crate) async fn wait(&self, wait: Wait) -> StepError {
        self.leave(Ask::Wait(wait));
        self.ended().await
    }

    async fn ended(&self) -> StepError {
        let over = self.over.notified();
        if !self.closed.load(Ordering::SeqCst) {
            over.await;
        }
        StepError::retry("the attempt of the step is over")
    }
}

/// What else than outputs is recorded of a run, by name.
#[derive(Default)]
pub(crate) struct Recorded {
    marks: Mutex<HashMap<String, (Bytes, SystemTime)>>,
}

impl Recorded {
    pub(crate) fn get(&self, name: &str) -> Option<(Bytes, SystemTime)> {
        locked(&self.marks).get(name).cloned()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        locked(&self.marks).contains_key(name)
    }

    pub(crate) fn insert(&self, name: String, value: Bytes, at: SystemTime) {
        locked(&self.marks).insert(name, (value, at));
    }

    /// How many there are of which this is true.
    pub(crate) fn count(&self, is_wanted: impl Fn(&str, &Bytes) -> bool) -> usize {
        let marks = locked(&self.marks);
        let wanted = marks.iter().filter(|(name, (value, _at))| is_wanted(name, value));
        wanted.count()
    }
}
