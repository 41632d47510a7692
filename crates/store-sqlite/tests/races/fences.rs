//! Can a write of an owner and a takeover both happen? The gate is the file's only write lock: who
//! holds it stops everybody else in front of their first statement.

use keystep::execution::{Fence, State};
use keystep::store::{Acquired, Begun, How, Store, Then, Verdict};
use keystep::{IntoEnlisted, store::Commit};
use keystep_sqlite::{SqliteOptions, SqliteStore};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::task::JoinHandle;

use crate::support::{
    Database, OWNER, acquire_of, again, begin_of, commit_of, execute, number, payload, start, succeed,
};

/// The store's own statement, to be left open by a test.
const ACQUIRE: &str = include_str!("../../sql/acquire.sql");

/// Two processes' handles on one file.
async fn two(database: &Database) -> [SqliteStore; 2] {
    let options = SqliteOptions::from(database.path()).busy_timeout(std::time::Duration::from_secs(30));
    let one = SqliteStore::open(options.clone()).await.expect("an open store");
    let two = SqliteStore::open(options).await.expect("an open store");
    [one, two]
}

/// Another connection to the same file, that can hold its write lock.
async fn hand(database: &Database) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(database.path());
    let mut hand = options.connect().await.expect("the file opens");
    run(&mut hand, "BEGIN IMMEDIATE").await;
    hand
}

async fn run(hand: &mut SqliteConnection, statement: &'static str) {
    let done = sqlx::query(statement).execute(hand).await;
    done.expect("the statement runs");
}

/// Takes an execution over on a connection of the test's, with the store's own statement.
async fn take_over(hand: &mut SqliteConnection, fence: Fence) {
    let done = sqlx::query(ACQUIRE)
        .bind(fence.execution.0)
        .bind(fence.run.0)
        .bind(fence.claim.epoch)
        .bind(fence.claim.token)
        .bind(State::Running.code())
        .bind(keystep::random::unpredictable())
        .bind(1)
        .bind(1)
        .bind(9)
        .bind(0)
        .execute(hand)
        .await;
    assert_eq!(done.expect("the statement runs").rows_affected(), 1);
}

/// Sends a commit from a task of its own.
fn sent(store: &SqliteStore, commit: Commit) -> JoinHandle<Verdict> {
    let store = store.clone();
    tokio::spawn(async move { store.commit(commit).await.expect("a verdict") })
}

async fn recorded(store: &SqliteStore, fence: Fence) -> usize {
    let loaded = store.load(fence.execution, fence.run).await.expect("a read");
    loaded.map_or(0, |progress| progress.checkpoints.len())
}

async fn state(store: &SqliteStore, fence: Fence) -> State {
    store.find(vec![fence.execution]).await.expect("a read")[0].state
}

/// Queued behind the lock, whatever the task has done so far: nobody but the hand can write.
async fn after_open_takeover(then: Then) {
    let database = Database::new();
    let [owner, other] = two(&database).await;
    let fence = start(&owner, "a", OWNER).await;
    let mut hand = hand(&database).await;
    take_over(&mut hand, fence).await;
    let write = sent(&owner, commit_of(fence, "one", then));
    // A read does not wait, and does not see what is open.
    assert_eq!(recorded(&other, fence).await, 0);
    assert!(
        !write.is_finished(),
        "there is no verdict while the takeover is open"
    );
    run(&mut hand, "COMMIT").await;
    assert_eq!(write.await.expect("no panic"), Verdict::Fenced);
    let left = (recorded(&other, fence).await, state(&other, fence).await);
    assert_eq!(left, (0, State::Running));
}

#[tokio::test]
async fn a_checkpoint_that_meets_an_open_takeover_waits_and_is_fenced() {
    after_open_takeover(Then::Continue).await;
}

#[tokio::test]
async fn a_finish_that_meets_an_open_takeover_waits_and_is_fenced() {
    after_open_takeover(succeed("one")).await;
}

/// An owner's write inside a transaction that is still open, and a takeover that comes meanwhile.
async fn before_takeover(then: Then) -> (Acquired, usize) {
    let database = Database::new();
    let [owner, other] = two(&database).await;
    execute(&owner, "CREATE TABLE ledger (mark TEXT)").await;
    let fence = start(&owner, "a", OWNER).await;
    let seen = other.find(vec![fence.execution]).await.expect("a read")[0].seen();
    let mut transaction = owner.unbound_transaction().await.expect("a transaction");
    let book = sqlx::query("INSERT INTO ledger (mark) VALUES ('a')");
    book.execute(&mut *transaction).await.expect("a row");
    let takeover = tokio::spawn({
        let other = other.clone();
        async move {
            let acquired = other.acquire(acquire_of(seen, How::TakeOver)).await;
            let loaded = recorded(&other, fence).await;
            (acquired.expect("an answer"), loaded)
        }
    });
    // Reads go on, so the other handle's thread has had its turn: only the writer is taken.
    assert_eq!(recorded(&other, fence).await, 0);
    assert!(!takeover.is_finished(), "nobody owns it while the write is open");
    let mut write = commit_of(fence, "one", then);
    write.enlisted = Some(transaction.into_enlisted());
    assert_eq!(owner.commit(write).await.expect("a verdict"), Verdict::Written);
    assert_eq!(number(&owner, "SELECT count(mark) FROM ledger").await, 1);
    takeover.await.expect("no panic")
}

#[tokio::test]
async fn a_takeover_that_meets_an_open_checkpoint_waits_and_loads_it() {
    let (acquired, loaded) = before_takeover(Then::Continue).await;
    assert!(matches!(acquired, Acquired::Won { .. }), "{acquired:?}");
    assert_eq!(loaded, 1, "the new owner sees the step");
}

#[tokio::test]
async fn a_takeover_that_meets_an_open_finish_waits_and_is_lost() {
    let (acquired, _loaded) = before_takeover(succeed("one")).await;
    assert_eq!(acquired, Acquired::Lost);
}

#[tokio::test]
async fn a_transaction_whose_owner_was_taken_over_meanwhile_leaves_no_row() {
    let database = Database::new();
    let [owner, other] = two(&database).await;
    execute(&owner, "CREATE TABLE ledger (mark TEXT)").await;
    let fence = start(&owner, "a", OWNER).await;
    let seen = other.find(vec![fence.execution]).await.expect("a read")[0].seen();
    let acquired = other.acquire(acquire_of(seen, How::TakeOver)).await;
    assert!(matches!(acquired, Ok(Acquired::Won { .. })), "{acquired:?}");
    let mut transaction = owner.unbound_transaction().await.expect("a transaction");
    let book = sqlx::query("INSERT INTO ledger (mark) VALUES ('a')");
    book.execute(&mut *transaction).await.expect("a row");
    let mut write = commit_of(fence, "one", Then::Continue);
    write.enlisted = Some(transaction.into_enlisted());
    assert_eq!(owner.commit(write).await.expect("a verdict"), Verdict::Fenced);
    assert_eq!(number(&other, "SELECT count(mark) FROM ledger").await, 0);
}

/// All of them wait for the writer at one moment, and then go in some order.
#[tokio::test(flavor = "multi_thread")]
async fn begins_that_wait_together_for_the_writer_start_the_key_once() {
    let database = Database::new();
    let [one, two] = two(&database).await;
    for round in 0..20 {
        let mut hand = hand(&database).await;
        let begins = (0..8).map(|nth| {
            let store = [&one, &two][nth % 2].clone();
            let begin = begin_of(&format!("{round}"), OWNER);
            tokio::spawn(async move { (begin.token, store.begin(begin).await.expect("an answer")) })
        });
        let begins: Vec<_> = begins.collect();
        // Each has found no such key by now, or finds the winner's row.
        run(&mut hand, "COMMIT").await;
        let mut started = Vec::new();
        let mut met = Vec::new();
        for begin in begins {
            match begin.await.expect("no panic") {
                (token, Begun::Started(_)) => started.push(token),
                (_token, Begun::Exists(record)) => met.push(record.claim.token),
            }
        }
        assert_eq!(started.len(), 1, "in round {round}");
        assert_eq!(met, vec![started[0]; 7], "in round {round}");
    }
}

#[tokio::test]
async fn one_write_that_waits_twice_for_the_writer_is_written_once() {
    let database = Database::new();
    let [one, two] = two(&database).await;
    for then in [Then::Continue, succeed("one")] {
        let fence = start(&one, &format!("{then:?}"), OWNER).await;
        let mut hand = hand(&database).await;
        let write = commit_of(fence, "one", then.clone());
        let sends = [
            sent(&one, again(&write)),
            sent(&one, again(&write)),
            sent(&two, write),
        ];
        run(&mut hand, "COMMIT").await;
        for send in sends {
            assert_eq!(send.await.expect("no panic"), Verdict::Written);
        }
        assert_eq!(
            (recorded(&two, fence).await, state(&two, fence).await),
            (1, then.state())
        );
        let output = two.load(fence.execution, fence.run).await.expect("a read");
        assert_eq!(output.expect("the run").checkpoints[0].output, payload("one"));
    }
}
