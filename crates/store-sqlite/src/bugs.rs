//! Which words of our SQL does a planted bug replace? See [`keystep::bugs`].

use keystep::bugs::{self, Bug, Edit};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

const ACQUIRE: &str = include_str!("../sql/acquire.sql");
const BEGIN_IMMEDIATE: &str = include_str!("../sql/begin_immediate.sql");
const CHECKPOINT: &str = include_str!("../sql/checkpoint.sql");
const SETTLE: &str = include_str!("../sql/settle.sql");
const STANDING: &str = include_str!("../sql/standing.sql");

/// The text of a file with the planted bug, if it is one of these.
pub(crate) fn edited(file: &str) -> SqlStr {
    AssertSqlSafe(bugs::edited(EDITS, file)).into_sql_str()
}

const EDITS: &[Edit] = &[
    Edit {
        bug: Bug::ClaimCompareRemoved,
        file: CHECKPOINT,
        words: " AND e.token = ?4",
        by: "",
    },
    Edit {
        bug: Bug::ClaimCompareRemoved,
        file: SETTLE,
        words: " AND token = ?4",
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
        file: CHECKPOINT,
        words: " AND e.state = 1",
        by: "",
    },
    Edit {
        bug: Bug::StateCompareRemoved,
        file: SETTLE,
        words: " AND state = 1",
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
];
