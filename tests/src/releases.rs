//! How does a schema change from one release to the next? One [`Change`] for each kind, each with a
//! schema of its own, in the shape that the old binary knows and in the new one.
//!
//! The victim builds its schemas from these plans, and the tests know from them what to expect. What
//! each change does to executions that are under way is documented in
//! `docs/guide/changing-a-schema.md`; each change names its row there.

/// A binary of a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Release {
    /// Before the change.
    Old,
    /// After it; it does not know the old shape.
    New,
    /// After it, with the old shape still registered beside the new one.
    Both,
}

impl Release {
    /// As the victim's command line has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Both => "both",
        }
    }
}

/// What a deploy changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// The code of the steps is another.
    Code,
    /// The output of the first step has a field more.
    FieldAdded,
    /// The output of the first step is of another type.
    TypeChanged,
    /// A step is added between two others.
    Inserted,
    /// A step is gone.
    Removed,
    /// A step has another name.
    Renamed,
    /// A step has another name and says which one it had.
    Formerly,
    /// Two steps have changed places.
    Moved,
    /// A step is done at most once.
    MadeOnce,
    /// The steps have undo, verify, time-outs; one is lazy; the executions have a deadline.
    Careful,
    /// A code step is a stored step.
    MadeStored,
    /// The tag of a stored step is another.
    TagRenamed,
    /// The parameter of a stored step is another.
    Parameters,
    /// A stored step is gone, and so is the type behind its tag.
    TagGone,
}

/// What becomes of an execution that is under way in a process of the other release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The other release's code goes on with it.
    GoesOn,
    /// It waits for a process that has its shape, and is parked when there is none.
    Waits,
    /// It is parked as unreadable until a person lets it go on.
    Unreadable,
}

/// A step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Code.
    Code(&'static str),
    /// Code that is done at most once.
    Once(&'static str),
    /// A stored step with its tag and its parameter.
    Stored(&'static str, Tag, &'static str),
}

/// The tag of a stored step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `deploy.stamp`.
    Stamp,
    /// `deploy.seal`.
    Seal,
}

use Part::{Code, Once, Stored};

const FIRST: Part = Code("first");
const SECOND: Part = Code("second");
const STAMP: Part = Stored("third", Tag::Stamp, "blue");
const FOURTH: Part = Code("fourth");

/// The step that is lazy in the new release of [`Change::Careful`].
pub const LAZY: &str = "third";

impl Change {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Code,
        Self::FieldAdded,
        Self::TypeChanged,
        Self::Inserted,
        Self::Removed,
        Self::Renamed,
        Self::Formerly,
        Self::Moved,
        Self::MadeOnce,
        Self::Careful,
        Self::MadeStored,
        Self::TagRenamed,
        Self::Parameters,
        Self::TagGone,
    ];

    /// The schema that is changed so.
    pub fn schema(self) -> &'static str {
        match self {
            Self::Code => "deploy.code",
            Self::FieldAdded => "deploy.field_added",
            Self::TypeChanged => "deploy.type_changed",
            Self::Inserted => "deploy.inserted",
            Self::Removed => "deploy.removed",
            Self::Renamed => "deploy.renamed",
            Self::Formerly => "deploy.formerly",
            Self::Moved => "deploy.moved",
            Self::MadeOnce => "deploy.made_once",
            Self::Careful => "deploy.careful",
            Self::MadeStored => "deploy.made_stored",
            Self::TagRenamed => "deploy.tag_renamed",
            Self::Parameters => "deploy.parameters",
            Self::TagGone => "deploy.tag_gone",
        }
    }

    /// The row of the page about changes.
    pub fn row(self) -> &'static str {
        match self {
            Self::Code => "the code inside a step, its `Retry`, the schema's retention",
            Self::FieldAdded => "a field added to or removed from an output",
            Self::TypeChanged => "a type that can not read what is recorded",
            Self::Inserted | Self::Removed | Self::Renamed | Self::Moved => {
                "a step added, removed, renamed without it, moved"
            }
            Self::Formerly => "a step renamed, with `.formerly(\"old_name\")`",
            Self::MadeOnce => "a step made `at_most_once`, or not any more",
            Self::Careful => "`lazy`, `undo`, `verify`, time-outs, deadlines, retention",
            Self::MadeStored | Self::TagRenamed => {
                "a code step made a stored step, or the other way round; a stored step's tag renamed"
            }
            Self::Parameters => "parameters of a stored step",
            Self::TagGone => "the type behind an old tag removed",
        }
    }

    /// What becomes of executions that this binary begins, in a process that only has the other release.
    pub fn fate(self, born: Release) -> Fate {
        match self {
            Self::Code | Self::FieldAdded | Self::Parameters | Self::Careful => Fate::GoesOn,
            Self::TypeChanged => Fate::Unreadable,
            // The old release does not know the new name.
            Self::Formerly if born == Release::Old => Fate::GoesOn,
            _ => Fate::Waits,
        }
    }

    /// Whether a release can run the executions that this binary begins.
    pub fn is_known_to(self, release: Release, born: Release) -> bool {
        release == Release::Both || release == born || self.fate(born) != Fate::Waits
    }

    /// The steps of executions that this binary begins.
    pub fn plan(self, born: Release) -> Vec<Part> {
        // The same in both, so that only one thing changes: a verify needs a step of this kind.
        if born == Release::Old && self != Self::Careful {
            return vec![FIRST, SECOND, STAMP, FOURTH];
        }
        match self {
            Self::Code | Self::FieldAdded | Self::TypeChanged => vec![FIRST, SECOND, STAMP, FOURTH],
            Self::Careful => vec![FIRST, SECOND, STAMP, Once("fourth")],
            Self::Inserted => vec![FIRST, Code("between"), SECOND, STAMP, FOURTH],
            Self::Removed => vec![FIRST, STAMP, FOURTH],
            Self::Renamed | Self::Formerly => vec![FIRST, Code("another"), STAMP, FOURTH],
            Self::MadeOnce => vec![FIRST, Once("second"), STAMP, FOURTH],
            Self::Moved => vec![SECOND, FIRST, STAMP, FOURTH],
            Self::MadeStored => vec![FIRST, Stored("second", Tag::Stamp, "green"), STAMP, FOURTH],
            Self::TagRenamed => vec![FIRST, SECOND, Stored("third", Tag::Seal, "blue"), FOURTH],
            Self::Parameters => vec![FIRST, SECOND, Stored("third", Tag::Stamp, "red"), FOURTH],
            Self::TagGone => vec![FIRST, SECOND, FOURTH],
        }
    }

    /// The gate of a step of this binary's plan, by its position.
    ///
    /// # Panics
    /// When the plan has no such step.
    pub fn gate(self, born: Release, position: usize) -> String {
        gate(self.schema(), self.plan(born)[position].name())
    }

    /// The gate of the last step.
    pub fn last_gate(self, born: Release) -> String {
        self.gate(born, self.plan(born).len() - 1)
    }
}

/// The gate of a step whose schema has marks: other schemas have steps of the same name.
pub fn gate(schema: &str, step: &str) -> String {
    format!("{schema}:{step}")
}

impl Part {
    /// The step's name.
    pub fn name(&self) -> &'static str {
        match self {
            Code(name) | Once(name) | Stored(name, ..) => name,
        }
    }
}

/// A shape in one line, as marks have it.
pub fn shape(plan: &[Part]) -> String {
    let words = plan.iter().map(|part| match part {
        Code(name) => (*name).to_owned(),
        Once(name) => format!("{name}(once)"),
        Stored(name, tag, _parameter) => format!("{name}({tag:?})"),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The steps' names of a shape in one line.
pub fn names(shape: &str) -> Vec<&str> {
    let parts = shape.split(' ');
    parts.map(|part| part.split('(').next().unwrap_or(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_tells_names_order_and_kinds_and_gives_the_names_back() {
        let plan = Change::MadeStored.plan(Release::New);
        assert_eq!(shape(&plan), "first second(Stamp) third(Stamp) fourth");
        assert_eq!(names(&shape(&plan)), ["first", "second", "third", "fourth"]);
    }

    #[test]
    fn a_shape_changes_exactly_where_executions_wait() {
        for change in Change::ALL {
            let [old, new] = [Release::Old, Release::New].map(|born| shape(&change.plan(born)));
            let waits = change.fate(Release::New) == Fate::Waits;
            assert_eq!(old != new, waits, "{change:?}");
        }
    }
}
