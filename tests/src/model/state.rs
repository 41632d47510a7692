//! What is there to see of the protocol at one moment? The rows of the database, the work of each
//! process, and the statements that are still on their way.
//!
//! Everything is small and copied, because millions of these are compared.

/// How many keys there is room for; [`Bounds::keys`](super::Bounds::keys) says how many are used.
pub const KEYS: usize = 2;
/// How many processes there are.
pub const WORKERS: usize = 2;
/// How many steps an execution has.
pub const STEPS: usize = 2;
/// A random identifier: run, token, write or result. Only ever compared for equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub u8);

/// Who owns a row, and as which of its acquisitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// Counts acquisitions.
    pub epoch: u8,
    /// Made by the acquisition.
    pub token: Id,
}

/// An owner's right to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The run.
    pub run: Id,
    /// The claim.
    pub claim: Claim,
    /// The start of the server that granted it.
    pub incarnation: u8,
}

/// What one run of a step's body came to. No two are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// The run that the body ran for.
    pub run: Id,
    /// Makes it unlike every other.
    pub nonce: Id,
}

/// A recorded step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checkpoint {
    /// Who recorded it.
    pub write: Id,
    /// What is recorded.
    pub value: Value,
}

/// Values by step.
pub type Values = [Option<Value>; STEPS];

/// The states of an execution that matter to the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Owned.
    Running,
    /// Due again later; nobody owns it.
    Waiting,
    /// Finished.
    Succeeded,
    /// Finished.
    Failed(Value),
}

/// What callers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The result of the last step.
    Output(Value),
    /// The failure.
    Failure(Value),
}

/// An execution as it is stored, with what belongs to its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// The run.
    pub run: Id,
    /// Counts runs.
    pub generation: u8,
    /// The claim, which outlives the ownership.
    pub claim: Claim,
    /// The state.
    pub phase: Phase,
    /// The owner, while that is counted as alive.
    pub owner: Option<usize>,
    /// The write that ended the last ownership.
    pub ended_by: Option<Id>,
    /// Its retention is over.
    pub expired: bool,
    /// What is recorded.
    pub recorded: [Option<Checkpoint>; STEPS],
    /// Rows of the user's ledger, written by the transactional step.
    pub ledger: u8,
}

/// A row as somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// The run.
    pub run: Id,
    /// The claim.
    pub claim: Claim,
    /// The state.
    pub phase: Phase,
}

/// All rows, by key.
pub type Rows = [Option<Row>; KEYS];

/// A wish to own a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acquire {
    /// The row as it was seen.
    pub seen: Seen,
    /// Fresh.
    pub token: Id,
    /// The run of a new generation.
    pub fresh_run: Option<Id>,
}

/// What becomes of an execution after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Then {
    /// Stays with its owner.
    Continue,
    /// Succeeds.
    Succeed,
    /// Waits for its next try.
    Wait,
    /// Fails for good.
    Fail(Value),
}

/// A write of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit {
    /// The right to write.
    pub fence: Fence,
    /// Names the write.
    pub write: Id,
    /// The step and its result.
    pub checkpoint: Option<(usize, Value)>,
    /// What becomes of the execution.
    pub then: Then,
}

/// A statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statement {
    /// Adds the row, or reads the one that is there.
    Begin {
        /// Fresh.
        run: Id,
        /// Fresh.
        token: Id,
    },
    /// Takes a row.
    Acquire(Acquire),
    /// Writes for an owner.
    Commit(Commit),
}

/// A statement on its way to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// Which row.
    pub key: usize,
    /// The process that sent it, while that is counted as alive.
    pub owner: Option<usize>,
    /// What it says.
    pub statement: Statement,
    /// The row as the statement's snapshot saw it; taken apart from its effect by planted bugs only.
    pub snapshot: Option<Option<Row>>,
}

/// An answer on its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Begun, or acquired. A load in the same statement is a planted bug.
    Owner(Fence, Option<Values>),
    /// The key has this row, as this start of the server saw it.
    Exists(Row, u8),
    /// Neither begun nor found.
    Nothing,
    /// Somebody else acquired it.
    Lost,
    /// The write is durable, by this send or an earlier one.
    Written {
        /// By an earlier one.
        before: bool,
    },
    /// The step is recorded by another write.
    Foreign,
    /// The writer is not the owner.
    Fenced,
    /// The server is not the start of it that granted the fence.
    Restarted,
}

/// What a process does about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// Nothing.
    Idle,
    /// Wants to know, or to begin, for a caller.
    Begin(Call),
    /// Wants to own; what it owned before a restart of the server.
    Acquire(Call, Option<Fence>),
    /// Owns, and has to read what is recorded.
    Load(Fence),
    /// Owns, and knows what is recorded: the next step can begin.
    Ready(Fence, Values),
    /// Owns, and waits for the verdict of a write.
    Write(Call, Values),
    /// Owns, and has to find out whether a transaction was committed.
    Confirm(Commit, Values),
}

/// A statement that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The statement.
    pub message: Message,
    /// The answer, once the statement was carried out, and by which start of the server.
    pub answer: Option<(Answer, u8)>,
}

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Worker {
    /// Declared dead, and does not know it.
    pub buried: bool,
    /// Its work, by key.
    pub work: [Work; KEYS],
}

/// How often something may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Left {
    /// Calls, by key.
    pub calls: [u8; KEYS],
    /// Processes killed.
    pub crashes: u8,
    /// Live processes declared dead.
    pub burials: u8,
    /// Answers lost.
    pub cuts: u8,
    /// Restarts of the database server.
    pub failovers: u8,
    /// Attempts that fail.
    pub failures: u8,
    /// Retentions that end.
    pub expiries: u8,
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// What is stored.
    pub rows: Rows,
    /// Counts starts of the database server.
    pub incarnation: u8,
    /// What the standby has, once it lags.
    pub standby: Option<Rows>,
    /// The processes.
    pub workers: [Worker; WORKERS],
    /// Statements on their way whose sender does not wait any more.
    pub strays: Vec<Message>,
    /// What may still happen.
    pub left: Left,
    /// Promises broken by the way here, as bits; see [`Breach`](super::promises::Breach).
    pub breaches: u16,
    /// How many identifiers are in use.
    pub ids: u8,
}

impl Row {
    /// The row as others see it.
    pub fn seen(&self) -> Seen {
        Seen {
            run: self.run,
            claim: self.claim,
            phase: self.phase,
        }
    }

    /// Whether it has an outcome.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed(_))
    }

    /// What callers get from it.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Succeeded => self.recorded[STEPS - 1].map(|last| Outcome::Output(last.value)),
            Phase::Failed(value) => Some(Outcome::Failure(value)),
            Phase::Running | Phase::Waiting => None,
        }
    }

    /// What is recorded.
    pub fn values(&self) -> Values {
        self.recorded.map(|step| step.map(|checkpoint| checkpoint.value))
    }

    /// Whether an owner with this fence owns it, whatever start of the server granted it.
    pub fn is_owned_by(&self, fence: &Fence) -> bool {
        self.phase == Phase::Running && self.run == fence.run && self.claim == fence.claim
    }
}

impl Work {
    /// The right to write that this process believes to have.
    pub fn fence(&self) -> Option<Fence> {
        match self {
            Self::Load(fence) | Self::Ready(fence, _) => Some(*fence),
            Self::Write(call, _) => match call.message.statement {
                Statement::Commit(commit) => Some(commit.fence),
                Statement::Begin { .. } | Statement::Acquire(_) => None,
            },
            Self::Confirm(commit, _) => Some(commit.fence),
            Self::Idle | Self::Begin(_) | Self::Acquire(..) => None,
        }
    }

    /// What this process believes to be recorded.
    pub fn known(&self) -> Option<&Values> {
        match self {
            Self::Ready(_, known) | Self::Write(_, known) | Self::Confirm(_, known) => Some(known),
            _ => None,
        }
    }

    /// What it waits for.
    pub fn call(&self) -> Option<&Call> {
        match self {
            Self::Begin(call) | Self::Acquire(call, _) | Self::Write(call, _) => Some(call),
            _ => None,
        }
    }

    /// What it waits for.
    pub fn call_mut(&mut self) -> Option<&mut Call> {
        match self {
            Self::Begin(call) | Self::Acquire(call, _) | Self::Write(call, _) => Some(call),
            _ => None,
        }
    }
}

impl State {
    /// A new identifier.
    pub fn fresh(&mut self) -> Id {
        self.ids += 1;
        Id(self.ids)
    }

    /// The answers that have arrived at somebody, with what they answer.
    pub fn answers(&self) -> impl Iterator<Item = (&Message, &Answer)> {
        let works = self.workers.iter().flat_map(|worker| worker.work.iter());
        works.filter_map(|work| {
            let call = work.call()?;
            call.answer.as_ref().map(|(answer, _)| (&call.message, answer))
        })
    }
}
