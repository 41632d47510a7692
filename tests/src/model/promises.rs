//! What must never happen, whatever happens? The promises, each under the name that the tests use.
//!
//! Most are seen in any single moment. What is only seen while it happens (a result that is told,
//! a body that begins, a row that changes) is noted as a [`Breach`] in the moment after it.

use super::Protocol;
use super::state::{
    Answer, Commit, Fence, Id, KEYS, Message, Outcome, Phase, Row, STEPS, State, Statement, Then, Work,
};
use stateright::Property;

/// A recorded result stays as it is, within a run.
pub const RESULTS_STAY: &str = "a recorded result never changes within a run";
/// What a live owner takes for recorded is what is recorded.
pub const MEMORY_AGREES: &str = "what a process takes for recorded is recorded";
/// A step is not begun again by whoever owns its execution.
pub const NOT_BEGUN_AGAIN: &str = "no body begins under a current claim once its step is recorded";
/// The ledger has what the checkpoints say.
pub const LEDGER: &str = "the ledger has one row exactly when the checkpoint exists";
/// Callers are told what is stored, and that stays.
pub const TOLD_IS_STORED: &str = "callers are told the stored outcome, and it stays within a generation";
/// Epochs count.
pub const EPOCH_RISES: &str = "an epoch rises with each acquisition and never falls";
/// A claim has one owner.
pub const ONE_OWNER: &str = "no two processes own the same epoch of a run";
/// Written means: this result is the recorded one.
pub const WRITTEN_IS_TRUE: &str = "written is only answered for the result that is recorded";
/// Generations do not answer for each other.
pub const OWN_GENERATION: &str = "a generation is answered with its own results";
/// Only the owner writes.
pub const OWNER_WRITES: &str = "only who owns the row changes it";
/// Only the dead lose what they own.
pub const LIVING_KEEPS: &str = "nobody takes an execution from a live owner";
/// No holes.
pub const IN_ORDER: &str = "steps are recorded in order, and all of them before success";
/// A begin has an answer.
pub const BEGIN_ANSWERED: &str = "a begin is answered: started, or the row it met";
/// One writer for each claim.
pub const ONE_WRITER: &str = "an owner never meets a write that is not its own";
/// Nothing is forgotten.
pub const NOTHING_STRANDED: &str = "when nothing can happen any more, every execution is finished";

/// All promises that must hold in every moment.
pub const ALWAYS: [&str; 15] = [
    RESULTS_STAY,
    MEMORY_AGREES,
    NOT_BEGUN_AGAIN,
    LEDGER,
    TOLD_IS_STORED,
    EPOCH_RISES,
    ONE_OWNER,
    WRITTEN_IS_TRUE,
    OWN_GENERATION,
    OWNER_WRITES,
    LIVING_KEEPS,
    IN_ORDER,
    BEGIN_ANSWERED,
    ONE_WRITER,
    NOTHING_STRANDED,
];

/// A dead process's execution is finished by another.
pub const TAKEN_OVER: &str = "an execution whose process was killed is finished by a takeover";
/// A duplicate is answered.
pub const DUPLICATE: &str = "a duplicate call gets the outcome of the first";
/// A zombie meets the fence.
pub const ZOMBIE_FENCED: &str = "a process that was taken for dead is fenced";
/// The one thing that is not promised.
pub const LATE_BODY: &str = "a process that was taken for dead runs a body that is recorded already";
/// Unknown becomes known.
pub const RESOLVED: &str = "a lost answer is resolved by the same write";
/// Unknown becomes known for transactions.
pub const CONFIRMED: &str = "a lost answer of a transaction is resolved by asking";
/// A tail is lost, and the execution goes on.
pub const GOES_ON: &str = "an owner goes on after the server lost its last writes";
/// A key is used anew.
pub const RECYCLED: &str = "an expired key is used anew and finishes";
/// A try is put off.
pub const WAITED: &str = "an execution that waited finishes";
/// All keys finish.
pub const ALL_DONE: &str = "all keys finish";

/// What was broken by an action, as bits of [`State::breaches`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Breach {
    /// See [`RESULTS_STAY`].
    ResultChanged = 1,
    /// See [`NOT_BEGUN_AGAIN`].
    BegunAgain = 1 << 1,
    /// See [`TOLD_IS_STORED`].
    ToldOther = 1 << 2,
    /// See [`EPOCH_RISES`].
    EpochFell = 1 << 3,
    /// See [`WRITTEN_IS_TRUE`].
    WrittenForOther = 1 << 4,
    /// See [`OWN_GENERATION`].
    OtherGeneration = 1 << 5,
    /// See [`OWNER_WRITES`].
    StaleWrite = 1 << 6,
    /// See [`BEGIN_ANSWERED`].
    NoAnswer = 1 << 7,
    /// See [`ONE_WRITER`].
    ForeignWrite = 1 << 8,
    /// See [`LIVING_KEEPS`].
    TakenFromTheLiving = 1 << 9,
}

impl Breach {
    /// The bit.
    pub const fn bit(self) -> u16 {
        self as u16
    }

    /// What a statement broke by changing a row.
    pub fn of_change(before: &Row, after: &Row, message: &Message) -> u16 {
        let mut broken = 0;
        if after.claim != before.claim && after.claim.epoch <= before.claim.epoch {
            broken |= Self::EpochFell.bit();
        }
        if after.run == before.run {
            let changed = |step: usize| {
                before.recorded[step].is_some() && before.recorded[step] != after.recorded[step]
            };
            if (0..STEPS).any(changed) {
                broken |= Self::ResultChanged.bit();
            }
            if before.is_finished() && before.outcome() != after.outcome() {
                broken |= Self::ToldOther.bit();
            }
        }
        match message.statement {
            Statement::Commit(commit) if before != after && !before.is_owned_by(&commit.fence) => {
                broken |= Self::StaleWrite.bit();
            }
            Statement::Acquire(_)
                if before.claim != after.claim && before.owner.is_some() && before.owner != message.owner =>
            {
                broken |= Self::TakenFromTheLiving.bit();
            }
            _ => {}
        }
        broken
    }

    /// What a verdict broke by saying *written*.
    pub fn of_written(row: Option<&Row>, commit: &Commit) -> u16 {
        let Some(row) = row.filter(|row| row.run == commit.fence.run) else {
            return Self::WrittenForOther.bit();
        };
        let recorded = commit
            .checkpoint
            .is_none_or(|(step, value)| row.recorded[step].is_some_and(|stored| stored.value == value));
        let ended = match commit.then {
            Then::Fail(value) => row.phase == Phase::Failed(value),
            Then::Succeed => row.phase == Phase::Succeeded,
            Then::Continue | Then::Wait => true,
        };
        if recorded && ended {
            0
        } else {
            Self::WrittenForOther.bit()
        }
    }

    /// What was broken by telling a caller an outcome of a run, learned from this start of the
    /// server. What was acknowledged by a server that has lost its tail since is excused.
    pub fn of_telling(state: &State, key: usize, run: Id, outcome: Outcome, incarnation: u8) -> u16 {
        let mut broken = 0;
        let (Outcome::Output(value) | Outcome::Failure(value)) = outcome;
        if value.run != run {
            broken |= Self::OtherGeneration.bit();
        }
        if incarnation == state.incarnation {
            let other = |row: &Row| row.run == run && row.outcome() != Some(outcome);
            if state.rows[key].as_ref().is_some_and(other) {
                broken |= Self::ToldOther.bit();
            }
        }
        broken
    }

    /// What is broken by beginning a body.
    pub fn of_body(state: &State, key: usize, fence: &Fence, step: usize) -> u16 {
        let again = |row: &Row| row.is_owned_by(fence) && row.recorded[step].is_some();
        if state.rows[key].as_ref().is_some_and(again) {
            Self::BegunAgain.bit()
        } else {
            0
        }
    }
}

impl Protocol {
    /// All promises, and the things that must be possible.
    pub(super) fn promises(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(RESULTS_STAY, |model: &Protocol, state: &State| {
                model.holds(RESULTS_STAY, intact(state, Breach::ResultChanged))
            }),
            Property::always(MEMORY_AGREES, |model: &Protocol, state: &State| {
                model.holds(MEMORY_AGREES, memory_agrees(state))
            }),
            Property::always(NOT_BEGUN_AGAIN, |model: &Protocol, state: &State| {
                model.holds(NOT_BEGUN_AGAIN, intact(state, Breach::BegunAgain))
            }),
            Property::always(LEDGER, |model: &Protocol, state: &State| {
                model.holds(LEDGER, rows(state).all(|row| ledger(model, row)))
            }),
            Property::always(TOLD_IS_STORED, |model: &Protocol, state: &State| {
                model.holds(TOLD_IS_STORED, intact(state, Breach::ToldOther))
            }),
            Property::always(EPOCH_RISES, |model: &Protocol, state: &State| {
                model.holds(EPOCH_RISES, intact(state, Breach::EpochFell))
            }),
            Property::always(ONE_OWNER, |model: &Protocol, state: &State| {
                model.holds(ONE_OWNER, one_owner(state))
            }),
            Property::always(WRITTEN_IS_TRUE, |model: &Protocol, state: &State| {
                model.holds(WRITTEN_IS_TRUE, intact(state, Breach::WrittenForOther))
            }),
            Property::always(OWN_GENERATION, |model: &Protocol, state: &State| {
                model.holds(OWN_GENERATION, intact(state, Breach::OtherGeneration))
            }),
            Property::always(OWNER_WRITES, |model: &Protocol, state: &State| {
                model.holds(OWNER_WRITES, intact(state, Breach::StaleWrite))
            }),
            Property::always(LIVING_KEEPS, |model: &Protocol, state: &State| {
                model.holds(LIVING_KEEPS, intact(state, Breach::TakenFromTheLiving))
            }),
            Property::always(IN_ORDER, |model: &Protocol, state: &State| {
                model.holds(IN_ORDER, rows(state).all(in_order))
            }),
            Property::always(BEGIN_ANSWERED, |model: &Protocol, state: &State| {
                model.holds(BEGIN_ANSWERED, intact(state, Breach::NoAnswer))
            }),
            Property::always(ONE_WRITER, |model: &Protocol, state: &State| {
                model.holds(ONE_WRITER, intact(state, Breach::ForeignWrite))
            }),
            Property::always(NOTHING_STRANDED, |model: &Protocol, state: &State| {
                model.holds(NOTHING_STRANDED, model.goes_on_or_is_done(state))
            }),
        ];
        properties.extend(possible());
        properties
    }
}

/// What must be possible, or the model shows nothing.
fn possible() -> Vec<Property<Protocol>> {
    vec![
        Property::sometimes(TAKEN_OVER, |model: &Protocol, state: &State| {
            let finished = |row: &Row| row.phase == Phase::Succeeded && row.claim.epoch > 1;
            let killed = state.left.crashes < model.bounds.crashes;
            model.seen(TAKEN_OVER, killed && rows(state).any(finished))
        }),
        Property::sometimes(DUPLICATE, |model: &Protocol, state: &State| {
            let outcome = |answer: &Answer| matches!(answer, Answer::Exists(row, _) if row.is_finished());
            model.seen(DUPLICATE, state.answers().any(|(_, answer)| outcome(answer)))
        }),
        Property::sometimes(ZOMBIE_FENCED, |model: &Protocol, state: &State| {
            let buried = state.left.burials < model.bounds.burials;
            let fenced = |answer: &Answer| *answer == Answer::Fenced;
            model.seen(
                ZOMBIE_FENCED,
                buried && state.answers().any(|(_, answer)| fenced(answer)),
            )
        }),
        Property::sometimes(LATE_BODY, |model: &Protocol, state: &State| {
            model.seen(LATE_BODY, late_body(state))
        }),
        Property::sometimes(RESOLVED, |model: &Protocol, state: &State| {
            let before = |answer: &Answer| *answer == Answer::Written { before: true };
            model.seen(RESOLVED, state.answers().any(|(_, answer)| before(answer)))
        }),
        Property::sometimes(CONFIRMED, |model: &Protocol, state: &State| {
            model.seen(CONFIRMED, in_doubt_but_done(state))
        }),
        Property::sometimes(GOES_ON, |model: &Protocol, state: &State| {
            let finished = |row: &Row| row.phase == Phase::Succeeded && row.claim.epoch > 1;
            model.seen(GOES_ON, state.incarnation > 0 && rows(state).any(finished))
        }),
        Property::sometimes(RECYCLED, |model: &Protocol, state: &State| {
            let finished = |row: &Row| row.generation > 1 && row.is_finished();
            model.seen(RECYCLED, rows(state).any(finished))
        }),
        Property::sometimes(WAITED, |model: &Protocol, state: &State| {
            let finished = |row: &Row| row.phase == Phase::Succeeded;
            let failed = state.left.failures < model.bounds.failures;
            model.seen(WAITED, failed && rows(state).any(finished))
        }),
        Property::sometimes(ALL_DONE, |model: &Protocol, state: &State| {
            let done = state.rows[..model.bounds.keys]
                .iter()
                .all(|row| row.is_some_and(|row| row.phase == Phase::Succeeded));
            model.seen(ALL_DONE, done)
        }),
    ]
}

fn rows(state: &State) -> impl Iterator<Item = &Row> {
    state.rows.iter().flatten()
}

fn intact(state: &State, breach: Breach) -> bool {
    state.breaches & breach.bit() == 0
}

/// What an owner remembers is what the row has. Excused: an owner that does not know yet that the
/// server was restarted, and may have lost what it remembers.
fn memory_agrees(state: &State) -> bool {
    state.workers.iter().all(|worker| {
        worker.work.iter().zip(&state.rows).all(|(work, row)| {
            let (Some(fence), Some(known), Some(row)) = (work.fence(), work.known(), row) else {
                return true;
            };
            if row.run != fence.run || fence.incarnation != state.incarnation {
                return true;
            }
            let stored = row.values();
            known
                .iter()
                .zip(stored)
                .all(|(known, stored)| known.is_none() || *known == stored)
        })
    })
}

fn ledger(model: &Protocol, row: &Row) -> bool {
    row.ledger == u8::from(row.recorded[model.bounds.transactional].is_some())
}

fn in_order(row: &Row) -> bool {
    let recorded = row.recorded.map(|step| step.is_some());
    recorded.is_sorted_by(|a, b| a >= b) && (row.phase != Phase::Succeeded || recorded == [true; STEPS])
}

fn one_owner(state: &State) -> bool {
    let [one, other] = &state.workers;
    (0..KEYS).all(|key| {
        let (Some(one), Some(other)) = (one.work[key].fence(), other.work[key].fence()) else {
            return true;
        };
        one.run != other.run || one.incarnation != other.incarnation || one.claim.epoch != other.claim.epoch
    })
}

/// A body has run for a step that somebody else has recorded; its write is on its way to the fence.
fn late_body(state: &State) -> bool {
    state.workers.iter().flat_map(|worker| &worker.work).any(|work| {
        let Work::Write(call, known) = work else {
            return false;
        };
        let (Statement::Commit(commit), Some(row)) = (call.message.statement, state.rows[call.message.key])
        else {
            return false;
        };
        commit.checkpoint.is_some_and(|(step, value)| {
            known[step].is_none()
                && row.run == commit.fence.run
                && row.recorded[step].is_some_and(|stored| stored.value != value)
        })
    })
}

fn in_doubt_but_done(state: &State) -> bool {
    let works = state
        .workers
        .iter()
        .flat_map(|worker| worker.work.iter().zip(&state.rows));
    works.into_iter().any(|(work, row)| {
        let (Work::Confirm(commit, _), Some(row)) = (work, row) else {
            return false;
        };
        let mut recorded = row.recorded.iter().flatten();
        recorded.any(|stored| stored.write == commit.write)
    })
}
