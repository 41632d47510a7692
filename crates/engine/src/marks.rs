//! Under which names is what belongs to a step recorded? A step's output under the step's own name, and
//! all else under names that no step can have.
//!
//! | what | name |
//! |---|---|
//! | the output of a step | `pay` |
//! | a part of a step | `pay::line/7` |
//! | an attempt that must not be repeated has begun | `pay::@started/1` |
//! | such an attempt is known to have done nothing | `pay::@not_done/1` |
//! | what an operator decided of it, and of an undo that fails | `pay::@settled/1`, `pay::@undo_settled/1` |
//! | a sleep | `pay::@sleep/NAME` |
//! | a wait for a signal has begun; what came | `pay::@wait/NAME/1`, `pay::@signal/NAME/1` |
//! | a wait for an execution that somebody else has begun | `pay::@wait/@call/ID` |
//! | the outcome of an execution that was called | `pay::@call/ID` |
//! | how far a step has come | `pay::@progress` |
//! | the step is undone | `pay::@undone` |
//! | the run is being undone, and why | `::@undoing` |
//!
//! The names are stored: they are a promise. Pure.

#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};

/// Between the name of a step and what is recorded of it; so it is in no name that a user gives.
pub(crate) const SEPARATOR: &str = "::";
/// In front of what is no part; so no part begins with it.
pub(crate) const SIGN: char = '@';

/// Something recorded under a name that is no step's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark<'a> {
    Part(&'a str),
    Started(u32),
    NotDone(u32),
    Settled(u32),
    UndoSettled(u32),
    Sleep(&'a str),
    Wait(&'a str),
    Signal(&'a str),
    Call(&'a str),
    Progress,
    Undone,
    Undoing,
}

impl<'a> Mark<'a> {
    /// The name under which this is recorded of a step; `Undoing` is of none.
    pub(crate) fn of(self, step: &str) -> String {
        match self {
            #[cfg(feature = "planted")]
            Self::Part(name) if bugs::is_planted(Bug::PartWithoutItsStep) => format!("{SEPARATOR}{name}"),
            Self::Part(name) => format!("{step}{SEPARATOR}{name}"),
            Self::Started(number) => format!("{step}::@started/{number}"),
            Self::NotDone(number) => format!("{step}::@not_done/{number}"),
            Self::Settled(number) => format!("{step}::@settled/{number}"),
            Self::UndoSettled(number) => format!("{step}::@undo_settled/{number}"),
            Self::Sleep(name) => format!("{step}::@sleep/{name}"),
            Self::Wait(name) => format!("{step}::@wait/{name}"),
            Self::Signal(name) => format!("{step}::@signal/{name}"),
            Self::Call(name) => format!("{step}::@call/{name}"),
            Self::Progress => format!("{step}::@progress"),
            Self::Undone => format!("{step}::@undone"),
            Self::Undoing => "::@undoing".to_owned(),
        }
    }

    /// Reads a recorded name: the step, and what it is unless the step's output. `None` for a mark
    /// that this version does not know.
    pub(crate) fn read(recorded: &'a str) -> Option<(&'a str, Option<Self>)> {
        let Some((step, rest)) = recorded.split_once(SEPARATOR) else {
            return Some((recorded, None));
        };
        let Some(word) = rest.strip_prefix(SIGN) else {
            return Some((step, Some(Self::Part(rest))));
        };
        let mark = match word.split_once('/') {
            None => match word {
                "progress" => Self::Progress,
                "undone" => Self::Undone,
                "undoing" => Self::Undoing,
                _ => return None,
            },
            Some(("started", number)) => Self::Started(number.parse().ok()?),
            Some(("not_done", number)) => Self::NotDone(number.parse().ok()?),
            Some(("settled", number)) => Self::Settled(number.parse().ok()?),
            Some(("undo_settled", number)) => Self::UndoSettled(number.parse().ok()?),
            Some(("sleep", name)) => Self::Sleep(name),
            Some(("wait", name)) => Self::Wait(name),
            Some(("signal", name)) => Self::Signal(name),
            Some(("call", name)) => Self::Call(name),
            Some(_) => return None,
        };
        Some((step, Some(mark)))
    }
}

/// Whether a step's output is recorded under this name.
pub(crate) fn is_step(recorded: &str) -> bool {
    !recorded.contains(SEPARATOR)
}

/// Says what is wrong with a name that a user gives to a step or to a part of one.
pub(crate) fn refuse(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if name.contains(SEPARATOR) {
        return Err(format!("the {what} `{name}` contains `{SEPARATOR}`"));
    }
    if name.starts_with(SIGN) {
        return Err(format!("the {what} `{name}` begins with `{SIGN}`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_reads_back() {
        for mark in [
            Mark::Part("line/7"),
            Mark::Started(1),
            Mark::NotDone(12),
            Mark::Settled(2),
            Mark::UndoSettled(1),
            Mark::Sleep("night/1"),
            Mark::Wait("approved/1"),
            Mark::Signal("approved/1"),
            Mark::Call("a/b"),
            Mark::Progress,
            Mark::Undone,
        ] {
            assert_eq!(Mark::read(&mark.of("pay")), Some(("pay", Some(mark))));
        }
        assert_eq!(Mark::read(&Mark::Undoing.of("")), Some(("", Some(Mark::Undoing))));
    }

    #[test]
    fn a_step_is_recorded_under_its_own_name() {
        assert_eq!(Mark::read("pay"), Some(("pay", None)));
        assert_eq!(Mark::read("pay:by:card/7"), Some(("pay:by:card/7", None)));
    }

    #[test]
    fn an_unknown_mark_is_not_taken_for_a_part() {
        assert_eq!(Mark::read("pay::@later/1"), None);
        assert_eq!(Mark::read("pay::@started/x"), None);
    }

    #[test]
    fn no_name_of_a_user_is_a_mark() {
        for name in ["", "a::b", "@started/1"] {
            assert!(refuse("part name", name).is_err(), "{name}");
        }
        assert_eq!(refuse("part name", "line/7"), Ok(()));
    }
}
