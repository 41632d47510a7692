//! What does PostgreSQL do for us? Statements, counted by the server, and the growth of its log.
//!
//! The counted process has a role of its own, so that *everything* it sends is counted, also what
//! nobody thought of. The server is private: nothing else writes to its log.

use std::collections::BTreeMap;

use keystep_postgres::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use system_tests::place::{Place, Role};
use xtask::postgres::{Cluster, Options};

use crate::stories::{Counted, Meter, Totals};

/// Statements that a process sends whether or not it has work, and those that prepare a connection.
const NOT_FOR_WORK: [&str; 8] = [
    "beat",
    "observe",
    "due",
    "dead_owners",
    "owned",
    "cancels",
    "session",
    "session_check",
];

/// Nothing but commits is written to the log, and no page a second time because of a checkpoint.
const SETTINGS: [(&str, &str); 5] = [
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_size", "16GB"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
];

/// A server, a store on it, and the role that is counted.
pub(crate) struct Ground {
    place: Place,
    role: Role,
    names: BTreeMap<String, &'static str>,
    url: String,
    /// Last: the place cleans up on it.
    _server: Cluster,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = Options {
            settings: settings.into(),
            ..Options::default()
        };
        let server = Cluster::start(options).expect("a server");
        let place = Place::on_server(&server.url());
        let names: BTreeMap<String, &str> = place
            .statements()
            .into_iter()
            .map(|(name, text)| (skeleton(&text), name))
            .collect();
        let gone = NOT_FOR_WORK
            .iter()
            .find(|name| !names.values().any(|known| known == *name));
        assert_eq!(gone, None, "no statement has this name any more");
        Self {
            role: place.role("secret", None),
            place,
            names,
            url: server.url(),
            _server: server,
        }
    }
}

/// Counts on one server.
pub(crate) struct OnPostgres<'a> {
    ground: &'a Ground,
    session: PgConnection,
}

impl<'a> OnPostgres<'a> {
    pub(crate) async fn on(ground: &'a Ground) -> Self {
        let mut session = PgConnection::connect(&ground.url).await.expect("a session");
        sqlx::raw_sql("CREATE EXTENSION pg_stat_statements")
            .execute(&mut session)
            .await
            .expect("a server with pg_stat_statements: it belongs to PostgreSQL's contrib modules");
        Self { ground, session }
    }
}

impl Meter for OnPostgres<'_> {
    type Store = PostgresStore;

    async fn handle(&self, counted: Counted) -> PostgresStore {
        let options = PostgresOptions {
            schema: self.ground.place.schema().to_owned(),
            ..PostgresOptions::default()
        };
        let url = match counted {
            Counted::Yes => &self.ground.role.url,
            Counted::No => self.ground.place.url(),
        };
        let store = PostgresStore::connect_with(url, options).await;
        store.expect("a store that opens")
    }

    async fn totals(&mut self) -> Totals {
        // A transaction has a number of its own if it writes rows; one that only tidies up a page
        // that it comes by has none.
        let (commits, bytes): (i64, i64) = sqlx::query_as(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                 (pg_current_wal_insert_lsn() - '0/0')::bigint",
        )
        .fetch_one(&mut self.session)
        .await
        .expect("how far the server is");
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT s.query, s.calls FROM pg_stat_statements AS s
             JOIN pg_roles AS r ON r.oid = s.userid WHERE r.rolname = $1",
        )
        .bind(&self.ground.role.name)
        .fetch_all(&mut self.session)
        .await
        .expect("counts");
        let is_for_work = |text: &str| {
            let name = self.ground.names.get(&skeleton(text));
            name.is_none_or(|name| !NOT_FOR_WORK.contains(name))
        };
        let for_work = rows.iter().filter(|(text, _calls)| is_for_work(text));
        let statements: i64 = for_work.map(|(_text, calls)| calls).sum();
        Totals {
            statements: Some(statements.unsigned_abs()),
            commits: commits.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        }
    }

    async fn tidy(&mut self) {
        let schema = self.ground.place.schema();
        let vacuum = format!("VACUUM {schema}.executions, {schema}.checkpoints");
        let done = sqlx::raw_sql(AssertSqlSafe(vacuum))
            .execute(&mut self.session)
            .await;
        done.expect("nothing is left to tidy up");
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
