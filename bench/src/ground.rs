//! Where is it measured? On a fresh store for each form, so that no form pays for another's rows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use keystep::clock::Clock;
use keystep::{Engine, MemoryStore, Schema, WorkerOptions};
use keystep_postgres::{PostgresOptions, PostgresStore};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use xtask::postgres::{Cluster, Options};

use crate::args::{Args, Kind};
use crate::limit::text;

/// What a private server is started with, besides what makes its commits durable.
const SETTINGS: [(&str, &str); 6] = [
    ("shared_buffers", "1GB"),
    ("max_wal_size", "16GB"),
    ("min_wal_size", "4GB"),
    ("checkpoint_timeout", "30min"),
    ("track_io_timing", "off"),
    ("pg_stat_statements.track_utility", "off"),
];

/// How many files of 16 MB a private server has for its log before anything is measured: what `order5` writes
/// in its default time. They are 2.6 GB of disk, and less than `min_wal_size`, so a checkpoint keeps them.
const LOG_FILES: usize = 160;

/// A database, or the memory of this process.
pub(crate) struct Ground {
    kind: Kind,
    lanes: usize,
    url: String,
    cluster: Option<Cluster>,
    folder: TempDir,
}

impl Ground {
    /// Starts a private server where one is needed, and says so.
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let mut cluster = None;
        let mut url = args.database_url.clone().unwrap_or_default();
        if args.store == Kind::Postgres && args.database_url.is_none() {
            let mut settings: Vec<_> = SETTINGS
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
            settings.extend(args.server_setting.iter().cloned());
            let said = settings.iter().map(|(name, value)| format!("{name}={value}"));
            let said: Vec<_> = said.collect();
            let started = Cluster::start(Options {
                settings,
                ..Options::default()
            })?;
            eprintln!(
                "a private {} with fsync=on full_page_writes=on synchronous_commit=on {}",
                started.version(),
                said.join(" ")
            );
            url = started.url();
            cluster = Some(started);
        }
        Ok(Self {
            kind: args.store,
            lanes: args.lanes.unwrap_or(PostgresOptions::default().lanes),
            url,
            cluster,
            folder,
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// A folder on the disk where the database is, as far as that is known.
    pub(crate) fn folder(&self) -> std::path::PathBuf {
        let data = self.cluster.as_ref().map(Cluster::data);
        data.unwrap_or_else(|| self.folder.path().to_owned())
    }

    /// The process id of the private server.
    pub(crate) fn server(&self) -> Option<u32> {
        let file = self.cluster.as_ref()?.data().join("postmaster.pid");
        let text = std::fs::read_to_string(file).ok()?;
        text.lines().next()?.parse().ok()
    }

    /// Lets a private server have files for its log, as one has that has run for a while: a new one makes
    /// each of them when it is needed, full of zeros, while all its clients wait.
    pub(crate) async fn fill_log(&self) -> Result<()> {
        if self.cluster.is_some() {
            let mut session = self.session().await?;
            for _file in 0..LOG_FILES {
                let next = include_str!("../sql/postgres/next_log_file.sql");
                sqlx::query(next).execute(&mut session).await?;
            }
            sqlx::query("CHECKPOINT").execute(&mut session).await?;
        }
        Ok(())
    }

    /// A session of the one who measures.
    pub(crate) async fn session(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    /// Waits until the server is as old as it must be before a lost session tells of a death.
    pub(crate) async fn grow_old(&self, options: WorkerOptions) -> Result<()> {
        if self.kind == Kind::Postgres {
            let age: f64 = sqlx::query_scalar(include_str!("../sql/postgres/server_age.sql"))
                .fetch_one(&mut self.session().await?)
                .await?;
            let old = options.reconnect_budget + options.grace;
            let age = Duration::try_from_secs_f64(age).unwrap_or(old);
            tokio::time::sleep(old.saturating_sub(age)).await;
        }
        Ok(())
    }

    /// A fresh store.
    pub(crate) async fn field(&self) -> Result<Field> {
        static FIELDS: AtomicU64 = AtomicU64::new(0);
        let number = FIELDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench_{}_{number}", std::process::id());
        let field = Field {
            kind: self.kind,
            lanes: self.lanes,
            place: match self.kind {
                Kind::Postgres => self.url.clone(),
                _ => self
                    .folder
                    .path()
                    .join(format!("{name}.db"))
                    .display()
                    .to_string(),
            },
            name,
        };
        match self.kind {
            Kind::Postgres => field.postgres_with(Clock::new()).await?.migrate().await?,
            Kind::Sqlite => SqliteStore::migrate(&field.place).await?,
            Kind::Memory => {}
        }
        Ok(field)
    }
}

/// A fresh store: a schema of its own, or a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Field {
    kind: Kind,
    /// A URL or a path.
    pub(crate) place: String,
    /// The name of the PostgreSQL schema.
    pub(crate) name: String,
    /// Connections on which it writes.
    lanes: usize,
}

impl Field {
    /// An engine on it that knows one schema.
    pub(crate) async fn engine<In, Out>(&self, schema: &Schema<In, Out>) -> Result<Engine> {
        self.engine_with(schema, WorkerOptions::default(), Clock::new())
            .await
    }

    /// The same with options, on a clock that can be moved.
    pub(crate) async fn engine_with<In, Out>(
        &self,
        schema: &Schema<In, Out>,
        options: WorkerOptions,
        clock: Clock,
    ) -> Result<Engine> {
        let builder = match self.kind {
            Kind::Postgres => Engine::builder(self.postgres_with(clock).await?),
            Kind::Sqlite => {
                let options = SqliteOptions::new(&self.place).clock(clock);
                Engine::builder(SqliteStore::connect(options).await?)
            }
            Kind::Memory => Engine::builder(MemoryStore::with_clock(clock)),
        };
        Ok(builder.schema(schema.clone()).worker(options).build().await?)
    }

    /// A session of the bare form, with the plans that the store pins.
    pub(crate) async fn session(&self) -> Result<PgConnection> {
        let mut session = PgConnection::connect(&self.place).await?;
        sqlx::query(include_str!("../sql/postgres/session.sql"))
            .execute(&mut session)
            .await?;
        Ok(session)
    }

    /// How many connections its server has, this one not counted.
    pub(crate) async fn connections(&self) -> Result<i64> {
        let counted = sqlx::query_scalar(include_str!("../sql/postgres/connections.sql"));
        Ok(counted.fetch_one(&mut self.session().await?).await?)
    }

    /// How many of the executions are left that it was filled with.
    pub(crate) async fn filled_left(&self) -> Result<u64> {
        let left: i64 = match self.kind {
            Kind::Postgres => {
                let left = text(include_str!("../sql/postgres/filled_left.sql"), &self.name);
                sqlx::query_scalar(left)
                    .fetch_one(&mut self.session().await?)
                    .await?
            }
            _ => {
                let mut conn = SqliteConnectOptions::new()
                    .filename(&self.place)
                    .connect()
                    .await?;
                sqlx::query_scalar(include_str!("../sql/sqlite/filled_left.sql"))
                    .fetch_one(&mut conn)
                    .await?
            }
        };
        Ok(u64::try_from(left)?)
    }

    /// Takes it away.
    pub(crate) async fn remove(self) -> Result<()> {
        match self.kind {
            Kind::Postgres => {
                let mut session = PgConnection::connect(&self.place).await?;
                let drop = format!("DROP SCHEMA \"{}\" CASCADE", self.name);
                sqlx::query(AssertSqlSafe(drop)).execute(&mut session).await?;
            }
            Kind::Sqlite => {
                for end in ["", "-wal", "-shm"] {
                    let _not_there = std::fs::remove_file(format!("{}{end}", self.place));
                }
            }
            Kind::Memory => {}
        }
        Ok(())
    }

    async fn postgres_with(&self, clock: Clock) -> Result<PostgresStore> {
        if self.kind != Kind::Postgres {
            bail!("this is not PostgreSQL");
        }
        let options = PostgresOptions {
            schema: self.name.clone(),
            clock,
            lanes: self.lanes,
            ..PostgresOptions::default()
        };
        Ok(PostgresStore::connect_with(&self.place, options).await?)
    }
}
