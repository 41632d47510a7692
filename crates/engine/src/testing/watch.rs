//! What really happened in a story? Notes taken below the faults, where each call meets the store,
//! and around the body of each step.
//!
//! The notes are also the first judge: what must never happen is seen when it happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::future::BoxFuture;

use super::faulty::Gate;
use super::report::Counts;
use crate::context::StepContext;
use crate::execution::{Claim, ExecutionId, Payload, State, WriteId};
use crate::runs::locked;
use crate::step::{Attempted, ErasedStep};
use crate::store::{Acquire, Acquired, Begin, Begun, Commit, How, Store, StoreError, Verdict};

/// The notes of one story. Clones are the same notes.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    execution: ExecutionId,
    taken: Arc<Mutex<Taken>>,
}

/// What was noted.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The claim that counts.
    claim: Option<Claim>,
    /// Which process has it.
    pub(super) owner: Option<usize>,
    /// Processes that may be replaced: the story gave them up.
    pub(super) given_up: Vec<usize>,
    /// The claim under which a write was sent that ends it. Whether it was written may not be known yet.
    ends: Option<Claim>,
    /// An outcome stands.
    pub(super) finished: bool,
    /// How it ended for good.
    over: Option<State>,
    /// The write that ended the claim that counts.
    ended_by: Option<WriteId>,
    /// What each step recorded.
    pub(super) recorded: BTreeMap<String, (WriteId, Payload)>,
    /// How often the body of each step was begun.
    pub(super) attempts: BTreeMap<String, u32>,
    pub(super) counts: Counts,
    /// Claims that a write was refused under, as far as is known not because of another one.
    pub(super) refused: Vec<Claim>,
    /// Processes whose begin was answered.
    pub(super) asked: Vec<usize>,
    /// Commits that the first process sent, and which of them brought a transaction, from 1.
    commits: u64,
    pub(super) enlisting: Vec<u64>,
    /// Processes whose present commit brings a transaction of its step.
    in_transaction: Vec<usize>,
    /// Where commits of a process wait, below all faults.
    held: Option<(usize, Gate)>,
    /// The first promise that was broken.
    pub(super) broken: Option<String>,
}

impl Notes {
    pub(super) fn of(execution: ExecutionId) -> Self {
        Self {
            execution,
            taken: Arc::default(),
        }
    }

    pub(super) fn read(&self) -> MutexGuard<'_, Taken> {
        locked(&self.taken)
    }

    /// Lets the commits of a process wait at the gate.
    pub(super) fn hold_commits(&self, process: usize, gate: Gate) {
        self.read().held = Some((process, gate));
    }

    /// Whether the commit that a process is at brings a transaction, which stays open meanwhile.
    pub(super) fn is_in_transaction(&self, process: usize) -> bool {
        self.read().in_transaction.contains(&process)
    }

    /// A body with notes about its attempts, by the name under which it is recorded.
    pub(super) fn around(&self, step: &str, body: Arc<dyn ErasedStep>) -> Arc<dyn ErasedStep> {
        Arc::new(WatchedStep {
            name: step.to_owned(),
            body,
            notes: self.clone(),
        })
    }
}

impl Taken {
    /// A promise was broken; the first one counts.
    pub(super) fn broke(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    fn is_late(&self, claim: Claim) -> bool {
        self.claim.is_some_and(|now| claim.epoch < now.epoch)
    }

    fn attempt(&mut self, step: &str, claim: Claim) {
        *self.attempts.entry(step.to_owned()).or_default() += 1;
        if self.is_late(claim) {
            self.counts.late_attempts += 1;
        } else if self.recorded.contains_key(step) {
            self.broke(format!("the step `{step}` was recorded, and ran again"));
        }
    }

    /// A commit is sent.
    fn commits(&mut self, process: usize, commit: &Commit) {
        let in_transaction = commit.enlisted.is_some();
        if commit.then.state() != State::Running {
            self.ends = Some(commit.fence.claim);
        }
        self.in_transaction.retain(|other| *other != process);
        if in_transaction {
            self.in_transaction.push(process);
        }
        if process == 0 {
            self.commits += 1;
            self.enlisting.extend(in_transaction.then_some(self.commits));
        }
    }

    fn begun(&mut self, process: usize, begun: &Begun) {
        self.asked.push(process);
        if let Begun::Started(fence) = begun {
            match self.claim {
                None => {
                    self.claim = Some(fence.claim);
                    self.owner = Some(process);
                }
                Some(claim) if claim == fence.claim => {}
                Some(_) => self.broke("the key was begun twice".to_owned()),
            }
        }
    }

    fn acquired(&mut self, process: usize, claim: Claim, taken_over: bool) {
        if self.claim == Some(claim) {
            return;
        }
        if self.claim.is_some_and(|before| claim.epoch <= before.epoch) {
            self.broke(format!("the epoch did not rise: it is {}", claim.epoch));
        }
        if let Some(over) = self.over {
            let over = over.as_str();
            self.broke(format!(
                "the execution had ended as {over}, and was taken up again"
            ));
        }
        let at_work = self.owner.filter(|_owner| self.ends != self.claim);
        if at_work.is_some_and(|owner| owner != process && !self.given_up.contains(&owner)) {
            self.broke("an owner that nobody had given up was replaced while it was at work".to_owned());
        }
        self.claim = Some(claim);
        self.owner = Some(process);
        self.finished = false;
        self.ended_by = None;
        self.counts.takeovers += usize::from(taken_over);
    }

    fn committed(&mut self, wrote: Wrote, late: bool, verdict: Verdict) {
        match verdict {
            Verdict::Written if late => self.broke(
                "an owner that had been replaced still wrote: the store let it through its fence".to_owned(),
            ),
            Verdict::Written => {
                self.ended_by = (wrote.state != State::Running).then_some(wrote.write_id);
                self.finished = wrote.state.is_finished();
                let over = wrote.state.is_finished() && wrote.state != State::Failed;
                self.over = over.then_some(wrote.state);
                if let Some((step, output)) = wrote.checkpoint {
                    let value = (wrote.write_id, output);
                    let first = self.recorded.entry(step.clone()).or_insert_with(|| value.clone());
                    if *first != value {
                        self.broke(format!("the step `{step}` was recorded twice"));
                    }
                }
            }
            Verdict::Fenced if late => self.counts.fenced += 1,
            // An owner whose claim has ended may write nothing but the same once more.
            Verdict::Fenced if self.ended_by.is_none_or(|write| write == wrote.write_id) => {
                self.refused.push(wrote.claim);
            }
            Verdict::Fenced | Verdict::Exists(_) | Verdict::Wished => {}
        }
    }
}

/// What a commit brings, kept while the store has it.
struct Wrote {
    claim: Claim,
    write_id: WriteId,
    checkpoint: Option<(String, Payload)>,
    state: State,
}

/// The notes, and which process's calls these are.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) notes: Notes,
    pub(super) process: usize,
}

impl Watch {
    fn of(watch: Option<&Self>, execution: ExecutionId) -> Option<&Self> {
        watch.filter(|watch| watch.notes.execution == execution)
    }
}

pub(super) async fn begin<S: Store>(
    watch: Option<&Watch>,
    store: &S,
    begin: Begin,
) -> Result<Begun, StoreError> {
    let watch = Watch::of(watch, begin.id);
    let begun = store.begin(begin).await?;
    if let Some(Watch { notes, process }) = watch {
        notes.read().begun(*process, &begun);
    }
    Ok(begun)
}

pub(super) async fn acquire<S: Store>(
    watch: Option<&Watch>,
    store: &S,
    acquire: Acquire,
) -> Result<Acquired, StoreError> {
    let watch = Watch::of(watch, acquire.seen.id);
    let taken_over = matches!(acquire.how, How::TakeOver);
    let acquired = store.acquire(acquire).await?;
    if let (Some(Watch { notes, process }), Acquired::Won { fence, .. }) = (watch, &acquired) {
        notes.read().acquired(*process, fence.claim, taken_over);
    }
    Ok(acquired)
}

/// Notes at once that a commit is under way, and the rest when it meets the store.
pub(super) fn commit<'a, S: Store>(
    watch: Option<&'a Watch>,
    store: &'a S,
    commit: Commit,
) -> impl Future<Output = Result<Verdict, StoreError>> + Send + use<'a, S> {
    let watch = Watch::of(watch, commit.fence.execution);
    if let Some(Watch { notes, process }) = watch {
        notes.read().commits(*process, &commit);
    }
    async move {
        let Some(Watch { notes, process }) = watch else {
            return store.commit(commit).await;
        };
        let held = notes.read().held.clone();
        if let Some((_, gate)) = held.filter(|(held, _)| held == process) {
            gate.pass().await;
        }
        let wrote = Wrote {
            claim: commit.fence.claim,
            write_id: commit.write_id,
            checkpoint: commit
                .checkpoint
                .as_ref()
                .map(|checkpoint| (checkpoint.step.to_string(), checkpoint.output.clone())),
            state: commit.then.state(),
        };
        // Before the call: an acquisition that was answered by now comes first in any order.
        let late = notes.read().is_late(wrote.claim);
        let verdict = store.commit(commit).await?;
        notes.read().committed(wrote, late, verdict);
        Ok(verdict)
    }
}

/// A step with notes about its attempts.
struct WatchedStep {
    name: String,
    body: Arc<dyn ErasedStep>,
    notes: Notes,
}

impl ErasedStep for WatchedStep {
    fn run_erased(
        self: Arc<Self>,
        cx: StepContext,
        input: Bytes,
        check_bytes: usize,
    ) -> BoxFuture<'static, Attempted> {
        Box::pin(async move {
            if cx.execution_id() == self.notes.execution {
                self.notes.read().attempt(&self.name, cx.fence().claim);
            }
            Arc::clone(&self.body).run_erased(cx, input, check_bytes).await
        })
    }

    fn reads(&self, input: &[u8]) -> Result<(), String> {
        self.body.reads(input)
    }

    fn gives(&self, output: &[u8]) -> Result<(), String> {
        self.body.gives(output)
    }
}
