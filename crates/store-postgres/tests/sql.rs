//! Does every statement fit the tables, and does it find its rows by index, also when the tables are
//! empty and nobody has analyzed them?

mod common;

use common::{session, sql, store};
use keystep_postgres::PostgresStore;
use sqlx::{AssertSqlSafe, Executor, PgConnection, SqlSafeStr};

/// Those that are no single prepared statement.
const NOT_PREPARED: [&str; 3] = ["begin_migration", "open_transaction", "create_schema"];

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_tables() {
    let (store, _schema) = store().await;
    let mut session = session().await;
    let types = types_of_write(&mut session, &store).await;
    let mut prepared = 0;
    for (name, text) in store.statements() {
        if NOT_PREPARED.contains(&name) {
            continue;
        }
        prepare(&mut session, name, text, &types).await;
        prepared += 1;
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).expect("the folder");
    let files = files
        .filter(|file| file.as_ref().is_ok_and(|file| file.path().is_file()))
        .count();
    // One file is two statements, with a lock that waits and one that does not.
    assert_eq!(
        prepared + NOT_PREPARED.len(),
        files + 1,
        "every file is a statement"
    );
}

#[tokio::test]
async fn rows_are_found_by_index_also_in_empty_tables() {
    let (store, _schema) = store().await;
    let mut session = session().await;
    let settings = text_of(&store, "session").to_owned();
    sqlx::query(AssertSqlSafe(settings))
        .bind("5000")
        .bind("5000")
        .bind("5000")
        .execute(&mut session)
        .await
        .expect("the settings of the store's own connections");
    let types = types_of_write(&mut session, &store).await;
    // Each with the scans that have no condition because they only take the first entry.
    let statements = [
        ("begin", 0),
        ("commit", 0),
        ("commit_waiting", 0),
        ("write", 0),
        ("acquire", 0),
        ("find", 0),
        ("load", 0),
        ("lock", 0),
        ("recorded_by", 0),
        ("load_plan", 0),
        ("list", 0),
        ("due", 0),
        ("owned", 0),
        ("purge", 0),
        ("dead_owners", 1),
    ];
    for (name, first_entries) in statements {
        let parameters = prepare(&mut session, name, text_of(&store, name), &types).await;
        let nulls = vec!["NULL"; parameters].join(", ");
        let arguments = if parameters == 0 {
            String::new()
        } else {
            format!("({nulls})")
        };
        let explain = format!("EXPLAIN (COSTS OFF) EXECUTE {name}{arguments}");
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
            .fetch_all(&mut session)
            .await
            .expect("explained");
        check_plan(name, &plan, first_entries);
    }
}

#[tokio::test]
async fn the_migrations_give_the_tables_of_the_picture() {
    let (_store, schema) = store().await;
    let picture = "
        SELECT c.relname || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
               || CASE WHEN l.collname = 'C' THEN ' collate C' ELSE '' END
               || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
               || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
          LEFT JOIN pg_collation l ON l.oid = a.attcollation
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r'
        UNION ALL
        SELECT c.relname || ' constraint ' || n.conname || ' ' || pg_get_constraintdef(n.oid)
          FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid WHERE n.connamespace = $1::regnamespace AND n.contype <> 'n'
        UNION ALL
        SELECT tablename || ' index ' || replace(indexdef, schemaname || '.', '')
          FROM pg_indexes WHERE schemaname = $1
        UNION ALL
        SELECT c.relname || ' option ' || o FROM pg_class c, unnest(c.reloptions) o
         WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r'";
    let mut found: Vec<String> = sqlx::query_scalar(picture)
        .bind(&schema)
        .fetch_all(&mut session().await)
        .await
        .expect("the tables");
    found.sort();
    let found = found.join("\n");
    let file = include_str!("../schema.txt");
    let (_head, expected) = file.split_once("\n\n").expect("a head and the tables");
    assert_eq!(
        found,
        expected.trim_end(),
        "schema.txt is not what the migrations make"
    );
}

/// Every look into a table goes through an index, with a condition.
fn check_plan(name: &str, plan: &[String], first_entries: usize) {
    let shown = plan.join("\n");
    assert!(
        !shown.contains("Seq Scan"),
        "{name} reads a whole table:\n{shown}"
    );
    let is_scan = |line: &str| {
        line.contains("Index Scan using")
            || line.contains("Index Only Scan using")
            || line.contains("Bitmap Index Scan on")
    };
    let scans = plan.iter().enumerate().filter(|(_, line)| is_scan(line));
    let (mut all, mut without) = (0, 0);
    for (at, _line) in scans {
        all += 1;
        let conditioned = plan.get(at + 1).is_some_and(|next| next.contains("Index Cond"));
        without += usize::from(!conditioned);
    }
    assert!(all > 0, "{name} uses no index:\n{shown}");
    assert!(without <= first_entries, "{name} walks a whole index:\n{shown}");
}

fn text_of<'s>(store: &'s PostgresStore, wanted: &str) -> &'s str {
    let statements = store.statements();
    let found = statements.into_iter().find(|(name, _)| *name == wanted);
    found.expect("a statement of this name").1
}

/// The types of the arguments of `write`, which `begin` and `commit` share; the latter leave some of
/// them out, so that the server can not tell their types.
async fn types_of_write(session: &mut PgConnection, store: &PostgresStore) -> Vec<String> {
    let text = text_of(store, "write");
    let prepare = format!("PREPARE types AS {text}");
    sql(session, prepare).await;
    let types: Vec<String> = sqlx::query_scalar(
        "SELECT unnest(parameter_types)::text FROM pg_prepared_statements WHERE name = 'types'",
    )
    .fetch_all(session)
    .await
    .expect("the types");
    assert_eq!(types.len(), 32);
    types
}

/// Prepares a statement under its name, and returns how many arguments it takes.
async fn prepare(session: &mut PgConnection, name: &str, text: &str, types: &[String]) -> usize {
    let types = if name.starts_with("commit") {
        format!("({})", types.join(", "))
    } else {
        String::new()
    };
    sql(&mut *session, format!("PREPARE {name} {types} AS {text}")).await;
    // As the driver does it, too.
    if !name.starts_with("commit") {
        session
            .prepare(AssertSqlSafe(text.to_owned()).into_sql_str())
            .await
            .unwrap_or_else(|error| panic!("{error} in {name}"));
    }
    let count: i32 = sqlx::query_scalar(
        "SELECT coalesce(cardinality(parameter_types), 0) FROM pg_prepared_statements WHERE name = $1",
    )
    .bind(name)
    .fetch_one(session)
    .await
    .expect("the count");
    usize::try_from(count).expect("a count")
}
