//! What becomes of one execution? A row, and each operation's effect on it.
//!
//! The caller holds the lock of all tables, so every function here sees and leaves a whole row.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::time_of;
use crate::execution::{
    CancelWish, CheckpointRecord, Claim, ExecutionId, ExecutionRecord, Fence, FullKey, InputHash, ParkReason,
    Payload, PlanId, RunId, Seen, ShapeId, State, WaitReason, WorkerId, WriteId,
};
use crate::store::{
    Acquire, Begin, Commit, Confirm, Confirmed, Fresh, How, Inbox, NewCheckpoint, NewProgress, NewSignal,
    Progress, Signalled, Then, Tries, Verdict,
};

/// One execution with its checkpoints. Times are microseconds since 1970.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: FullKey,
    pub(super) run: RunId,
    generation: i64,
    pub(super) state: State,
    claim: Claim,
    pub(super) owner: Option<WorkerId>,
    plan: PlanId,
    pub(super) shape: ShapeId,
    input: Payload,
    input_hash: InputHash,
    failure: Option<Payload>,
    parked: Option<ParkReason>,
    waits_for: Option<WaitReason>,
    pub(super) cancel: Option<CancelWish>,
    pub(super) parent: Option<ExecutionId>,
    purged: bool,
    output_step: Option<Arc<str>>,
    tries: Tries,
    lost: i32,
    /// When it is or was due; for `ready`, `waiting` and `parked`.
    due_at: Option<i64>,
    expires_at: Option<i64>,
    created_at: i64,
    acquired_at: i64,
    finished_at: Option<i64>,
    /// The last write under the present claim, by which a send that ended it is recognised.
    last_write: Option<WriteId>,
    checkpoints: Vec<CheckpointRecord>,
    signals: Vec<(WriteId, String, Payload)>,
}

impl Row {
    pub(super) fn begun(begin: Begin, now: i64) -> Self {
        Self {
            key: Arc::unwrap_or_clone(begin.key),
            run: begin.run,
            generation: 1,
            state: State::Running,
            claim: Claim {
                epoch: 1,
                token: begin.token,
            },
            owner: Some(begin.owner),
            plan: begin.plan,
            shape: begin.shape,
            input: begin.input,
            input_hash: begin.input_hash,
            failure: None,
            parked: None,
            waits_for: None,
            cancel: None,
            parent: begin.parent,
            purged: false,
            output_step: None,
            tries: Tries::default(),
            lost: 0,
            due_at: None,
            expires_at: None,
            created_at: now,
            acquired_at: now,
            finished_at: None,
            last_write: None,
            checkpoints: Vec::new(),
            signals: Vec::new(),
        }
    }

    /// Whether this begin made the row, and nobody has acquired it since.
    pub(super) fn is_begun_by(&self, begin: &Begin) -> bool {
        self.run == begin.run && self.claim.token == begin.token
    }

    /// Whether this acquisition made the present claim.
    pub(super) fn is_acquired_by(&self, acquire: &Acquire) -> bool {
        self.claim.token == acquire.token && self.claim.epoch == acquire.seen.claim.epoch + 1
    }

    /// Whether there is something to go on with: of a purged row only a restart makes something.
    pub(super) fn has_what_it_takes(&self, how: &How) -> bool {
        !self.purged || matches!(how, How::Restart(_))
    }

    pub(super) fn acquire(&mut self, acquire: Acquire, now: i64) {
        self.state = State::Running;
        self.claim = Claim {
            epoch: self.claim.epoch + 1,
            token: acquire.token,
        };
        self.owner = Some(acquire.owner);
        self.acquired_at = now;
        self.last_write = None;
        self.failure = None;
        self.parked = None;
        self.waits_for = None;
        self.output_step = None;
        self.due_at = None;
        self.expires_at = None;
        self.finished_at = None;
        match acquire.how {
            How::Resume { keep_tries: true } => {}
            How::Resume { keep_tries: false } => self.tries = Tries::default(),
            How::TakeOver => self.lost += 1,
            How::Restart(fresh) => self.restart(*fresh, now),
        }
    }

    fn restart(&mut self, fresh: Fresh, now: i64) {
        self.generation += 1;
        self.run = fresh.run;
        self.plan = fresh.plan;
        self.shape = fresh.shape;
        self.input = fresh.input;
        self.input_hash = fresh.input_hash;
        self.tries = Tries::default();
        self.lost = 0;
        self.created_at = now;
        self.cancel = None;
        self.parent = fresh.parent;
        self.purged = false;
        self.checkpoints.clear();
        self.signals.clear();
    }

    /// The verdict, and whether this send wrote it.
    pub(super) fn commit(&mut self, commit: Commit, now: i64) -> (Verdict, bool) {
        if !self.is_owned_under(&commit.fence) {
            return if self.carries(&commit.fence) && self.has_written(&commit) {
                (Verdict::Written, false)
            } else {
                (Verdict::Fenced, false)
            };
        }
        let step = commit.checkpoint.as_ref().map(|new| &*new.step);
        if let Some(recorded) = step.and_then(|step| self.checkpoint(step)) {
            return if recorded.write_id == commit.write_id {
                (Verdict::Written, false)
            } else {
                (Verdict::Exists(recorded.write_id), false)
            };
        }
        if self.cancel.is_some() && matches!(commit.then, Then::Fail { yields: true, .. }) {
            return (Verdict::Wished, false);
        }
        if let Some(new) = commit.checkpoint {
            self.record_step(new, &commit.fence, commit.worker, commit.write_id, now);
        }
        self.last_write = Some(commit.write_id);
        self.follow(commit.then, now);
        (Verdict::Written, true)
    }

    /// Whether an earlier send of this write ended the ownership or recorded its step.
    fn has_written(&self, commit: &Commit) -> bool {
        let step = commit.checkpoint.as_ref().map(|new| &*new.step);
        let recorded = step.and_then(|step| self.checkpoint(step));
        self.last_write == Some(commit.write_id)
            || recorded.is_some_and(|recorded| recorded.write_id == commit.write_id)
    }

    fn record_step(
        &mut self,
        new: NewCheckpoint,
        fence: &Fence,
        worker: WorkerId,
        write_id: WriteId,
        now: i64,
    ) {
        self.checkpoints.push(CheckpointRecord {
            step: new.step.to_string(),
            seq: new.seq,
            epoch: fence.claim.epoch,
            worker,
            write_id,
            attempt: new.attempt,
            lost: new.lost,
            output: new.output,
            at: time_of(now),
        });
    }

    fn follow(&mut self, then: Then, now: i64) {
        self.state = then.state();
        if self.state != State::Running {
            self.owner = None;
        }
        match then {
            Then::Continue => {}
            Then::Succeed {
                output_step,
                retention,
            } => {
                self.output_step = Some(output_step);
                self.finish(retention, now);
            }
            Then::Fail {
                failure,
                tries,
                retention,
                yields: _,
            } => {
                self.failure = Some(failure);
                self.tries = tries;
                self.finish(retention, now);
            }
            Then::Wait {
                delay,
                reason,
                failure,
                tries,
                signals,
                wish,
            } => {
                self.waits_for = Some(reason);
                self.failure = failure;
                self.tries = tries;
                // What came while its owner was about to put it down.
                let news =
                    signals.is_some_and(|known| known < self.signal_count()) || self.is_wished_beside(wish);
                self.due_at = if news {
                    Some(now)
                } else {
                    delay.map(|delay| later(now, delay))
                };
            }
            Then::Park {
                reason,
                failure,
                wish,
            } => {
                self.parked = Some(reason);
                self.failure = failure;
                let due = reason == ParkReason::UnknownShape || self.is_wished_beside(wish);
                self.due_at = due.then_some(now);
            }
            Then::Undone { failure, retention } => {
                self.failure = Some(failure);
                self.finish(retention, now);
            }
            Then::Cancel { retention } => self.finish(retention, now),
            Then::Release => self.due_at = Some(now),
        }
    }

    /// Whether somebody wants it cancelled in another way than its owner knows of.
    fn is_wished_beside(&self, known: Option<CancelWish>) -> bool {
        self.cancel.is_some() && self.cancel != known
    }

    fn finish(&mut self, retention: Option<Duration>, now: i64) {
        self.cancel = None;
        self.finished_at = Some(now);
        self.expires_at = retention.map(|kept| later(now, kept));
    }

    pub(super) fn confirm(&self, confirm: &Confirm) -> Confirmed {
        let recorded = self.run == confirm.fence.run
            && self
                .checkpoint(&confirm.step)
                .is_some_and(|checkpoint| checkpoint.write_id == confirm.write_id);
        if recorded {
            Confirmed::Written
        } else if self.is_owned_under(&confirm.fence) {
            Confirmed::Absent
        } else {
            Confirmed::Fenced
        }
    }

    /// Puts down how far a step has come, in place of what was put down before.
    pub(super) fn progress(&mut self, progress: NewProgress, now: i64) -> Verdict {
        if !self.is_owned_under(&progress.fence) {
            return Verdict::Fenced;
        }
        let NewProgress {
            fence,
            worker,
            write_id,
            checkpoint,
        } = progress;
        self.checkpoints.retain(|known| known.step != *checkpoint.step);
        self.record_step(checkpoint, &fence, worker, write_id, now);
        Verdict::Written
    }

    pub(super) fn signal(&mut self, signal: NewSignal, now: i64) -> Signalled {
        if self.signals.iter().any(|(write, ..)| *write == signal.write_id) {
            return Signalled::Sent;
        }
        if self.state.is_finished() {
            return Signalled::Gone;
        }
        if signal.once && self.signals.iter().any(|(_, name, _)| *name == signal.name) {
            return Signalled::Refused;
        }
        self.signals.push((signal.write_id, signal.name, signal.payload));
        if self.waits_for == Some(WaitReason::Signal) {
            self.due_at = Some(now);
        }
        Signalled::Sent
    }

    pub(super) fn inbox(&self) -> Inbox {
        let signals = self.signals.iter();
        Inbox {
            count: self.signal_count(),
            signals: signals
                .map(|(_, name, payload)| (name.clone(), payload.clone()))
                .collect(),
        }
    }

    fn signal_count(&self) -> i32 {
        i32::try_from(self.signals.len()).unwrap_or(i32::MAX)
    }

    /// Notes a wish to cancel; false when there is nothing left to cancel.
    pub(super) fn wish_cancel(&mut self, wish: CancelWish, now: i64) -> bool {
        if self.state.is_finished() {
            return false;
        }
        self.cancel = Some(wish);
        if self.state != State::Running {
            self.due_at = Some(now);
        }
        true
    }

    /// What is left of a purged execution for a while.
    pub(super) fn forget(&mut self, remember: Duration, now: i64) {
        self.purged = true;
        self.input = Payload::default();
        self.failure = None;
        self.output_step = None;
        self.checkpoints.clear();
        self.signals.clear();
        self.expires_at = Some(later(now, remember));
    }

    pub(super) fn is_purged(&self) -> bool {
        self.purged
    }

    /// Since when the row has been due; `None` when it is not, or not for everybody.
    pub(super) fn due_since(&self, now: i64, with_parked: bool) -> Option<i64> {
        let wakes = match self.state {
            State::Ready | State::Waiting => true,
            State::Parked => with_parked,
            _ => false,
        };
        self.due_at.filter(|due_at| wakes && *due_at <= now)
    }

    pub(super) fn is_expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    pub(super) fn seen(&self, id: ExecutionId) -> Seen {
        Seen {
            id,
            run: self.run,
            claim: self.claim,
            state: self.state,
        }
    }

    /// The present claim as a right to write. Nothing acknowledged is lost while this process
    /// lives, so there is only one incarnation.
    pub(super) fn fence(&self, id: ExecutionId) -> Fence {
        Fence {
            execution: id,
            run: self.run,
            claim: self.claim,
            incarnation: 0,
        }
    }

    pub(super) fn recorded(&self, now: i64) -> Progress {
        let mut checkpoints = self.checkpoints.clone();
        checkpoints.sort_by_key(|checkpoint| checkpoint.seq);
        Progress {
            input: self.input.clone(),
            checkpoints,
            now: time_of(now),
        }
    }

    pub(super) fn record(&self, id: ExecutionId, now: i64) -> ExecutionRecord {
        let wakes = matches!(self.state, State::Ready | State::Waiting);
        ExecutionRecord {
            id,
            key: self.key.clone(),
            run: self.run,
            generation: self.generation,
            state: self.state,
            claim: self.claim,
            owner: self.owner,
            plan: self.plan,
            shape: self.shape,
            input_hash: self.input_hash,
            failure: self.failure.clone(),
            parked: self.parked,
            waits_for: self.waits_for,
            cancel: self.cancel,
            parent: self.parent,
            purged: self.purged,
            output: self
                .output_step
                .as_ref()
                .and_then(|step| Some(self.checkpoint(step)?.output.clone())),
            tries: self.tries.count,
            tries_seq: self.tries.seq,
            lost: self.lost,
            wake_in: self.due_at.filter(|_| wakes).map(|at| left(at, now)),
            expires_in: self.expires_at.map(|at| left(at, now)),
            age: left(now, self.created_at),
            created_at: time_of(self.created_at),
            acquired_at: time_of(self.acquired_at),
            finished_at: self.finished_at.map(time_of),
        }
    }

    fn checkpoint(&self, step: &str) -> Option<&CheckpointRecord> {
        self.checkpoints.iter().find(|checkpoint| checkpoint.step == step)
    }

    fn carries(&self, fence: &Fence) -> bool {
        self.run == fence.run && self.claim == fence.claim
    }

    fn is_owned_under(&self, fence: &Fence) -> bool {
        self.state == State::Running && self.carries(fence)
    }
}

/// `now + by`, or the end of time.
fn later(now: i64, by: Duration) -> i64 {
    now.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
}

/// The time from `now` until `at`, zero when it has passed.
fn left(at: i64, now: i64) -> Duration {
    Duration::from_micros(u64::try_from(at.saturating_sub(now)).unwrap_or(0))
}
