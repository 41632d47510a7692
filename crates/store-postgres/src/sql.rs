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
            /// `judge.sql` with a lock that waits, and with messages: for a step's own transaction.
            pub(crate) judge_waiting: SqlStr,
            /// `begin.sql` for one begin.
            pub(crate) begin_alone: SqlStr,
        }

        impl Sql {
            /// Fills in the schema's name.
            pub(crate) fn new(schema: &SchemaName) -> Self {
                Self {
                    $($name: text(
                        include_str!(concat!("../sql/", stringify!($name), ".sql")),
                        schema,
                        "SKIP LOCKED",
                        "",
                    ),)*
                    judge_waiting: text(include_str!("../sql/judge.sql"), schema, "", EMITTED),
                    begin_alone: alone(include_str!("../sql/begin.sql"), schema),
                }
            }

            /// All statements by the name of their file.
            pub(crate) fn all(&self) -> Vec<(&'static str, &str)> {
                vec![
                    $((stringify!($name), self.$name.as_str()),)*
                    ("judge_waiting", self.judge_waiting.as_str()),
                    ("begin_alone", self.begin_alone.as_str()),
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
    cancels,
    checkpoint_alone,
    children,
    commit,
    commit_alone,
    create_schema,
    dead_owners,
    delivered,
    due,
    end_session,
    find,
    format,
    inbox,
    is_live,
    judge,
    lead,
    step_down,
    list,
    load,
    load_plan,
    lock,
    migration_lock,
    observe,
    open_transaction,
    outbox,
    owned,
    progress,
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
    signal,
    submit,
    table_exists,
    take_session_lock,
    wish_cancel,
    write,
);

const BEGIN: &str = include_str!("../sql/parts/begin.sql");
const EMITTED: &str = include_str!("../sql/parts/emitted.sql");

/// Arguments of `parts/commit.sql` beside the clock's offset, which all parts share as `$1`.
const COMMIT_ARGUMENTS: usize = 14;

/// Statements that are parts of others, or columns that several share.
const PARTS: [(&str, &str); 6] = [
    ("{begin}", BEGIN),
    ("{commit}", include_str!("../sql/parts/commit.sql")),
    ("{fenced}", include_str!("../sql/parts/fenced.sql")),
    ("{success}", include_str!("../sql/parts/success.sql")),
    ("{record}", include_str!("../sql/parts/record.sql")),
    ("{incarnation}", include_str!("../sql/parts/incarnation.sql")),
];

/// Fills in a migration, which may be several statements.
pub(crate) fn migration(file: &str, schema: &SchemaName) -> SqlStr {
    text(file, schema, "", "")
}

fn text(file: &str, schema: &SchemaName, skip_locked: &str, emitted: &str) -> SqlStr {
    finished(&filled(file), schema, skip_locked, emitted)
}

/// A statement on arrays, for one operation: its arguments are the elements themselves.
fn alone(file: &str, schema: &SchemaName) -> SqlStr {
    finished(&without_arrays(&filled(file)), schema, "SKIP LOCKED", "")
}

/// With its parts.
fn filled(file: &str) -> String {
    let begin_after_commit = after(COMMIT_ARGUMENTS, &without_comments(BEGIN));
    let mut text = without_comments(file).replace("{begin_after_commit}", &begin_after_commit);
    for (place, part) in PARTS {
        text = text.replace(place, &without_comments(part));
    }
    text
}

fn finished(text: &str, schema: &SchemaName, skip_locked: &str, emitted: &str) -> SqlStr {
    let text = text
        .replace("{skip_locked}", skip_locked)
        .replace("{emitted}", &without_comments(emitted))
        .replace("{schema}", &schema.quoted());
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

/// A begin that can afford to be sent again when somebody else's came between: without the server's
/// preparations for that.
const UNLESS_THERE: &str = "WHERE NOT EXISTS (SELECT FROM {schema}.executions AS x WHERE x.id = b.id)";

/// Takes no array apart any more: `unnest` gives one row of values.
fn without_arrays(text: &str) -> String {
    let mut pieces = text.split("unnest(");
    let mut scalar = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (arguments, rest) = piece.split_once(')').unwrap_or((piece, ""));
        scalar.extend(["(VALUES (", arguments, "))", rest]);
    }
    scalar
        .replace("[]", "")
        .replace("ON CONFLICT (id) DO NOTHING", UNLESS_THERE)
}

/// A part whose own arguments, from `$2` on, come after so many others.
fn after(others: usize, part: &str) -> String {
    let mut pieces = part.split('$');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.len()
            - piece
                .trim_start_matches(|letter: char| letter.is_ascii_digit())
                .len();
        let (number, rest) = piece.split_at(digits);
        let number = match number.parse() {
            Ok(1) | Err(_) => number.to_owned(),
            Ok(own) => usize::to_string(&(own + others)),
        };
        text.extend(["$", &number, rest]);
    }
    text
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
    fn a_part_that_comes_after_another_has_its_arguments_after_those() {
        let part = "f($1::bigint, $2::uuid[], $12::bytea[])";
        assert_eq!(after(14, part), "f($1::bigint, $16::uuid[], $26::bytea[])");
    }

    #[test]
    fn a_statement_for_one_operation_takes_values_where_that_for_many_takes_arrays() {
        let many = "SELECT FROM unnest($1::text[], $2::int[]) AS w (a, n), unnest($3::uuid[]) AS b (id)";
        let one = "SELECT FROM (VALUES ($1::text, $2::int)) AS w (a, n), (VALUES ($3::uuid)) AS b (id)";
        assert_eq!(without_arrays(many), one);
    }

    #[test]
    fn every_place_in_every_file_is_filled_in() {
        let sql = Sql::new(&SchemaName::new("some_schema").expect("a valid name"));
        for (name, text) in sql.all() {
            assert!(!text.contains(['{', '}']), "{name} has an unfilled place");
            assert!(!text.contains("--"), "{name} keeps a comment");
        }
    }
}
