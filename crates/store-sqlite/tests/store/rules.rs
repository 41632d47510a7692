//! Which write is the same write? The rules that this store keeps more exactly than it must.

use std::sync::Arc;
use std::time::Duration;

use keystep::clock::Clock;
use keystep::execution::{Fence, ParkReason, State, WaitReason, WorkerId, WriteId};
use keystep::random;
use keystep::store::{
    Acquire, Acquired, Commit, Confirm, Confirmed, How, Shapes, Store, StoreError, Then, Tries, Verdict,
    Wanted,
};
use keystep_sqlite::{SqliteOptions, SqliteStore};

use crate::support::{Database, OWNER, SHAPE, again, begin_of, commit_of, payload, start, succeed};

fn ending_of(fence: Fence, then: Then) -> Commit {
    Commit {
        checkpoint: None,
        ..commit_of(fence, "none", then)
    }
}

fn endings() -> Vec<Then> {
    let tries = Tries { seq: 0, count: 1 };
    vec![
        Then::Fail {
            failure: payload("no"),
            tries,
            retention: None,
            yields: false,
        },
        Then::Wait {
            delay: Some(Duration::from_secs(60)),
            reason: WaitReason::Retry,
            failure: Some(payload("later")),
            tries,
            signals: None,
            wish: None,
        },
        Then::Park {
            reason: ParkReason::Unreadable,
            failure: None,
            wish: None,
        },
        Then::Release,
        Then::Undone {
            failure: payload("no"),
            retention: None,
        },
        Then::Cancel { retention: None },
    ]
}

#[tokio::test]
async fn a_write_that_ended_the_ownership_is_told_from_another_one_like_it() {
    let database = Database::new();
    let store = database.open().await;
    for (n, then) in endings().into_iter().enumerate() {
        let fence = start(&store, &format!("key-{n}"), OWNER).await;
        let first = ending_of(fence, then.clone());
        let same = again(&first);
        let other = ending_of(fence, then);
        let mut verdicts = Vec::new();
        for commit in [first, same, other] {
            verdicts.push(store.commit(commit).await.expect("an answer"));
        }
        let expected = [Verdict::Written, Verdict::Written, Verdict::Fenced];
        assert_eq!(verdicts, expected, "ending {n}");
    }
}

#[tokio::test]
async fn an_earlier_write_is_known_after_a_later_one_finished_the_execution() {
    let database = Database::new();
    let store = database.open().await;
    let fence = start(&store, "key", OWNER).await;
    let first = commit_of(fence, "one", Then::Continue);
    let same = again(&first);
    let last = commit_of(fence, "two", succeed("two"));
    for commit in [first, last, same] {
        let verdict = store.commit(commit).await.expect("an answer");
        assert_eq!(verdict, Verdict::Written);
    }
    let late = store.commit(commit_of(fence, "three", Then::Continue)).await;
    assert_eq!(late.expect("an answer"), Verdict::Fenced);
}

#[tokio::test]
async fn a_confirmed_write_stays_confirmed_for_an_owner_that_was_taken_over() {
    let database = Database::new();
    let store = database.open().await;
    let fence = start(&store, "key", OWNER).await;
    let commit = commit_of(fence, "one", Then::Continue);
    let question = |step: &str, write_id: WriteId| Confirm {
        fence,
        step: step.into(),
        write_id,
    };
    let mine = commit.write_id;
    store.commit(commit).await.expect("an answer");
    let seen = store.owned(OWNER).await.expect("a read")[0];
    let absent = store.confirm(question("two", WriteId::fresh())).await;
    assert_eq!(absent.expect("an answer"), Confirmed::Absent);
    let acquired = store
        .acquire(Acquire {
            seen,
            owner: WorkerId(2),
            token: random::unpredictable(),
            how: How::TakeOver,
        })
        .await;
    assert!(matches!(acquired, Ok(Acquired::Won { .. })), "{acquired:?}");
    for (question, answer) in [
        (question("one", mine), Confirmed::Written),
        (question("one", WriteId::fresh()), Confirmed::Fenced),
        (question("two", WriteId::fresh()), Confirmed::Fenced),
    ] {
        let confirmed = store.confirm(question.clone()).await.expect("an answer");
        assert_eq!(confirmed, answer, "{question:?}");
    }
}

#[tokio::test]
async fn what_waits_for_a_deploy_is_due_for_its_shape_only() {
    let database = Database::new();
    let store = database.open().await;
    for (key, reason) in [
        ("shape", ParkReason::UnknownShape),
        ("person", ParkReason::LostTooOften),
    ] {
        let fence = start(&store, key, OWNER).await;
        let park = Then::Park {
            reason,
            failure: None,
            wish: None,
        };
        store.commit(ending_of(fence, park)).await.expect("an answer");
    }
    let due = |shapes| store.due(Wanted { shapes, limit: 10 });
    let mine = due(Shapes::Only(vec![SHAPE])).await.expect("a read");
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0].id, begin_of("shape", OWNER).id);
    assert_eq!(mine[0].state, State::Parked);
    assert_eq!(due(Shapes::Except(vec![])).await.expect("a read"), []);
    assert_eq!(due(Shapes::Only(vec![])).await.expect("a read"), []);
}

#[tokio::test]
async fn the_clock_of_the_options_decides_what_is_due_and_expired() {
    let database = Database::new();
    let clock = Clock::new();
    let options = SqliteOptions::from(database.path()).clock(clock.clone());
    let store = SqliteStore::open(options).await.expect("a new database");
    let waiting = start(&store, "waiting", OWNER).await;
    let finished = start(&store, "finished", OWNER).await;
    let hour = Duration::from_secs(3600);
    let [mut fail, mut wait, ..] = <[Then; 6]>::try_from(endings()).expect("six");
    if let (Then::Fail { retention, .. }, Then::Wait { delay, .. }) = (&mut fail, &mut wait) {
        *retention = Some(hour);
        *delay = Some(hour);
    }
    store.commit(ending_of(waiting, wait)).await.expect("an answer");
    store.commit(ending_of(finished, fail)).await.expect("an answer");
    let wanted = || Wanted {
        shapes: Shapes::Only(vec![SHAPE]),
        limit: 10,
    };
    assert_eq!(store.due(wanted()).await.expect("a read"), []);
    assert_eq!(store.purge(10, None).await.expect("a write"), 0);
    clock.advance(hour + Duration::from_secs(1));
    assert_eq!(store.due(wanted()).await.expect("a read").len(), 1);
    assert_eq!(store.purge(10, None).await.expect("a write"), 1);
    assert_eq!(store.find(vec![finished.execution]).await.expect("a read"), []);
}

#[tokio::test]
async fn text_that_another_store_could_not_hold_is_rejected_and_the_key_stays_usable() {
    let database = Database::new();
    let store = database.open().await;
    let mut with_nul = begin_of("nul", OWNER);
    Arc::make_mut(&mut with_nul.key).scope = "a\0b".to_owned();
    let mut without_text = begin_of("empty", OWNER);
    Arc::make_mut(&mut without_text.key).key = String::new();
    for begin in [with_nul, without_text] {
        let rejected = store.begin(begin).await;
        assert!(matches!(rejected, Err(StoreError::Rejected(_))), "{rejected:?}");
    }
    let fence = start(&store, "nul", OWNER).await;
    let rejected = store.commit(commit_of(fence, "s\0", Then::Continue)).await;
    assert!(matches!(rejected, Err(StoreError::Rejected(_))), "{rejected:?}");
    let verdict = store.commit(commit_of(fence, "s", Then::Continue)).await;
    assert_eq!(verdict.expect("an answer"), Verdict::Written);
}

#[tokio::test]
async fn a_row_of_a_newer_program_is_unreadable_and_harms_no_other() {
    let database = Database::new();
    let store = database.open().await;
    let odd = start(&store, "odd", OWNER).await.execution;
    let even = start(&store, "even", OWNER).await.execution;
    let changed: Result<(), Box<dyn std::error::Error + Send + Sync>> = store
        .write(|conn| {
            Box::pin(async move {
                sqlx::query("UPDATE keystep_executions SET state = 99 WHERE id = ?1")
                    .bind(odd.0)
                    .execute(conn)
                    .await?;
                Ok(())
            })
        })
        .await;
    changed.expect("a changed row");
    let found = store.find(vec![odd]).await;
    assert!(matches!(found, Err(StoreError::Unreadable(_))), "{found:?}");
    assert_eq!(store.find(vec![even]).await.expect("a read").len(), 1);
    assert_eq!(store.owned(OWNER).await.expect("a read").len(), 1);
}
