//! Does every statement fit the tables, and does it use the index that its comment names?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use keystep::store::StoreError;
use keystep_sqlite::SqliteStore;
use sqlx::{AssertSqlSafe, Executor, Row, SqlSafeStr, SqliteConnection};

fn statements() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let entries = fs::read_dir(folder).expect("the folder of statements");
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

async fn open(folder: &tempfile::TempDir) -> SqliteStore {
    let store = SqliteStore::open(folder.path().join("keys.db")).await;
    store.expect("a new database")
}

async fn plan_of(conn: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explained = format!("EXPLAIN QUERY PLAN {statement}");
    let rows = sqlx::query(AssertSqlSafe(explained)).fetch_all(conn).await;
    let rows = rows.expect("a plan");
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_tables() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let store = open(&folder).await;
    for (name, statement) in statements() {
        let prepared: Result<(), StoreError> = store
            .write(|conn| {
                Box::pin(async move {
                    let statement = AssertSqlSafe(statement).into_sql_str();
                    let prepared = conn.prepare(statement).await;
                    prepared
                        .map(drop)
                        .map_err(|error| StoreError::Rejected(format!("{name}.sql: {error}")))
                })
            })
            .await;
        prepared.expect("a statement that fits");
    }
}

#[tokio::test]
async fn no_statement_of_the_run_path_walks_the_executions() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let store = open(&folder).await;
    let expected = [
        ("begin", ""),
        (
            "find",
            "SEARCH e USING INDEX sqlite_autoindex_keystep_executions_1 (id=?)",
        ),
        (
            "acquire",
            "SEARCH keystep_executions USING INDEX sqlite_autoindex_keystep_executions_1 (id=?)",
        ),
        (
            "restart",
            "SEARCH keystep_executions USING INDEX sqlite_autoindex_keystep_executions_1 (id=?)",
        ),
        (
            "forget",
            "SEARCH keystep_checkpoints USING PRIMARY KEY (run_id=?)",
        ),
        (
            "checkpoint",
            "SEARCH e USING INDEX sqlite_autoindex_keystep_executions_1 (id=?)",
        ),
        (
            "settle",
            "SEARCH keystep_executions USING INDEX sqlite_autoindex_keystep_executions_1 (id=?)",
        ),
        (
            "standing",
            "SEARCH e USING INDEX sqlite_autoindex_keystep_executions_1 (id=?)",
        ),
        (
            "recorded",
            "SEARCH keystep_checkpoints USING PRIMARY KEY (run_id=? AND step=?)",
        ),
        (
            "load_checkpoints",
            "SEARCH keystep_checkpoints USING PRIMARY KEY (run_id=?)",
        ),
        (
            "load_input",
            "SEARCH keystep_executions USING INDEX sqlite_autoindex_keystep_executions_1 (id=?)",
        ),
        (
            "list",
            "SEARCH e USING INDEX sqlite_autoindex_keystep_executions_1 (id>?)",
        ),
        (
            "due",
            "SEARCH keystep_executions USING INDEX keystep_executions_due (wake_at>? AND wake_at<?)",
        ),
        (
            "orphans",
            "SEARCH e USING INDEX keystep_executions_running (owner=?)",
        ),
        (
            "owned",
            "SEARCH keystep_executions USING INDEX keystep_executions_running (owner=?)",
        ),
        (
            "purge_checkpoints",
            "SEARCH keystep_executions USING INDEX keystep_executions_expiry (expires_at>? AND expires_at<?)",
        ),
        (
            "purge_executions",
            "SEARCH keystep_executions USING INDEX keystep_executions_expiry (expires_at>? AND expires_at<?)",
        ),
    ];
    let statements = statements();
    let found: Result<(), StoreError> = store
        .read(|conn| {
            Box::pin(async move {
                for (name, index) in expected {
                    let plan = plan_of(conn, &statements[name]).await;
                    let text = plan.join("\n");
                    assert!(text.contains(index), "{name}.sql does not use `{index}`:\n{text}");
                    for line in plan {
                        let walks = ["SCAN e", "SCAN keystep_checkpoints", "SCAN keystep_executions"]
                            .iter()
                            .any(|walk| line == *walk || line.starts_with(&format!("{walk} ")));
                        // The checkpoints of one run are few.
                        let sorts = line.contains("TEMP B-TREE") && name != "load_checkpoints";
                        assert!(!walks && !sorts, "{name}.sql walks or sorts: {line}");
                    }
                }
                Ok(())
            })
        })
        .await;
    found.expect("plans were read");
}
