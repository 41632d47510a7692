//! Which words of our SQL does a planted bug replace? See [`keystep::bugs`].

use keystep::bugs::{Bug, Edit};

const ACQUIRE: &str = include_str!("../sql/acquire.sql");
const COMMIT: &str = include_str!("../sql/parts/commit.sql");
const FENCED: &str = include_str!("../sql/parts/fenced.sql");
const EMITTED: &str = include_str!("../sql/parts/emitted.sql");
const JUDGE: &str = include_str!("../sql/judge.sql");

/// The bugs that are planted in SQL.
pub(crate) const EDITS: &[Edit] = &[
    Edit {
        bug: Bug::RowLockRemoved,
        file: JUDGE,
        words: "FOR NO KEY UPDATE {skip_locked}",
        by: "",
    },
    Edit {
        bug: Bug::RowLockRemoved,
        file: COMMIT,
        words: "FOR NO KEY UPDATE SKIP LOCKED",
        by: "",
    },
    Edit {
        bug: Bug::ClaimCompareRemoved,
        file: COMMIT,
        words: " AND x.token = ($7::uuid[])[w.ord]",
        by: "",
    },
    Edit {
        bug: Bug::StateCompareRemoved,
        file: COMMIT,
        words: "            AND x.state::int = 1\n",
        by: "",
    },
    Edit {
        bug: Bug::RowLockRemoved,
        file: FENCED,
        words: "FOR NO KEY UPDATE SKIP LOCKED",
        by: "",
    },
    Edit {
        bug: Bug::ClaimCompareRemoved,
        file: FENCED,
        words: " AND x.token = $7::uuid",
        by: "",
    },
    Edit {
        bug: Bug::StateCompareRemoved,
        file: FENCED,
        words: "    AND x.state::int = 1\n",
        by: "",
    },
    Edit {
        bug: Bug::ClaimCompareRemoved,
        file: JUDGE,
        words: " OR e.token <> w.token",
        by: "",
    },
    Edit {
        bug: Bug::StateCompareRemoved,
        file: JUDGE,
        words: "WHEN e.state <> 1 AND w.step IS NOT NULL AND r.write_id IS NULL THEN",
        by: "WHEN false THEN",
    },
    Edit {
        bug: Bug::StateCompareRemoved,
        file: JUDGE,
        words: "WHEN e.state <> 1 THEN 4",
        by: "",
    },
    Edit {
        bug: Bug::SweepByNotExists,
        file: ACQUIRE,
        words: " AND x.epoch = a.epoch AND x.token = a.token",
        by: "",
    },
    Edit {
        bug: Bug::VerdictJoinedOnStep,
        file: JUDGE,
        words: "OR r.write_id = w.write_id THEN 2",
        by: "OR r.write_id IS NOT NULL THEN 2",
    },
    Edit {
        bug: Bug::MessagesUnseen,
        file: EMITTED,
        words: "WHERE h.verdict = 1",
        by: "",
    },
    Edit {
        bug: Bug::SignalsNotCounted,
        file: JUDGE,
        words: "e.signals > h.signals OR ",
        by: "",
    },
    Edit {
        bug: Bug::WishLostByTakeover,
        file: ACQUIRE,
        words: "cancel = CASE WHEN h.new_run IS NULL THEN e.cancel END",
        by: "cancel = NULL",
    },
    Edit {
        bug: Bug::GenerationForgotten,
        file: ACQUIRE,
        words: "WHEN h.new_run IS NULL THEN e.generation ELSE",
        by: "WHEN h.new_run IS NULL THEN e.generation WHEN e.purged_at IS NOT NULL THEN 1 ELSE",
    },
];
