//! Which words of our SQL does a planted bug replace? See [`keystep::bugs`].

use keystep::bugs::{self, Bug, Edit};

use crate::sql::BEGIN_IMMEDIATE;

const ACQUIRE: &str = include_str!("../sql/acquire.sql");
const CHECKPOINTS: &str = include_str!("../sql/checkpoints.sql");
const RESTART: &str = include_str!("../sql/restart.sql");
const SETTLES: &str = include_str!("../sql/settles.sql");
const STANDING: &str = include_str!("../sql/standing.sql");

/// The text of a file with the planted bug, if it is one of these.
pub(crate) fn edited(file: &str) -> String {
    bugs::edited(EDITS, file)
}

const EDITS: &[Edit] = &[
    Edit {
        bug: Bug::ClaimCompareRemoved,
        file: CHECKPOINTS,
        words: " AND e.token = w.token",
        by: "",
    },
    Edit {
        bug: Bug::ClaimCompareRemoved,
        file: SETTLES,
        words: " AND e.token = w.token",
        by: "",
    },
    Edit {
        bug: Bug::ClaimCompareRemoved,
        file: STANDING,
        words: " AND e.token = ?4",
        by: "",
    },
    Edit {
        bug: Bug::StateCompareRemoved,
        file: CHECKPOINTS,
        words: " AND e.state = 1",
        by: "",
    },
    Edit {
        bug: Bug::StateCompareRemoved,
        file: SETTLES,
        words: " AND e.state = 1",
        by: "",
    },
    Edit {
        bug: Bug::SweepByNotExists,
        file: ACQUIRE,
        words: " AND epoch = ?3 AND token = ?4",
        by: "",
    },
    Edit {
        bug: Bug::BeginNotImmediate,
        file: BEGIN_IMMEDIATE,
        words: "BEGIN IMMEDIATE",
        by: "BEGIN",
    },
    Edit {
        bug: Bug::SignalsNotCounted,
        file: SETTLES,
        words: "w.heard < e.signals OR ",
        by: "",
    },
    Edit {
        bug: Bug::WishLostByTakeover,
        file: ACQUIRE,
        words: "output_step = NULL, failure = NULL",
        by: "output_step = NULL, failure = NULL, cancel = NULL",
    },
    Edit {
        bug: Bug::GenerationForgotten,
        file: RESTART,
        words: "generation = generation + 1",
        by: "generation = iif(purged_at IS NULL, generation + 1, 1)",
    },
];
