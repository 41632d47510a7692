//! Where does a test take place? In a fresh store of its own, beside a fresh notebook.
//!
//! Everything here waits in place: a test is a plain function, and so are its questions.

mod audit;
mod ground;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use keystep::execution::{CheckpointRecord, ExecutionId, ExecutionRecord, FullKey, State, WorkerId};
use keystep::store::{ListQuery, Message, Store, StoreError};
use keystep_postgres::{PostgresOptions, PostgresStore};
use keystep_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::notebook::{Charged, Notebook, Posted};
use crate::protocol::Attempt;
use crate::victim::{Launch, SOON};
use ground::Ground;

pub use audit::{Change, Recorded};
pub use ground::{Role, server_url};
pub use rows::StoredRow;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A file in a temporary folder.
    Sqlite,
    /// A schema on a server; in tests on the one that `cargo xtask test` starts.
    Postgres,
}

/// A fresh store, its notebook and its ledger. All of it goes when this is dropped.
pub struct Place {
    kind: Kind,
    look: OnceLock<Look>,
    notebook: Notebook,
    ground: Ground,
    /// Last: the others' connections need it.
    runtime: Runtime,
}

/// A handle on the store that is no worker.
enum Look {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// Of the attempt that wrote it.
    pub nonce: String,
    /// Of the owner that wrote it.
    pub epoch: i64,
}

impl Place {
    /// A store whose tables are there, and a ledger beside them.
    ///
    /// # Panics
    /// When it can not be made; for PostgreSQL also when there is no server.
    pub fn fresh(kind: Kind) -> Self {
        Self::empty(kind).furnished()
    }

    /// The same on this PostgreSQL server, with the notebook.
    ///
    /// # Panics
    /// When the server does not take it.
    pub fn on_server(server: &str) -> Self {
        let runtime = runtime();
        let ground = runtime.block_on(Ground::on_server(server, None));
        Self::stands_on(ground, Kind::Postgres, runtime).furnished()
    }

    /// The same on a PostgreSQL server of the test's own, which it may break. The notebook is a file
    /// apart, so that it goes on while the server does not.
    ///
    /// # Panics
    /// When the server does not take it.
    pub fn on(server: &str) -> Self {
        let runtime = runtime();
        let ground = runtime.block_on(Ground::on_own_server(server));
        Self::stands_on(ground, Kind::Postgres, runtime).furnished()
    }

    /// The same on SQLite in a folder of the test's own, for example on a small disk.
    ///
    /// # Panics
    /// When the folder does not take it.
    pub fn within(folder: &Path) -> Self {
        let folder = tempfile::tempdir_in(folder).expect("a folder");
        Self::stands_on(Ground::in_own_folder(folder), Kind::Sqlite, runtime()).furnished()
    }

    /// What a SQLite store left in a folder, under the name that it has there: a copy, or what is
    /// left of it. With a notebook of its own.
    ///
    /// # Panics
    /// When there is no room for the notebook.
    pub fn found(folder: TempDir) -> Self {
        Self::stands_on(Ground::in_own_folder(folder), Kind::Sqlite, runtime())
    }

    /// The SQLite file.
    ///
    /// # Panics
    /// When this is PostgreSQL.
    pub fn file(&self) -> PathBuf {
        let path = self.ground.url().strip_prefix("sqlite:");
        path.expect("this is SQLite").into()
    }

    /// A database that no store has touched yet.
    ///
    /// # Panics
    /// As [`fresh`](Self::fresh).
    pub fn empty(kind: Kind) -> Self {
        let runtime = runtime();
        let ground = runtime.block_on(Ground::new(kind));
        Self::stands_on(ground, kind, runtime)
    }

    fn stands_on(ground: Ground, kind: Kind, runtime: Runtime) -> Self {
        let notebook = runtime
            .block_on(Notebook::open(&ground.notebook_url()))
            .expect("a notebook");
        runtime
            .block_on(notebook.make_tables())
            .expect("the tables of a notebook");
        Self {
            kind,
            look: OnceLock::new(),
            notebook,
            ground,
            runtime,
        }
    }

    /// With the store's tables and a ledger.
    fn furnished(self) -> Self {
        self.migrate();
        self.runtime.block_on(self.ground.make_ledger());
        self
    }

    /// Brings tables of an older program to the format of this one.
    ///
    /// # Panics
    /// When they can not be changed.
    pub fn migrate(&self) {
        self.runtime.block_on(self.ground.migrate());
    }

    /// Waits until a lost session counts as a death: for a while after the database server has
    /// started its clients are given time to come back.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn settle(&self) {
        let options = keystep::WorkerOptions::default();
        let age = options.reconnect_budget + options.grace;
        self.runtime.block_on(self.ground.grow_older_than(age));
    }

    /// Which database it is on.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the store is.
    pub fn url(&self) -> &str {
        self.ground.url()
    }

    /// The PostgreSQL schema of the store's tables.
    pub fn schema(&self) -> &str {
        self.ground.schema()
    }

    /// Whether others can write. Not while a process is stopped inside a write on SQLite.
    pub fn can_write(&self) -> bool {
        match self.kind {
            Kind::Sqlite => self.runtime.block_on(ground::can_write(self.ground.url())),
            Kind::Postgres => true,
        }
    }

    /// Holds the write lock of a SQLite file for so long, once it is called in some thread.
    pub fn write_lock(&self, time: Duration) -> impl FnOnce() + Send + use<> {
        let (runtime, url) = (self.runtime.handle().clone(), self.url().to_owned());
        move || runtime.block_on(ground::hold_write_lock(&url, time))
    }

    /// A victim of this program on this store, with a notebook and default options.
    pub fn launch(&self, program: &str) -> Launch {
        self.tell(Launch::of(program))
    }

    /// This victim on this store, with a notebook and default options.
    pub fn tell(&self, launch: Launch) -> Launch {
        launch
            .option("url", self.ground.url())
            .option("schema", self.ground.schema())
            .option("notebook", self.ground.notebook_url())
    }

    /// The execution of a key as the store has it.
    ///
    /// # Panics
    /// When the store does not answer.
    pub fn execution(&self, schema: &str, key: &str) -> Option<ExecutionRecord> {
        let id = execution_id(schema, key);
        self.runtime.block_on(async {
            let found = match self.look().await {
                Look::Sqlite(store) => store.find(vec![id]).await,
                Look::Postgres(store) => store.find(vec![id]).await,
            };
            found.expect("an answer of the store").pop()
        })
    }

    /// The recorded steps of a key's present run.
    ///
    /// # Panics
    /// When the store does not answer.
    pub fn checkpoints(&self, schema: &str, key: &str) -> Vec<CheckpointRecord> {
        let Some(record) = self.execution(schema, key) else {
            return Vec::new();
        };
        self.runtime.block_on(async {
            let loaded = match self.look().await {
                Look::Sqlite(store) => store.load(record.id, record.run).await,
                Look::Postgres(store) => store.load(record.id, record.run).await,
            };
            let progress = loaded.expect("an answer of the store");
            progress.map_or_else(Vec::new, |progress| progress.checkpoints)
        })
    }

    /// The recorded outputs of a key's steps, without what else is recorded of them.
    ///
    /// # Panics
    /// When the store does not answer.
    pub fn steps(&self, schema: &str, key: &str) -> Vec<CheckpointRecord> {
        let mut recorded = self.checkpoints(schema, key);
        // No name of a step has this.
        recorded.retain(|checkpoint| !checkpoint.step.contains("::"));
        recorded
    }

    /// All attempts of a key's steps, in order of time.
    ///
    /// # Panics
    /// When the notebook can not be read.
    pub fn attempts(&self, schema: &str, key: &str) -> Vec<Attempt> {
        let id = execution_id(schema, key).to_string();
        let read = self.runtime.block_on(self.notebook.attempts(&id));
        read.expect("attempts")
    }

    /// How often each step of a key was begun, in the order of its first time.
    ///
    /// # Panics
    /// When the notebook can not be read.
    pub fn attempts_by_step(&self, schema: &str, key: &str) -> Vec<(String, usize)> {
        let mut counts: Vec<(String, usize)> = Vec::new();
        for attempt in self.attempts(schema, key) {
            match counts.iter_mut().find(|(step, _count)| *step == attempt.step) {
                Some((_step, count)) => *count += 1,
                None => counts.push((attempt.step, 1)),
            }
        }
        counts
    }

    /// What transactional steps of a key have written.
    ///
    /// # Panics
    /// When the ledger can not be read.
    pub fn ledger(&self, schema: &str, key: &str) -> Vec<Booked> {
        let id = execution_id(schema, key).to_string();
        let rows = self.whole_ledger().into_iter();
        rows.filter(|(of, _row)| *of == id)
            .map(|(_of, row)| row)
            .collect()
    }

    /// What transactional steps have written, each row with its execution.
    ///
    /// # Panics
    /// When the ledger can not be read.
    pub fn whole_ledger(&self) -> Vec<(String, Booked)> {
        self.runtime.block_on(self.ground.ledger())
    }

    /// What the partner outside knows of all runs.
    ///
    /// # Panics
    /// When the notebook can not be read.
    pub fn charged(&self) -> Vec<Charged> {
        let read = self.runtime.block_on(self.notebook.charged());
        read.expect("charges")
    }

    /// All deliveries of messages, in order.
    ///
    /// # Panics
    /// When the notebook can not be read.
    pub fn posted(&self) -> Vec<Posted> {
        let read = self.runtime.block_on(self.notebook.posted());
        read.expect("deliveries")
    }

    /// The messages that are not delivered yet, in order; at most so many.
    ///
    /// # Panics
    /// When the store does not answer.
    pub fn outbox(&self, limit: u32) -> Vec<Message> {
        let read = self.runtime.block_on(async {
            match self.look().await {
                Look::Sqlite(store) => store.outbox(Vec::new(), limit).await,
                Look::Postgres(store) => store.outbox(Vec::new(), limit).await,
            }
        });
        read.expect("an answer of the store")
    }

    /// The executions in one of these states as the store has them; all for no state.
    ///
    /// # Panics
    /// When the store does not answer.
    pub fn executions(&self, states: &[State]) -> Vec<ExecutionRecord> {
        const PAGE: u32 = 1_000;
        let mut all: Vec<ExecutionRecord> = Vec::new();
        loop {
            let query = ListQuery {
                states: states.to_vec(),
                after: all.last().map(|last| last.id),
                limit: PAGE,
                ..ListQuery::default()
            };
            let page = self.runtime.block_on(async {
                match self.look().await {
                    Look::Sqlite(store) => store.list(query).await,
                    Look::Postgres(store) => store.list(query).await,
                }
            });
            let page = page.expect("an answer of the store");
            let last = page.len() < PAGE as usize;
            all.extend(page);
            if last {
                return all;
            }
        }
    }

    /// All attempts of all steps, in order of time.
    ///
    /// # Panics
    /// When the notebook can not be read.
    pub fn all_attempts(&self) -> Vec<Attempt> {
        let read = self.runtime.block_on(self.notebook.all_attempts());
        read.expect("attempts")
    }

    /// Notes each change of an execution's row and each checkpoint from now on, inside the database.
    ///
    /// # Panics
    /// When the database does not take it.
    pub fn audit(&self) {
        self.runtime.block_on(self.ground.audit());
    }

    /// The changes since [`audit`](Self::audit), in order.
    ///
    /// # Panics
    /// When they can not be read.
    pub fn changes(&self) -> Vec<Change> {
        self.runtime.block_on(self.ground.changes())
    }

    /// All rows of the store's tables.
    ///
    /// # Panics
    /// When they can not be read.
    pub fn rows(&self) -> Vec<StoredRow> {
        self.runtime.block_on(self.ground.rows())
    }

    /// A row as a statement for [`load`](Self::load).
    pub fn insert(&self, row: &StoredRow) -> String {
        self.ground.insert(row)
    }

    /// Runs statements in the store's database. `{schema}` stands for its PostgreSQL schema.
    ///
    /// # Panics
    /// When the database does not take them.
    pub fn load(&self, statements: &str) {
        self.runtime.block_on(self.ground.load(statements));
    }

    /// What was recorded since [`audit`](Self::audit), in order.
    ///
    /// # Panics
    /// When it can not be read.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.runtime.block_on(self.ground.recorded())
    }

    /// Says that the tables have a newer format, which only programs of that format can read.
    ///
    /// # Panics
    /// When the database does not take it.
    pub fn raise_min_reader(&self) {
        self.runtime.block_on(self.ground.raise_min_reader());
    }

    /// A new PostgreSQL role that may use this place and nothing more.
    ///
    /// # Panics
    /// When this is not PostgreSQL, or the server refuses.
    pub fn role(&self, password: &str, connection_limit: Option<u32>) -> Role {
        self.runtime
            .block_on(self.ground.role(password, connection_limit))
    }

    /// The statements of the PostgreSQL store, by name.
    ///
    /// # Panics
    /// When this is not PostgreSQL.
    pub fn statements(&self) -> Vec<(&'static str, String)> {
        match self.runtime.block_on(self.look()) {
            Look::Sqlite(_) => panic!("this is not PostgreSQL"),
            Look::Postgres(store) => {
                let all = store.statements().into_iter();
                all.map(|(name, text)| (name, text.to_owned())).collect()
            }
        }
    }

    /// The statements by which the PostgreSQL store begins (`begin`) or writes what owners usually write
    /// (`commit`): for many at once, and for one.
    ///
    /// # Panics
    /// When this is not PostgreSQL, or there is no such statement.
    pub fn statements_to(&self, what: &str) -> Vec<String> {
        let names: &[&str] = match what {
            "begin" => &["begin", "begin_alone"],
            "commit" => &["commit", "commit_alone", "checkpoint_alone"],
            other => panic!("nothing is known of how to {other}"),
        };
        let all = self.statements().into_iter();
        let texts: Vec<String> = all
            .filter(|(name, _text)| names.contains(name))
            .map(|(_name, text)| text)
            .collect();
        assert_eq!(texts.len(), names.len(), "{names:?}");
        texts
    }

    /// Waits until there is an execution of a key that is as wanted, and gives it.
    ///
    /// # Panics
    /// When it does not get there soon.
    pub fn until(
        &self,
        schema: &str,
        key: &str,
        wanted: impl Fn(&ExecutionRecord) -> bool,
    ) -> ExecutionRecord {
        let deadline = Instant::now() + SOON;
        loop {
            let record = self.execution(schema, key);
            match record {
                Some(record) if wanted(&record) => return record,
                other => assert!(Instant::now() < deadline, "it stays {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Declares the worker of a process dead that was killed, as any living one would do by itself.
    ///
    /// # Panics
    /// When it is still believed to live.
    pub fn bury(&self, worker: &str) {
        let id = i64::from_str_radix(worker, 16).expect("a worker id");
        let dead = self.runtime.block_on(async {
            match self.look().await {
                Look::Sqlite(store) => bury(store, WorkerId(id)).await,
                Look::Postgres(store) => bury(store, WorkerId(id)).await,
            }
        });
        assert!(
            dead.expect("an answer of the store"),
            "{worker} has beaten meanwhile"
        );
    }

    /// Does something on the PostgreSQL server as the superuser.
    ///
    /// # Panics
    /// When this is not PostgreSQL, or it fails.
    pub fn as_superuser<T>(&self, work: impl AsyncFnOnce(&sqlx::PgPool) -> Result<T, sqlx::Error>) -> T {
        let done = self.runtime.block_on(work(self.ground.admin()));
        done.expect("the server does what the superuser says")
    }

    async fn look(&self) -> &Look {
        if self.look.get().is_none() {
            let look = match self.kind {
                Kind::Sqlite => SqliteStore::connect(self.ground.url()).await.map(Look::Sqlite),
                Kind::Postgres => self.connect_postgres().await.map(Look::Postgres),
            };
            let _first_wins = self.look.set(look.expect("a store that opens"));
        }
        self.look.get().expect("just set")
    }

    async fn connect_postgres(&self) -> Result<PostgresStore, StoreError> {
        let options = PostgresOptions {
            schema: self.ground.schema().to_owned(),
            ..PostgresOptions::default()
        };
        PostgresStore::connect_with(self.ground.url(), options).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.look.take();
        self.runtime.block_on(self.ground.remove());
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

async fn bury(store: &impl Store, worker: WorkerId) -> Result<bool, StoreError> {
    // Seen by nobody who lives.
    let seen = store.observe(WorkerId(0)).await?.others;
    let seen = seen.iter().find(|other| other.worker == worker);
    match seen {
        Some(seen) => store.bury(worker, seen.beat).await,
        None => Ok(true),
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The id of a key in the empty scope.
pub fn execution_id(schema: &str, key: &str) -> ExecutionId {
    // What a victim calls `NAME/old` is the old shape of the schema `NAME`.
    let schema = schema.split('/').next().unwrap_or(schema);
    ExecutionId::of(&FullKey {
        schema: schema.to_owned(),
        scope: String::new(),
        key: key.to_owned(),
    })
}
