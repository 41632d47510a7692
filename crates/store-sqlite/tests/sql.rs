//! Does every statement fit the tables, and does it use the index that its comment names?

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use keystep_sqlite::SqliteStore;
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqlSafeStr, SqliteConnection};
use tempfile::TempDir;

/// A connection of the test's own to a new database with the newest tables.
async fn migrated(folder: &TempDir) -> SqliteConnection {
    let file = folder.path().join("keys.db");
    SqliteStore::migrate(&file).await.expect("a new database");
    let url = format!("sqlite:{}", file.display());
    SqliteConnection::connect(&url).await.expect("the same file")
}

fn crate_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn statements() -> BTreeMap<String, String> {
    let entries = fs::read_dir(crate_file("sql")).expect("the folder of statements");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let statements: BTreeMap<_, _> = files
        .map(|file| {
            let name = file.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read_to_string(&file).expect("text"))
        })
        .collect();
    assert!(statements.len() > 30, "{} statements", statements.len());
    statements
}

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_tables() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut conn = migrated(&folder).await;
    for (name, statement) in statements() {
        let prepared = conn.prepare(AssertSqlSafe(statement).into_sql_str()).await;
        prepared.unwrap_or_else(|error| panic!("{name}.sql: {error}"));
    }
}

#[tokio::test]
async fn the_migrations_give_the_tables_of_the_picture() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut conn = migrated(&folder).await;
    let tables = "SELECT sql FROM sqlite_schema WHERE name LIKE 'keystep_%' ORDER BY tbl_name, name";
    let rows = sqlx::query(tables)
        .fetch_all(&mut conn)
        .await
        .expect("the tables");
    let found: Vec<String> = rows.iter().map(|row| row.get("sql")).collect();
    let found = found.join(";\n\n") + ";\n";
    let picture = fs::read_to_string(crate_file("schema.sql")).expect("the picture");
    let (_head, expected) = picture.split_once("\n\n").expect("a head and the tables");
    assert_eq!(
        found, expected,
        "schema.sql is not what the migrations make of a new file"
    );
}

/// How SQLite would find the rows of a statement.
async fn plan_of(conn: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explained = format!("EXPLAIN QUERY PLAN {statement}");
    let rows = sqlx::query(AssertSqlSafe(explained)).fetch_all(conn).await;
    let rows = rows.expect("a plan");
    rows.iter().map(|row| row.get("detail")).collect()
}

const BY_ID: &str = "USING INDEX sqlite_autoindex_keystep_executions_1 (id=?)";
const BY_SIGNAL: &str = "keystep_signals USING PRIMARY KEY (run_id=?";
const BY_RUN: &str = "keystep_checkpoints USING PRIMARY KEY (run_id=?";
const BY_OWNER: &str = "USING INDEX keystep_executions_running (owner=?)";
const BY_WAKE_UP: &str = "USING INDEX keystep_executions_due (wake_at>? AND wake_at<?)";
const BY_EXPIRY: &str = "USING INDEX keystep_executions_expiry (expires_at>? AND expires_at<?)";

const INDEXES: &[(&str, &str)] = &[
    ("begins", ""),
    ("find", BY_ID),
    ("list", "USING INDEX sqlite_autoindex_keystep_executions_1 (id>?)"),
    ("acquire", BY_ID),
    ("restart", BY_ID),
    ("forget", BY_RUN),
    ("checkpoints", BY_ID),
    ("settles", BY_ID),
    ("standing", BY_ID),
    ("recorded", BY_RUN),
    ("progress", BY_ID),
    ("submit", ""),
    ("hears", BY_ID),
    ("hears", "SEARCH s USING PRIMARY KEY (run_id=?)"),
    ("signal", BY_ID),
    ("count_signal", BY_ID),
    ("inbox", BY_SIGNAL),
    ("wish_cancel", BY_ID),
    ("cancels", "USING INDEX keystep_executions_cancelled (owner=?)"),
    ("children", "USING INDEX keystep_executions_called (parent=?)"),
    ("forget_signals", BY_SIGNAL),
    ("outbox", "SCAN keystep_outbox"),
    (
        "delivered",
        "USING COVERING INDEX sqlite_autoindex_keystep_outbox_1 (id=?)",
    ),
    ("emits", ""),
    ("load_checkpoints", BY_RUN),
    ("load_input", BY_ID),
    ("due", BY_WAKE_UP),
    ("orphans", BY_OWNER),
    ("owned", BY_OWNER),
    ("purge_checkpoints", BY_EXPIRY),
    ("purge_signals", BY_SIGNAL),
    ("purge_signals", BY_EXPIRY),
    ("purge_executions", BY_EXPIRY),
    ("remember", BY_EXPIRY),
];

/// The tables that grow with what was done.
const TABLES: [&str; 4] = [
    "keystep_executions",
    "keystep_checkpoints",
    "keystep_signals",
    "keystep_outbox",
];

/// What a statement calls these tables.
fn names_in(statement: &str) -> Vec<&str> {
    let words: Vec<&str> = statement
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .flat_map(|line| line.split(|letter: char| letter.is_whitespace() || "(),;".contains(letter)))
        .filter(|word| !word.is_empty())
        .collect();
    let tables = (0..words.len()).filter(|at| TABLES.contains(&words[*at]));
    let named = tables.map(|at| match words.get(at + 1..at + 3) {
        Some(["AS", alias]) => alias,
        _ => words[at],
    });
    named.collect()
}

/// Whether a line of a plan reads one of these tables from end to end, be it by an index.
fn walks(line: &str, names: &[&str]) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some("SCAN") && words.next().is_some_and(|name| names.contains(&name))
}

async fn assert_indexes_are_used(conn: &mut SqliteConnection) {
    let statements = statements();
    for (name, statement) in &statements {
        let names = names_in(statement);
        if names.is_empty() {
            continue;
        }
        let plan = plan_of(conn, statement).await;
        let text = plan.join("\n");
        let mut known = INDEXES.iter().filter(|(known, _index)| known == name).peekable();
        assert!(
            known.peek().is_some(),
            "say in {} which index {name}.sql uses",
            file!()
        );
        for (_name, index) in known {
            assert!(text.contains(index), "{name}.sql does not use `{index}`:\n{text}");
        }
        for line in plan {
            // The checkpoints of one run are few.
            let sorts = line.contains("TEMP B-TREE") && name != "load_checkpoints";
            // The outbox is read from its start, which is all that is in it.
            let walks = walks(&line, &names) && name != "outbox";
            assert!(!walks && !sorts, "{name}.sql walks or sorts: {line}");
        }
    }
    for (name, _index) in INDEXES {
        assert!(statements.contains_key(*name), "{name}.sql is gone");
    }
}

#[test]
fn a_walk_is_seen_under_whatever_name() {
    let statement = "-- of keystep_executions\nSELECT e.id FROM keystep_executions AS e\n\
                     WHERE e.id IN (SELECT run_id FROM keystep_checkpoints)";
    let names = names_in(statement);
    assert_eq!(names, ["e", "keystep_checkpoints"]);
    assert!(walks("SCAN e", &names) && walks("SCAN keystep_checkpoints USING INDEX a", &names));
    assert!(!walks("SEARCH e USING INDEX a (id=?)", &names) && !walks("SCAN owners", &names));
}

#[tokio::test]
async fn no_statement_walks_the_executions_or_the_checkpoints() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut conn = migrated(&folder).await;
    assert_indexes_are_used(&mut conn).await;
}

/// 3,000 executions: finished ones that are kept, and a few of each other kind, with one step, signal and
/// message each.
const HISTORY: &str = "
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000)
    INSERT INTO keystep_executions (
        id, run_id, generation, state, epoch, token, owner, wake_at, expires_at, created_at,
        acquired_at, plan_id, shape_id, input_hash, cancel, parent, schema_name, scope, key_text, input
    )
    SELECT randomblob(16), randomblob(16), 1, CASE n % 100 WHEN 1 THEN 1 WHEN 2 THEN 2 ELSE 10 END,
        1, randomblob(16), iif(n % 100 = 1, n % 7, NULL), iif(n % 100 = 2, n, NULL),
        iif(n % 100 > 2, n, NULL), n, n, zeroblob(16), zeroblob(16), zeroblob(32),
        iif(n % 300 = 1, 1, NULL), iif(n % 3 = 0, randomblob(16), NULL), 's', '', 'k' || n, x'00'
    FROM numbers;
    INSERT INTO keystep_checkpoints (
        run_id, step, seq, epoch, worker, write_id, attempt, lost, recorded_at, output
    )
    SELECT run_id, 'step', 0, 1, 1, randomblob(16), 1, 0, 1, x'00' FROM keystep_executions;
    INSERT INTO keystep_signals (run_id, ord, write_id, sent_at, name, payload)
    SELECT run_id, 1, randomblob(16), 1, 'paid', x'00' FROM keystep_executions;
    INSERT INTO keystep_outbox (id, execution, run_id, emitted_at, topic, payload)
    SELECT randomblob(16), id, run_id, 1, 'orders', x'00' FROM keystep_executions;
    ANALYZE";

#[tokio::test]
async fn the_indexes_are_used_too_when_the_application_has_analyzed_its_file() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut conn = migrated(&folder).await;
    sqlx::raw_sql(HISTORY)
        .execute(&mut conn)
        .await
        .expect("a history");
    assert_indexes_are_used(&mut conn).await;
}
