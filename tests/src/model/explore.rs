//! How is the model tried? Breadth first by one thread, so that the first counterexample is a
//! shortest one.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, HasDiscoveries, Model};

use super::{Action, Protocol};

/// What an exploration found.
#[derive(Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Ways between them.
    pub ways: usize,
    /// Actions on the longest of the shortest ways.
    pub depth: usize,
    /// The way to the first breach of each promise that was broken, and to the first example of
    /// each thing that must be possible.
    pub found: BTreeMap<&'static str, Vec<Action>>,
}

/// Tries everything; stops early only when a promise is broken.
pub fn explore(model: Protocol) -> Explored {
    run(model, HasDiscoveries::AnyFailures)
}

/// Tries until this promise is broken, or there is nothing left to try.
pub fn explore_until(model: Protocol, promise: &'static str) -> Explored {
    run(model, HasDiscoveries::AnyOf(BTreeSet::from([promise])))
}

fn run(model: Protocol, enough: HasDiscoveries) -> Explored {
    let checker = model.checker().threads(1).finish_when(enough).spawn_bfs().join();
    let found = checker.discoveries().into_iter();
    Explored {
        states: checker.unique_state_count(),
        ways: checker.state_count(),
        depth: checker.max_depth(),
        found: found.map(|(name, path)| (name, path.into_actions())).collect(),
    }
}
