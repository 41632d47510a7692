//! What does work cost on PostgreSQL? Counted by the server, statement by statement.
//!
//! Each test has a role of its own, so that *everything* its process sends is counted, also what
//! nobody thought of. They run alone: the server forgets counts when it knows too many statements.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use system_tests::place::{Kind, Place, Role};
use system_tests::protocol::Policy;
use system_tests::victim::{Call, Launch, SOON, Victim};

use crate::{show, victim};

/// Statements that go through the writer lanes.
const LANES: [&str; 4] = ["begin", "commit", "write", "acquire"];

/// Statements that a process sends whether or not it has work.
const BACKGROUND: [&str; 8] = [
    "beat",
    "observe",
    "due",
    "dead_owners",
    "owned",
    "purge",
    "purge_workers",
    "format",
];

/// Statements that prepare a new connection.
const CONNECTING: [&str; 3] = ["session", "session_check", "take_session_lock"];

/// What the server has counted for one role: by name calls and bytes of write-ahead log.
#[derive(Debug, Clone, Default)]
struct Counts(BTreeMap<String, (i64, i64)>);

impl Counts {
    /// What came after `before`.
    fn since(&self, before: &Self) -> Self {
        let rest = self.0.iter().map(|(name, (calls, bytes))| {
            let (old_calls, old_bytes) = before.0.get(name).copied().unwrap_or_default();
            (name.clone(), (calls - old_calls, bytes - old_bytes))
        });
        Self(rest.filter(|(_name, (calls, _bytes))| *calls > 0).collect())
    }

    /// Calls of these statements.
    fn calls(&self, names: &[&str]) -> i64 {
        let counted = self
            .0
            .iter()
            .filter(|(name, _counts)| names.contains(&name.as_str()));
        counted.map(|(_name, (calls, _bytes))| calls).sum()
    }

    /// All but these.
    fn besides(&self, others: &Self) -> Self {
        let rest = self
            .0
            .iter()
            .filter(|(name, _counts)| !others.0.contains_key(*name));
        Self(rest.map(|(name, counts)| (name.clone(), *counts)).collect())
    }

    /// All but the background, and what prepares a connection.
    fn for_work(&self) -> Self {
        let apart = [BACKGROUND.as_slice(), &CONNECTING].concat();
        let rest = self
            .0
            .iter()
            .filter(|(name, _counts)| !apart.contains(&name.as_str()));
        Self(rest.map(|(name, counts)| (name.clone(), *counts)).collect())
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self
            .0
            .iter()
            .map(|(name, (calls, bytes))| format!("{name} {calls} ({bytes} bytes)"));
        f.write_str(&words.collect::<Vec<_>>().join(", "))
    }
}

/// A place on a server that counts, and a role on it.
struct Counted {
    place: Place,
    role: Role,
    names: BTreeMap<String, &'static str>,
}

impl Counted {
    fn new(connection_limit: Option<u32>) -> Self {
        let place = Place::fresh(Kind::Postgres);
        let role = place.role("secret", connection_limit);
        place.as_superuser(async |admin| {
            let preloaded: String = sqlx::query_scalar("SELECT current_setting('shared_preload_libraries')")
                .fetch_one(admin)
                .await?;
            assert!(
                preloaded.contains("pg_stat_statements"),
                "needs a PostgreSQL server with pg_stat_statements: run `cargo xtask test`"
            );
            // Two tests must not create it at the same moment.
            sqlx::raw_sql(
                "BEGIN; SELECT pg_advisory_xact_lock(1);
                 CREATE EXTENSION IF NOT EXISTS pg_stat_statements; COMMIT;
                 SELECT pg_stat_statements_reset()",
            )
            .execute(admin)
            .await
        });
        let statements = place.statements().into_iter();
        let names = statements.map(|(name, text)| (skeleton(&text), name)).collect();
        Self { place, role, names }
    }

    /// A victim that does nothing in the database but what the engine does.
    fn launch(&self) -> Launch {
        victim(&self.place)
            .option("url", &self.role.url)
            .without("notebook")
    }

    fn counts(&self) -> Counts {
        let rows: Vec<(String, i64, i64)> = self.place.as_superuser(async |admin| {
            sqlx::query_as(
                "SELECT s.query, s.calls, s.wal_bytes::bigint FROM pg_stat_statements AS s
                 JOIN pg_roles AS r ON r.oid = s.userid WHERE r.rolname = $1",
            )
            .bind(&self.role.name)
            .fetch_all(admin)
            .await
        });
        let mut counts = Counts::default();
        for (text, calls, bytes) in rows {
            let name = self.names.get(&skeleton(&text));
            let unknown = || text.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
            let name = name.map_or_else(unknown, |name| (*name).to_owned());
            let sum = counts.0.entry(name).or_default();
            *sum = (sum.0 + calls, sum.1 + bytes);
        }
        counts
    }

    /// The counts after the process has beaten once more: what it had sent before is counted.
    fn settled(&self) -> Counts {
        let beats = self.counts().calls(&["beat"]);
        let deadline = Instant::now() + SOON;
        loop {
            let counts = self.counts();
            if counts.calls(&["beat"]) > beats {
                return counts;
            }
            assert!(Instant::now() < deadline, "it does not beat");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A statement without white space and without its constants and parameters, which the server
/// numbers anew.
fn skeleton(text: &str) -> String {
    let mut skeleton = String::new();
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '$' => while rest.next_if(char::is_ascii_digit).is_some() {},
            '\'' => drop(rest.by_ref().find(|letter| *letter == '\'')),
            'a'..='z' | 'A'..='Z' | '_' => {
                let mut word = String::from(letter);
                while let Some(more) = rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
                    word.push(more);
                }
                let constant = ["null", "true", "false"].contains(&word.to_ascii_lowercase().as_str());
                if !constant && !skeleton.ends_with("extract(") {
                    skeleton.push_str(&word);
                }
            }
            '0'..='9' | '-' => {}
            letter if letter.is_whitespace() => {}
            letter => skeleton.push(letter),
        }
    }
    skeleton
}

#[test]
fn alone_n_steps_cost_n_plus_one_commits_and_nothing_else() {
    let counted = Counted::new(None);
    let mut process = counted.launch().ready();
    for steps in [1, 3, 10] {
        let before = counted.settled();
        let call = process.run(&format!("chain-{steps}"), "k", Policy::Attach);
        assert_eq!(process.answer(call).map(|nonces| nonces.len()), Ok(steps));
        let spent = counted.settled().since(&before);
        let work = spent.for_work();
        show(&format!(
            "{steps} steps: {work}; beside it: {}",
            spent.besides(&work)
        ));
        // Each is a commit of its own: no BEGIN is among the statements.
        assert_eq!(work.calls(&LANES), steps as i64 + 1, "{spent}");
        assert_eq!(
            work.calls(&LANES),
            work.0.values().map(|(calls, _bytes)| calls).sum::<i64>(),
            "{spent}"
        );
        assert!(work.0.values().all(|(_calls, bytes)| *bytes > 0), "{spent}");
    }
}

#[test]
fn alone_a_replay_of_a_finished_key_costs_one_statement_and_writes_nothing() {
    const REPLAYS: i64 = 5;
    let counted = Counted::new(None);
    let mut process = counted.launch().ready();
    let replay = |process: &mut Victim| {
        let call = process.run("chain-3", "k", Policy::Attach);
        assert_eq!(process.answer(call).map(|nonces| nonces.len()), Ok(3));
    };
    replay(&mut process);
    // The first look at a changed page may tidy it up, which is logged.
    replay(&mut process);

    let before = counted.settled();
    (0..REPLAYS).for_each(|_| replay(&mut process));
    let spent = counted.settled().since(&before);
    let work = spent.for_work();
    show(&format!(
        "{REPLAYS} replays: {work}; beside it: {}",
        spent.besides(&work)
    ));
    assert_eq!(
        work.0.into_values().collect::<Vec<_>>(),
        [(REPLAYS, 0)],
        "{spent}"
    );
}

/// The server itself holds the process to four connections.
fn many_keys_with_four_connections(
    launch: impl FnOnce(Launch) -> Launch,
    schema: &str,
    steps: usize,
    in_lanes: i64,
) {
    const KEYS: usize = 64;
    let counted = Counted::new(Some(4));
    let mut process = launch(counted.launch()).ready();
    let before = counted.settled();
    let started = Instant::now();
    let calls: Vec<Call> = (0..KEYS)
        .map(|number| process.run(schema, &format!("k{number}"), Policy::Attach))
        .collect();
    for call in calls {
        assert_eq!(process.answer(call).map(|nonces| nonces.len()), Ok(steps));
    }
    let took = started.elapsed();
    let spent = counted.settled().since(&before);
    let (statements, operations) = (spent.calls(&LANES), KEYS as i64 * in_lanes);
    show(&format!(
        "{KEYS} keys of {steps} steps with 4 connections: {took:?}, {statements} lane statements for \
         {operations} operations; {spent}"
    ));
    assert!(statements < operations, "{spent}");
}

#[test]
fn alone_many_keys_with_four_connections_share_their_commits() {
    let two_lanes = |launch: Launch| {
        launch
            .option("lanes", 2)
            .option("readers", 1)
            .option("transactions", 1)
    };
    // One begin and three checkpoints each; no step has a transaction of its own.
    many_keys_with_four_connections(two_lanes, "three", 3, 4);
}

#[test]
fn alone_many_transactional_steps_with_four_connections_do_not_starve() {
    let one_lane = |launch: Launch| {
        launch
            .option("lanes", 1)
            .option("readers", 1)
            .option("transactions", 1)
    };
    // One begin and two checkpoints each go through the lanes.
    many_keys_with_four_connections(one_lane, "booked", 3, 3);
}
