//! At which points can a process be killed while it tells a story with a step of every kind? Those of a
//! process that was called, and of one that takes over from another.

use system_tests::place::Kind;

use crate::snare::Way;

/// A story: how it ends, and where the first process of it died, if there is one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Story {
    /// The last step fails for good, and all is undone.
    pub(crate) fails: bool,
    pub(crate) died_at: Option<&'static str>,
}

/// Each kind of step is interrupted by the first process; verify and undo are begun by the second too.
pub(crate) const STORIES: [Story; 4] = [
    Story {
        fails: false,
        died_at: None,
    },
    Story {
        fails: true,
        died_at: None,
    },
    Story {
        fails: false,
        died_at: Some(CHARGED),
    },
    Story {
        fails: true,
        died_at: Some(UNDOING),
    },
];

/// The effect of the step that is done at most once has happened, and is not recorded.
const CHARGED: &str = "pay/charged";
/// One step is undone, and another one is on the way.
const UNDOING: &str = "pay/undo";

/// The gates inside of steps, in order.
const STEPS: [&str; 19] = [
    "look/entered",
    "look",
    "lines::line/1/entered",
    "lines::line/1",
    "lines::line/2/entered",
    "lines::line/2",
    "lines::line/3/entered",
    "lines::line/3",
    "lines",
    "pay/entered",
    "pay",
    CHARGED,
    "book/entered",
    "book",
    "book/opened",
    "book/written",
    "book/enlisted",
    "last/entered",
    "last",
];

const UNDOS: [&str; 6] = [
    "book/undo/entered",
    "book/undo",
    "pay/undo/entered",
    UNDOING,
    "lines/undo/entered",
    "lines/undo",
];

/// What is recorded, in order: by a commit of the store, in the step's own transaction, or with a
/// message. The output of the lazy step rides with the first part.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Write {
    Plain,
    Enlisted,
    WithMessage,
}
use Write::{Enlisted, Plain, WithMessage};

/// Three parts and their step, the begin of what is done at most once and its output, the booking, the
/// begin of a nap.
const DONE: [Write; 8] = [Plain, Plain, Plain, Plain, Plain, Plain, Enlisted, Plain];
/// That it is being undone, and three undos.
const UNDONE: [Write; 4] = [Plain; 4];

impl Story {
    /// The points at which the last process of this story is killed.
    pub(crate) fn points(self, kind: Kind, way: Way) -> Vec<&'static str> {
        if way == Way::Inside {
            return self.gates();
        }
        let on_the_way = way == Way::Sent || way == Way::Done;
        let mut points = match (on_the_way, kind) {
            // Its plan is stored, so that saving it writes nothing.
            (true, Kind::Sqlite) => vec!["Register"],
            _ => vec!["SavePlan", "Register"],
        };
        match self.died_at {
            None => points.push("Begin"),
            Some(_) if on_the_way && kind == Kind::Sqlite => points.push("Acquire"),
            Some(_) => points.extend(["Acquire", "Load"]),
        }
        for write in self.writes() {
            match write {
                // One statement of its own, which is a transaction too.
                WithMessage if on_the_way && kind == Kind::Postgres => points.push("Write"),
                Enlisted if on_the_way && kind == Kind::Postgres => points.extend(["Write", "Commit"]),
                Plain | Enlisted | WithMessage => points.push("Commit"),
            }
        }
        points
    }

    fn writes(self) -> Vec<Write> {
        let mut all = DONE.to_vec();
        match self.fails {
            false => all.push(WithMessage),
            true => all.extend(UNDONE),
        }
        let recorded = match self.died_at {
            Some(CHARGED) => 5,
            // All but the undos of two steps.
            Some(_) => all.len() - 2,
            None => 0,
        };
        all.split_off(recorded)
    }

    fn gates(self) -> Vec<&'static str> {
        let after = |gate| 1 + STEPS.iter().position(|known| *known == gate).expect("a gate");
        let mut gates: Vec<&str> = match self.died_at {
            None => STEPS.to_vec(),
            // The partner is asked, and the step does not run again.
            Some(CHARGED) => std::iter::once("pay/asked")
                .chain(STEPS[after(CHARGED)..].iter().copied())
                .collect(),
            Some(_) => Vec::new(),
        };
        match (self.fails, self.died_at) {
            (true, None) => gates.extend(UNDOS),
            (true, Some(_)) => gates.extend(&UNDOS[2..]),
            (false, _) => {}
        }
        gates
    }
}
