//! Does every statement find its rows by the index that is meant for it? In tables that are empty and
//! that nobody has analyzed, and in tables full of finished executions.
//!
//! The plans are read as the store makes them: prepared, for any arguments, with the settings of its
//! own connections (lanes, readers and the liveness session have the same). Through a transaction
//! pooler there are no such settings: then the tables' statistics must be enough. That the connections
//! have them is seen from outside: the server counts how often a table is read whole.

mod common;
#[path = "common/prepared.rs"]
mod prepared;

use std::collections::BTreeSet;
use std::time::Duration;

use common::*;
use keystep::execution::{CancelWish, Fence, WorkerId, WriteId};
use keystep::store::{
    Acquired, Commit, How, ListQuery, NewMessage, NewProgress, NewSignal, Shapes, Signalled, Store, Then,
    Verdict, Wanted,
};
use keystep_postgres::PostgresStore;
use prepared::prepare;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// The indexes of the tables that grow that each statement uses which looks into them, and how
/// many of its scans have no condition because they only take the first entry.
const INDEXES: &[(&str, &[&str], usize)] = &[
    (
        "acquire",
        &["executions_pkey", "checkpoints_pkey", "signals_pkey"],
        0,
    ),
    ("begin", &["executions_pkey", "checkpoints_pkey"], 0),
    ("begin_alone", &["executions_pkey", "checkpoints_pkey"], 0),
    ("checkpoint_alone", &["executions_pkey"], 0),
    ("cancels", &["executions_cancelled"], 0),
    ("children", &["executions_called"], 0),
    ("commit", &["executions_pkey"], 0),
    ("commit_alone", &["executions_pkey"], 0),
    ("dead_owners", &["executions_running"], 1),
    ("delivered", &["outbox_id_key"], 0),
    ("due", &["executions_due"], 0),
    ("find", &["executions_pkey", "checkpoints_pkey"], 0),
    ("inbox", &["signals_pkey"], 0),
    ("judge", &["executions_pkey", "checkpoints_pkey"], 0),
    ("judge_waiting", &["executions_pkey", "checkpoints_pkey"], 0),
    ("list", &["executions_pkey", "checkpoints_pkey"], 0),
    ("load", &["executions_pkey", "checkpoints_pkey"], 0),
    ("lock", &["executions_pkey"], 0),
    ("outbox", &["outbox_pkey"], 1),
    ("owned", &["executions_running"], 0),
    ("progress", &["executions_pkey"], 0),
    (
        "purge",
        &[
            "executions_expiring",
            "executions_pkey",
            "checkpoints_pkey",
            "signals_pkey",
        ],
        0,
    ),
    ("recorded_by", &["checkpoints_pkey"], 0),
    ("signal", &["executions_pkey", "signals_pkey"], 0),
    ("submit", &[], 0),
    ("wish_cancel", &["executions_pkey"], 0),
    ("write", &["executions_pkey"], 0),
];

/// The tables that grow with what was done; plans and workers are few.
const TABLES: [&str; 4] = ["executions", "checkpoints", "signals", "outbox"];

/// 100,000 finished executions of five steps and two signals, of which 500 may be purged; 500 that run
/// under ten owners, some of them to be cancelled, and 500 that wait and are called by others; 10,000
/// messages.
const HISTORY: &str = "
    INSERT INTO {schema}.executions (
        id, run_id, token, epoch, generation, owner, plan, shape, ended_by, created_at, acquired_at,
        finished_at, wake_at, expires_at, state, schema_name, scope, key, output_step, input_hash, input,
        cancel, parent, signals
    )
    SELECT
        gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 1,
        CASE state WHEN 1 THEN n % 10 END, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
        now(), now(), CASE state WHEN 10 THEN now() END,
        CASE state WHEN 2 THEN now() + (n - 100750) * interval '1 second' END,
        CASE state WHEN 10 THEN now() + (n - 500) * interval '1 second' END,
        state, 'order.create', '', 'k' || n, CASE state WHEN 10 THEN 'step 4' END, '\\x00', '\\x00',
        CASE WHEN state = 1 AND n % 50 = 0 THEN 1 END, CASE state WHEN 2 THEN gen_random_uuid() END,
        CASE state WHEN 10 THEN 2 END
    FROM (
        SELECT n, CASE WHEN n <= 100000 THEN 10 WHEN n <= 100500 THEN 1 ELSE 2 END AS state
        FROM generate_series(1, 101000) AS n
    ) AS numbers;
    INSERT INTO {schema}.checkpoints (
        run_id, write_id, epoch, worker, recorded_at, seq, attempt, lost, step, output
    )
    SELECT e.run_id, e.token, 1, 1, now(), s, 1, 0, 'step ' || s, '\\x00'
    FROM {schema}.executions AS e CROSS JOIN generate_series(0, 4) AS s
    WHERE e.state = 10;
    INSERT INTO {schema}.signals (run_id, write_id, sent_at, ord, name, payload)
    SELECT e.run_id, gen_random_uuid(), now(), s, 'signal ' || s, '\\x00'
    FROM {schema}.executions AS e CROSS JOIN generate_series(1, 2) AS s
    WHERE e.state = 10;
    INSERT INTO {schema}.outbox (id, execution, run_id, emitted_at, topic, payload)
    SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now(), 'topic', '\\x00'
    FROM generate_series(1, 10000);
    ANALYZE {schema}.signals;
    ANALYZE {schema}.outbox;
    ANALYZE {schema}.executions;
    ANALYZE {schema}.checkpoints";

#[tokio::test]
async fn every_statement_uses_its_indexes_in_empty_and_in_full_tables() {
    let (store, schema) = store().await;
    check_plans("empty, never analyzed", &store, Settings::OfTheStore).await;
    sql(&mut session().await, HISTORY.replace("{schema}", &schema)).await;
    check_plans("full, analyzed", &store, Settings::OfTheStore).await;
    check_plans("full, analyzed, pooled", &store, Settings::OfThePooler).await;
    sql(&mut session().await, format!("DROP SCHEMA {schema} CASCADE")).await;
}

#[tokio::test]
async fn on_no_connection_of_the_store_is_an_empty_table_read_whole() {
    let (store, schema) = store().await;
    drop(store);
    let before = whole_reads(&schema).await;
    let store = same(&schema).await;
    // At the same time, so that each pool opens what connections it may.
    let stories = (0..8).map(|number| story(store.clone(), format!("key {number}")));
    futures::future::join_all(stories).await;
    drop(store);
    assert_eq!(whole_reads(&schema).await, before);
}

/// Runs an execution with each kind of call that looks into the tables.
async fn story(store: PostgresStore, key: String) {
    let fence = started(&store, &key).await;
    let handed_back = store.commit(record(fence, "one", 0, Then::Release)).await;
    assert_eq!(handed_back.expect("a verdict"), Verdict::Written);
    let found = store.find(vec![fence.execution]).await.expect("an answer");
    let acquire = acquire_of(found[0].seen(), How::Resume { keep_tries: true });
    let Ok(Acquired::Won { fence, .. }) = store.acquire(acquire).await else {
        panic!("nobody else wanted it");
    };
    let loaded = store.load(fence.execution, fence.run).await;
    assert!(loaded.expect("an answer").is_some());
    let wanted = Wanted {
        shapes: Shapes::Except(Vec::new()),
        limit: 10,
    };
    store.due(wanted.clone()).await.expect("an answer");
    store.orphans(wanted).await.expect("an answer");
    store.owned(WorkerId(1)).await.expect("an answer");
    news(&store, fence).await;
    let finished = store.commit(record(fence, "two", 1, succeed("two"))).await;
    assert_eq!(finished.expect("a verdict"), Verdict::Written);
    let page = ListQuery {
        limit: 10,
        ..ListQuery::default()
    };
    store.list(page).await.expect("an answer");
    store.purge(10, None).await.expect("an answer");
    store
        .purge(10, Some(Duration::from_secs(1)))
        .await
        .expect("an answer");
}

/// What comes to an execution while it runs, and what goes out.
async fn news(store: &PostgresStore, fence: Fence) {
    let (id, run) = (fence.execution, fence.run);
    let told = record(fence, "half", 1, Then::Continue);
    let progress = NewProgress {
        fence,
        worker: told.worker,
        write_id: WriteId::fresh(),
        checkpoint: told.checkpoint.clone().expect("a checkpoint"),
    };
    let put_down = store.progress(progress).await;
    assert_eq!(put_down.expect("a verdict"), Verdict::Written);
    let signal = NewSignal {
        id,
        run,
        name: "go".into(),
        payload: payload("news"),
        once: true,
        write_id: WriteId::fresh(),
    };
    assert_eq!(store.signal(signal).await.expect("an answer"), Signalled::Sent);
    assert_eq!(store.inbox(id, run).await.expect("an answer").count, 1);
    let wished = store.wish_cancel(id, run, CancelWish::Stop).await;
    assert!(wished.expect("an answer").is_some());
    store.cancels(WorkerId(1)).await.expect("an answer");
    store.children(id).await.expect("an answer");
    let message = NewMessage {
        id: Uuid::new_v4(),
        topic: "orders".into(),
        payload: payload("message"),
    };
    let tells = Commit {
        messages: vec![message],
        ..record(fence, "tells", 2, Then::Continue)
    };
    assert_eq!(store.commit(tells).await.expect("a verdict"), Verdict::Written);
    let messages = store.outbox(Vec::new(), 10).await.expect("an answer");
    let delivered = messages.iter().map(|message| message.id).collect();
    store.delivered(delivered).await.expect("an answer");
}

/// How often the tables of a schema were read whole. A session tells its part when it ends, so this
/// waits until the schema's sessions have ended.
async fn whole_reads(schema: &str) -> i64 {
    let open = format!(
        "SELECT count(pid) FROM pg_stat_activity
         WHERE query LIKE '%\"{schema}\".%' AND pid <> pg_backend_pid()"
    );
    let open = &open;
    until("the sessions have ended", async || {
        number(&mut session().await, open).await == 0
    })
    .await;
    let reads = format!(
        "SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables
         WHERE schemaname = '{schema}' AND relname IN ('executions', 'checkpoints', 'signals', 'outbox')"
    );
    number(&mut session().await, reads).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settings {
    OfTheStore,
    /// None, but that a plan is for any arguments.
    OfThePooler,
}

/// Reads the plan of each statement that looks into the tables, and fails with all that is wrong.
async fn check_plans(tables: &str, store: &PostgresStore, settings: Settings) {
    let mut session = session_with(store, settings).await;
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<&str> = INDEXES.iter().map(|(name, ..)| *name).collect();
    for (name, text) in store.statements() {
        if !TABLES.iter().any(|table| text.contains(&format!(".{table}"))) {
            continue;
        }
        unused.remove(name);
        let known = INDEXES.iter().find(|(known, ..)| *known == name);
        let Some((_name, indexes, first_entries)) = known else {
            wrong.push(format!("{name}: say in {} which indexes it uses", file!()));
            continue;
        };
        let arguments = prepare(&mut session, name, text).await;
        let plan = plan(&mut session, name, arguments).await;
        for fault in faults(&plan, indexes, *first_entries) {
            wrong.push(format!("{name} {fault}:\n{}", plan.join("\n")));
        }
    }
    wrong.extend(
        unused
            .iter()
            .map(|name| format!("{name}: looks into no table, or is gone")),
    );
    assert!(wrong.is_empty(), "tables {tables}:\n\n{}\n", wrong.join("\n\n"));
}

/// How the server runs a statement that is prepared, without its costs, a line for each node.
async fn plan(session: &mut PgConnection, name: &str, arguments: usize) -> Vec<String> {
    let list = match arguments {
        0 => String::new(),
        some => format!("({})", vec!["NULL"; some].join(", ")),
    };
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE {name}{list}");
    let plan = sqlx::query_scalar(AssertSqlSafe(explain))
        .fetch_all(session)
        .await;
    plan.unwrap_or_else(|error| panic!("{error} in the plan of {name}"))
}

/// A session whose plans are made as on a connection of the store.
async fn session_with(store: &PostgresStore, settings: Settings) -> PgConnection {
    let mut session = session().await;
    match settings {
        Settings::OfTheStore => {
            let mut statements = store.statements().into_iter();
            let found = statements.find(|(name, _text)| *name == "session");
            let (_name, text) = found.expect("the settings");
            sqlx::query(AssertSqlSafe(text.to_owned()))
                .bind("5000")
                .bind("5000")
                .bind("5000")
                .execute(&mut session)
                .await
                .expect("the settings of the store's own connections");
        }
        Settings::OfThePooler => sql(&mut session, "SET plan_cache_mode = force_generic_plan").await,
    }
    session
}

/// What is wrong with a plan: every look into a table goes through an index, with a condition.
fn faults(plan: &[String], indexes: &[&str], first_entries: usize) -> Vec<String> {
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    let mut without = 0;
    for (at, line) in plan.iter().enumerate() {
        if TABLES
            .iter()
            .any(|table| line.contains(&format!("Seq Scan on {table}")))
        {
            faults.push("reads a whole table".to_owned());
        }
        let index = index_of(line).unwrap_or_default();
        if TABLES.iter().any(|table| index.starts_with(&format!("{table}_"))) {
            used.insert(index);
            let conditioned = plan.get(at + 1).is_some_and(|next| next.contains("Index Cond"));
            without += usize::from(!conditioned);
        }
    }
    if without > first_entries {
        faults.push("walks a whole index".to_owned());
    }
    if used != indexes.iter().copied().collect() {
        faults.push(format!("uses {used:?} instead of {indexes:?}"));
    }
    faults
}

/// The index that a node of a plan scans.
fn index_of(line: &str) -> Option<&str> {
    let scans = [
        "Index Scan using ",
        "Index Only Scan using ",
        "Bitmap Index Scan on ",
    ];
    let rest = scans.iter().find_map(|scan| Some(line.split_once(scan)?.1))?;
    rest.split_whitespace().next()
}

#[test]
fn a_whole_table_a_whole_index_and_another_index_are_seen() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let good = lines("-> Index Scan using executions_due on executions e\n  Index Cond: (wake_at < 1)");
    let count = |plan: &[String], indexes: &[&str], first| faults(plan, indexes, first).len();
    assert_eq!(count(&good, &["executions_due"], 0), 0);
    assert_eq!(count(&good, &["executions_pkey"], 0), 1);
    assert_eq!(count(&good, &["executions_due", "executions_pkey"], 0), 1);
    assert_eq!(count(&good[..1], &["executions_due"], 0), 1, "no condition");
    assert_eq!(
        count(&good[..1], &["executions_due"], 1),
        0,
        "the first entry only"
    );
    let whole = [&good[..], &lines("-> Seq Scan on checkpoints c")].concat();
    assert_eq!(count(&whole, &["executions_due"], 0), 1);
}
