//! How is a death seen? By the end of a session within milliseconds, and by a beat that stands still
//! otherwise.

mod common;

use std::time::Duration;

use common::*;
use keystep::execution::WorkerId;
use keystep::store::{Beat, Begun, Observed, Shapes, Store, Wanted};
use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::PgConnection;

async fn seen_by(observer: &PostgresStore, worker: WorkerId) -> Option<Observed> {
    let observation = observer.observe(WorkerId(0)).await.expect("observed");
    assert!(observation.server_age.is_some(), "a server can be restarted");
    observation
        .others
        .into_iter()
        .find(|other| other.worker == worker)
}

async fn backend_of(session: &mut PgConnection, schema: &str, worker: WorkerId) -> i64 {
    number(
        session,
        format!(
            "SELECT backend_pid::bigint FROM {schema}.workers WHERE id = {}",
            worker.0
        ),
    )
    .await
}

#[tokio::test]
async fn the_end_of_a_session_is_seen_at_once_and_a_beat_opens_it_again() {
    let (store, schema) = store().await;
    let observer = same(&schema).await;
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    let seen = seen_by(&observer, me.worker).await.expect("seen");
    assert_eq!(seen.session, Some(true));
    assert_eq!(seen.shapes, me.shapes);

    let mut session = session().await;
    let backend = backend_of(&mut session, &schema, me.worker).await;
    sql(&mut session, format!("SELECT pg_terminate_backend({backend})")).await;
    until("the end is seen", async || {
        seen_by(&observer, me.worker)
            .await
            .is_some_and(|seen| seen.session == Some(false))
    })
    .await;

    assert_eq!(store.beat(me.worker).await.expect("a beat"), Beat::Alive);
    let seen_again = seen_by(&observer, me.worker).await.expect("seen");
    assert_eq!(seen_again.session, Some(true));
    assert!(seen_again.beat > seen.beat);
}

#[tokio::test]
async fn workers_of_two_schemas_do_not_meet_although_their_ids_are_equal() {
    let (one, schema) = store().await;
    let (other, _) = store().await;
    let me = worker();
    one.register(me.clone()).await.expect("registered");
    other.register(me.clone()).await.expect("registered, too");
    drop(one);
    let observer = same(&schema).await;
    until("the end is seen", async || {
        seen_by(&observer, me.worker)
            .await
            .is_some_and(|seen| seen.session == Some(false))
    })
    .await;
    assert_eq!(other.beat(me.worker).await.expect("a beat"), Beat::Alive);
}

#[tokio::test]
async fn several_observers_do_not_take_each_other_for_the_session() {
    let (store, schema) = store().await;
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    drop(store);
    let mut observers = Vec::new();
    for _each in 0..4 {
        observers.push(same(&schema).await);
    }
    until("the end is seen", async || {
        seen_by(&observers[0], me.worker)
            .await
            .is_some_and(|seen| seen.session == Some(false))
    })
    .await;
    for _look in 0..20 {
        let looks = observers.iter().map(|observer| seen_by(observer, me.worker));
        for seen in futures::future::join_all(looks).await {
            assert_eq!(seen.expect("seen").session, Some(false));
        }
    }
}

#[tokio::test]
async fn a_worker_that_beats_is_not_buried_and_a_silent_one_is_for_ever() {
    let (store, schema) = store().await;
    let observer = same(&schema).await;
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    let before = seen_by(&observer, me.worker).await.expect("seen").beat;
    store.beat(me.worker).await.expect("a beat");
    let dead = observer.bury(me.worker, before).await.expect("judged");
    assert!(!dead, "it has beaten since");

    let now = seen_by(&observer, me.worker).await.expect("seen").beat;
    assert!(observer.bury(me.worker, now).await.expect("judged"));
    assert!(
        observer.bury(me.worker, now).await.expect("judged"),
        "and stays dead"
    );
    assert_eq!(seen_by(&observer, me.worker).await, None);
    assert_eq!(store.beat(me.worker).await.expect("an answer"), Beat::Dead);
    store.register(me.clone()).await.expect("an answer");
    assert_eq!(store.beat(me.worker).await.expect("an answer"), Beat::Dead);

    let fresh = worker();
    store.register(fresh.clone()).await.expect("registered");
    assert_eq!(store.beat(fresh.worker).await.expect("a beat"), Beat::Alive);
}

#[tokio::test]
async fn burying_ends_a_session_that_still_stands() {
    let (store, schema) = store().await;
    let observer = same(&schema).await;
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    let mut session = session().await;
    let backend = backend_of(&mut session, &schema, me.worker).await;
    let beat = seen_by(&observer, me.worker).await.expect("seen").beat;
    assert!(observer.bury(me.worker, beat).await.expect("judged"));
    for _try in 0..1000 {
        let alive = number(
            &mut session,
            format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {backend}"),
        )
        .await;
        if alive == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the session of a buried worker stands");
}

#[tokio::test]
async fn a_dead_handle_ends_its_session_and_its_work_is_orphaned_once_it_is_buried() {
    let (store, schema) = store().await;
    let observer = same(&schema).await;
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    let begun = store.begin(begin_of("a", me.worker)).await.expect("begun");
    let Begun::Started(fence) = begun else {
        panic!("not started");
    };
    let wanted = || Wanted {
        shapes: Shapes::Only(vec![SHAPE]),
        limit: 10,
    };
    assert_eq!(observer.orphans(wanted()).await.expect("looked"), []);

    drop(store);
    until("the end is seen", async || {
        seen_by(&observer, me.worker)
            .await
            .is_some_and(|seen| seen.session == Some(false))
    })
    .await;
    assert_eq!(
        observer.orphans(wanted()).await.expect("looked"),
        [],
        "not before somebody declared it dead"
    );
    let beat = seen_by(&observer, me.worker).await.expect("seen").beat;
    assert!(observer.bury(me.worker, beat).await.expect("judged"));
    let orphans = observer.orphans(wanted()).await.expect("looked");
    assert_eq!(orphans.len(), 1);
    assert_eq!(orphans[0].id, fence.execution);
    let elsewhere = Wanted {
        shapes: Shapes::Except(vec![SHAPE]),
        limit: 10,
    };
    assert_eq!(observer.orphans(elsewhere).await.expect("looked"), []);
}

#[tokio::test]
async fn retiring_closes_the_session() {
    let (store, schema) = store().await;
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    let mut session = session().await;
    let backend = backend_of(&mut session, &schema, me.worker).await;
    store.retire(me.worker).await.expect("retired");
    until("the lock is free", async || {
        let held = format!("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = {backend}");
        number(&mut common::session().await, held).await == 0
    })
    .await;
    let dead = number(
        &mut session,
        format!("SELECT count(*) FROM {schema}.workers WHERE dead"),
    )
    .await;
    assert_eq!(dead, 1);
}

#[tokio::test]
async fn without_sessions_a_worker_beats_and_nothing_is_known_of_its_session() {
    let options = PostgresOptions {
        liveness: false,
        ..options()
    };
    let schema = options.schema.clone();
    let store = store_with(options).await;
    assert!(!store.report().liveness_session);
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    assert_eq!(store.beat(me.worker).await.expect("a beat"), Beat::Alive);
    let pooled = PostgresOptions {
        liveness: false,
        ..PostgresOptions::default()
    };
    let observer = same_with(&schema, pooled).await;
    let seen = seen_by(&observer, me.worker).await.expect("seen");
    assert_eq!(seen.session, None);
    let fence = started(&store, "a").await;
    let written = store.commit(record(fence, "one", 0, succeed("one"))).await;
    written.expect("writes work too");
}

#[tokio::test]
async fn a_lock_that_an_old_session_still_holds_does_not_stop_the_beat() {
    let (store, schema) = store().await;
    let me = worker();
    store.register(me.clone()).await.expect("registered");
    let mut session = session().await;
    let backend = backend_of(&mut session, &schema, me.worker).await;
    let lock = number(
        &mut session,
        format!(
            "SELECT classid::bigint << 32 | objid::bigint FROM pg_locks \
             WHERE locktype = 'advisory' AND pid = {backend}"
        ),
    )
    .await;
    // Another session takes the lock the moment that the worker's own is lost.
    let mut thief = common::session().await;
    let steal = sql(&mut thief, format!("SELECT pg_advisory_lock({lock})"));
    let lose = sql(&mut session, format!("SELECT pg_terminate_backend({backend})"));
    tokio::join!(steal, lose);
    assert_eq!(store.beat(me.worker).await.expect("a beat"), Beat::Alive);
    sql(&mut thief, format!("SELECT pg_advisory_unlock({lock})")).await;
    assert_eq!(store.beat(me.worker).await.expect("a beat"), Beat::Alive);
    let seen = seen_by(&same(&schema).await, me.worker).await.expect("seen");
    assert_eq!(seen.session, Some(true));
}
