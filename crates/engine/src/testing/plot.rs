//! Which stories are told? Every act at every call, and random ones with two.

use super::faulty::Call;
use super::script::{Act, CALLS, Script, Side, What};
use crate::random::Repeatable;

/// A family of stories: one more act after the same beginning, at the first call of a kind, then at
/// the second, until a story needs no more of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) begins: Vec<Act>,
    pub(super) call: Call,
    /// Only at so many calls.
    pub(super) most: u64,
}

impl Family {
    /// The stories about the nth call of this family's kind.
    pub(super) fn at(&self, nth: u64) -> impl Iterator<Item = Script> {
        What::all().map(move |what| {
            let call = self.call;
            let mut acts = self.begins.clone();
            acts.push(Act { what, call, nth });
            Script { acts }
        })
    }
}

/// What is tried at every call: each that the quiet story makes, what a takeover needs, and the
/// question about a step's own transaction whose commit got no answer.
pub(super) fn families(quiet: &[Call], enlisting: &[u64]) -> Vec<Family> {
    let made = CALLS.iter().map(|(call, _)| *call);
    let made = made.filter(|call| quiet.contains(call));
    let singles = made.map(|call| Family {
        begins: Vec::new(),
        call,
        most: u64::MAX,
    });
    let dead = Act {
        what: What::Die(Side::Before),
        call: Call::Commit,
        nth: 1,
    };
    let takeovers = [Call::Acquire, Call::Load].map(|call| Family {
        begins: vec![dead],
        call,
        most: 1,
    });
    let questions = enlisting.iter().map(|nth| Family {
        begins: vec![Act {
            what: What::LoseAnswer,
            call: Call::Commit,
            nth: *nth,
        }],
        call: Call::Confirm,
        most: 1,
    });
    singles.chain(takeovers).chain(questions).collect()
}

/// A story with two acts, at calls that a story of this length may make.
pub(super) fn random(quiet: &[Call], numbers: &mut Repeatable) -> Script {
    let all: Vec<What> = What::all().collect();
    let act = |numbers: &mut Repeatable| {
        // Half of the acts at commits: there are more of them than of the others.
        let calls = CALLS.map(|(call, _)| call);
        let call = if numbers.below(2) == 0 {
            Call::Commit
        } else {
            numbers.one_of(&calls)
        };
        let made = quiet.iter().filter(|made| **made == call).count();
        let nth = 1 + numbers.below(made.max(1)) as u64;
        let what = numbers.one_of(&all);
        Act { what, call, nth }
    };
    Script {
        acts: vec![act(numbers), act(numbers)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: [Call; 4] = [Call::Begin, Call::Commit, Call::Commit, Call::Commit];

    fn drawn(seed: u64) -> Vec<String> {
        let mut numbers = Repeatable::new(seed);
        (0..50)
            .map(|_story| random(&QUIET, &mut numbers).to_string())
            .collect()
    }

    #[test]
    fn a_seed_draws_the_same_stories_again() {
        assert_eq!(drawn(11), drawn(11));
        assert_ne!(drawn(11), drawn(12));
    }

    #[test]
    fn random_stories_reach_the_last_call_and_none_that_no_story_makes() {
        let drawn = drawn(11).join("; ");
        assert!(
            drawn.contains("commit 3") && !drawn.contains("commit 4"),
            "{drawn}"
        );
    }

    #[test]
    fn every_call_of_a_quiet_story_has_stories_and_so_has_a_takeover() {
        let families = families(&QUIET, &[2]);
        let called: Vec<(usize, Call)> = families
            .iter()
            .map(|family| (family.begins.len(), family.call))
            .collect();
        assert_eq!(
            called,
            [
                (0, Call::Begin),
                (0, Call::Commit),
                (1, Call::Acquire),
                (1, Call::Load),
                (1, Call::Confirm)
            ]
        );
        assert_eq!(
            families[1].at(2).count(),
            13,
            "everything that can go wrong with one call"
        );
    }
}
