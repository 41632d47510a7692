//! What does a place stand on? A temporary folder, or two schemas of a PostgreSQL server: one for
//! the store, one for the notebook and the ledger. On a server that a test breaks, the notebook is a
//! file apart.

use std::str::FromStr;
use std::time::Duration;

use keystep_postgres::{PostgresOptions, PostgresStore};
use keystep_sqlite::SqliteStore;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};
use tempfile::TempDir;

use super::{Booked, Kind};
use crate::notebook::LEDGER_TABLE;

/// Where tests find the server.
const URL_VARIABLE: &str = "KEYSTEP_TEST_POSTGRES_URL";

/// Both databases and what is on them.
pub(super) enum Ground {
    Sqlite {
        folder: TempDir,
        url: String,
        /// Where the notebook is when it is apart: the folder is the test's own then.
        apart: Option<TempDir>,
    },
    Postgres {
        admin: PgPool,
        schema: String,
        /// With a `search_path` that finds notebook and ledger.
        url: String,
        /// Where the notebook is when it is apart: the server is the test's own then.
        apart: Option<TempDir>,
    },
}

/// A PostgreSQL role. Goes with its place.
#[derive(Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The place's URL for this role.
    pub url: String,
}

/// The URL of the server for tests.
///
/// # Panics
/// When there is none.
pub fn server_url() -> String {
    std::env::var(URL_VARIABLE).expect("needs a PostgreSQL server: run `cargo xtask test`")
}

impl Ground {
    pub(super) async fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::in_folder(temporary(), None),
            Kind::Postgres => Self::on_server(&server_url(), None).await,
        }
    }

    /// In a folder of the test's own.
    pub(super) fn in_own_folder(folder: TempDir) -> Self {
        Self::in_folder(folder, Some(temporary()))
    }

    fn in_folder(folder: TempDir, apart: Option<TempDir>) -> Self {
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        Self::Sqlite { folder, url, apart }
    }

    /// On a server of the test's own.
    pub(super) async fn on_own_server(server: &str) -> Self {
        Self::on_server(server, Some(temporary())).await
    }

    /// On a server, with the notebook apart or there too.
    pub(super) async fn on_server(server: &str, apart: Option<TempDir>) -> Self {
        let admin = PgPoolOptions::new()
            .max_connections(2)
            .connect(server)
            .await
            .expect("the PostgreSQL server answers");
        let schema = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..20]);
        run(&admin, format!("CREATE SCHEMA {schema}_seen")).await;
        let joint = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{joint}options[search_path]={schema}_seen");
        Self::Postgres {
            admin,
            schema,
            url,
            apart,
        }
    }

    pub(super) fn url(&self) -> &str {
        match self {
            Self::Sqlite { url, .. } | Self::Postgres { url, .. } => url,
        }
    }

    /// The PostgreSQL schema; a word that is not used on SQLite.
    pub(super) fn schema(&self) -> &str {
        match self {
            Self::Sqlite { .. } => "none",
            Self::Postgres { schema, .. } => schema,
        }
    }

    pub(super) fn notebook_url(&self) -> String {
        match self {
            Self::Sqlite {
                folder, apart: None, ..
            }
            | Self::Sqlite {
                apart: Some(folder), ..
            }
            | Self::Postgres {
                apart: Some(folder), ..
            } => {
                format!("sqlite:{}", folder.path().join("notebook.db").display())
            }
            Self::Postgres { url, .. } => url.clone(),
        }
    }

    pub(super) fn admin(&self) -> &PgPool {
        match self {
            Self::Sqlite { .. } => panic!("this is not PostgreSQL"),
            Self::Postgres { admin, .. } => admin,
        }
    }

    pub(super) async fn migrate(&self) {
        match self {
            Self::Sqlite { url, .. } => SqliteStore::migrate(url.as_str()).await,
            Self::Postgres { url, schema, .. } => {
                let options = PostgresOptions {
                    schema: schema.clone(),
                    ..PostgresOptions::default()
                };
                match PostgresStore::connect_with(url, options).await {
                    Ok(store) => store.migrate().await,
                    Err(error) => Err(error),
                }
            }
        }
        .expect("tables of the store");
    }

    pub(super) async fn make_ledger(&self) {
        match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                sqlx::query(LEDGER_TABLE).execute(&mut connection).await.map(drop)
            }
            Self::Postgres { url, .. } => {
                let mut connection = postgres(url).await;
                sqlx::query(LEDGER_TABLE).execute(&mut connection).await.map(drop)
            }
        }
        .expect("a ledger");
    }

    /// All rows of the ledger, each with its execution.
    pub(super) async fn ledger(&self) -> Vec<(String, Booked)> {
        const READ: &str = "SELECT execution, nonce, epoch FROM ledger ORDER BY nonce";
        let rows: Result<Vec<(String, String, i64)>, sqlx::Error> = match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                sqlx::query_as(READ).fetch_all(&mut connection).await
            }
            Self::Postgres { url, .. } => {
                let mut connection = postgres(url).await;
                sqlx::query_as(READ).fetch_all(&mut connection).await
            }
        };
        let rows = rows.expect("the ledger").into_iter();
        rows.map(|(execution, nonce, epoch)| (execution, Booked { nonce, epoch }))
            .collect()
    }

    pub(super) async fn raise_min_reader(&self) {
        match self {
            Self::Sqlite { url, .. } => {
                let mut connection = sqlite(url).await;
                sqlx::query("UPDATE keystep_format SET version = 99, min_reader = 99")
                    .execute(&mut connection)
                    .await
                    .expect("a newer format");
            }
            Self::Postgres { admin, schema, .. } => {
                let newer = format!("UPDATE {schema}.format SET version = 99, min_reader = 99");
                run(admin, newer).await;
            }
        }
    }

    pub(super) async fn grow_older_than(&self, age: Duration) {
        const AGE: &str = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8";
        if let Self::Postgres { admin, .. } = self {
            let now: f64 = sqlx::query_scalar(AGE).fetch_one(admin).await.expect("its age");
            tokio::time::sleep(age.saturating_sub(Duration::from_secs_f64(now))).await;
        }
    }

    pub(super) async fn role(&self, password: &str, connection_limit: Option<u32>) -> Role {
        let (admin, schema) = (self.admin(), self.schema());
        let name = format!("{schema}_role");
        let limit = connection_limit.map_or(-1, i64::from);
        for statement in [
            format!("CREATE ROLE {name} LOGIN PASSWORD '{password}' CONNECTION LIMIT {limit}"),
            format!("GRANT USAGE ON SCHEMA {schema}, {schema}_seen TO {name}"),
            format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema}, {schema}_seen TO {name}"
            ),
        ] {
            run(admin, statement).await;
        }
        let as_admin = PgConnectOptions::from_str(self.url()).expect("a URL");
        let url = format!(
            "postgres://{name}:{password}@{}:{}/{}?options[search_path]={schema}_seen",
            as_admin.get_host(),
            as_admin.get_port(),
            as_admin.get_database().unwrap_or("postgres"),
        );
        Role { name, url }
    }

    /// Takes away what is on a server that goes on.
    pub(super) async fn remove(&self) {
        if let Self::Postgres {
            admin,
            schema,
            apart: None,
            ..
        } = self
        {
            for statement in [
                format!("DROP SCHEMA IF EXISTS {schema}, {schema}_seen CASCADE"),
                format!("DROP ROLE IF EXISTS {schema}_role"),
            ] {
                // A test that failed must tell its own failure, not this one.
                if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await {
                    eprintln!("{schema} could not be removed: {error}");
                }
            }
            admin.close().await;
        }
    }
}

fn temporary() -> TempDir {
    tempfile::Builder::new()
        .prefix("keystep-system-")
        .tempdir()
        .expect("a temporary folder")
}

/// Runs a statement with names in it that this file made.
async fn run(admin: &PgPool, statement: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await;
    done.expect("the server does what the superuser says");
}

pub(super) async fn sqlite(url: &str) -> sqlx::SqliteConnection {
    let options = SqliteConnectOptions::from_str(url).expect("a URL");
    let options = options
        .create_if_missing(true)
        .busy_timeout(Duration::from_secs(20));
    options.connect().await.expect("the file opens")
}

/// Holds the file's write lock, as another program's transaction does.
pub(super) async fn hold_write_lock(url: &str, time: Duration) {
    let mut connection = sqlite(url).await;
    let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await;
    begun.expect("the write lock");
    tokio::time::sleep(time).await;
    let ended = sqlx::raw_sql("ROLLBACK").execute(&mut connection).await;
    ended.expect("its end");
}

pub(super) async fn postgres(url: &str) -> sqlx::PgConnection {
    let options = PgConnectOptions::from_str(url).expect("a URL");
    options.connect().await.expect("the server answers")
}

/// Whether nobody holds the write lock of an SQLite file for longer than a write takes.
pub(super) async fn can_write(url: &str) -> bool {
    let mut connection = sqlite(url).await;
    let begun = sqlx::raw_sql("PRAGMA busy_timeout = 200; BEGIN IMMEDIATE; ROLLBACK")
        .execute(&mut connection)
        .await;
    begun.is_ok()
}
