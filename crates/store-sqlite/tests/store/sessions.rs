//! Does a lock file say who lives?

use keystep::execution::WorkerId;
use keystep::store::{Beat, Register, Store};
use keystep_sqlite::SqliteStore;

use crate::support::{Database, SHAPE};

pub(crate) async fn register(store: &SqliteStore, worker: WorkerId) {
    let register = Register {
        worker,
        name: format!("test {worker}"),
        shapes: vec![SHAPE],
    };
    store.register(register).await.expect("registered");
}

/// Whether the session of a worker stands, as another one sees it; `None` when it is not listed.
pub(crate) async fn session(store: &SqliteStore, worker: WorkerId) -> Option<bool> {
    let seen = store.observe(WorkerId(99)).await.expect("a read");
    assert_eq!((seen.server_age, seen.incarnation), (None, None));
    let worker = seen.others.into_iter().find(|other| other.worker == worker)?;
    assert_eq!(worker.shapes, [SHAPE]);
    Some(worker.session.expect("this file system tells"))
}

/// Names of the lock files, sorted.
fn lock_files(database: &Database) -> Vec<String> {
    let mut folder = database.path().into_os_string();
    folder.push(".workers");
    let entries = std::fs::read_dir(folder).expect("the folder of lock files");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_session_stands_as_long_as_its_handle() {
    let database = Database::new();
    let (one, two) = (database.open().await, database.open().await);
    register(&one, WorkerId(1)).await;
    register(&two, WorkerId(2)).await;
    assert_eq!(session(&one, WorkerId(2)).await, Some(true));
    assert_eq!(session(&two, WorkerId(1)).await, Some(true));
    assert_eq!(
        session(&one, WorkerId(1)).await,
        Some(true),
        "from the same handle, too"
    );
    drop(one);
    assert_eq!(session(&two, WorkerId(1)).await, Some(false));
}

#[tokio::test]
async fn observing_disturbs_neither_the_owner_nor_other_observers() {
    let database = Database::new();
    let (one, two, three) = (
        database.open().await,
        database.open().await,
        database.open().await,
    );
    register(&one, WorkerId(1)).await;
    for _look in 0..50 {
        let (seen, also, beat) = futures::join!(
            session(&two, WorkerId(1)),
            session(&three, WorkerId(1)),
            one.beat(WorkerId(1))
        );
        assert_eq!((seen, also), (Some(true), Some(true)));
        assert_eq!(beat.expect("a write"), Beat::Alive);
    }
}

#[tokio::test]
async fn registering_another_worker_replaces_the_session() {
    let database = Database::new();
    let (one, two) = (database.open().await, database.open().await);
    register(&one, WorkerId(1)).await;
    register(&one, WorkerId(3)).await;
    assert_eq!(session(&two, WorkerId(1)).await, Some(false));
    assert_eq!(session(&two, WorkerId(3)).await, Some(true));
    one.beat(WorkerId(1)).await.expect("a write");
    assert_eq!(
        session(&two, WorkerId(1)).await,
        Some(false),
        "a beat does not take it back"
    );
    assert_eq!(session(&two, WorkerId(3)).await, Some(true));
}

#[tokio::test]
async fn a_beat_makes_a_lost_lock_file_anew() {
    let database = Database::new();
    let (one, two) = (database.open().await, database.open().await);
    register(&one, WorkerId(1)).await;
    let mut folder = database.path().into_os_string();
    folder.push(".workers");
    std::fs::remove_dir_all(folder).expect("somebody tidied up");
    assert_eq!(session(&two, WorkerId(1)).await, Some(false));
    assert_eq!(one.beat(WorkerId(1)).await.expect("a write"), Beat::Alive);
    assert_eq!(session(&two, WorkerId(1)).await, Some(true));
}

#[tokio::test]
async fn the_lock_file_goes_when_its_worker_is_retired_or_buried() {
    let database = Database::new();
    let (one, two) = (database.open().await, database.open().await);
    register(&one, WorkerId(1)).await;
    register(&two, WorkerId(2)).await;
    assert_eq!(lock_files(&database).len(), 2);
    one.retire(WorkerId(1)).await.expect("a write");
    assert_eq!(lock_files(&database), ["0000000000000002.lock"]);
    assert!(one.bury(WorkerId(2), 0).await.expect("a write"));
    assert_eq!(lock_files(&database), [""; 0]);
    // Stopped, buried, woken up: it learns that it is dead, and its lock is no session.
    assert_eq!(two.beat(WorkerId(2)).await.expect("a write"), Beat::Dead);
    assert_eq!(session(&one, WorkerId(2)).await, None);
    assert_eq!(lock_files(&database), [""; 0]);
}

#[tokio::test]
async fn a_worker_that_registers_tidies_up_after_those_that_nobody_knows() {
    let database = Database::new();
    let (one, two) = (database.open().await, database.open().await);
    register(&one, WorkerId(1)).await;
    let mut folder = database.path().into_os_string();
    folder.push(".workers");
    let stray = std::path::Path::new(&folder).join("00000000000000aa.lock");
    std::fs::write(&stray, "died before anybody saw it").expect("a file");
    register(&two, WorkerId(2)).await;
    assert_eq!(
        lock_files(&database),
        ["0000000000000001.lock", "0000000000000002.lock"]
    );
}

#[tokio::test]
async fn a_worker_that_has_ended_can_not_register_again() {
    let database = Database::new();
    let store = database.open().await;
    register(&store, WorkerId(1)).await;
    register(&store, WorkerId(1)).await;
    store.retire(WorkerId(1)).await.expect("a write");
    let again = Register {
        worker: WorkerId(1),
        name: String::new(),
        shapes: vec![],
    };
    assert!(store.register(again).await.is_err());
    assert_eq!(lock_files(&database), [""; 0]);
}

#[tokio::test]
async fn a_dropped_store_closes_its_connections() {
    let database = Database::new();
    let store = database.open().await;
    register(&store, WorkerId(1)).await;
    session(&store, WorkerId(1)).await;
    let mut log = database.path().into_os_string();
    log.push("-wal");
    let log = std::path::PathBuf::from(log);
    assert!(log.exists());
    drop(store);
    // SQLite removes the log with the last connection, which closes on a thread of its own.
    let closed = async {
        while log.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let closed = tokio::time::timeout(std::time::Duration::from_secs(10), closed).await;
    assert!(closed.is_ok(), "somebody still holds the file");
}
