//! What do the tests of this crate share? Fresh databases, small executions, a look into the log.

use std::path::{Path, PathBuf};

use keystep::execution::{
    ExecutionId, Fence, FullKey, InputHash, Payload, PlanId, RunId, Seen, ShapeId, WorkerId, WriteId,
};
use keystep::random;
use keystep::store::{Acquire, Begin, Begun, Commit, How, NewCheckpoint, Store, Then};
use keystep_sqlite::SqliteStore;
use tempfile::TempDir;
use uuid::Uuid;

/// A folder for one database, removed at the end.
pub(crate) struct Database {
    folder: TempDir,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a temporary folder"),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    pub(crate) async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path()).await.expect("a new database")
    }
}

/// Who owns what needs no owner of its own.
pub(crate) const OWNER: WorkerId = WorkerId(1);

pub(crate) const SHAPE: ShapeId = ShapeId(Uuid::from_u128(7));

pub(crate) fn begin_of(key: &str, owner: WorkerId) -> Begin {
    let key = FullKey {
        schema: "order.create".to_owned(),
        scope: String::new(),
        key: key.to_owned(),
    };
    Begin {
        id: ExecutionId::of(&key),
        key: key.into(),
        run: RunId::fresh(),
        token: random::unpredictable(),
        owner,
        plan: PlanId(Uuid::from_u128(6)),
        shape: SHAPE,
        input: payload("input"),
        input_hash: InputHash([5; 32]),
        parent: None,
    }
}

/// Begins a key and answers the right to write for it.
pub(crate) async fn start(store: &SqliteStore, key: &str, owner: WorkerId) -> Fence {
    match store.begin(begin_of(key, owner)).await {
        Ok(Begun::Started(fence)) => fence,
        other => panic!("{key} did not start: {other:?}"),
    }
}

pub(crate) fn commit_of(fence: Fence, step: &str, then: Then) -> Commit {
    Commit {
        fence,
        write_id: WriteId::fresh(),
        worker: WorkerId(1),
        checkpoint: Some(NewCheckpoint {
            step: step.into(),
            seq: 0,
            attempt: 1,
            lost: 0,
            output: payload(step),
        }),
        then,
        enlisted: None,
        messages: Vec::new(),
    }
}

/// The same write once more, as after a lost answer.
pub(crate) fn again(commit: &Commit) -> Commit {
    Commit {
        fence: commit.fence,
        write_id: commit.write_id,
        worker: commit.worker,
        checkpoint: commit.checkpoint.clone(),
        then: commit.then.clone(),
        enlisted: None,
        messages: commit.messages.clone(),
    }
}

pub(crate) fn succeed(step: &str) -> Then {
    Then::Succeed {
        output_step: step.into(),
        retention: None,
    }
}

/// A wish of a fresh worker to own what was seen.
pub(crate) fn acquire_of(seen: Seen, how: How) -> Acquire {
    Acquire {
        seen,
        owner: WorkerId::fresh(),
        token: random::unpredictable(),
        how,
    }
}

pub(crate) fn payload(text: &str) -> Payload {
    Payload(text.as_bytes().to_vec().into())
}

/// How many transactions the write-ahead log of a database holds: frames that end a transaction
/// and belong to the present life of the log. <https://www.sqlite.org/fileformat2.html#walformat>
pub(crate) fn commits_in_log(database: &Path) -> usize {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let log = std::fs::read(log).expect("a write-ahead log");
    let (header, frames) = log.split_at(32);
    let page_size = u32::from_be_bytes(header[8..12].try_into().expect("4 bytes"));
    frames
        .chunks_exact(24 + page_size as usize)
        .take_while(|frame| frame[8..16] == header[16..24])
        .filter(|frame| frame[4..8] != [0; 4])
        .count()
}

/// What a plain write or read of a test may fail with.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Runs statements through the store's writer.
pub(crate) async fn execute(store: &SqliteStore, statements: &'static str) {
    let done: Result<(), Failed> = store
        .write(|conn| {
            Box::pin(async move {
                sqlx::raw_sql(statements).execute(conn).await?;
                Ok(())
            })
        })
        .await;
    done.expect("the statements ran");
}

/// Reads one number.
pub(crate) async fn number(store: &SqliteStore, query: &'static str) -> i64 {
    let number: Result<i64, Failed> = store
        .read(|conn| Box::pin(async move { Ok(sqlx::query_scalar(query).fetch_one(conn).await?) }))
        .await;
    number.expect("a number")
}
