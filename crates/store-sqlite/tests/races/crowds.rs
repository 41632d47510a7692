//! Do the promises of a crowd hold for many handles of one file, and for many processes?

use std::time::Duration;

use keystep::clock::Clock;
use keystep::execution::WorkerId;
use keystep::store::{Acquired, How, Shapes, Store, Wanted};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use store_conformance::crowd::Crowd;

use crate::others::{Other, in_child, say};
use crate::support::{Database, OWNER, SHAPE, acquire_of, start};

async fn crowd(handles: usize) -> Crowd<SqliteStore> {
    let database = Database::new();
    let options = SqliteOptions::from(database.path()).clock(Clock::new());
    let mut crowd = Vec::new();
    for _nth in 0..handles {
        crowd.push(SqliteStore::open(options.clone()).await.expect("an open store"));
    }
    Crowd::new(crowd).guarded_by(database)
}

store_conformance::crowd_suite!(crowd);

fn all_orphans() -> Wanted {
    Wanted {
        shapes: Shapes::Only(vec![SHAPE]),
        limit: 1_000,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_that_saw_the_same_orphans_take_each_once() {
    const ROWS: usize = 100;
    if let Some(path) = in_child() {
        let go_on = path.with_extension("go_on");
        let store = SqliteStore::open(path).await.expect("an open store");
        let me = WorkerId::fresh();
        let seen = store.orphans(all_orphans()).await.expect("a read");
        say(&format!("saw {}", seen.len()));
        // All have looked before anybody takes.
        while !go_on.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let takeovers = seen.into_iter().map(|seen| {
            let store = store.clone();
            async move {
                let mut takeover = acquire_of(seen, How::TakeOver);
                takeover.owner = me;
                match store.acquire(takeover).await.expect("an answer") {
                    Acquired::Won { .. } => say(&seen.id.to_string()),
                    Acquired::Lost => {}
                }
            }
        });
        futures::future::join_all(takeovers).await;
        return;
    }
    let database = Database::new();
    let store = database.open().await;
    let mut rows = Vec::new();
    for n in 0..ROWS {
        let fence = start(&store, &format!("key-{n}"), OWNER).await;
        rows.push(fence.execution.to_string());
    }
    let test = "crowds::four_processes_that_saw_the_same_orphans_take_each_once";
    let mut others: Vec<Other> = (0..4).map(|_| Other::start(test, &database.path())).collect();
    for other in &mut others {
        assert_eq!(other.hear(), Some(format!("saw {ROWS}")));
    }
    std::fs::write(database.path().with_extension("go_on"), "").expect("a file");
    let mut taken = Vec::new();
    for mut other in others {
        taken.extend(std::iter::from_fn(|| other.hear()));
        other.succeed();
    }
    taken.sort_unstable();
    rows.sort_unstable();
    assert_eq!(taken, rows);
}
