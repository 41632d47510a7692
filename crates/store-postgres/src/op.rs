//! What is written by the lanes, or by a caller in its turn, and what comes back? One operation and its answer.

use std::time::Duration;

use keystep::execution::{Fence, WorkerId, WriteId};
use keystep::store::{
    Acquire, Acquired, Begin, Begun, Commit, Enlisted, How, NewCheckpoint, NewMessage, StoreError, Then,
    Verdict,
};

/// An operation that may share a statement and a commit with others.
#[derive(Debug)]
pub(crate) enum Op {
    Begin(Begin),
    Commit(Write),
    Acquire(Acquire),
}

/// A write of an owner, without the transaction that it may have enlisted and the messages it may send.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) fence: Fence,
    pub(crate) write_id: WriteId,
    pub(crate) worker: WorkerId,
    pub(crate) checkpoint: Option<NewCheckpoint>,
    pub(crate) then: Then,
}

impl Write {
    /// Takes a commit apart.
    pub(crate) fn of(commit: Commit) -> (Self, Option<Enlisted>, Vec<NewMessage>) {
        let write = Self {
            fence: commit.fence,
            write_id: commit.write_id,
            worker: commit.worker,
            checkpoint: commit.checkpoint,
            then: commit.then,
        };
        (write, commit.enlisted, commit.messages)
    }
}

/// Who sends a write: the same for nearly all writes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The start of the server that granted the fence.
    pub(crate) incarnation: i64,
    pub(crate) worker: WorkerId,
}

/// A write of the usual kind: a checkpoint, after which its owner goes on or the execution has
/// succeeded with this very output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual<'a> {
    pub(crate) write: &'a Write,
    pub(crate) checkpoint: &'a NewCheckpoint,
    pub(crate) succeeds: bool,
    pub(crate) keep: Option<Duration>,
}

impl Write {
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            incarnation: self.fence.incarnation,
            worker: self.worker,
        }
    }

    /// This write if it is of the usual kind.
    pub(crate) fn usual(&self) -> Option<Usual<'_>> {
        let checkpoint = self.checkpoint.as_ref()?;
        let (succeeds, keep) = match &self.then {
            Then::Continue => (false, None),
            Then::Succeed {
                output_step,
                retention,
            } if *output_step == checkpoint.step => (true, *retention),
            _ => return None,
        };
        Some(Usual {
            write: self,
            checkpoint,
            succeeds,
            keep,
        })
    }
}

/// What an operation came to.
#[derive(Debug)]
pub(crate) enum Done {
    Begun(Begun),
    Written(Verdict),
    Acquired(Acquired),
}

/// What a lane answers.
#[derive(Debug)]
pub(crate) enum Reply {
    Done(Done),
    /// Nothing was written; the same operation may go well in a moment.
    Again(Box<Op>, String),
    Failed(StoreError),
}

impl Op {
    /// Payload bytes, by which batches are bounded.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Begin(begin) => begin.input.len(),
            Self::Commit(write) => {
                let output = write.checkpoint.as_ref();
                output.map_or(0, |new| new.output.len()) + bytes_of(&write.then)
            }
            Self::Acquire(acquire) => match &acquire.how {
                How::Restart(fresh) => fresh.input.len(),
                How::Resume { .. } | How::TakeOver => 0,
            },
        }
    }
}

fn bytes_of(then: &Then) -> usize {
    match then {
        Then::Fail { failure, .. } | Then::Undone { failure, .. } => failure.len(),
        Then::Wait { failure, .. } | Then::Park { failure, .. } => {
            failure.as_ref().map_or(0, |failure| failure.len())
        }
        Then::Continue | Then::Succeed { .. } | Then::Cancel { .. } | Then::Release => 0,
    }
}
