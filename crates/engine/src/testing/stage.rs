//! How is one story played? A caller, a duplicate at the moment when something goes wrong, the next
//! owner, the old one woken, and a caller who comes late.
//!
//! Nothing here waits for time to pass: each wait is for a condition, with a bound that only a broken
//! promise reaches. The story's clock runs by itself whenever somebody waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use super::client::{Client, Ending, Front, Outcome};
use super::faulty::{Call, Gate};
use super::process::{Armed, Maker, Running};
use super::script::{CALLS, Script, What};
use crate::clock::monotonic;
use crate::error::FailureKind;
use crate::execution::ExecutionId;
use crate::runs::locked;

/// No condition of a story takes this long unless a promise is broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the next owner tries to take over from one that stands still with a transaction open.
/// Where that transaction holds the database's only writer, nobody can before the old one is woken.
const BLOCKED: Duration = Duration::from_secs(1);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// How often the process in charge looks for work.
const SWEEP: Duration = Duration::from_millis(10);
/// The first step of a clock that somebody waits for; each is twice as long as the one before.
const FIRST_STEP: Duration = Duration::from_millis(10);
const LONGEST_STEP: Duration = Duration::from_secs(24 * 3600);

/// A story while it is played.
pub(super) struct Stage<In, Out, W> {
    pub(super) maker: Maker<In, Out, W>,
    pub(super) id: ExecutionId,
    pub(super) input: In,
    /// How the story without faults ends; `None` when this is that story.
    pub(super) quiet: Option<Ending>,
    pub(super) cast: Vec<Arc<Running>>,
    pub(super) front: Front,
    callers: Vec<Caller>,
    mends: bool,
}

/// A caller, and the process at which it calls at the moment.
struct Caller {
    at: Arc<AtomicUsize>,
    told: JoinHandle<Option<Outcome>>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.told.abort();
    }
}

/// An owner that stands still until all is over, or is kept from learning that it was replaced.
struct Sleeper {
    process: usize,
    armed: Armed,
}

/// How a story ended.
pub(super) struct Played {
    /// What every caller got.
    pub(super) outcomes: Vec<Outcome>,
    /// The calls of the first process until its caller had the outcome.
    pub(super) calls: Vec<Call>,
    /// Whether everything that the script says has happened.
    pub(super) as_scripted: bool,
}

impl<In, Out, W> Stage<In, Out, W>
where
    In: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
    W: Send + Sync + 'static,
{
    /// Opens the two processes that every story has.
    pub(super) async fn open(
        maker: Maker<In, Out, W>,
        id: ExecutionId,
        input: In,
        quiet: Option<Ending>,
    ) -> Result<Self, String> {
        let (first, second) = futures::join!(Running::start(&maker, 0), Running::start(&maker, 1));
        let cast = vec![first?, second?];
        Ok(Self {
            maker,
            id,
            input,
            quiet,
            front: Arc::new(Mutex::new(Arc::clone(&cast[0]))),
            cast,
            callers: Vec::new(),
            mends: false,
        })
    }

    /// Plays the script to its end. An error is the sentence that says which promise was broken.
    pub(super) async fn play(&mut self, script: &Script) -> Result<Played, String> {
        self.mends = script.refuses_values();
        let parts = script.parts();
        let mut sleepers: Vec<Sleeper> = Vec::new();
        let mut as_scripted = true;
        // A transaction that stands still would hold up a process that opens its store: it is opened
        // before.
        let may_hold_up = parts
            .iter()
            .skip(1)
            .any(|acts| acts.iter().any(|act| act.call == Call::Commit));
        while may_hold_up && self.cast.len() <= parts.len() {
            let another = Running::start(&self.maker, self.cast.len()).await?;
            self.cast.push(another);
        }
        let mut armed = self.cast[0].arm(parts[0]);
        self.call(0);
        for process in 0.. {
            self.until("something goes wrong as scripted, or an outcome", |stage| {
                (!script.acts.is_empty() && armed.has_happened()) || stage.is_over()
            })
            .await?;
            as_scripted &= armed.has_happened();
            let ending = armed.ending().filter(|_| armed.has_happened());
            let Some(ending) = ending else {
                as_scripted &= process + 1 >= parts.len();
                self.duplicate(process.max(1)).await?;
                break;
            };
            let next = process + 1;
            // Before it is opened: it may take over what it finds at its first look.
            let at_work = self.hold_commits(next);
            if next == self.cast.len() {
                self.cast.push(Running::start(&self.maker, next).await?);
            }
            *locked(&self.front) = Arc::clone(&self.cast[next]);
            let for_next = self.cast[next].arm(parts.get(next).copied().unwrap_or_default());
            self.duplicate(next).await?;
            match ending.what {
                What::Die(_) => {
                    at_work.open();
                    self.die(process).await?;
                }
                // Others may wait for its transaction until it is woken.
                What::Oversleep(_) if !self.maker.notes.is_in_transaction(process) => {
                    at_work.open();
                    self.give_up(process).await?;
                    sleepers.push(Sleeper { process, armed });
                }
                _ => {
                    if !self.pause(process, &armed, &for_next, &at_work).await? {
                        sleepers.push(Sleeper { process, armed });
                    }
                }
            }
            armed = for_next;
        }
        self.end(sleepers).await.map(|(outcomes, calls)| Played {
            outcomes,
            calls,
            as_scripted,
        })
    }

    /// Waits for everybody, wakes who still sleeps, and asks once more.
    async fn end(&mut self, sleepers: Vec<Sleeper>) -> Result<(Vec<Outcome>, Vec<Call>), String> {
        let asleep = |process| sleepers.iter().any(|sleeper| sleeper.process == process);
        self.until("an outcome for every caller", |stage| {
            let mut callers = stage.callers.iter();
            callers.all(|caller| caller.told.is_finished() || asleep(caller.at.load(Ordering::SeqCst)))
        })
        .await?;
        for Sleeper { process, armed } in &sleepers {
            armed.wake();
            self.learns(*process, |_stage| false).await?;
        }
        self.until("an outcome for every caller", |stage| {
            stage.callers.iter().all(|caller| caller.told.is_finished())
        })
        .await?;
        let mut calls = self.cast[0].calls();
        calls.retain(|call| CALLS.iter().any(|(carries_on, _)| carries_on == call));
        for process in &self.cast {
            process.disarm();
        }
        self.call(self.front());
        self.until("an outcome for a caller who comes late", |stage| {
            stage.callers.iter().all(|caller| caller.told.is_finished())
        })
        .await?;
        let mut outcomes = Vec::new();
        for caller in &mut self.callers {
            let told = (&mut caller.told).await;
            let told = told.map_err(|error| format!("a caller ended early: {error}"))?;
            outcomes.extend(told);
        }
        Ok((outcomes, calls))
    }

    /// Ends all processes, so that nothing happens any more.
    pub(super) async fn close(&mut self) {
        self.callers.clear();
        futures::future::join_all(self.cast.iter().map(|process| process.kill())).await;
    }

    /// The process is gone for ever; the next one is in charge.
    async fn die(&mut self, process: usize) -> Result<(), String> {
        // Its session ends with it, and somebody may see that at once.
        self.maker.notes.read().given_up.push(process);
        self.cast[process].kill().await;
        self.give_up(process).await.map(drop)
    }

    /// The process stands still, is replaced, and is woken while the next owner is at work. False when it
    /// can not learn that yet, because the next owner stands still in a transaction of its step.
    async fn pause(
        &mut self,
        process: usize,
        armed: &Armed,
        for_next: &Armed,
        at_work: &Gate,
    ) -> Result<bool, String> {
        let next = process + 1;
        if self.give_up(process).await? {
            self.until("another process takes the execution over", |stage| {
                let taken = stage.maker.notes.read();
                // Without an owner nobody got as far as to begin it.
                let replaced = taken.owner.is_none_or(|owner| owner == next);
                replaced || taken.finished || for_next.stands_still()
            })
            .await?;
        }
        armed.wake();
        self.until("the owner that was replaced meets its fence", |stage| {
            // What the next owner has written in a transaction of its step can be in the way.
            (armed.was_answered() && stage.has_learnt(process)) || stage.maker.notes.is_in_transaction(next)
        })
        .await?;
        at_work.open();
        self.learns(process, |stage| {
            for_next.stands_still() && stage.maker.notes.is_in_transaction(next)
        })
        .await
    }

    /// Lets what a process writes wait until the gate is opened.
    fn hold_commits(&self, process: usize) -> Gate {
        let at_work = Gate::closed();
        self.maker.notes.hold_commits(process, at_work.clone());
        at_work
    }

    /// Waits until a process that was woken has learnt that it was replaced: by its fence, or by its
    /// next beat when it would rest between two attempts of a step and time stands still. False when
    /// something keeps it from that.
    async fn learns(&self, process: usize, is_kept: impl Fn(&Self) -> bool) -> Result<bool, String> {
        let has_learnt = |stage: &Self| stage.has_learnt(process);
        self.until("the owner that was replaced meets its fence, or rests", |stage| {
            let rests = stage.maker.notes.read().finished && stage.maker.clock.is_awaited();
            has_learnt(stage) || rests || is_kept(stage)
        })
        .await?;
        if !has_learnt(self) && is_kept(self) {
            return Ok(false);
        }
        self.cast[process].stir();
        self.until("the owner that was replaced learns it", has_learnt)
            .await
            .map(|()| true)
    }

    /// Whether the process has nothing to do with the execution any more; or still has, because
    /// nobody could replace it while it stood still.
    fn has_learnt(&self, process: usize) -> bool {
        let unchanged = self.maker.notes.read().owner == Some(process);
        unchanged || !self.cast[process].knows(self.id)
    }

    /// Everybody takes the process for dead, and it does not hear of it. False when that could not be
    /// written yet, because a transaction that stands still holds the only writer: its own, or one of
    /// the process that is to write it. The burial goes on, and happens when the transaction ends.
    async fn give_up(&mut self, process: usize) -> Result<bool, String> {
        let (old, next) = (&self.cast[process], &self.cast[process + 1]);
        old.stand_still();
        self.maker.notes.read().given_up.push(process);
        let burial = next.bury(old.engine.worker_id());
        let started = monotonic();
        while !burial.is_finished() {
            let mut both = [process, process + 1].into_iter();
            if started.elapsed() > BLOCKED && both.any(|one| self.maker.notes.is_in_transaction(one)) {
                return Ok(false);
            }
            if started.elapsed() > PATIENCE {
                return Err("a process could not be declared dead".to_owned());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(true)
    }

    /// Starts a caller at a process.
    fn call(&mut self, home: usize) {
        let at = Arc::new(AtomicUsize::new(home));
        let client = Client {
            at: Arc::clone(&at),
            schema: self.maker.schema.clone(),
            input: self.input.clone(),
            front: Arc::clone(&self.front),
            clock: self.maker.clock.clone(),
            notes: self.maker.notes.clone(),
            resumes: !matches!(self.quiet, None | Some((_, Some(FailureKind::Exhausted)))),
            mends: self.mends,
        };
        let told = tokio::spawn(client.ask(Arc::clone(&self.cast[home])));
        self.callers.push(Caller { at, told });
    }

    /// Races a duplicate at this moment, unless there was one, until it has asked for the key.
    async fn duplicate(&mut self, home: usize) -> Result<(), String> {
        if self.callers.len() > 1 {
            return Ok(());
        }
        self.call(home);
        let _or_it_waits_for_what_stands_still = self
            .within(BLOCKED, |stage| stage.has_asked(home) || stage.is_over())
            .await?;
        Ok(())
    }

    fn has_asked(&self, process: usize) -> bool {
        self.maker.notes.read().asked.contains(&process)
    }

    /// Whether somebody has the outcome.
    fn is_over(&self) -> bool {
        self.maker.notes.read().finished && self.callers.iter().any(|caller| caller.told.is_finished())
    }

    /// Which process is in charge.
    pub(super) fn front(&self) -> usize {
        locked(&self.front).place
    }

    /// Waits for what must come.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        if self.within(PATIENCE, is_so).await? {
            return Ok(());
        }
        let taken = self.maker.notes.read();
        let recorded: Vec<&String> = taken.recorded.keys().collect();
        Err(format!(
            "this never came: {what}; recorded: {recorded:?}, finished: {}",
            taken.finished
        ))
    }

    /// Waits for what may come; false when it did not.
    async fn within(&self, patience: Duration, is_so: impl Fn(&Self) -> bool) -> Result<bool, String> {
        let started = monotonic();
        let mut swept = started;
        let mut step = FIRST_STEP;
        loop {
            if let Some(broken) = &self.maker.notes.read().broken {
                return Err(broken.clone());
            }
            if is_so(self) {
                return Ok(true);
            }
            if started.elapsed() > patience {
                return Ok(false);
            }
            if swept.elapsed() > SWEEP {
                swept = monotonic();
                locked(&self.front).sweep();
            }
            // What was finished is kept for a while only.
            if self.maker.clock.is_awaited() && !self.maker.notes.read().finished {
                self.maker.clock.advance(step);
                step = (step * 2).min(LONGEST_STEP);
            } else {
                step = FIRST_STEP;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
