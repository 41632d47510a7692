//! What is stored, to the last column? The store's tables as `INSERT` statements, and back.
//!
//! Golden histories are kept in this form: it can be read, compared and loaded by any version.

use sqlx::{AssertSqlSafe, Row as _};

use super::ground::{Ground, postgres, sqlite};

/// A row of one of the store's tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredRow {
    /// The table, without what the store puts before its name.
    pub table: &'static str,
    /// Each column with its value as an SQL literal.
    pub values: Vec<(String, String)>,
}

/// In the order in which they are written down.
const TABLES: [&str; 5] = ["format", "plans", "workers", "executions", "checkpoints"];

impl StoredRow {
    /// The value of a column; `NULL` where there is no such column.
    pub fn value(&self, column: &str) -> &str {
        let named = self.values.iter().find(|(name, _value)| name == column);
        named.map_or("NULL", |(_name, value)| value)
    }
}

impl Ground {
    /// What stands before the name of a table, as [`load`](Self::load) reads it.
    fn prefix(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "keystep_",
            Self::Postgres { .. } => "{schema}.",
        }
    }

    /// A row as a statement that [`load`](Self::load) understands.
    pub(super) fn insert(&self, row: &StoredRow) -> String {
        let (columns, values): (Vec<&str>, Vec<&str>) = row
            .values
            .iter()
            .map(|(column, value)| (column.as_str(), value.as_str()))
            .unzip();
        format!(
            "INSERT INTO {}{} ({}) VALUES ({});",
            self.prefix(),
            row.table,
            columns.join(", "),
            values.join(", ")
        )
    }

    /// All rows of the store's tables.
    pub(super) async fn rows(&self) -> Vec<StoredRow> {
        let mut all = Vec::new();
        for table in TABLES {
            let columns = self.columns(table).await;
            let texts = columns.iter().map(|column| match self {
                Self::Sqlite { .. } => format!("quote({column})"),
                Self::Postgres { .. } => format!("quote_nullable({column}::text)"),
            });
            let texts = texts.collect::<Vec<_>>().join(", ");
            let select = format!("SELECT {texts} FROM {}{table}", self.prefix());
            for values in self.texts(&select, columns.len()).await {
                let values = columns.iter().cloned().zip(values).collect();
                all.push(StoredRow { table, values });
            }
        }
        all
    }

    /// Runs statements in which `{schema}` stands for the schema.
    pub(super) async fn load(&self, statements: &str) {
        let text = AssertSqlSafe(statements.replace("{schema}", self.schema()));
        let done = match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                sqlx::raw_sql(text).execute(&mut connection).await.map(drop)
            }
            Self::Postgres { url, .. } => {
                let mut connection = postgres(url).await;
                sqlx::raw_sql(text).execute(&mut connection).await.map(drop)
            }
        };
        done.expect("statements that the database takes");
    }

    async fn columns(&self, table: &str) -> Vec<String> {
        let select = match self {
            Self::Sqlite { .. } => format!("SELECT name FROM pragma_table_info('keystep_{table}')"),
            Self::Postgres { schema, .. } => format!(
                "SELECT column_name::text FROM information_schema.columns
                 WHERE table_schema = '{schema}' AND table_name = '{table}' ORDER BY ordinal_position"
            ),
        };
        self.texts(&select, 1).await.into_iter().flatten().collect()
    }

    /// A result of texts only.
    async fn texts(&self, select: &str, columns: usize) -> Vec<Vec<String>> {
        let text = AssertSqlSafe(select.replace("{schema}", self.schema()));
        match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                let rows = sqlx::query(text).fetch_all(&mut connection).await;
                let rows = rows.expect("rows").into_iter();
                rows.map(|row| (0..columns).map(|column| row.get(column)).collect())
                    .collect()
            }
            Self::Postgres { url, .. } => {
                let mut connection = postgres(url).await;
                let zone = sqlx::query("SET TIME ZONE 'UTC'");
                zone.execute(&mut connection).await.expect("a time zone");
                let rows = sqlx::query(text).fetch_all(&mut connection).await;
                let rows = rows.expect("rows").into_iter();
                rows.map(|row| (0..columns).map(|column| row.get(column)).collect())
                    .collect()
            }
        }
    }
}
