//! What goes wrong in one story of a [`Trial`](super::Trial), and when? A [`Script`]: a line of text
//! that a failing run prints and that replays it.

use std::fmt;
use std::str::FromStr;

use super::faulty::{Call, Fault, Gate};
use crate::store::StoreError;

/// What goes wrong in one story: acts, with `;` between them, or `quiet`.
///
/// | act | what happens to the process in charge |
/// |---|---|
/// | `die before commit 2` | it is gone for ever before its second commit reaches the store |
/// | `die after commit 2` | the commit happens, and it is gone before it hears the answer |
/// | `pause before commit 2` | it stands still there, is given up and replaced, and is woken while the next owner is at work |
/// | `oversleep after commit 2` | it stands still there, and is woken only when all is over |
/// | `lose the answer of commit 2` | the commit happens, and its answer is lost on the way |
/// | `refuse commit 2 as unknown` | the commit does not reach the store; it hears this error |
///
/// Calls are `begin`, `acquire`, `commit`, `confirm` and `load`, counted by kind from the moment at
/// which the process takes charge. Errors are `unavailable`, `unknown`, `restarted`, `rejected`,
/// `unreadable` and `refused`. After `die`, `pause` and `oversleep` the next process is in charge,
/// and the acts that follow are its.
///
/// ```
/// use keystep::testing::Script;
///
/// let script: Script = "die before commit 2; refuse load 1 as unavailable".parse()?;
/// assert_eq!(script.to_string(), "die before commit 2; refuse load 1 as unavailable");
/// assert!("die before lunch".parse::<Script>().is_err());
/// # Ok::<(), keystep::testing::ScriptError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    pub(super) acts: Vec<Act>,
}

/// Why a text is no [`Script`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{act}` is no act of a script: {why}")]
pub struct ScriptError {
    act: String,
    why: String,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) what: What,
    pub(super) call: Call,
    /// Which of these calls, from 1.
    pub(super) nth: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Die(Side),
    Pause(Side),
    Oversleep(Side),
    LoseAnswer,
    Refuse(Class),
}

/// On which side of the call in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// A kind of [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Unavailable,
    Unknown,
    Restarted,
    Rejected,
    Unreadable,
    Refused,
}

/// The calls that carry an execution on, with their names in a script.
pub(super) const CALLS: [(Call, &str); 5] = [
    (Call::Begin, "begin"),
    (Call::Acquire, "acquire"),
    (Call::Commit, "commit"),
    (Call::Confirm, "confirm"),
    (Call::Load, "load"),
];

const SIDES: [(Side, &str); 2] = [(Side::Before, "before"), (Side::After, "after")];

const CLASSES: [(Class, &str); 6] = [
    (Class::Unavailable, "unavailable"),
    (Class::Unknown, "unknown"),
    (Class::Restarted, "restarted"),
    (Class::Rejected, "rejected"),
    (Class::Unreadable, "unreadable"),
    (Class::Refused, "refused"),
];

type Ending = fn(Side) -> What;

const ENDINGS: [(Ending, &str); 3] = [
    (What::Die, "die"),
    (What::Pause, "pause"),
    (What::Oversleep, "oversleep"),
];

impl What {
    /// Everything that can go wrong with one call.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let endings = ENDINGS
            .iter()
            .flat_map(|(ending, _)| SIDES.map(|(side, _)| ending(side)));
        let refusals = CLASSES.iter().map(|(class, _)| Self::Refuse(*class));
        endings.chain([Self::LoseAnswer]).chain(refusals)
    }

    /// Whether the process is out of charge after it.
    pub(super) fn ends_the_charge(self) -> bool {
        matches!(self, Self::Die(_) | Self::Pause(_) | Self::Oversleep(_))
    }

    /// The fault that makes it happen; an ending stops at the gate.
    pub(super) fn fault(self, gate: &Gate) -> Fault {
        match self {
            Self::Die(Side::Before) | Self::Pause(Side::Before) | Self::Oversleep(Side::Before) => {
                Fault::HoldBefore(gate.clone())
            }
            Self::Die(Side::After) | Self::Pause(Side::After) | Self::Oversleep(Side::After) => {
                Fault::HoldAfter(gate.clone())
            }
            Self::LoseAnswer => Fault::LoseAnswer,
            Self::Refuse(class) => Fault::Refuse(class.error()),
        }
    }
}

impl Class {
    fn error(self) -> StoreError {
        let why = String::from("by script");
        match self {
            Self::Unavailable => StoreError::Unavailable(why),
            Self::Unknown => StoreError::Unknown(why),
            Self::Restarted => StoreError::Restarted,
            Self::Rejected => StoreError::Rejected(why),
            Self::Unreadable => StoreError::Unreadable(why),
            Self::Refused => StoreError::Refused(why),
        }
    }
}

impl Script {
    /// The acts of each process, in the order in which they take charge. Never empty.
    pub(super) fn parts(&self) -> Vec<&[Act]> {
        let mut parts: Vec<_> = self
            .acts
            .split_inclusive(|act| act.what.ends_the_charge())
            .collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        parts
    }

    /// Whether a value is refused in it, after which somebody has to act.
    pub(super) fn refuses_values(&self) -> bool {
        self.acts
            .iter()
            .any(|act| matches!(act.what, What::Refuse(Class::Rejected | Class::Unreadable)))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.acts.is_empty() {
            return f.write_str("quiet");
        }
        for (place, act) in self.acts.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            act.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, nth) = (name(&CALLS, self.call), self.nth);
        let side = |side| name(&SIDES, side);
        match self.what {
            What::Die(at) => write!(f, "die {} {call} {nth}", side(at)),
            What::Pause(at) => write!(f, "pause {} {call} {nth}", side(at)),
            What::Oversleep(at) => write!(f, "oversleep {} {call} {nth}", side(at)),
            What::LoseAnswer => write!(f, "lose the answer of {call} {nth}"),
            What::Refuse(class) => write!(f, "refuse {call} {nth} as {}", name(&CLASSES, class)),
        }
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        if text.trim() == "quiet" {
            return Ok(Self::default());
        }
        let acts = text.split(';').map(|act| {
            let words: Vec<&str> = act.split_whitespace().collect();
            read(&words).map_err(|why| ScriptError {
                act: words.join(" "),
                why,
            })
        });
        Ok(Self {
            acts: acts.collect::<Result<_, _>>()?,
        })
    }
}

fn read(words: &[&str]) -> Result<Act, String> {
    let (what, call, nth) = match words {
        ["lose", "the", "answer", "of", call, nth] => (What::LoseAnswer, call, nth),
        ["refuse", call, nth, "as", class] => (What::Refuse(value(&CLASSES, class)?), call, nth),
        [ending @ ("die" | "pause" | "oversleep"), side, call, nth] => {
            let ending = value(&ENDINGS, ending)?;
            (ending(value(&SIDES, side)?), call, nth)
        }
        _ => {
            return Err(String::from(
                "write for example `die before commit 2`, `pause after begin 1`, `oversleep before load 1`, \
                 `lose the answer of commit 1`, `refuse commit 1 as unknown`",
            ));
        }
    };
    let call = value(&CALLS, call)?;
    let counted = nth.parse().ok().filter(|nth| *nth > 0);
    let nth = counted.ok_or_else(|| format!("`{nth}` is no number from 1"))?;
    Ok(Act { what, call, nth })
}

fn value<T: Copy>(table: &[(T, &str)], word: &str) -> Result<T, String> {
    let found = table.iter().find(|(_, name)| *name == word);
    found.map(|(value, _)| *value).ok_or_else(|| {
        let names: Vec<&str> = table.iter().map(|(_, name)| *name).collect();
        format!("`{word}` is none of {}", names.join(", "))
    })
}

fn name<T: Copy + PartialEq>(table: &[(T, &'static str)], wanted: T) -> &'static str {
    let found = table.iter().find(|(value, _)| *value == wanted);
    found.map_or("?", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn acts() -> impl Strategy<Value = Act> {
        let what: Vec<What> = What::all().collect();
        let calls = CALLS.map(|(call, _)| call);
        (
            proptest::sample::select(what),
            proptest::sample::select(calls.to_vec()),
            1_u64..,
        )
            .prop_map(|(what, call, nth)| Act { what, call, nth })
    }

    proptest! {
        #[test]
        fn a_script_reads_back_from_its_text(acts in proptest::collection::vec(acts(), 0..5)) {
            let script = Script { acts };
            prop_assert_eq!(script.to_string().parse(), Ok(script));
        }
    }

    #[test]
    fn a_text_that_is_no_script_is_told_why() {
        for (text, why) in [
            ("", "write for example"),
            ("die before commit 1;", "write for example"),
            ("jump before commit 1", "write for example"),
            ("die during commit 1", "`during` is none of before, after"),
            ("die before purge 1", "`purge` is none of begin, acquire, commit"),
            ("die before commit 0", "`0` is no number from 1"),
            ("refuse load 1 as late", "`late` is none of unavailable"),
        ] {
            let error = text.parse::<Script>().expect_err(text);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn acts_after_an_ending_are_the_next_process_s() {
        let script: Script = "lose the answer of commit 1; die before commit 3; die after load 1"
            .parse()
            .expect("a script");
        let lengths: Vec<usize> = script.parts().iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [2, 1]);
        assert_eq!(Script::default().parts().len(), 1);
    }
}
