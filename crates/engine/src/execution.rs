//! Who and what is an execution? Plain data: keys, ids, states, the fence and the record.
//!
//! Nothing here decides anything; `decide` does. Nothing here knows a database; a store maps its
//! rows to these values and back.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::random;

/// Names one process of the user's world: run once per (schema, scope, key).
///
/// `scope` keeps keys of different tenants, users or operations apart; make it on the server,
/// never from a request body. All three parts compare byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FullKey {
    /// The schema's name, at most 256 bytes.
    pub schema: String,
    /// Tenant, user, operation; `""` by default; at most 512 bytes.
    pub scope: String,
    /// The key's text, 1 to 1,024 bytes, without NUL.
    pub key: String,
}

/// The only unique index of executions: the first 128 bits of SHA-256 over the length-prefixed
/// parts of the key, as a UUID of version 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionId(pub Uuid);

impl ExecutionId {
    /// Derives the id of a key. The same key gives the same id in every process, for ever.
    pub fn of(key: &FullKey) -> Self {
        let mut hash = Sha256::new();
        for part in [&key.schema, &key.scope, &key.key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        let mut first = [0_u8; 16];
        first.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(first).into_uuid())
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of a key (UUID v7). Recycling an expired key and a restart make a new one; a takeover
/// keeps it. Checkpoints belong to a run, so an old result never answers for a new generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub Uuid);

impl RunId {
    /// A fresh run id.
    pub fn fresh() -> Self {
        Self(random::time_ordered())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One process start. Never used again after it was declared dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub i64);

impl WorkerId {
    /// A fresh worker id: 63 random bits.
    pub fn fresh() -> Self {
        Self(random::positive())
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Names one write, so that a write whose answer was lost can be sent again and recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WriteId(pub Uuid);

impl WriteId {
    /// A fresh write id.
    pub fn fresh() -> Self {
        Self(random::unpredictable())
    }
}

/// The right to write for an execution, made anew by every acquisition.
///
/// The epoch orders owners; the token tells them apart even where a failover that lost the tail
/// of the log let an epoch be used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Rises by one with each acquisition of the execution's row, and never falls.
    pub epoch: i64,
    /// Random, so that it is never used twice.
    pub token: Uuid,
}

/// What every write for an execution carries and the store compares, under the row's lock, in the
/// statement that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The execution.
    pub execution: ExecutionId,
    /// The run the owner works on.
    pub run: RunId,
    /// The owner's claim.
    pub claim: Claim,
    /// Which start of the database server granted the claim, as that server names it; 0 where a
    /// restarted server can not have lost acknowledged writes. A write under another start is
    /// refused as `Restarted`: what the owner knows may be missing there.
    pub incarnation: i64,
}

/// The content hash of a plan: names, order, kinds and stored parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanId(pub Uuid);

/// The hash of a plan's names, order and kinds: which registered code may run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShapeId(pub Uuid);

/// SHA-256 of an execution's input in canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputHash(pub [u8; 32]);

impl fmt::Display for InputHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InputHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where an execution stands. The numbers are stored: they are a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nobody runs it; any process that knows its shape may take it up.
    Ready = 0,
    /// A worker owns it.
    Running = 1,
    /// Nobody runs it until its wake-up, or until the next call.
    Waiting = 2,
    /// Stopped; waits for a person or a deploy.
    Parked = 3,
    /// Finished with an output.
    Succeeded = 10,
    /// Finished with a failure.
    Failed = 11,
    /// Finished with a failure, and the steps that were done are undone.
    Undone = 12,
    /// Finished because somebody cancelled it.
    Cancelled = 13,
}

impl State {
    /// The stored number.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Reads a stored number; `None` for one that this version does not know.
    pub fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            0 => Self::Ready,
            1 => Self::Running,
            2 => Self::Waiting,
            3 => Self::Parked,
            10 => Self::Succeeded,
            11 => Self::Failed,
            12 => Self::Undone,
            13 => Self::Cancelled,
            _ => return None,
        })
    }

    /// Whether an outcome stands: succeeded, failed, undone or cancelled. Stored as "at least 10".
    pub fn is_finished(self) -> bool {
        self.code() >= 10
    }

    /// The word used in logs, lists and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an execution is parked. The words are stored: they are a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParkReason {
    /// A stored value can not be read by this program.
    Unreadable,
    /// No live process has registered the shape of its plan.
    UnknownShape,
    /// Its owner was lost too often without a new checkpoint.
    LostTooOften,
    /// A step that must not run twice was begun, and nobody knows whether it was done.
    InDoubt,
    /// A step could not be undone.
    UndoFailed,
}

impl ParkReason {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::UnknownShape => "unknown_shape",
            Self::LostTooOften => "lost_too_often",
            Self::InDoubt => "in_doubt",
            Self::UndoFailed => "undo_failed",
        }
    }

    /// Reads a stored word; `None` for one that this version does not know.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Unreadable,
            Self::UnknownShape,
            Self::LostTooOften,
            Self::InDoubt,
            Self::UndoFailed,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == word)
    }
}

/// What a `waiting` execution waits for. The words are stored: they are a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitReason {
    /// The next try of a step that failed. A call takes it up at once.
    Retry,
    /// The end of a sleep.
    Timer,
    /// A signal.
    Signal,
    /// An execution that one of its steps has called.
    Child,
}

impl WaitReason {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Timer => "timer",
            Self::Signal => "signal",
            Self::Child => "child",
        }
    }

    /// Reads a stored word; `None` for one that this version does not know.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Retry, Self::Timer, Self::Signal, Self::Child]
            .into_iter()
            .find(|reason| reason.as_str() == word)
    }
}

/// How an execution is to be cancelled. The numbers are stored: they are a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelWish {
    /// What was done stays done.
    Stop = 1,
    /// What was done is undone first.
    Undo = 2,
}

impl CancelWish {
    /// The stored number.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Reads a stored number; `None` for one that this version does not know.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Stop, Self::Undo]
            .into_iter()
            .find(|wish| wish.code() == code)
    }
}

/// Bytes as a store keeps them: a codec header, then the encoded value. A store never looks inside.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(pub Bytes);

impl Payload {
    /// Length in bytes, header included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all, not even a header.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Payload {
    /// Shows the length only: payloads never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// One execution as a store reads it. Without its input, which only its owner needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionRecord {
    /// The derived id.
    pub id: ExecutionId,
    /// The key's three parts, as text.
    pub key: FullKey,
    /// The current run.
    pub run: RunId,
    /// How often the key has been used, from 1.
    pub generation: i64,
    /// Where it stands.
    pub state: State,
    /// The claim of the present or last owner.
    pub claim: Claim,
    /// The worker that owns it; only while running.
    pub owner: Option<WorkerId>,
    /// The plan the run was born with.
    pub plan: PlanId,
    /// The shape of that plan.
    pub shape: ShapeId,
    /// Fingerprint of the input of this run.
    pub input_hash: InputHash,
    /// What went wrong last; for `waiting`, `parked` and `failed`.
    pub failure: Option<Payload>,
    /// Why it is parked; only while parked.
    pub parked: Option<ParkReason>,
    /// What it waits for; only while waiting.
    pub waits_for: Option<WaitReason>,
    /// Whether somebody wants it cancelled; not when finished.
    pub cancel: Option<CancelWish>,
    /// The execution whose step called it.
    pub parent: Option<ExecutionId>,
    /// Whether it was purged, so that only its generation, fingerprint and state are left.
    pub purged: bool,
    /// Result of the last step; only when succeeded.
    pub output: Option<Payload>,
    /// Attempts that the current step has used up, not counting lost owners.
    pub tries: i32,
    /// The step (position from 0) that `tries` belongs to.
    pub tries_seq: i32,
    /// How often an owner of this run was lost.
    pub lost: i32,
    /// Time until the wake-up by the database's clock, zero when it is due; only for `ready` and `waiting`.
    pub wake_in: Option<Duration>,
    /// Time until the key may be recycled, zero when expired; only when finished and not kept for ever.
    pub expires_in: Option<Duration>,
    /// How long ago the run began, by the database's clock.
    pub age: Duration,
    /// When the run began, by the database's clock.
    pub created_at: SystemTime,
    /// When the present or last owner acquired it, by the database's clock.
    pub acquired_at: SystemTime,
    /// When it finished, by the database's clock.
    pub finished_at: Option<SystemTime>,
}

impl ExecutionRecord {
    /// What a compare-and-set of this row must find unchanged.
    pub fn seen(&self) -> Seen {
        Seen {
            id: self.id,
            run: self.run,
            claim: self.claim,
            state: self.state,
        }
    }

    /// Whether the retention of a finished run has ended, so that the key may be used anew.
    pub fn is_expired(&self) -> bool {
        let over = || self.expires_in.is_some_and(|left| left.is_zero());
        self.state.is_finished() && (self.purged || over())
    }
}

/// A row as somebody saw it. An acquisition succeeds only if the row still looks like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The execution.
    pub id: ExecutionId,
    /// Its run at that time.
    pub run: RunId,
    /// Its claim at that time.
    pub claim: Claim,
    /// Its state at that time.
    pub state: State,
}

/// One recorded step result.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointRecord {
    /// The step's name.
    pub step: String,
    /// The step's position, from 0.
    pub seq: i32,
    /// Epoch of the owner that wrote it.
    pub epoch: i64,
    /// The worker that wrote it.
    pub worker: WorkerId,
    /// The write that recorded it.
    pub write_id: WriteId,
    /// Which attempt of the step succeeded, from 1, each lost owner counted as one.
    pub attempt: i32,
    /// `ExecutionRecord::lost` when it was written.
    pub lost: i32,
    /// The step's output.
    pub output: Payload,
    /// When it was recorded, by the database's clock.
    pub at: SystemTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(schema: &str, scope: &str, key: &str) -> FullKey {
        FullKey {
            schema: schema.into(),
            scope: scope.into(),
            key: key.into(),
        }
    }

    #[test]
    fn the_id_of_a_key_never_changes() {
        let id = ExecutionId::of(&key("order.create", "user-7", "a1"));
        assert_eq!(id.to_string(), GOLDEN_ID);
        assert_eq!(id.0.get_version_num(), 8);
    }

    const GOLDEN_ID: &str = "7a720d24-2083-8b5b-9682-d59c459198d9";

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        assert_ne!(
            ExecutionId::of(&key("a", "b", "c")),
            ExecutionId::of(&key("a", "", "bc"))
        );
        assert_ne!(
            ExecutionId::of(&key("a", "b", "c")),
            ExecutionId::of(&key("ab", "", "c"))
        );
    }

    #[test]
    fn stored_states_and_reasons_read_back() {
        for state in [
            State::Ready,
            State::Running,
            State::Waiting,
            State::Parked,
            State::Succeeded,
            State::Failed,
            State::Undone,
            State::Cancelled,
        ] {
            assert_eq!(State::from_code(state.code()), Some(state));
        }
        assert_eq!(State::from_code(99), None);
        for reason in [
            ParkReason::Unreadable,
            ParkReason::UnknownShape,
            ParkReason::LostTooOften,
            ParkReason::InDoubt,
            ParkReason::UndoFailed,
        ] {
            assert_eq!(ParkReason::from_word(reason.as_str()), Some(reason));
        }
        for reason in [
            WaitReason::Retry,
            WaitReason::Timer,
            WaitReason::Signal,
            WaitReason::Child,
        ] {
            assert_eq!(WaitReason::from_word(reason.as_str()), Some(reason));
        }
        for wish in [CancelWish::Stop, CancelWish::Undo] {
            assert_eq!(CancelWish::from_code(wish.code()), Some(wish));
        }
    }
}
