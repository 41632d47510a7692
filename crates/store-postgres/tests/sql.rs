//! Does every statement fit the tables, and are the tables as the picture of them says?

mod common;
#[path = "common/prepared.rs"]
mod prepared;

use common::{session, store};
use prepared::{prepare, uses};
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};

/// Those that are no single prepared statement.
const NOT_PREPARED: [&str; 3] = ["begin_migration", "open_transaction", "create_schema"];

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_tables() {
    let (store, _schema) = store().await;
    let mut session = session().await;
    let mut prepared = 0;
    for (name, text) in store.statements() {
        if NOT_PREPARED.contains(&name) {
            continue;
        }
        prepare(&mut session, name, text).await;
        // As the driver does it, too, where it need not be told what the store will bind.
        if uses(text).into_iter().all(|used| used) {
            let prepared = session
                .prepare(AssertSqlSafe(text.to_owned()).into_sql_str())
                .await;
            prepared.unwrap_or_else(|error| panic!("{error} in {name}"));
        }
        prepared += 1;
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).expect("the folder");
    let files = files
        .filter(|file| file.as_ref().is_ok_and(|file| file.path().is_file()))
        .count();
    // Two files are two statements each: with a lock that waits and one that does not, and for many
    // begins and for one alone.
    assert_eq!(
        prepared + NOT_PREPARED.len(),
        files + 2,
        "every file is a statement"
    );
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
