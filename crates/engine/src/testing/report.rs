//! What did a run of a trial do? Counts, so that a test can see that it really did something.

use std::fmt;

/// What a [`Trial`](super::Trial) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Stories in which everything happened that their script says.
    pub stories: usize,
    /// Stories that ended before all of their script had happened, because they needed fewer calls.
    /// They are judged and checked as the others are, and are not among [`stories`](Self::stories).
    pub incomplete: usize,
    /// Calls at which something can go wrong in a story without faults: begin, commits and so on.
    pub boundaries: usize,
    /// Executions that were taken over from an owner that was declared dead.
    pub takeovers: usize,
    /// Writes of owners that had been replaced; each was refused.
    pub fenced: usize,
    /// Bodies of steps that an owner began although it had been replaced, before it learnt it.
    pub late_attempts: usize,
    /// What the random stories were drawn from.
    pub seed: u64,
}

/// What one story adds to it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) takeovers: usize,
    pub(super) fenced: usize,
    pub(super) late_attempts: usize,
}

impl Report {
    pub(super) fn add(&mut self, story: &Counts, as_scripted: bool) {
        if as_scripted {
            self.stories += 1;
        } else {
            self.incomplete += 1;
        }
        self.takeovers += story.takeovers;
        self.fenced += story.fenced;
        self.late_attempts += story.late_attempts;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stories,
            incomplete,
            boundaries,
            takeovers,
            fenced,
            late_attempts,
            seed,
        } = self;
        write!(
            f,
            "{stories} stories, {incomplete} incomplete, {boundaries} boundaries, {takeovers} takeovers, \
             {fenced} writes fenced, {late_attempts} late attempts, seed {seed}"
        )
    }
}
