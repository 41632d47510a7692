//! Was what was done undone, all of it, and in reverse?

use std::collections::BTreeMap;

use uuid::Uuid;

use super::checks::Findings;
use super::index::{Index, rows};
use super::{Kinds, Promise, Subject};

impl Index<'_> {
    pub(super) fn undone_in_reverse(&self, kinds: &Kinds, found: &mut Findings) {
        let mut ends: BTreeMap<Uuid, &str> = BTreeMap::new();
        for row in self.rows.values().flat_map(|moments| rows(moments)) {
            ends.insert(row.run, row.state);
        }
        for (run, end) in ends {
            if let Some(what) = self.undo_of(run, end, kinds) {
                let what = format!("run {run} is {end}, and {what}");
                found.add(Promise::Undone, Subject::Run(run), what);
            }
        }
    }

    /// What is wrong with the undo of a run.
    fn undo_of(&self, run: Uuid, end: &str, kinds: &Kinds) -> Option<String> {
        let recorded = |name: &str| {
            let step = self.steps.get(&(run, name))?;
            step.recorded.first().map(|(place, _attempt)| *place)
        };
        let undos = kinds.undoable.iter();
        let mut done: Vec<_> = undos
            .filter_map(|(step, undo)| match (recorded(step), recorded(undo)) {
                (None, None) => None,
                both => Some((both, undo)),
            })
            .collect();
        done.sort();
        let undone: Vec<_> = done.iter().filter_map(|((_, undone), _)| *undone).collect();
        let in_reverse = undone.is_sorted_by(|earlier, later| earlier > later);
        if !in_reverse || done.iter().any(|((step, _), _)| step.is_none()) {
            return Some(format!("was not undone in reverse: {done:?}"));
        }
        match end {
            "undone" if undone.len() < done.len() => Some(format!("not all is undone: {done:?}")),
            "succeeded" | "failed" if !undone.is_empty() => Some(format!("something is undone: {done:?}")),
            _ => None,
        }
    }
}
