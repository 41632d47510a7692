//! Where does SQL text come from? From `sql/*.sql`, filled in once when a handle opens.
//!
//! The files name tables as `{schema}.executions`, because the schema is an option and a search
//! path would not survive a pool or a pooler that belongs to somebody else. This is the only place
//! that makes SQL text at run time, and a checked [`SchemaName`] is the only thing from outside
//! that enters it.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

#[cfg(feature = "planted")]
use crate::bugs;
use crate::options::SchemaName;

macro_rules! statements {
    ($($name:ident),* $(,)?) => {
        /// The statements of one handle.
        pub(crate) struct Sql {
            $(pub(crate) $name: SqlStr,)*
            /// `commit.sql` with a lock that waits: for a step's own transaction.
            pub(crate) commit_waiting: SqlStr,
        }

        impl Sql {
            /// Fills in the schema's name.
            pub(crate) fn new(schema: &SchemaName) -> Self {
                Self {
                    $($name: text(
                        include_str!(concat!("../sql/", stringify!($name), ".sql")),
                        schema,
                        "SKIP LOCKED",
                    ),)*
                    commit_waiting: text(include_str!("../sql/commit.sql"), schema, ""),
                }
            }

            /// All statements by the name of their file.
            pub(crate) fn all(&self) -> Vec<(&'static str, &str)> {
                vec![
                    $((stringify!($name), self.$name.as_str()),)*
                    ("commit_waiting", self.commit_waiting.as_str()),
                ]
            }
        }
    };
}

statements!(
    acquire,
    beat,
    begin,
    begin_migration,
    bury,
    commit,
    create_schema,
    dead_owners,
    due,
    end_session,
    find,
    format,
    is_live,
    list,
    load,
    load_plan,
    lock,
    migration_lock,
    observe,
    open_transaction,
    owned,
    purge,
    purge_workers,
    recorded_by,
    register,
    retire,
    save_format,
    save_plan,
    server,
    session,
    session_check,
    table_exists,
    take_session_lock,
    write,
);

/// Statements that are parts of others, or columns that several share.
const PARTS: [(&str, &str); 4] = [
    ("{begin}", include_str!("../sql/parts/begin.sql")),
    ("{commit}", include_str!("../sql/parts/commit.sql")),
    ("{record}", include_str!("../sql/parts/record.sql")),
    ("{incarnation}", include_str!("../sql/parts/incarnation.sql")),
];

/// Fills in a migration, which may be several statements.
pub(crate) fn migration(file: &str, schema: &SchemaName) -> SqlStr {
    text(file, schema, "")
}

fn text(file: &str, schema: &SchemaName, skip_locked: &str) -> SqlStr {
    let mut text = without_comments(file);
    for (place, part) in PARTS {
        text = text.replace(place, &without_comments(part));
    }
    let text = text
        .replace("{skip_locked}", skip_locked)
        .replace("{schema}", &schema.quoted());
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

/// Comments are for readers of the files; without them the server's statistics and logs show the
/// statement itself.
fn without_comments(file: &str) -> String {
    #[cfg(feature = "planted")]
    let file = &keystep::bugs::edited(bugs::EDITS, file);
    let lines = file.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_in_every_file_is_filled_in() {
        let sql = Sql::new(&SchemaName::new("some_schema").expect("a valid name"));
        for (name, text) in sql.all() {
            assert!(!text.contains(['{', '}']), "{name} has an unfilled place");
            assert!(!text.contains("--"), "{name} keeps a comment");
        }
    }
}
